"""Curves in a terminal, in colours that can be read on black and on white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

Points = Sequence[tuple[int, float]]
Band = Sequence[tuple[int, float, float]]

MOST = 4
"""Curves on one chart; more can't be told apart."""
_COLORS = (32, 166, 28, 134)
"""Of the 256 of a terminal: each has a contrast of 3.8 or more with black and with white."""
_GREY = 244
_SIGNS = ("braille", "x", "o", "+")
"""What draws each curve where there are no colours to tell them apart."""


@dataclass(frozen=True)
class Curve:
    """One curve, and the (step, low, high) of its interval where that is known."""

    name: str
    points: Points
    band: Band = ()


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes: 1 to `MOST`, each with one point or more.

    Attributes:
        title: what they are.
        curves: they themselves.
        share: whether values are shares, shown as per cent.
    """

    title: str
    curves: Sequence[Curve]
    share: bool = False


def draw(chart: Chart, width: int, height: int, color: bool) -> Text:
    """Draw a chart over the steps.

    Args:
        chart: what to draw.
        width: of the whole, in characters.
        height: of the whole, in lines.
        color: whether there are colours.
    """
    heading = _heading(chart, width, color)
    lines = len(heading.plain.splitlines())
    return Text("\n").join([heading, _plot(chart, width, height - lines, color)])


def _heading(chart: Chart, width: int, color: bool) -> Text:
    """Return the title, then each curve's sign, name and last value, broken to the width."""
    text, used = Text(chart.title, "bold"), len(chart.title)
    for index, curve in enumerate(chart.curves):
        value = _shown(curve.points[-1][1], chart.share)
        if curve.band:
            _, low, high = curve.band[-1]
            value += f" ({low:.2g}–{high:.2g})"
        sign = "━" if color or index == 0 else _SIGNS[index]
        entry = Text.assemble((f"{sign} {curve.name}", f"color({_COLORS[index]})"), f" {value}")
        entry.truncate(width)
        fits = used + 2 + len(entry) <= width
        text.append("  " if fits else "\n").append_text(entry)
        used = len(entry) + (used + 2 if fits else 0)
    return text


def _plot(chart: Chart, width: int, height: int, color: bool) -> Text:
    import plotext

    from imagegen.evaluate.charts import ticks

    every = [place for curve in chart.curves for place in (*curve.points, *curve.band)]
    first, last = min(step for step, *_ in every), max(step for step, *_ in every)
    low, high = min(min(values) for _, *values in every), max(max(values) for _, *values in every)
    if chart.share:
        low, high = 0.0, 1.0
    last, room = max(last, first + 1), 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    low, high = low - room, high + room

    plotext.terminal.limit(False, False)
    figure = plotext.figure
    figure.clear()
    figure.plot_size(width, height)
    plotext.add_theme("imagegen", text=_GREY)  # on whatever background the terminal has
    figure.theme("imagegen")
    figure.axes(style="rounded")
    figure.axes(False, axis="x", side="upper")
    figure.axes(False, axis="y", side="right")
    figure.ruler("x").lim(first, last)
    figure.ruler("y").lim(low, high)
    values = ticks(low, high, max(2, height // 3))
    figure.ruler("y").ticks(values, labels=[_shown(value, chart.share) for value in values])
    steps = [step for step in ticks(first, last, max(2, width // 9)) if step == int(step)]
    figure.ruler("x").ticks(steps, labels=[str(int(step)) for step in steps])

    def signal(points: Points, sign: str, shade: int) -> Any:
        steps, values = zip(*points, strict=True)
        marker = plotext.marker(sign, plotext.pixel(foreground=shade))
        return figure.signal(list(steps), list(values), marker=marker).lines()

    for curve in chart.curves:
        if curve.band:
            floor = signal([(step, low) for step, low, _ in curve.band], "░", _GREY)
            roof = signal([(step, high) for step, _, high in curve.band], "░", _GREY)
            figure.draw(roof.fill(floor))
    for index, curve in enumerate(chart.curves):
        sign = "braille" if color else _SIGNS[index]
        figure.draw(signal(_thinned(curve.points, 2 * width), sign, _COLORS[index]))
    return Text.from_ansi(figure.build().string(colorless=not color).rstrip())


def _thinned(points: Points, most: int) -> Points:
    """Average neighbours where there are more points than can be told apart."""
    group = -(-len(points) // most)
    groups = [points[start : start + group] for start in range(0, len(points), group)]
    return [(one[-1][0], sum(value for _, value in one) / len(one)) for one in groups]


def _shown(value: float, share: bool) -> str:
    if share:
        return f"{100 * value:.0f}%"
    return f"{value:.3g}" if abs(value) > 1e-12 else "0"
