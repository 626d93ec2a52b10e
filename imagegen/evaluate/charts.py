"""Numbers to places on a chart. The page's template draws them; places are per cent of its width.

So a chart's lines stretch with the page while its letters keep their size, on a phone too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from imagegen.evaluate.facts import Interval, percent

FINE = 128
"""Pictures of fewer pixels a side are shown with their pixels sharp."""
_POINTS = 160
"""Points of a curve at most; more can't be told apart."""


@dataclass(frozen=True)
class Row:
    """One value of an interval chart, and what colour it has: "ours", "real" or "chance"."""

    name: str
    value: float
    interval: Interval | None
    color: str


@dataclass(frozen=True)
class Placed:
    """A row with its places, in per cent from the left."""

    row: Row
    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Tick:
    """A number on an axis and its place, in per cent."""

    at: float
    text: str


@dataclass(frozen=True)
class Intervals:
    """Values with their intervals, one below the other on one axis."""

    rows: list[Placed]
    ticks: list[Tick]


@dataclass(frozen=True)
class Curve:
    """One loss against the step.

    Attributes:
        name: of the loss.
        path: an SVG polyline's points, in a box of 1000 x 100 with y downwards.
        ticks: of the y axis, in per cent from the top.
        first: its first step.
        last: its last step.
        begins: its first value.
        ends: its last value.
        averaged: logged values that one point stands for.
    """

    name: str
    path: str
    ticks: list[Tick]
    first: int
    last: int
    begins: float
    ends: float
    averaged: int


def intervals(rows: Sequence[Row], also: Sequence[float], share: bool = False) -> Intervals:
    """Place values on one axis.

    Args:
        rows: one or more.
        also: numbers that the axis must reach.
        share: whether they are shares, shown as per cent.
    """
    ends = [*also, *(row.value for row in rows)]
    ends += [end for row in rows if row.interval for end in row.interval]
    low, high = _padded(min(ends), max(ends), 0.04)

    def at(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    shown = percent if share else _short
    placed = []
    for row in rows:
        left, right = row.interval or (row.value, row.value)
        placed.append(Placed(row, at(row.value), at(left), at(right)))
    return Intervals(placed, [Tick(at(one), shown(one)) for one in ticks(low, high, 4)])


def curve(name: str, points: Sequence[tuple[int, float]]) -> Curve:
    """Place a curve's points, averaged in groups where there are more than can be seen."""
    group = math.ceil(len(points) / _POINTS)
    groups = [points[start : start + group] for start in range(0, len(points), group)]
    means = [(one[-1][0], math.fsum(value for _, value in one) / len(one)) for one in groups]
    values = [value for _, value in means]
    low, high = _padded(min(values), max(values), 0.08)
    first, last = points[0][0], points[-1][0]

    def down(value: float) -> float:
        return round(100 * (high - value) / (high - low), 2)

    path = " ".join(
        f"{1000 * (step - first) / max(1, last - first):.1f},{down(value):.2f}"
        for step, value in means
    )
    return Curve(
        name=name,
        path=path,
        ticks=[Tick(down(one), _short(one)) for one in ticks(low, high, 3)],
        first=first,
        last=last,
        begins=points[0][1],
        ends=points[-1][1],
        averaged=group,
    )


def ticks(low: float, high: float, about: int) -> list[float]:
    """Return round numbers between two, about so many."""
    raw = (high - low) / about
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _padded(low: float, high: float, share: float) -> tuple[float, float]:
    room = share * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−") if abs(value) > 1e-12 else "0"
