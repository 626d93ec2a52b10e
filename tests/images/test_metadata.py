"""What a picture says of itself, and what other programs keep of it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen.images import metadata
from imagegen.settings import Settings


class Sampling(Settings):
    truncation: float = 0.5


RECORD = metadata.record("cats", "ab" * 32, "gan", 42, "tabby", Sampling())


def reopened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()  # some programs put text after the pixels
    return picture


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_record_comes_back(mode: str) -> None:
    image = Image.new(mode, (5, 4))
    picture = reopened(metadata.encode(image, RECORD))
    assert metadata.read(picture) == RECORD
    assert picture.mode == mode
    assert picture.tobytes() == image.tobytes()


def test_the_same_picture_gives_the_same_bytes() -> None:
    image = Image.new("RGB", (5, 4), "red")
    assert metadata.encode(image, RECORD) == metadata.encode(image.copy(), dict(RECORD))


def test_text_is_ascii_and_stands_before_the_pixels() -> None:
    data = metadata.encode(Image.new("L", (2, 2)), RECORD | {"label": "café"})
    assert data.index(b"tEXtimagegen") < data.index(b"IDAT")
    assert b"iTXtimagegen" not in data
    assert metadata.read(reopened(data)) == RECORD | {"label": "café"}


def test_the_line_that_other_programs_read() -> None:
    text = reopened(metadata.encode(Image.new("L", (3, 2)), RECORD)).info["parameters"]
    pairs = dict(pair.split(": ") for pair in text.splitlines()[-1].split(", "))
    assert (pairs["Seed"], pairs["Size"], pairs["Model"]) == ("42", "3x2", "cats")
    assert len(pairs) >= 3


def test_steps_are_appended_and_foreign_text_is_kept() -> None:
    info = PngInfo()
    info.add_text("Author", "somebody")
    info.add_text("imagegen", json.dumps(RECORD | {"postprocess": [{"op": "a"}]}))
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG", pnginfo=info)
    source = reopened(file.getvalue())
    record = metadata.with_steps(source, [{"op": "b"}])
    assert record["postprocess"] == [{"op": "a"}, {"op": "b"}]
    kept = reopened(metadata.encode(Image.new("RGB", (2, 2)), record, source))
    assert kept.info["Author"] == "somebody"
    assert metadata.read(kept) == record


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "[" * 100_000, "\x00"])
def test_rubbish_is_no_record(text: str) -> None:
    image = Image.new("L", (1, 1))
    image.info["imagegen"] = text
    assert metadata.read(image) is None
    assert metadata.with_steps(image, [{"op": "a"}])["postprocess"] == [{"op": "a"}]


@pytest.mark.skipif(not shutil.which("convert"), reason="ImageMagick is not installed")
def test_the_record_survives_imagemagick() -> None:
    data = metadata.encode(Image.new("RGB", (8, 8), "red"), RECORD)
    version = subprocess.run(["convert", "-version"], capture_output=True, check=False)
    if b"ImageMagick" not in version.stdout:
        pytest.skip("this 'convert' is not ImageMagick's")
    done = subprocess.run(
        ["convert", "-", "-blur", "0x1", "png:-"], input=data, capture_output=True, check=True
    )
    assert metadata.read(reopened(done.stdout)) == RECORD
