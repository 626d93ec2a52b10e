"""What looks at a model's quality amount to: the best one, a collapse, copying, a plateau."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from imagegen.evaluate.copies import SUSPICIOUS

COLLAPSED = 0.3
"""Pictures that differ less than this, as a share of how much real ones do, are a collapse."""
ANSWERS = 3
"""Times that a collapse is answered before training is given up."""
MEMORISED = 0.5
"""A model that copies more than this share of its pictures, surely and twice, is stopped."""
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


@dataclass(frozen=True)
class Judge:
    """What to conclude from the looks so far, which are always given in order.

    Attributes:
        by: which number says how good a model is, `Family.judged_by`.
        can_collapse: whether the family can, `Family.can_collapse`.
    """

    by: str = KID
    can_collapse: bool = True

    def lowest(self, looks: Sequence[Look]) -> Look | None:
        """Return the look with the lowest number, of those that do not copy; the last if none."""
        honest = [one for one in looks if (one.copies_low or 0) <= SUSPICIOUS] or looks
        measured = [
            (score, one.step, one) for one in honest if (score := one.score(self.by)) is not None
        ]
        if not measured:
            return honest[-1] if honest else None
        return min(measured)[2]

    def best(self, looks: Sequence[Look]) -> Look | None:
        """Return the look whose weights are to be used, of all so far; None without any.

        That is the last one, unless the lowest one was better beyond doubt: its interval of KID
        lies below that of the last, or another number by a hundredth; or the last copies and it
        does not.
        """
        candidate = self.lowest(looks)
        if candidate is None:
            return None
        last = looks[-1]
        if (last.copies_low or 0) > SUSPICIOUS >= (candidate.copies_low or 0):
            return candidate
        if self.by != KID:
            ours, theirs = candidate.score(self.by), last.score(self.by)
            lower = ours is not None and theirs is not None and ours < theirs - abs(theirs) / 100
            return candidate if lower else last
        if candidate.kid_high is None or last.kid_low is None:
            return last
        return candidate if candidate.kid_high < last.kid_low else last

    def caution(self, looks: Sequence[Look]) -> int:
        """Return how many signs of collapse are answered after these looks."""
        return min(ANSWERS, sum(map(self.has_collapsed, looks)))

    def is_given_up(self, looks: Sequence[Look]) -> bool:
        """Say whether all answers to a collapse were in vain."""
        return self.has_collapsed(looks[-1]) and sum(map(self.has_collapsed, looks)) > ANSWERS

    def has_collapsed(self, look: Look) -> bool:
        """Say whether the pictures are (nearly) the same, or a few over and over."""
        return self.can_collapse and look.spread is not None and look.spread < COLLAPSED

    def memorises(self, looks: Sequence[Look]) -> bool:
        """Say whether most of the pictures are copies, at two looks in a row."""
        return len(looks) >= 2 and all((one.copies_low or 0) > MEMORISED for one in looks[-2:])

    def is_plateau(self, looks: Sequence[Look]) -> bool:
        """Say whether no look of the last few was better than all before."""
        measured = [score for one in looks if (score := one.score(self.by)) is not None]
        if len(measured) <= PATIENCE:
            return False
        return min(measured[-PATIENCE:]) >= min(measured[:-PATIENCE])

    def verdict(self, looks: Sequence[Look]) -> str:
        """Return why there is no point in going on after these looks; empty if there is one."""
        if self.is_given_up(looks):
            return (
                f"collapse: {ANSWERS} times regularisation was raised, "
                "and still the pictures are alike"
            )
        if self.memorises(looks):
            share = looks[-1].copies or 0
            return f"copying: {share:.0%} of the pictures are training pictures again"
        return ""

    def warnings(self, looks: Sequence[Look]) -> Iterator[str]:
        """Yield what the last look has shown and how it is answered, if training goes on."""
        last = looks[-1]
        if self.verdict(looks):
            return
        if self.has_collapsed(last):
            yield (
                f"collapse: pictures differ {last.spread:.2f} times as much as real ones; "
                f"regularisation is raised (answer {self.caution(looks)} of {ANSWERS})"
            )
        if (last.copies_low or 0) > SUSPICIOUS:
            yield (
                f"copying: {last.copies:.0%} of the pictures are training pictures again; more "
                "pictures or a shorter training would help"
            )
