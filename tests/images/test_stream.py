"""PNG files back to back."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from imagegen.errors import UserError
from imagegen.images.stream import split


def png(size: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (size, size), (size, 0, 0)).save(file, "PNG")
    return file.getvalue()


class Dribble(io.RawIOBase):
    """A pipe that hands over few bytes at a time."""

    def __init__(self, data: bytes) -> None:
        self.inner = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(min(size, 3) if size >= 0 else -1)


def test_each_file_comes_back_byte_for_byte() -> None:
    files = [png(3), png(40), png(1)]
    assert list(split(io.BytesIO(b"".join(files)))) == files
    assert list(split(Dribble(b"".join(files)))) == files


def test_blanks_between_files_are_passed_over() -> None:
    assert list(split(io.BytesIO(b"\n" + png(2) + b"\r\n\n" + png(3) + b"\n"))) == [png(2), png(3)]


def test_a_picture_comes_before_the_next_is_written() -> None:
    stream = io.BytesIO(png(2) + b"\x89PNG")
    pictures = split(stream)
    assert next(pictures) == png(2)


def test_nothing_is_no_picture() -> None:
    assert list(split(io.BytesIO())) == []


def test_another_format_is_one_file() -> None:
    assert list(split(io.BytesIO(b"\xff\xd8 whatever"))) == [b"\xff\xd8 whatever"]


@pytest.mark.parametrize("cut", [4, 8, 12, 20, 40, -1])
def test_a_cut_stream_gives_what_is_whole_and_says_where(cut: int) -> None:
    pictures = split(io.BytesIO(png(2) + png(3)[:cut]))
    assert next(pictures) == png(2)
    with pytest.raises(UserError, match=r"stdin: (picture 2 is cut off|no PNG after picture 1)"):
        next(pictures)


def test_rubbish_after_a_picture_is_an_error() -> None:
    with pytest.raises(UserError, match="no PNG after picture 1"):
        list(split(io.BytesIO(png(2) + b"hello, world")))


def test_an_absurd_length_is_an_error() -> None:
    broken = bytearray(png(2))
    broken[8:12] = b"\xff\xff\xff\xff"
    with pytest.raises(UserError, match="picture 1 is cut off or damaged"):
        list(split(io.BytesIO(broken)))
