"""PNG files back to back: what ffmpeg calls image2pipe, and what imagegen speaks in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from imagegen.errors import UserError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNK = 1 << 30
HINT = "a stream is PNG files back to back, as 'imagegen generate' and ffmpeg write them"


def split(stream: IO[bytes], name: str = "stdin") -> Iterator[bytes]:
    """Yield each PNG file of a stream as soon as it is whole.

    Blanks between the files are passed over. A stream that begins with anything but a PNG is
    taken as one file of another kind, and yielded whole.

    Raises:
        UserError: where the stream is cut off or is not a PNG; the pictures before it are fine.
    """
    count = 0
    while first := _first_byte(stream):
        head = first + _read(stream, len(SIGNATURE) - 1)
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
