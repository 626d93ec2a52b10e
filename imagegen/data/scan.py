"""Find the pictures of a folder, an archive or a bundled sample, without decoding any of them.

A file is a picture by its suffix, in any case. Hidden files and folders, what systems leave behind
(`__MACOSX`, `Thumbs.db`) and every other kind of file are passed over. The first sub-folder of a
picture is its label, when at least two of them hold pictures; others have none.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from imagegen.data.captions import OTHERS, TABLES
from imagegen.data.words import composed
from imagegen.errors import NotFoundError, UserError, did_you_mean
from imagegen.images.reading import FORMATS, SUFFIXES, BadPictureError

# Pictures that a person would expect to be used: they are reported, not passed over.
UNSUPPORTED = frozenset((".heic", ".heif", ".jxl", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw"))

TELLING = (".txt", *TABLES, *OTHERS)
"""Suffixes of files that may tell of the pictures beside them."""
MAX_BYTES = 256 * 2**20
MAX_FILES = 1_000_000
SAMPLES = Path(__file__).parent / "samples"

Problem = tuple[str, str]
"""Name of a file or folder, and in a few words why it cannot be used."""


@dataclass(frozen=True)
class Entry:
    """One file that looks like a picture.

    Attributes:
        name: its path inside the source, with "/" between the parts.
        label: its first sub-folder, or "" if it has none.
        position: its place in the source. Compressed archives must be read in this order, by one
            thread; going backwards starts them again.
        read: returns the file's bytes, or raises BadPictureError.
    """

    name: str
    label: str
    position: int
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Scan:
    """What a source holds.

    Attributes:
        entries: the pictures, sorted by name.
        problems: what can't be used.
        others: how to read the files beside that may tell of the pictures, by name.
    """

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]
    others: Mapping[str, Callable[[], bytes]]


# What a walk finds: a name, and either how to read the file or why that is not possible.
_Found = tuple[str, Callable[[], bytes] | str]


def samples() -> list[str]:
    """Return the names of the picture sets that come with imagegen."""
    return sorted(folder.name for folder in SAMPLES.iterdir() if folder.is_dir())


@contextmanager
def scan(source: str) -> Iterator[Scan]:
    """List the pictures of a folder, an archive (.zip, .tar, .tar.gz) or `sample:NAME`.

    Entries can be read inside the `with` block. Archives are never unpacked to disk.

    Raises:
        UserError: no such folder, not a folder or archive, a damaged archive, or no pictures.
        NotFoundError: no such sample.
    """
    path = _locate(source)
    with ExitStack() as stack:
        found = list(islice(_walk(path, stack), MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise UserError(f"{source} holds more than {MAX_FILES:,} files")
        yield _sort_out(source, found, wrapped=path.is_file())


def _locate(source: str) -> Path:
    if source.startswith("sample:"):
        name, known = source.removeprefix("sample:"), samples()
        if name not in known:
            hint = "available: " + ", ".join(f"sample:{one}" for one in known)
            raise NotFoundError(f"no such sample: {name}{did_you_mean(name, known)}", hint)
        return SAMPLES / name
    path = Path(source).expanduser()
    hint = "DATA is a folder of pictures, a .zip or .tar archive, or sample:NAME"
    if path.is_dir() or (path.is_file() and _is_archive(path)):
        return path
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            hint = f"give the folder that holds it: {path.parent}"
        raise UserError(f"not a folder or an archive: {source}", hint)
    if source in samples():
        hint = f"the set that comes with imagegen is called sample:{source}"
    near = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    raise UserError(f"no such folder: {source}{did_you_mean(path.name, near)}", hint)


def _is_archive(path: Path) -> bool:
    return path.name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"))


def _walk(path: Path, stack: ExitStack) -> Iterator[_Found]:
    if path.is_dir():
        yield from _walk_folder(path)
        return
    try:
        if path.suffix.lower() == ".zip":
            yield from _walk_zip(stack.enter_context(zipfile.ZipFile(path)))
        else:
            yield from _walk_tar(stack.enter_context(tarfile.TarFile.open(path)))
    except PermissionError as error:
        raise UserError(f"cannot read {path}: permission denied") from error
    except Exception as error:  # the standard library raises a dozen types on damaged archives
        raise UserError(f"{path} is damaged: {error}", "copy, download or pack it again") from error


def _walk_folder(root: Path) -> Iterator[_Found]:
    inside = Path(os.path.realpath(root))
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            items = sorted(os.scandir(folder), key=lambda item: item.name)
        except OSError as error:
            if folder == root:
                raise UserError(f"cannot read {root}: {_cause(error)}") from error
            yield f"{folder.relative_to(root).as_posix()}/", _cause(error)
            continue
        for item in items:
            path = Path(item.path)
            name = path.relative_to(root).as_posix()
            if _is_hidden(name):
                continue
            if item.is_symlink() and (problem := _link_problem(path, inside)):
                yield (f"{name}/" if path.is_dir() else name), problem
            elif item.is_dir():
                pending.append(path)
            elif item.is_file():
                yield name, partial(_read, partial(path.open, "rb"))
            else:
                yield name, "not a regular file"


def _link_problem(link: Path, inside: Path) -> str:
    target = Path(os.path.realpath(link))
    if not target.is_relative_to(inside):
        return "a link that leads out of the folder"
    if target.is_dir():  # its pictures are found where they are, and links may run in circles
        return "a link to a folder"
    return "" if target.exists() else "a link to nothing"


def _walk_zip(archive: zipfile.ZipFile) -> Iterator[_Found]:
    for info in archive.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        if info.is_dir():
            continue
        if mode not in (0, stat.S_IFREG):
            yield info.filename, "a link, not a file"
        elif info.flag_bits & 1:
            yield info.filename, "locked with a password"
        else:
            yield info.filename, partial(_read, partial(archive.open, info), info.file_size)


def _walk_tar(archive: tarfile.TarFile) -> Iterator[_Found]:
    for info in archive:
        if info.isdir():
            continue
        if info.isreg():
            yield info.name, partial(_read, partial(_open_member, archive, info), info.size)
        else:
            yield info.name, "a link, not a file"


def _open_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None  # it is a regular file
    return file


def _read(open_file: Callable[[], IO[Any]], declared: int | None = None) -> bytes:
    """Return a file's bytes; never more than MAX_BYTES of them, whatever an archive declares."""
    try:
        with open_file() as file:
            data: bytes = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadPictureError(_cause(error)) from error
    except Exception as error:  # what damaged archives raise is not documented
        raise BadPictureError("damaged in the archive") from error
    if len(data) > MAX_BYTES:
        raise BadPictureError(f"too large: over {MAX_BYTES >> 20} MB")
    if declared not in (None, len(data)):
        raise BadPictureError("damaged in the archive")
    return data


