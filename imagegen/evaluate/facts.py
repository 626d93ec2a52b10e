"""What is known of a model, read from its folder: the ground of its card and of its report.

The files may be those of an older version, or edited by hand. What can't be read of them is left
out and complained about; the rest still counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imagegen import durable, presets, registry
from imagegen.settings import Config
from imagegen.train import history

Interval = tuple[float, float]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
State = Literal["missing", "damaged", "stale", "current"]

UNCLEAR = 0.05
"""Share of real held-out pictures taken for copies, above which the search says little."""
ALIKE = 0.25
"""Pictures with less than this share of the Vendi score of real ones are nearly all alike."""

_NOT_CURVES = {"step", "seconds", "pictures_per_second", "kid_low", "kid_high", "copies_low"}


class _Known(BaseModel):
    """A part of a file: every value may be missing, unknown keys are another version's."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Scores(_Known):
    """What one set of pictures scores against the training pictures."""

    frechet: float | None = None
    precision: float | None = None
    recall: float | None = None
    density: float | None = None
    coverage: float | None = None
    vendi: float | None = None


class EqualSizes(_Known):
    """Generated and real held-out pictures, `n` of each, measured alike."""

    n: int | None = None
    generated: Scores = Scores()
    real: Scores = Scores()


class Pair(_Known):
    """A generated picture and the training picture most like it.

    `digest` is the beginning of the sha256 of that one's pixels, in hexadecimal. `labels` are there
    if there are several.
    """

    seed: Seed
    label: str | None = None
    labels: dict[str, float] = {}
    text: str = ""
    distance: float
    digest: str = ""
    is_copy: bool = Field(default=False, alias="copy")  # a model has a method of that name


class Fidelity(_Known):
    """Shares of pictures in which a judge finds what was asked for, in [0, 1]."""

    generated: float
    generated_interval: Interval | None = None
    held_out: float | None = None
    chance: float | None = None


class LabelScores(_Known):
    """What the pictures of one label score."""

    n_generated: int | None = None
    n_real: int | None = None
    kid: float | None = None
    kid_interval: Interval | None = None
    precision: float | None = None
    coverage: float | None = None
    fidelity: float | None = None


class NetworkScores(Scores):
    """What was measured in the features of one network: its catalog name, and its description."""

    network: str | None = None
    features: str | None = None
    kid: float | None = None
    kid_interval: Interval | None = None
    floor: float | None = None
    floor_interval: Interval | None = None
    equal_sizes: EqualSizes | None = None


class Evaluation(NetworkScores):
    """evaluation.json: what `imagegen evaluate` measured, in the first network's features."""

    weights: str | None = None
    step: int | None = None
    second: NetworkScores | None = None
    n_generated: int | None = None
    n_real: int | None = None
    n_held_out: int | None = None
    seeds: tuple[Seed, Seed] | None = None
    copies: float | None = None
    copies_interval: Interval | None = None
    copies_among_real: float | None = None
    copy_threshold: float | None = None
    pairs: tuple[Pair, ...] = ()
    fidelity: Fidelity | None = None
    text_fidelity: Fidelity | None = None
    labels: dict[str, LabelScores] = {}
    sample: dict[str, Any] = {}
    warnings: tuple[str, ...] = ()


class Data(_Known):
    """data.json: what the model was trained on.

    `pictures` and `labels` count all pictures that could be used, those held out included.
    """

    source: str | None = None
    fingerprint: str | None = None
    pictures: int | None = None
    labels: dict[str, int] = {}
    skipped: tuple[tuple[str, str], ...] = ()
    held_out: int | None = None


