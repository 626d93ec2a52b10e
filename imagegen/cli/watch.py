"""`imagegen models watch`: look on while a model is trained, or at how it went, from its files."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagegen import registry
from imagegen.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image
    from rich.console import Console, RenderableType
    from rich.text import Text

    from imagegen.cli.curves import Chart
    from imagegen.train.history import History, Record

EVERY = 2.0
"""Seconds between two looks at the files."""
_WIDEST = 160
_BESIDE, _NARROW = 36, 25
"""Characters of each of several charts in a row, at least; the second where lines are few."""
_CHART, _LOWEST = 15, 6
"""Lines of a chart where there is room, and at least."""
_TILE = 16
"""Pixels of a sample, two a line of text."""
_TILES = 1 + _TILE // 2
"""Lines of a row of samples, with what is above it."""
_ROOMY = 42
"""Lines of a terminal that has room for empty ones."""


def watch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")],
    once: Annotated[bool, typer.Option("--once", help="Show what there is now, and end.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Watch a training from another terminal, or look back at one: curves, samples, decisions.

    It only reads; Ctrl-C ends the watching, not the training. With --json, every record of the
    training comes as a line, and new ones follow until it ends. A training that goes on from an
    earlier step repeats the steps in between, and so do the lines.
    """
    from imagegen.cli import console

    model = registry.find(name)
    if as_json:
        _follow(model, once)
    elif once or not console.is_terminal(1):
        _print(model)
    else:
        _animate(model)


