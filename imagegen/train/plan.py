"""How many steps a training takes, decided from the clock once and then written down."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from imagegen import durable, registry


@dataclass
class Plan:
    """The course of a training: its progress in [0, 1) as a function of the step alone.

    A training by `steps` has one decision, made before it starts. A training by `budget` makes
    its first from a few timed steps, and revises it when the machine turns out faster or slower.
    Each decision is in the journal before the first step that it changes, so a training that is
    started again runs the same course, bit by bit. From a decision on, the progress that is left
    is spread evenly over the steps that are left, so the schedules bend but never jump.
    """

    journal: Path
    decisions: list[tuple[int, int]] = field(default_factory=list)
    """(step of the decision, steps in all), in order."""

    @classmethod
    def read(cls, journal: Path) -> Plan:
        """Return the plan of a journal; without one, a plan that has nothing decided."""
        records = [r for r in registry.lines(journal) if r.get("decision") == "steps"]
        return cls(journal, [(int(r["at"]), int(r["total"])) for r in records])

    def decide(self, at: int, total: int, reason: str) -> None:
        """Fix the number of steps in all, as seen at step `at`."""
        assert not self.decisions or at > self.decisions[-1][0]
        total = max(total, at + 1)
        decision = {"decision": "steps", "at": at, "total": total, "reason": reason}
        durable.append(self.journal, json.dumps(decision))
        self.decisions.append((at, total))

    @property
    def decided_at(self) -> int:
        """The step of the last decision, or -1."""
        return self.decisions[-1][0] if self.decisions else -1

    def total(self, step: int) -> int | None:
        """Return the steps in all, as known at `step`, or None if nothing is decided by then."""
        known = [total for at, total in self.decisions if at <= step]
        return known[-1] if known else None

    def progress(self, step: int) -> float:
        """Return the share of the training done before `step`, in [0, 1)."""
        progress, since, end = 0.0, 0, None
        for at, total in self.decisions:
            if at > step:
                break
            if end is not None:
                progress += (1 - progress) * (at - since) / (end - since)
            else:  # steps before the first decision were taken at the start of every schedule
                progress = at / total
            since, end = at, total
        if end is None:
            return 0.0
        return progress + (1 - progress) * (step - since) / (end - since)


def half_cosine(progress: float, start: float, end: float) -> float:
    """Go from `start` to `end` along half a cosine wave, for progress in [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