@dataclass(frozen=True)
class Facts:
    """All that a model's folder says.

    Attributes:
        name: of the model.
        config: its settings.
        shape: (C, H, W) of its pictures.
        labels: what it can be asked for.
        words: how many it knows; none if it was trained without text.
        step: optimiser steps done.
        seconds: that training took, if it was logged.
        trained: day of the last change of the weights, YYYY-MM-DD, UTC.
        weights: their sha256.
        data: what it was trained on.
        evaluation: what was measured; of other weights where `state` is "stale".
        state: of evaluation.json.
        curves: (step, value) points of each loss, in order.
        looks: the same of what was seen of the quality while training.
        complaints: about what could not be read, one sentence each.
    """

    name: str
    config: Config
    shape: tuple[int, int, int]
    labels: tuple[str, ...]
    words: int
    step: int
    seconds: float | None
    trained: str
    weights: str
    data: Data
    evaluation: Evaluation | None
    state: State
    curves: dict[str, list[tuple[int, float]]]
    looks: dict[str, list[tuple[int, float]]]
    complaints: tuple[str, ...]

    @property
    def is_codec(self) -> bool:
        """Whether it encodes and decodes pictures, but generates none by itself."""
        from imagegen.families import FAMILIES

        return not FAMILIES[self.config.family].generates


def gather(model: registry.Model) -> Facts:
    """Read a model's folder.

    Raises:
        UserError: if the model has no weights yet, or they or its settings are damaged.
    """
    _, weights = registry.read_weights(model)
    header = model.header()
    complaints: list[str] = []
    data = _read(Data, registry.data(model), "data.json", complaints)
    found = registry.evaluation(model)
    evaluation, state = None, _state(model, found, weights)
    if state == "damaged":
        complaints.append("evaluation.json is damaged: nothing of it can be read")
    elif state != "missing":
        evaluation = _read(Evaluation, found, "evaluation.json", complaints)
    records = list(durable.lines(model.path / "metrics.jsonl"))
    channels, height, width = header["shape"]
    day = datetime.fromtimestamp(model.weights.stat().st_mtime, UTC).date()
    return Facts(
        name=model.name,
        config=presets.check(presets.Layer(header["config"], {(): f"model {model.name}"})),
        shape=(channels, height, width),
        labels=tuple(header["labels"]),
        words=registry.known_words(header),
        step=header["step"],
        seconds=_number(records[-1].get("seconds")) if records else None,
        trained=day.isoformat(),
        weights=weights,
        data=data,
        evaluation=evaluation,
        state=state,
        curves=_curves([record for record in records if not history.is_watched(record)]),
        looks=_curves([record for record in records if history.is_watched(record)]),
        complaints=tuple(complaints),
    )


def _state(model: registry.Model, found: Mapping[str, Any], weights: str) -> State:
    if not found:
        return "damaged" if (model.path / registry.EVALUATION).exists() else "missing"
    return "current" if found.get("weights") == weights else "stale"


_Part = TypeVar("_Part", bound=_Known)


def _read(kind: type[_Part], values: Mapping[str, Any], file: str, complaints: list[str]) -> _Part:
    """Read what can be read of a file's values, and complain about the rest."""
    values = {key: value for key, value in values.items() if value is not None}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        bad = sorted({str(problem["loc"][0]) for problem in error.errors()})
        complaints.append(f"{file}: can't make sense of {', '.join(bad)}")
        return kind.model_validate({k: v for k, v in values.items() if k not in bad})


