"""The course of a training, read from its files alone, so that another process can look on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imagegen import durable, registry

Record = dict[str, Any]

_HUGE = 1e30
_NO_LOSSES = {"step", "seconds", "pictures_per_second"}


@dataclass(frozen=True)
class History:
    """All that the files tell at one moment.

    Attributes:
        running: whether a process trains the model.
        progress: records of the losses.
        watched: records of the quality, such as `kid`.
        journal: what was decided, and at last how it ended.
    """

    running: bool
    progress: list[Record]
    watched: list[Record]
    journal: list[Record]

    @property
    def step(self) -> int:
        """The last step that anything is known of; 0 if nothing is."""
        return max(map(step_of, [*self.progress, *self.watched, *self.journal]), default=0)

    @property
    def total(self) -> int | None:
        """The steps in all as decided last, or None if that is not decided, or not known here."""
        totals = [number(r, "total") for r in self.journal if r.get("decision") == "steps"]
        known = [int(total) for total in totals if total is not None]
        return known[-1] if known else None

    @property
    def seconds(self) -> float:
        """The time used when the last record was written."""
        records = [*self.progress, *self.watched]
        return max((number(r, "seconds") or 0.0 for r in records), default=0.0)

    @property
    def ended(self) -> str | None:
        """Why it is finished, in words, or None if it is not."""
        return next((str(r.get("reason")) for r in self.journal if "finished" in r), None)

    @property
    def losses(self) -> list[str]:
        """The names of the curves that training logged, in the order of the file."""
        names = dict.fromkeys(name for record in self.progress for name in record)
        return [name for name in names if name not in _NO_LOSSES and name.isprintable()]


def read(model: registry.Model) -> History:
    """Read a model's files as they are now; those that are not there count as empty.

    Whether it is running is asked first: so the files of one that is not are complete.
    """
    running = registry.is_training(model)
    metrics = list(durable.lines(model.path / "metrics.jsonl"))
    return History(
        running,
        [record for record in metrics if not is_watched(record)],
        [record for record in metrics if is_watched(record)],
        list(durable.lines(model.state / "journal.jsonl")),
    )


def is_watched(record: Record) -> bool:
    """Say whether a record of the metrics is one of quality."""
    return "pictures_per_second" not in record


def step_of(record: Record) -> int:
    """Return the step that any record belongs to; 0 for one that does not say."""
    keys = ("step", "at", "finished")
    return int(next((value for key in keys if (value := number(record, key)) is not None), 0))


def curve(records: list[Record], name: str) -> list[tuple[int, float]]:
    """Return the (step, value) of every record that has a number of this name."""
    found = [(step_of(record), number(record, name)) for record in records]
    return [(step, value) for step, value in found if value is not None]


def number(record: Record, key: str) -> float | None:
    """Return a number that can be drawn, or None: files are edited, cut short and imported."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _HUGE:
        return None
    return value if abs(value) > 1 / _HUGE else 0.0
