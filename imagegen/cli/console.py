"""Where words and data go: stdout carries data alone, stderr everything that is said."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


PLAIN_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal to animate."""


class ClosedPipeError(Exception):
    """Whoever read our stdout has gone: stop quietly."""


def open_standard_streams() -> None:
    """Give closed standard streams to /dev/null, or the next file opened would be taken for one."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def console() -> Console:
    """Return the Rich console on stderr, animated only on a real terminal."""
    from rich.console import Console

    return Console(
        stderr=True, highlight=False, soft_wrap=True, force_interactive=sys.stderr.isatty()
    )


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show how far something is: a bar on a terminal, a plain line now and then elsewhere.

    Args:
        quiet: show nothing.

    Yields:
        What to call with the name of the stage, and how much of how much is done.
    """
    last = time.monotonic()

    def line(stage: str, done: int, total: int) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= PLAIN_EVERY:
            last = time.monotonic()
            say(f"{stage}: {done} of {total}")

    if quiet or not is_terminal(2):
        yield line
        return
    from rich.progress import Progress, TaskID

    with Progress(console=console(), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield bar


def say(text: str) -> None:
    """Print a line for people, on stderr. If nobody listens any more, that is no error."""
    with suppress(OSError):
        _write(2, f"{text}\n".encode(errors="replace"))


def complain(message: str, hint: str = "") -> None:
    """Print an error, and what helps, on stderr."""
    color = is_terminal(2) and not os.environ.get("NO_COLOR")
    red, dim, off = ("\x1b[1;31m", "\x1b[2m", "\x1b[0m") if color else ("", "", "")
    one_line = " ".join(message.split())  # a file's name may hold line breaks
    say(f"{red}error:{off} {one_line}" + (f"\n{dim} hint:{off} {hint}" if hint else ""))


def emit(text: str) -> None:
    """Print a line of data, on stdout.

    Raises:
        ClosedPipeError: if nobody reads it any more.
    """
    write_all(1, f"{text}\n".encode(errors="surrogateescape"))


def emit_json(record: Any) -> None:
    """Print an object as one line of JSON, on stdout."""
    emit(json.dumps(record, ensure_ascii=True))


def clock(seconds: float) -> str:
    """Return a time as people write it: 4:05, or 1:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def is_terminal(descriptor: int) -> bool:
    """Say whether a person is at the other end."""
    return os.isatty(descriptor)


def is_pipe(descriptor: int) -> bool:
    """Say whether another program is at the other end."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def is_file(descriptor: int) -> bool:
    """Say whether a regular file is at the other end."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def private_stdout() -> int:
    """Return a descriptor that writes to stdout, and lead everybody else's stdout to stderr.

    Libraries print at times, even in C; one such line would ruin a stream of pictures.
    """
    sys.stdout.flush()
    private = os.dup(1)
    os.dup2(2, 1)
    return private


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes to a stream.

    Raises:
        ClosedPipeError: if nobody reads it any more.
    """
    try:
        _write(descriptor, data)
    except BrokenPipeError:
        raise ClosedPipeError from None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
