"""How many steps a training takes, decided from the clock once and then written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from imagegen.train.journal import STEPS, Journal

# Of a budget: time steps for a fiftieth, look again every twentieth.
PROBE, REVISE = 1 / 50, 1 / 20
TOLERANCE = 0.03
"""A plan that would miss its budget by less than this is left alone."""


@dataclass
class Plan:
    """The course of a training: its progress in [0, 1) as a function of the step alone.

    A training by `steps` has one decision, made before it starts. A training by `budget` makes
    its first from a few timed steps, and revises it when the machine turns out faster or slower.
    From a decision on, the progress that is left is spread evenly over the steps that are left, so
    the schedules bend but never jump.
    """

    journal: Journal

    def decide(self, at: int, total: int, reason: str) -> None:
        """Fix the number of steps in all, as seen at step `at`."""
        assert at > self.decided_at
        self.journal.add(STEPS, at, total=max(total, at + 1), reason=reason)

    @property
    def decided_at(self) -> int:
        """The step of the last decision, or -1."""
        return max((int(record["at"]) for record in self.journal.of(STEPS)), default=-1)

    def total(self, step: int) -> int | None:
        """Return the steps in all, as known at `step`, or None if nothing is decided by then."""
        known = [int(record["total"]) for record in self.journal.of(STEPS, step)]
        return known[-1] if known else None

    def reason(self, step: int) -> str:
        """Return why the steps in all are what they are at `step`; empty if nothing is decided."""
        return next((str(r["reason"]) for r in reversed([*self.journal.of(STEPS, step)])), "")

    def progress(self, step: int) -> float:
        """Return the share of the training done before `step`, in [0, 1)."""
        progress, since, end = 0.0, 0, None
        for record in self.journal.of(STEPS, step):
            at, total = int(record["at"]), int(record["total"])
            if end is not None:
                progress += (1 - progress) * (at - since) / (end - since)
            else:  # steps before the first decision were taken at the start of every schedule
                progress = at / total
            since, end = at, total
        if end is None:
            return 0.0
        return progress + (1 - progress) * (step - since) / (end - since)


class Clock:
    """Turns a time budget into steps. Does nothing for steps that a journal has decided before."""

    def __init__(self, plan: Plan, budget: float, step: int, elapsed: Callable[[], float]) -> None:
        """Start at `step`, with `elapsed()` of `budget` seconds used."""
        self.plan = plan
        self.budget = budget
        self.elapsed = elapsed
        self._since = (step, elapsed())
        self._first = step
        self._pace: float | None = None

    def decide(self, step: int, reserve: float = 0.0) -> str | None:
        """Decide or revise the steps in all, if it is time; return the reason.

        `reserve` are the seconds that will go by after the last step.

        It is time when a good part of the budget has passed since the last look, or half of the
        steps that were left are done: so a machine that is suddenly free again is noticed too.
        """
        if step <= max(self.plan.decided_at, self._first):
            return None
        now = self.elapsed()
        steps, passed = step - self._since[0], now - self._since[1]
        if step == self._first + 2:  # the first steps pay for warming up
            self._since = (step, now)
        known = self.plan.total(step)
        due = passed >= self.budget * (PROBE if known is None else REVISE)
        if known is not None:
            due |= 2 * steps >= known - self._since[0]
        if steps < 4 or not due:
            return None
        pace = passed / steps
        # A slow moment passes: half of what was known before stays.
        self._pace = pace if self._pace is None else (pace + self._pace) / 2
        self._since = (step, now)
        left = max(0.0, self.budget - reserve - now)
        total = step + round(left / self._pace)
        if known is not None and abs(total - known) * self._pace < TOLERANCE * self.budget:
            return None
        reason = f"{self._pace:.3g} seconds a step, {now:.0f} of {self.budget:.0f} seconds used"
        self.plan.decide(step, total, reason)
        return reason


def half_cosine(progress: float, start: float, end: float) -> float:
    """Go from `start` to `end` along half a cosine wave, for progress in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
