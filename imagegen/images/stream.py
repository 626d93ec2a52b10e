"""Pictures in a pipe: files back to back, as ffmpeg's image2pipe and netpbm have it, or a tar.

imagegen writes PNG unless it is told otherwise, and reads all three.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from imagegen.errors import UserError
from imagegen.images import netpbm
from imagegen.images.png import SIGNATURE
from imagegen.images.reading import SUFFIXES

MAX_CHUNK = 1 << 30
TAR_BLOCK = 512
HINT = "a stream is PNG files back to back, as 'imagegen generate' and ffmpeg write them"


def named(stream: IO[bytes], name: str = "stdin") -> Iterator[tuple[str, bytes]]:
    """Yield each picture of a stream as `split` does, or of a tar archive, with its name there.

    Pictures that have no name yield an empty one. Other members of an archive are passed over.

    Raises:
        UserError: where the stream is cut off or damaged; the pictures before it are fine.
    """
    head = _read(stream, len(SIGNATURE))
    if head != SIGNATURE and head[:2] not in netpbm.KINDS and not head[:1].isspace():
        head += _read(stream, TAR_BLOCK - len(head))
    whole: Any = _Rejoined(head, stream)
    if head[257:262] != b"ustar":
        yield from (("", data) for data in split(whole, name))
        return
    try:
        with tarfile.open(fileobj=whole, mode="r|") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if member.isreg() and path.suffix.lower() in SUFFIXES:
                    file = archive.extractfile(member)
                    assert file is not None  # it is a regular file
                    yield member.name, file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{name}: the tar archive is damaged: {error}", HINT) from None


class _Rejoined:
    """A stream, some of whose bytes were read already."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = io.BytesIO(head)
        self._rest = rest

    def read(self, count: int = -1) -> bytes:
        data = self._head.read(count)
        if count < 0:
            return data + self._rest.read()
        return data or self._rest.read(count)

    def readline(self, limit: int = -1) -> bytes:
        line = self._head.readline(limit)
        return line if line.endswith(b"\n") else line + self._rest.readline(limit)


def split(stream: IO[bytes], name: str = "stdin") -> Iterator[bytes]:
    """Yield each PNG, PGM, PPM or PAM file of a stream as soon as it is whole.

    Blanks between the files are passed over. A stream that begins with anything else is taken as
    one file of another kind, and yielded whole.

    Raises:
        UserError: where the stream is cut off or goes on with something else; the pictures before
            it are fine.
    """
    count = 0
    while first := _first_byte(stream):
        head = first + _read(stream, 1)
        if head in netpbm.KINDS:
            count += 1
            yield _netpbm(head, stream, f"{name}: picture {count} is cut off or damaged")
            continue
        head += _read(stream, len(SIGNATURE) - 2)
        if head != SIGNATURE:
            if count:
                raise UserError(f"{name}: no PNG after picture {count}", HINT)
            yield head + stream.read()
            return
        count += 1
        file = bytearray(head)
        kind = b""
        while kind != b"IEND":
            start = _read(stream, 8)
            length, kind = int.from_bytes(start[:4], "big"), start[4:]
            if len(start) < 8 or length > MAX_CHUNK:
                raise UserError(f"{name}: picture {count} is cut off or damaged", HINT)
            body = _read(stream, length + 4)
            if len(body) < length + 4:
                raise UserError(f"{name}: picture {count} is cut off", HINT)
            file += start + body
        yield bytes(file)


def _netpbm(head: bytes, stream: IO[bytes], problem: str) -> bytes:
    """Read the rest of a file that begins with `head`."""
    rest: Any = _Recorded(head, stream)
    try:
        width, height, channels, largest = netpbm.read_header(rest)
    except ValueError:
        raise UserError(problem, HINT) from None
    length = width * height * channels * (2 if largest > 255 else 1)
    if length > MAX_CHUNK:
        raise UserError(problem, HINT)
    body = _read(stream, length)
    if len(body) < length:
        raise UserError(problem, HINT)
    return bytes(rest.seen) + body


class _Recorded:
    """A stream that remembers what was read of it."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._whole = _Rejoined(head, rest)
        self.seen = bytearray()

    def read(self, count: int) -> bytes:
        data = self._whole.read(count)
        self.seen += data
        return data

    def readline(self, limit: int) -> bytes:
        data = self._whole.readline(limit)
        self.seen += data
        return data


def _first_byte(stream: IO[bytes]) -> bytes:
    while (byte := stream.read(1)).isspace():
        pass
    return byte


def _read(stream: IO[bytes], count: int) -> bytes:
    """Read `count` bytes; a pipe may hand them over in pieces."""
    parts = []
    while count > 0 and (part := stream.read(min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
