"""What was decided while training, written down before it takes effect and replayed on resume."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagegen import durable

FILE = "journal.jsonl"
STEPS, WATCHED, RATE, SPLIT, PRECISION = "steps", "watched", "rate", "split", "precision"


@dataclass
class Journal:
    """The decisions of a training, each with the step from which on it holds.

    Whatever follows from a clock, from memory or from an accident is a decision. All else is a
    function of the step. So a training that is started again runs the same course, bit by bit.

    - `steps`: there are `total` steps in all.
    - `watched`: quality was measured, with these numbers; or `skipped`, for want of time.
    - `rate`: training broke down later and went back to here, to go on at `factor` of the rate.
    - `split`: memory was short, so a batch is computed in `parts`.
    - `precision`: networks compute in the type of this `name`, for this `reason`; made once.
    """

    path: Path
    records: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Journal:
        """Return the journal of a file; an empty one if there is none."""
        journal = cls(path)
        for record in durable.lines(path):
            if isinstance(record.get("at"), int):
                journal._take(record)
        return journal

    def add(self, decision: str, at: int, **values: Any) -> None:
        """Write a decision down.

        Raises:
            OSError: if it can't be written; then it does not hold.
        """
        record = {"decision": decision, "at": at, **values}
        durable.append(self.path, json.dumps(record))
        self._take(record)

    def _take(self, record: dict[str, Any]) -> None:
        if record["decision"] == RATE:  # what came later in the old course is no longer true
            self.records = [
                old
                for old in self.records
                if old["at"] <= record["at"] or old["decision"] != WATCHED
            ]
        self.records.append(record)

    def of(self, decision: str, until: float = math.inf) -> Iterator[dict[str, Any]]:
        """Yield the decisions of a kind that hold at step `until`, in the order they were made."""
        return (r for r in self.records if r["decision"] == decision and r["at"] <= until)

    def watched(self, step: int) -> dict[str, Any] | None:
        """Return what was found, or that nothing was looked for, at exactly this step."""
        return next((r for r in self.of(WATCHED) if r["at"] == step), None)

    def rate(self, step: int) -> float:
        """Return the factor of the learning rate at this step."""
        return math.prod(float(record["factor"]) for record in self.of(RATE, step))

    @property
    def precision(self) -> str | None:
        """What networks compute in; None if that is not decided."""
        return next((str(record["name"]) for record in self.of(PRECISION)), None)

    def parts(self, step: int) -> int:
        """Return in how many parts the batch of this step is computed."""
        return max((int(record["parts"]) for record in self.of(SPLIT, step)), default=1)
