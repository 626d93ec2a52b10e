"""What pictures are, or are asked to be, in the form in which networks are told it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from imagegen.data.store import Pictures
from imagegen.data.words import Vocabulary, composed
from imagegen.errors import SettingsError, did_you_mean
from imagegen.family import Condition
from imagegen.nn.conditioner import Told
from imagegen.sample.noise import Noise

MIXED = 1e-3
"""How far the weights of a mixture may be from a sum of 1."""


@dataclass(frozen=True)
class Ask:
    """What one picture is asked to be.

    Attributes:
        labels: the weight of each label; without any, one is drawn by the picture's seed, unless
            there is a text.
        text: words; empty for none.
        unlabelled: no label is drawn either: it is to look like pictures without one.
    """

    labels: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    unlabelled: bool = False


def parse(condition: Condition, label: str | None, text: str | None = None) -> Ask:
    """Read what was asked for on a command line.

    Args:
        condition: what the model can be told.
        label: one of its labels, several, `cat,small`, a mixture, `cat:0.7,dog:0.3`, or `none`.
        text: words.

    Raises:
        SettingsError: if the model doesn't know the label or any word, or can't be told.
    """
    if text is not None:
        _check_text(condition, text)
    if label is None:
        return Ask({}, text or "")
    if label == "none" and condition.can_be_asked and "none" not in condition.labels:
        return Ask({}, text or "", unlabelled=True)
    # However a system takes letters with marks apart.
    names = {composed(name): name for name in condition.labels}
    weights = _weights(tuple(names), composed(label))
    return Ask({names[name]: weight for name, weight in weights.items()}, text or "")


def of_pictures(pictures: Pictures, condition: Condition) -> Told | None:
    """Return what each picture is; None for a model that is told nothing.

    Labels that the model does not know are not told.
    """
    if not condition.is_told:
        return None
    weights = torch.zeros(len(pictures), len(condition.labels))
    for column, name in enumerate(pictures.label_names):
        if name in condition.labels:
            shares = torch.from_numpy(pictures.shares[:, column])
            weights[:, condition.labels.index(name)] = shares.float()
    weights /= weights.sum(1, keepdim=True).where(weights.any(1, keepdim=True), 1)
    texts = [""] * len(pictures) if pictures.texts is None else pictures.texts
    return _told(weights, texts, condition.vocabulary)


def of_asks(asks: Sequence[Ask], condition: Condition, seeds: Sequence[int]) -> Told | None:
    """Return what each of N pictures is asked to be; None for a model that is told nothing.

    Args:
        asks: N of them.
        condition: what the model can be told.
        seeds: of the N pictures, for labels that are left to them.
    """
    if not condition.is_told:
        return None
    weights = torch.zeros(len(asks), len(condition.labels))
    for row, (ask, seed) in enumerate(zip(asks, seeds, strict=True)):
        for name, weight in settled(ask, condition, seed).labels.items():
            weights[row, condition.labels.index(name)] = weight
    return _told(weights, [ask.text for ask in asks], condition.vocabulary)


def settled(ask: Ask, condition: Condition, seed: int) -> Ask:
    """Return what a picture is asked to be, with the label that its seed draws if that may."""
    count = len(condition.labels)
    if not count or ask.labels or ask.text or ask.unlabelled:
        return ask
    share = Noise([seed], stream=1).uniform(1)
    return Ask({condition.labels[int(share[0, 0] * count)]: 1.0})


def _told(labels: torch.Tensor, texts: Sequence[str], words: Vocabulary | None) -> Told:
    """Return upright pictures of labels, (N, L), and texts, whose words are filled up with 0."""
    spelt = [[] if words is None else words.tokens(text) for text in texts]
    matrix = torch.zeros(len(texts), max(map(len, spelt), default=0), dtype=torch.int64)
    for row, numbers in enumerate(spelt):
        matrix[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.int64)
    return Told(labels, matrix, torch.zeros(len(texts), dtype=torch.int64))


def _weights(known: Sequence[str], label: str) -> dict[str, float]:
    if not known:
        raise SettingsError(
            f"--label {label}: this model was trained without labels",
            "labels come from sub-folders, tables or the names of the training pictures",
        )
    if label in known:
        return {label: 1.0}
    weights: dict[str, float | None] = {}
    for part in _parts(known, label):
        name, colon, number = part.rpartition(":")
        alone = part in known or not colon  # a label may have a colon of its own
        if alone:
            name = part
        if name == "none" and name not in known:
            raise SettingsError(f"--label {label}: none goes alone", "leave the others out")
        if name not in known:
            shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
            raise SettingsError(
                f"--label {label}: unknown label '{name}'{did_you_mean(name, known)}",
                f"it knows: {shown}",
            )
        if name in weights:
            raise SettingsError(f"--label {label}: '{name}' is in it twice", "name each label once")
        weights[name] = None if alone else _number(number)
    given = [weight for weight in weights.values() if weight is not None]
    if not given:
        return dict.fromkeys(weights, 1 / len(weights))
    if len(given) < len(weights) or min(given) <= 0 or not abs(sum(given) - 1) <= MIXED:
        names = list(weights)
        raise SettingsError(
            f"--label {label}: expected weights over 0 that sum up to 1, or none at all",
            f"such as --label '{names[0]}:0.7,{names[-1]}:0.3'" if names[1:] else "leave it out",
        )
    return dict(zip(weights, given, strict=True))


def _parts(known: Sequence[str], label: str) -> Iterator[str]:
    """Yield what stands between the commas of `--label`; labels may have some of their own."""
    most = 1 + max(name.count(",") for name in known)
    pieces = label.split(",")
    while pieces:
        for count in range(min(most, len(pieces)), 0, -1):
            part = ",".join(pieces[:count]).strip()
            if part in known or part.rpartition(":")[0] in known:
                break
        yield part
        del pieces[:count]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_text(condition: Condition, text: str) -> None:
    words = condition.vocabulary
    if words is None:
        raise SettingsError(
            "this model was trained without text",
            "leave the text out" + (", or use --label" if condition.labels else ""),
        )
    if not text.strip():
        raise SettingsError("the text is empty", "leave it out to draw without")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingsError(
            f"the text is not UTF-8: {text[:60]!a}", "type it in a terminal that sends UTF-8"
        ) from None
    if not words.tokens(text):
        raise SettingsError(
            f"no word of the text is known: {text[:60]}",
            "imagegen models show MODEL --words lists what it understands",
        )
