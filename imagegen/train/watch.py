"""Looking at a model while it learns: how good, how varied, how original its pictures are by now.

All looks draw the same seeds and compare them with the same real pictures, so that what changes
from one to the next is the model. The numbers are those of `imagegen evaluate`, of fewer pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from imagegen.data.store import Images, Pictures, as_numbers
from imagegen.evaluate import drawn, features, metrics
from imagegen.evaluate.copies import Index
from imagegen.evaluate.measure import LEAST
from imagegen.settings import Settings
from imagegen.train.learner import Learner
from imagegen.train.parallel import Order

EVERY = 8_000
"""Pictures trained on from one look to the next, if nothing else is set."""
AT_MOST = 0.04
"""Share of the time that looks may take where a clock decides."""
SEEDS = range(256)
_REAL = 500  # training pictures to compare with
_ASKED = 128  # pictures that are compared with each training picture
_CHECKED = 128  # pictures a side, at most, for the family's own check

COLLAPSED = 0.3
"""Pictures that differ less than this, as a share of how much real ones do, are a collapse."""
ANSWERS = 3
"""Times that a collapse is answered before training is given up."""
MEMORISED = 0.5
"""A model that copies more than this share of its pictures, surely and twice, is stopped."""
SUSPICIOUS = 0.05
"""Share of copies, for sure, from which on training warns, and a look is no candidate for the best
if another one is. Of real pictures at most 2 in 100 seem to be copies."""
KID = "kid"
PATIENCE = 8
"""Looks without a better one after which training has reached its plateau."""


@dataclass(frozen=True)
class Look:
    """What was found at a step; None where there are too few pictures to say.

    Attributes:
        step: optimiser steps done.
        kid: kernel distance to the training pictures, with its interval: lower is better.
        coverage: share of held-out pictures that have a made one in their neighbourhood.
        copies: share of made pictures that are training pictures again; `copies_low`: at least.
        spread: how much made pictures differ, in features or pixels, over all or from the most
            alike one, whichever is least: 1 is as much as real ones.
        checks: the family's own, see `Family.check`.
    """

    step: int
    kid: float | None
    kid_low: float | None
    kid_high: float | None
    coverage: float | None
    copies: float | None
    copies_low: float | None
    spread: float | None
    checks: Mapping[str, float]

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Look:
        """Return the look that a journal tells of."""
        names = [field.name for field in fields(cls) if field.name not in ("step", "checks")]
        others = set(record) - {*names, "step", "at", "decision", "seconds"}
        numbers = {name: record.get(name) for name in names}
        return cls(record["at"], **numbers, checks={name: record[name] for name in others})

    def score(self, by: str) -> float | None:
        """Return the number that judges it, `kid` or one of its checks; None if it is unknown."""
        return self.kid if by == KID else self.checks.get(by)

    def record(self) -> dict[str, Any]:
        """Return the numbers by name, without those that nothing is known of."""
        numbers = {**vars(self), **self.checks}
        del numbers["step"], numbers["checks"]
        return {key: float(f"{v:.6g}") for key, v in numbers.items() if v is not None}


class Watcher:
    """Looks at a model. The real pictures' features are computed once, at the first look."""

    def __init__(
        self, training: Pictures, held_out: Pictures, index: Index | None, sampling: Settings
    ) -> None:
        """Compare with these pictures.

        Args:
            training: the training set.
            held_out: real pictures that are not in it, or none.
            index: of the training set, to find copies with.
            sampling: how pictures are drawn.
        """
        self.training, self.held_out = training, held_out
        self.index = index
        self.sampling = sampling
        self._known: (
            tuple[features.Extractor, metrics.Array, metrics.Array, metrics.Array] | None
        ) = None

    def look(self, learner: Learner, order: Order) -> Look:
        """Draw pictures of the averaged model and measure them."""
        counts = self.training.label_counts()
        made = drawn.sample(learner.average, self.sampling, SEEDS, counts, features.silent)
        numbers: dict[str, Any] = dict.fromkeys(
            ("kid", "kid_low", "kid_high", "coverage", "copies", "copies_low", "spread")
        )
        if self.index is not None:
            distances, _ = self.index.nearest(made.images[:: len(made) // _ASKED])
            hits = int(self.index.copies(distances).sum())
            numbers["copies"] = hits / len(distances)
            numbers["copies_low"], _ = metrics.share_interval(hits, len(distances))
        if len(self.training) >= LEAST:
            extractor, real, held, pixels = self._real(learner)
            ours = extractor(made.images).astype(np.float64)
            kernels = metrics.kernels(real, ours)
            numbers["kid"] = metrics.kid(kernels)
            low, high = metrics.interval(metrics.kid_draws(kernels, 400))
            numbers |= {"kid_low": low, "kid_high": high}
            numbers["spread"] = min(spread(real, ours), spread(pixels, _pixels(made.images)))
            if len(held) >= LEAST:
                numbers["coverage"] = metrics.overlap(held, ours).coverage
        checks = self._check(learner, order)
        rounded = Look(order.step, **numbers, checks=checks).record()  # as the journal has it
        return Look.of({"at": order.step, **rounded})

    def _real(
        self, learner: Learner
    ) -> tuple[features.Extractor, metrics.Array, metrics.Array, metrics.Array]:
        """Return what gives features, those of training and of held-out pictures, and the pixels of
        the training pictures; which are compared goes by their content."""
        if self._known is None:
            order = np.argsort(as_numbers(self.training.digests), kind="stable")
            images = self.training.images[order[:_REAL]]
            extractor = features.quick(images, learner.family.device)
            held = self.held_out.images[:_REAL]
            both = extractor(np.concatenate([images, held])).astype(np.float64)
            self._known = extractor, both[: len(images)], both[len(images) :], _pixels(images)
        return self._known

    def _check(self, learner: Learner, order: Order) -> Mapping[str, float]:
        if min(len(self.training), len(self.held_out)) < LEAST:
            return {}
        known, held = (
            learner.look(pictures, min(_CHECKED, len(pictures)), order)
            for pictures in (self.training, self.held_out)
        )
        return learner.family.check(known, held)


def spread(real: metrics.Array, made: metrics.Array) -> float:
    """Return how much made pictures differ, (M, D), as a share of how much real ones do, (N, D).

    The least of two ratios: of the mean distance of all pairs, which falls when all pictures
    become alike, and of the median distance to the nearest other picture, which falls when a few
    pictures come again and again. The second is taken of a fourth as many pictures as there are
    real ones: a model that draws each of those equally often does not repeat itself in so few.
    """
    pairs = [tuple(_pairs(one).mean() for one in (made, real))]
    if (count := min(len(real) // 4, len(made))) >= LEAST:
        few = (one[:: len(one) // count][:count] for one in (made, real))
        pairs.append(tuple(np.median(_pairs(one).min(1)) for one in few))
    return min((float(ours / theirs) for ours, theirs in pairs if theirs > 0), default=1.0)


def _pairs(x: metrics.Array) -> metrics.Array:
    """Return the distances of each to all others, (N, N - 1)."""
    distances = np.sqrt(metrics.squared_distances(x, x))
    others: metrics.Array = distances[~np.eye(len(x), dtype=bool)].reshape(len(x), -1)
    return others


def _pixels(images: Images) -> metrics.Array:
    """Return the pixels of each picture, (N, D): of large ones every second, third or so."""
    every = max(1, min(images.shape[2:]) // 32)
    return images[:, :, ::every, ::every].reshape(len(images), -1).astype(np.float64)


def lowest(looks: Sequence[Look], by: str = KID) -> Look | None:
    """Return the look with the lowest number, of those that do not copy; the last without any.

    Args:
        looks: in order.
        by: which number, `Family.judged_by`.
    """
    honest = [one for one in looks if (one.copies_low or 0) <= SUSPICIOUS] or looks
    measured = [(score, one.step, one) for one in honest if (score := one.score(by)) is not None]
    if not measured:
        return honest[-1] if honest else None
    return min(measured)[2]


def best(looks: Sequence[Look], by: str = KID) -> Look | None:
    """Return the look whose weights are to be used, of all so far; None without any.

    That is the last one, unless the lowest one was better beyond doubt: its interval of KID lies
    below that of the last, or another number by a hundredth; or the last copies and it does not.
    """
    candidate = lowest(looks, by)
    if candidate is None:
        return None
    last = looks[-1]
    if (last.copies_low or 0) > SUSPICIOUS >= (candidate.copies_low or 0):
        return candidate
    if by != KID:
        ours, theirs = candidate.score(by), last.score(by)
        lower = ours is not None and theirs is not None and ours < theirs - abs(theirs) / 100
        return candidate if lower else last
    if candidate.kid_high is None or last.kid_low is None:
        return last
    return candidate if candidate.kid_high < last.kid_low else last


def caution(looks: Sequence[Look]) -> int:
    """Return how many signs of collapse are answered after these looks."""
    return min(ANSWERS, sum(has_collapsed(one) for one in looks))


def is_given_up(looks: Sequence[Look]) -> bool:
    """Say whether all answers to a collapse were in vain."""
    return has_collapsed(looks[-1]) and sum(has_collapsed(one) for one in looks) > ANSWERS


def has_collapsed(look: Look) -> bool:
    """Say whether the pictures are (nearly) the same, or a few over and over."""
    return look.spread is not None and look.spread < COLLAPSED


def memorises(looks: Sequence[Look]) -> bool:
    """Say whether most of the pictures are copies, at two looks in a row."""
    return len(looks) >= 2 and all((one.copies_low or 0) > MEMORISED for one in looks[-2:])


def is_plateau(looks: Sequence[Look], by: str = KID) -> bool:
    """Say whether no look of the last few was better than all before."""
    measured = [score for one in looks if (score := one.score(by)) is not None]
    if len(measured) <= PATIENCE:
        return False
    return min(measured[-PATIENCE:]) >= min(measured[:-PATIENCE])


def verdict(looks: Sequence[Look], can_collapse: bool = True) -> str:
    """Return why there is no point in going on after these looks; empty if there is one."""
    if can_collapse and is_given_up(looks):
        return (
            f"collapse: {ANSWERS} times regularisation was raised, and still the pictures are alike"
        )
    if memorises(looks):
        share = looks[-1].copies or 0
        return f"copying: {share:.0%} of the pictures are training pictures again"
    return ""


def warnings(looks: Sequence[Look], can_collapse: bool = True) -> Iterator[str]:
    """Yield what the last look has shown and how it is answered, if training goes on."""
    last = looks[-1]
    if verdict(looks, can_collapse):
        return
    if can_collapse and has_collapsed(last):
        yield (
            f"collapse: pictures differ {last.spread:.2f} times as much as real ones; "
            f"regularisation is raised (answer {caution(looks)} of {ANSWERS})"
        )
    if (last.copies_low or 0) > SUSPICIOUS:
        yield (
            f"copying: {last.copies:.0%} of the pictures are training pictures again; more "
            "pictures or a shorter training would help"
        )
