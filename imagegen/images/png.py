"""Writing PNG files: 8 and 16 bit, grey or RGB, with alpha or without.

Pillow writes no 16-bit colour, and takes twice as long as the one filter that is used here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"

Integers = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""(H, W, channels), where channels are grey, grey and alpha, RGB, or RGB and alpha."""

_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_UP = 2

# Under this many bytes looking for repeats costs little, and icons and sprites are full of them.
_SMALL = 1 << 18


def encode(values: Integers, chunks: bytes = b"") -> bytes:
    """Return a PNG file.

    Every row is filtered by the one above it. Large pictures are then coded by run lengths and
    Huffman codes: as small as Pillow's level 1 within 5 %, in half the time.

    Args:
        values: the pixels.
        chunks: more chunks, to stand before the pixels.
    """
    height, width, channels = values.shape
    big_endian = values.astype(values.dtype.newbyteorder(">"), copy=False)
    rows = np.ascontiguousarray(big_endian).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    strategy = zlib.Z_DEFAULT_STRATEGY if filtered.size < _SMALL else zlib.Z_RLE
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, strategy)
    body = packer.compress(filtered.data) + packer.flush()
    bits = values.dtype.itemsize * 8
    header = struct.pack(">IIBBBBB", width, height, bits, _COLOR_TYPES[channels], 0, 0, 0)
    return b"".join(
        [SIGNATURE, _chunk(b"IHDR", header), chunks, _chunk(b"IDAT", body), _chunk(b"IEND", b"")]
    )


def side_chunks(file: bytes) -> bytes:
    """Return what a PNG file holds beside the pixels: its text, profile, resolution and so on."""
    return b"".join(whole for kind, whole in _chunks(file) if kind[:1].islower())


def is_deep_color(file: bytes) -> bool:
    """Say whether a file is a PNG of 16 bits with more than one channel: Pillow halves those."""
    return (
        file[:8] == SIGNATURE
        and file[12:16] == b"IHDR"
        and file[24:25] == b"\x10"
        and (file[25] in (2, 4, 6))
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place < len(file):
        end = place + 12 + int.from_bytes(file[place : place + 4], "big")
        yield file[place + 4 : place + 8], file[place:end]
        place = end
