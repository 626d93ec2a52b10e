"""What a training tells while it runs; whoever listens decides what to show."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from imagegen.train.judge import Look


@dataclass(frozen=True)
class Resumed:
    """Training goes on from a saved state."""

    step: int
    complaints: list[str]


@dataclass(frozen=True)
class Progress:
    """Where training stands. `total` and `remaining` (seconds) are None while not yet decided."""

    step: int
    total: int | None
    pictures_per_second: float
    elapsed: float
    remaining: float | None
    losses: dict[str, float]


@dataclass(frozen=True)
class Planned:
    """The number of steps was decided."""

    total: int
    reason: str


@dataclass(frozen=True)
class Sheet:
    """New pictures of the same seeds; or the same real pictures, as they come back by now."""

    step: int
    pictures: list[Image.Image]


@dataclass(frozen=True)
class Watched:
    """Quality was measured; `best` is the step whose weights are used by now."""

    look: Look
    best: int


@dataclass(frozen=True)
class Noticed:
    """Something went wrong, and what is done about it."""

    step: int
    text: str


@dataclass(frozen=True)
class Ended:
    """The last event: `complete` is False if something stopped it. Everything is saved.

    Attributes:
        best: the step whose weights were kept as the model.
        spent: the share of the time, by what was done instead of training.
    """

    step: int
    complete: bool
    reason: str
    elapsed: float
    best: int
    spent: dict[str, float]


Event = Resumed | Progress | Planned | Sheet | Watched | Noticed | Ended