def _curves(records: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        step = _number(record.get("step"))
        for name, raw in record.items():
            value = _number(raw)
            if step is not None and value is not None and name not in _NOT_CURVES:
                curves.setdefault(name, []).append((int(step), value))
    return curves


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


# --- words --------------------------------------------------------------------------------------


def verdict(facts: Facts) -> str:
    """Return what the numbers come to, in one sentence of plain words."""
    known = facts.evaluation
    if known is None:
        return "Not measured yet: its pictures are all the evidence there is."
    if facts.state == "stale":
        return "The weights have changed since it was measured."
    sentence = quality(known) or "Little could be measured"
    originality = _originality(known)
    sentence += f"; {originality}." if originality else "."
    return sentence[0].upper() + sentence[1:]


def quality(known: Evaluation) -> str:
    """Return how near to the real pictures a model's are and how varied; empty if it is unknown."""
    different = _share(known, "vendi")
    if different is not None and different < ALIKE:
        return "nearly all alike"  # one picture again and again may be near to many real ones
    return ", ".join(part for part in (_nearness(known), _variety(known)) if part)


def _nearness(known: Evaluation) -> str:
    if known.kid_interval and known.floor_interval:
        if known.kid_interval[0] <= known.floor_interval[1]:
            return "as near to the real pictures as real ones are to each other"
        share = _share(known, "precision")
        if share is None:
            return "different from the real pictures"
        if share >= 0.75:
            return "near to the real pictures"
        return "on the way to the real pictures" if share >= 0.4 else "far from the real pictures"
    return ""


def _variety(known: Evaluation) -> str:
    share = _share(known, "coverage")
    if share is None:
        return ""
    if share >= 0.9:
        return "with all of their variety"
    if share >= 0.6:
        return "with most of their variety"
    return "with some of their variety" if share >= 0.3 else "with little of their variety"


def _share(known: Evaluation, metric: str) -> float | None:
    """Return what generated pictures reach of what real ones reach, at equal sizes."""
    if known.equal_sizes is None:
        return None
    ours = getattr(known.equal_sizes.generated, metric)
    real = getattr(known.equal_sizes.real, metric)
    return ours / real if ours is not None and real else None


def _originality(known: Evaluation) -> str:
    if known.copies is None:
        return ""
    if copies_unclear(known):
        return "copies can't be told from pictures that are just alike"
    if known.copies == 0:
        return "no copies of training pictures found"
    if not copies_too_much(known):
        return f"{percent(known.copies)} resemble a training picture, no more than real ones do"
    return f"{percent(known.copies)} are copies of training pictures"


def copies_too_much(known: Evaluation) -> bool:
    """Say whether more generated pictures are copies than real held-out ones are taken for."""
    if not known.copies:
        return False
    low = known.copies_interval[0] if known.copies_interval else known.copies
    return low > (known.copies_among_real or 0)


def copies_unclear(known: Evaluation) -> bool:
    """Say whether real pictures are so alike that many new ones are taken for copies."""
    return (known.copies_among_real or 0) > UNCLEAR


def number(value: float | None) -> str:
    """Return a number with about three digits that count."""
    if value is None:
        return "not measured"
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:,.{digits}f}"
    return "0" if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def percent(value: float | None) -> str:
    """Return a share in [0, 1] as per cent."""
    if value is None:
        return "not measured"
    return f"{100 * value:.1f}".removesuffix(".0") + "%"


def kind(facts: Facts) -> str:
    """Return what the model draws, such as `32 x 32 pixels, RGBA`."""
    channels, height, width = facts.shape
    names = {1: "grey", 3: "RGB", 4: "RGB with transparency"}
    return f"{width} × {height} pixels, {names.get(channels, f'{channels} channels')}"


def duration(seconds: float) -> str:
    """Return a length of time in words, such as `78 s`, `6 min` or `1 h 20 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def uses(facts: Facts) -> list[str]:
    """Return what the model is for, one sentence each."""
    if facts.is_codec:
        return ["Encoding pictures as latents, for other models to generate, and decoding them."]
    return [
        "Drawing new pictures of the kind it was trained on, at the size it was trained at.",
        "Looking into how such models learn: its pictures and its training can be repeated.",
    ]


def limits(facts: Facts) -> list[str]:
    """Return what the model must not be trusted with, one sentence each."""
    data = facts.data
    seen = "its training pictures"
    if data.pictures:
        seen = f"{data.pictures - (data.held_out or 0):,} pictures"
    return [
        f"It has seen {seen} and nothing else; what is rare or missing there is rare or missing "
        "in what it draws.",
        "Whether its pictures may be shared depends on the rights in the training pictures. Look "
        "for copies first; the search finds whole pictures, not copied parts.",
        "Its pictures are no evidence of anything: not in medicine, science, news or court.",
        "Numbers compare pictures through a network's features. They hold for this set and these "
        "features alone, and can't be set beside published ones.",
    ]