def _cause(error: OSError) -> str:
    return (error.strerror or "cannot be read").lower()


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _sort_out(source: str, found: list[_Found], wrapped: bool) -> Scan:
    """Tell pictures from other files, and find their labels.

    If `wrapped`, a single folder around everything, as archives have it, is not a label.
    """
    others: Counter[str] = Counter()
    problems: list[Problem] = []
    pictures: list[tuple[str, int, Callable[[], bytes]]] = []
    telling: dict[str, Callable[[], bytes]] = {}
    for position, (raw_name, read) in enumerate(found):
        # A name may hold bytes that are not text, or signs that move a terminal's cursor.
        name = "".join(sign if sign.isprintable() else "\ufffd" for sign in raw_name)
        suffix = PurePosixPath(name).suffix.lower()
        if _is_hidden(name):
            continue
        if isinstance(read, str):
            if suffix in SUFFIXES or name.endswith("/"):
                problems.append((name, read))
        elif suffix in SUFFIXES:
            pictures.append((name, position, read))
        else:
            others[suffix or "no suffix"] += 1
            if suffix in TELLING:
                telling[name] = read
            if suffix in UNSUPPORTED:
                problems.append((name, f"{suffix[1:].upper()} cannot be opened: save it as PNG"))
    if not pictures:
        raise _no_pictures(source, others, problems)

    parts = [PurePosixPath(name).parts for name, _, _ in pictures]
    is_wrapped = wrapped and len({part[0] for part in parts}) == 1 and min(map(len, parts)) > 1
    folders = [part[1 if is_wrapped else 0 : -1] for part in parts]
    entries = [
        # macOS takes letters with marks apart, and labels are compared with what is typed.
        Entry(name, composed(folder[0]) if folder else "", position, read)
        for (name, position, read), folder in zip(pictures, folders, strict=True)
    ]
    return Scan(
        entries=tuple(sorted(entries, key=lambda entry: entry.name)),
        problems=tuple(sorted(problems)),
        others=telling,
    )


def _no_pictures(source: str, others: Counter[str], problems: list[Problem]) -> UserError:
    hint = "pictures are files such as " + " ".join(group[0] for group in FORMATS.values())
    if problems:
        hint = "; ".join(f"{name}: {reason}" for name, reason in problems[:3])
    if not others and not problems:
        return UserError(f"{source} is empty", hint)
    if not others:
        return UserError(f"{source} holds no pictures that can be read", hint)
    kinds = ", ".join(suffix for suffix, _ in others.most_common(5))
    return UserError(f"{source} holds {others.total():,} files but no pictures ({kinds})", hint)
