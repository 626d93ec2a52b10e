"""Where pictures go: a folder, a file, or a stream on stdout."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagegen import durable
from imagegen.cli import console
from imagegen.errors import SettingsError, UserError
from imagegen.images.reading import SUFFIXES

if TYPE_CHECKING:
    from imagegen.post.chain import Chain

Sink = Callable[[bytes, str], Path | None]
"""Takes the bytes of a PNG file and a name without suffix; returns the path, or None."""


def streams(output: str | None, as_json: bool = False) -> bool:
    """Say whether pictures go to a stream."""
    piped = output is None and not as_json and (console.is_pipe(1) or console.is_file(1))
    return output == "-" or piped


def tar_stream(stack: ExitStack) -> Sink:
    """Return what writes a tar archive to stdout; it is ended when `stack` is left in peace."""
    write = _stream()

    def end(kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            write(bytes(tarfile.RECORDSIZE), "")

    def member(data: bytes, name: str) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        write(info.tobuf() + data + bytes(-len(data) % tarfile.BLOCKSIZE), name)

    stack.push(end)
    return member


def choose(output: str | None, folder: str, *, single: bool | None, as_json: bool = False) -> Sink:
    """Return where pictures go, made ready before the first is drawn.

    Args:
        output: what `-o` says. Without it a pipe gets a stream, and all else files in `folder`.
        folder: where files go when `-o` does not say.
        single: whether there will be just one picture; None if that is not known.
        as_json: whether stdout is taken by JSON lines.

    Raises:
        SettingsError: a stream to a terminal, or many pictures to one file.
        UserError: a place that can't be written.
    """
    if output == "-" or (output is None and not as_json and console.is_pipe(1)):
        if as_json:
            raise SettingsError("--json and -o - both want stdout", "use -o DIR with --json")
        return _stream()
    if output is None and not as_json and console.is_file(1):
        if single is not False:
            return _stream()
        raise SettingsError(
            "many pictures in one redirected file: few programs read more than the first",
            "use -o DIR, or -o - if a stream is what you want",
        )
    target = Path(output or folder)
    if target.suffix.lower() in SUFFIXES and not target.is_dir():
        return _file(target, single)
    return _folder(target)


def _stream() -> Sink:
    if console.is_terminal(1):
        raise SettingsError("pictures are not written to a terminal", "use -o DIR, or a pipe")
    descriptor = console.private_stdout()

    def write(data: bytes, name: str) -> None:
        console.write_all(descriptor, data)

    return write


def _file(target: Path, single: bool | None) -> Sink:
    more = SettingsError(
        f"-o {target}: more than one picture for one file", f"use -o {target.stem}/"
    )
    if single is False:
        raise more
    check_file(target, "-o")
    written = False

    def write(data: bytes, name: str) -> Path:
        nonlocal written
        if written:
            raise more
        durable.write(target, data)
        written = True
        return target

    return write


def check_file(target: Path, flag: str) -> None:
    """Make sure that a picture can be written to a file, and that nothing is lost by it.

    Raises:
        SettingsError: if it is no PNG, or holds something that imagegen did not make.
        UserError: if its folder can't be written.
    """
    from imagegen.images import metadata
    from imagegen.images.reading import BadPictureError, open_picture

    if target.suffix.lower() != ".png":
        raise SettingsError(
            f"{flag} {target}: pictures are written as PNG", "end the name with .png"
        )
    ready(target.parent)
    if target.exists():
        try:
            ours = metadata.read(open_picture(target.read_bytes())) is not None
        except (BadPictureError, OSError):
            ours = False
        if not ours:
            raise SettingsError(
                f"{flag} {target}: exists, and is not of imagegen's making", "choose another name"
            )


def _folder(target: Path) -> Sink:
    ready(target)

    def write(data: bytes, name: str) -> Path:
        return place(target / f"{name}.png", data)

    return write


def place(path: Path, data: bytes) -> Path:
    """Write a file, and return its path: with a number, if another file has that name.

    A file that holds just that already is left alone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stem, count = path.stem, 0
    while path.exists() and (not path.is_file() or path.read_bytes() != data):
        count += 1
        path = path.with_name(f"{stem}-{count}{path.suffix}")
    if not path.exists():
        durable.write(path, data)
    return path


def beside(path: Path, extras: dict[str, bytes]) -> list[Path]:
    """Write the extra files of a chain, `NAME-mask.png` and the like; return their paths."""
    return [place(path.with_name(f"{path.stem}-{key}"), data) for key, data in extras.items()]


def reported(chain: Chain, title: str, reports: list[dict[str, Any]]) -> list[str]:
    """Return what the steps of a chain say of a picture as lines of JSON.

    Those of steps that name a file are added to it as well.
    """
    lines = [json.dumps({"input": title, **report}) for report in reports]
    for file, line in zip(chain.report_files, lines, strict=True):
        if file is not None:
            durable.append(Path(file), line)
    return lines


def tell(
    path: Path | None, extras: list[Path], reports: list[str], about: dict[str, Any] | None
) -> None:
    """Say where a picture is, and what was said of it.

    Args:
        path: of its file; None if it went into a stream, so that stdout is taken.
        extras: the files beside it.
        reports: lines of JSON, from the steps of a chain.
        about: more to say of it, as one object of JSON in place of lines.
    """
    if about is not None:
        console.emit_json({"path": str(path), **about, "extras": list(map(str, extras))})
        return
    show = console.say if path is None else console.emit
    for line in [*([] if path is None else [path]), *extras, *reports]:
        show(str(line))


def ready(folder: Path) -> None:
    """Make a folder and prove that it can be written.

    Raises:
        UserError: if not.
    """
    probe = folder / ".imagegen-probe.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"can't write to {folder}: {error.strerror}", "choose another place with -o DIR"
        ) from None