@contextmanager
def _until_interrupted() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end the watching between two looks, so that no line is torn.

    Yields:
        What to call after a look: it waits, and says whether to end.
    """
    asked = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: asked.set())
    try:
        yield lambda: _wait(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(asked: threading.Event) -> bool:
    return asked.wait(EVERY)


def _follow(model: registry.Model, once: bool) -> None:
    from imagegen.cli.console import emit_json
    from imagegen.train import history

    before: list[list[Record]] = [[], [], []]
    with _until_interrupted() as interrupted:
        while True:
            now = history.read(model)
            after = [now.progress, now.watched, now.journal]
            new = [record for pair in zip(before, after, strict=True) for record in _news(*pair)]
            for record in sorted(new, key=history.step_of):
                emit_json({"event": _kind(record), **record})
            if once or not now.running or interrupted():
                break
            before = after
    state, reason = _state(model, now)
    emit_json(
        {"event": "state", "state": state, "step": now.step, "total": now.total, "reason": reason}
    )


def _news(before: list[Record], now: list[Record]) -> list[Record]:
    """Return what was not there before. The files grow, and are cut back when training resumes."""
    pairs = enumerate(zip(before, now, strict=False))
    kept = next((i for i, (a, b) in pairs if a != b), min(len(before), len(now)))
    return now[kept:]


def _kind(record: Record) -> str:
    from imagegen.train.history import is_watched

    if "finished" in record:
        return "finished"
    if "decision" in record:
        return "decision"
    return "watched" if is_watched(record) else "progress"


def _state(model: registry.Model, now: History) -> tuple[str, str]:
    """Return whether it is trained, in one word, and more about it in words."""
    if now.running:
        plans = [record for record in now.journal if "decision" in record]
        return "running", _in_words(plans[-1]) if plans else "its length is not decided yet"
    if now.ended is not None:
        return "finished", now.ended
    if not model.state.is_dir():
        return "imported", "it was trained elsewhere"
    return "stopped", f"go on with: imagegen train --resume {model.name}"


def _print(model: registry.Model) -> None:
    from rich.console import Console

    from imagegen.cli.console import emit
    from imagegen.train import history

    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(_view(model, history.read(model), console, None))
    lines = captured.get().splitlines()
    emit("\n".join(line.rstrip() for line in lines))


def _animate(model: registry.Model) -> None:
    from rich.console import Console
    from rich.live import Live

    from imagegen.train import history

    console = Console(highlight=False)
    with _until_interrupted() as interrupted, Live(console=console, auto_refresh=False) as live:
        while True:
            now = history.read(model)
            live.update(_view(model, now, console, console.height - 1), refresh=True)
            if not now.running or interrupted():
                break


def _view(
    model: registry.Model, now: History, console: Console, height: int | None
) -> RenderableType:
    """Return everything on one page, of at most `height` lines if there is a limit.

    The charts get the lines that the rest leaves, and more rows of samples what they leave.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from imagegen.cli.curves import draw

    width = min(console.width, _WIDEST)
    color = console.color_system is not None and not console.no_color
    tight = height is not None and height < _ROOMY
    gap = [] if tight else [Text()]
    rows = _in_rows(_charts(now), width, tight)
    samples, path = _samples(model)
    journal = [_in_words(record) for record in now.journal[-2 if tight else -5 :]]

    lines, down = _CHART, 2
    if height is not None:
        left = height - 2 - len(journal) - len(gap) * (len(rows) + 2)
        if left < _TILES + _LOWEST * len(rows):
            samples = []
        spare = left - _TILES * bool(samples)
        lines = max(_LOWEST, min(_CHART, spare // max(1, len(rows))))
        down = (left - lines * len(rows)) // _TILES

    parts: list[RenderableType] = list(_header(model, now, width))
    if not rows:
        parts.append(Text("no curves: training has not written a number yet", "dim"))
    for row in rows:
        each = (width - 2 * (len(row) - 1)) // len(row)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_row(*(draw(chart, each, lines, color) for chart in row))
        parts += [*gap, table]
    if samples and path is not None and color:
        parts += [*gap, Text(f"samples of step {path.stem.lstrip('0') or 0}", "bold")]
        parts += _tiles(samples, width, down)
    elif path is not None and not tight:
        parts += [*gap, Text(f"samples: {path}", overflow="fold")]
    parts += gap if journal else []
    cut: dict[str, Any] = {"no_wrap": height is not None, "overflow": "ellipsis"}
    parts += [Text(line, "dim", **cut) for line in journal]
    return Group(*parts)


def _charts(now: History) -> list[Chart]:
    """Return the charts that there are numbers for, the most telling first."""
    from imagegen.cli.curves import MOST, Chart, Curve
    from imagegen.train.history import curve, number, step_of

    losses = [Curve(name, curve(now.progress, name)) for name in now.losses]
    losses = [loss for loss in losses if loss.points]
    size = -(-len(losses) // -(-len(losses) // MOST)) if losses else 1  # as even as possible
    parts = [losses[i : i + size] for i in range(0, len(losses), size)]
    charts = [Chart("losses", part) for part in parts[:1]]
    if points := curve(now.watched, "kid"):
        ends = ((step_of(r), number(r, "kid_low"), number(r, "kid_high")) for r in now.watched)
        band = [(step, a, b) for step, a, b in ends if a is not None and b is not None]
        charts.append(Chart("distance", [Curve("kid", points, band)]))
    shares = [Curve(name, curve(now.watched, name)) for name in ("coverage", "copies")]
    if shares := [share for share in shares if share.points]:
        charts.append(Chart("shares", shares, share=True))
    return charts + [Chart("more losses", part) for part in parts[1:]]


def _in_rows(charts: list[Chart], width: int, tight: bool) -> list[list[Chart]]:
    """Put as many charts beside each other as can be read; if lines are few, leave out the rest."""
    across = max(1, width // (_NARROW if tight else _BESIDE))
    if tight:
        charts = charts[:across]
    down = -(-len(charts) // across)
    return [charts[len(charts) * i // down : len(charts) * (i + 1) // down] for i in range(down)]


def _samples(model: registry.Model) -> tuple[list[Image], Path | None]:
    """Return the newest samples and their file. One that can't be read counts as none."""
    from PIL import Image

    from imagegen.images import grid, metadata
    from imagegen.images.reading import pillow_warnings

    path = max(model.samples.glob("*.png"), default=None)
    if path is None:
        return [], None
    try:
        with pillow_warnings(), Image.open(path, formats=["PNG"]) as page:
            count = (metadata.read(page) or {}).get("pictures")
            count = count if isinstance(count, int) and count > 0 else 1
            return grid.cut(page.convert("RGB"), count), path
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return [], None


def _tiles(samples: Sequence[Image], width: int, down: int) -> Iterator[Text]:
    """Return so many rows of samples at most, an empty line between two."""
    from rich.text import Text

    from imagegen.images.preview import blocks

    across = max(1, (width + 1) // (_TILE + 1))
    for start in range(0, min(len(samples), across * down), across):
        if start:
            yield Text()
        row = blocks(samples[start : start + across], width + 1, _TILE)
        row.rstrip()
        yield row


def _in_words(record: Record) -> str:
    """Return a record of the journal as a line for people."""
    from imagegen.train.history import step_of

    what = str(record.get("decision", "finished")).replace("_", " ")
    if what == "steps":
        what = f"{record.get('total')} steps in all"
    reason = f" ({record['reason']})" if "reason" in record else ""
    words = " ".join(f"step {step_of(record)}: {what}{reason}".split())
    return "".join(letter for letter in words if letter.isprintable())


def _header(model: registry.Model, now: History, width: int) -> Iterator[Text]:
    """Return two lines: whether it is trained and why, and how far it is."""
    from rich.text import Text

    from imagegen.cli.console import clock

    state, reason = _state(model, now)
    tint = {"running": "bold green", "finished": "bold"}.get(state, "bold yellow")
    yield Text.assemble(
        (model.name, "bold"), "  ", (state, tint), f": {reason}", no_wrap=True, overflow="ellipsis"
    )
    words = f"step {now.step}" + (f" of {now.total}" if now.total else "")
    if now.seconds:
        words += f"  {clock(now.seconds)} used"
    if not now.total:
        yield Text(words)
        return
    share = min(1.0, now.step / now.total)
    if now.running and share and now.seconds:
        words += f", about {clock(now.seconds * (1 / share - 1))} left"
    bar = max(4, min(40, width - len(words) - 8))
    done = round(bar * share)
    yield Text.assemble(
        ("━" * done, "cyan"),
        ("─" * (bar - done), "dim"),
        f"  {100 * share:.0f}%  {words}",
        no_wrap=True,
        overflow="ellipsis",
    )
