"""Files that survive a crash, and that notice when a bit of them has changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from imagegen.errors import UserError


class DamagedError(UserError):
    """A file's content is not what was written."""


def write(path: Path, data: bytes) -> None:
    """Replace a file whole: after a crash it holds the old content or the new, never a mixture.

    Raises:
        OSError: with nothing left behind.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # the name that the user knows
        raise
    _sync_folder(path.parent)


def append(path: Path, line: str, sync: bool = True) -> None:
    """Add a line to a journal; with `sync` it is on the disk before this returns.

    A line that a crash cut short is ended first, so that it can spoil only itself.

    Raises:
        OSError: if there is no room for it, for example.
    """
    try:
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write(line.encode() + b"\n")
            if sync:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        error.filename = str(path)
        raise


def sweep(folder: Path) -> None:
    """Remove what unfinished writes have left in a folder; nobody may be writing there."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def write_checked(path: Path, data: bytes) -> str:
    """Write a file with its sha256 beside it (`NAME.sha256`), and return the sum.

    Between the two writes a crash could leave new data beside an old sum. So the new sum is added
    before the data and the old one dropped after it: at any moment one of them fits.
    """
    digest = hashlib.sha256(data).hexdigest()
    sums = _sums_path(path)
    old = sums.read_bytes() if sums.is_file() else b""
    new = f"{digest}  {path.name}\n".encode()
    write(sums, new + old)
    write(path, data)
    write(sums, new)
    return digest


def read_checked(path: Path) -> tuple[bytes, str]:
    """Return the content of a file written by `write_checked`, and its sum.

    Raises:
        UserError: if the file or its sum can't be read.
        DamagedError: if they do not fit.
    """
    try:
        data = path.read_bytes()
        sums = _sums_path(path).read_text().split()[::2]
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"cannot read {path}: its sum is not text") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest not in sums:
        raise DamagedError(f"{path} is damaged: its content does not fit its sha256")
    return data, digest


def known_sum(path: Path) -> str:
    """Return the sum that `write_checked` wrote beside a file, which is not read; empty if none."""
    try:
        return _sums_path(path).read_text().split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return ""


def remove_checked(path: Path) -> None:
    """Remove a file written by `write_checked`; the data first, so that no sum is ever missing."""
    path.unlink(missing_ok=True)
    _sums_path(path).unlink(missing_ok=True)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read a file of JSON lines, leaving out any that a crash cut short."""
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if isinstance(record, dict):
                    yield record


def _sums_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows can't open a folder, and needs no such call
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
