"""Netpbm's raw formats (PGM, PPM, PAM), 8 and 16 bit: pictures without compression for pipes."""

from __future__ import annotations

import re
from typing import IO

import numpy as np

from imagegen.images.png import Integers
from imagegen.images.reading import BadPictureError

KINDS = (b"P5", b"P6", b"P7")
TUPLES = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}
MAX_HEADER = 1 << 16

_FIELDS = re.compile(rb"(WIDTH|HEIGHT|DEPTH|MAXVAL)\s+([0-9]{1,9})")


def encode(values: Integers) -> bytes:
    """Return a PAM file."""
    height, width, channels = values.shape
    head = (
        f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\n"
        f"MAXVAL {np.iinfo(values.dtype).max}\nTUPLTYPE {TUPLES[channels]}\nENDHDR\n"
    )
    return head.encode() + values.astype(values.dtype.newbyteorder(">"), copy=False).tobytes()


def decode(data: bytes, max_pixels: int) -> tuple[Integers, int]:
    """Return the values of a PGM, PPM or PAM file and the largest value that they may have.

    Raises:
        BadPictureError: it is damaged, cut off or too large.
    """
    import io

    stream = io.BytesIO(data)
    try:
        width, height, channels, largest = read_header(stream)
    except ValueError as error:
        raise BadPictureError("damaged") from error
    if width * height > max_pixels:
        raise BadPictureError.too_large(width * height, max_pixels)
    kind = np.dtype(">u2" if largest > 255 else "u1")
    count = width * height * channels
    body = data[stream.tell() : stream.tell() + count * kind.itemsize]
    if len(body) < count * kind.itemsize:
        raise BadPictureError("cut off")
    values = np.frombuffer(body, kind).reshape(height, width, channels)
    return values.astype(kind.newbyteorder("=")), largest


def read_header(stream: IO[bytes]) -> tuple[int, int, int, int]:
    """Read a header up to the first pixel; give width, height, channels and the largest value.

    Raises:
        ValueError: it is none.
    """
    kind = stream.read(2)
    if kind == b"P7":
        head = b""
        while not head.endswith(b"ENDHDR\n"):
            line = stream.readline(MAX_HEADER)
            if not line or len(head) > MAX_HEADER:
                raise ValueError("no end of the header")
            head += b"" if line.startswith(b"#") else line
        fields = {key: int(value) for key, value in _FIELDS.findall(head)}
        width, height, channels, largest = (
            fields.get(key, 0) for key in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
        )
    elif kind in KINDS:
        width, height, largest = (_number(stream) for _ in range(3))
        channels = 1 if kind == b"P5" else 3
    else:
        raise ValueError("no header")
    if not (width and height and channels in TUPLES and 0 < largest < 1 << 16):
        raise ValueError("no size")
    return width, height, channels, largest


def _number(stream: IO[bytes]) -> int:
    """Read a number and the blank after it, past blanks and comments."""
    digits = b""
    while byte := stream.read(1):
        if byte == b"#":
            stream.readline(MAX_HEADER)
        elif byte.isspace():
            if digits:
                return int(digits)
        elif byte.isdigit() and len(digits) < 9:
            digits += byte
        else:
            break
    raise ValueError("no number")
