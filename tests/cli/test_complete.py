"""`generate --complete`: the upper part of a picture in, whole pictures out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen.images import metadata
from tests.cli.conftest import SMALL, Call


@pytest.fixture
def digits(tmp_path: Path, call: Call) -> None:
    """Train a recurrent model of bits, `digits`, on a few pictures with two labels."""
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(6):
            pixels = random.integers(0, 256, (16, 16), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    call("train", tmp_path, "--name", "digits", *SMALL, "--preset", "rnn-bits", "--steps", 3)


def part(name: str, width: int, height: int, shade: int = 255) -> Path:
    pixels = np.full((height, width), 0, np.uint8)
    pixels[:, ::2] = shade
    Image.fromarray(pixels).save(name)
    return Path(name)


@pytest.mark.usefixtures("digits")
def test_the_part_stays_and_the_rest_is_drawn(call: Call) -> None:
    file = part("part.png", 16, 7, shade=77)
    call("generate", "--complete", file, "--seed", 1, "-n", 3, "-o", "a", "--grid", "sheet.png")
    call("generate", "--complete", file, "--seed", 2, "-o", "alone.png")
    pictures = [np.asarray(Image.open(path)) for path in sorted(Path("a").iterdir())]
    assert len({picture.tobytes() for picture in pictures}) == 3
    for picture in pictures:
        assert picture.shape == (16, 16)
        assert np.array_equal(picture[:7], np.asarray(Image.open(file)))
        assert set(np.unique(picture[8:])) <= {0, 255}
    assert Path("alone.png").read_bytes() == Path("a/digits-2.png").read_bytes()
    for made in ("alone.png", "sheet.png"):
        record = metadata.read(Image.open(made))
        assert record is not None
        assert record["complete"] == hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.usefixtures("digits")
def test_a_part_is_scaled_to_the_width(call: Call) -> None:
    call("generate", "--complete", part("part.png", 64, 32), "--label", "b", "-o", "a.png")
    picture = np.asarray(Image.open("a.png"))
    small = np.asarray(Image.open("part.png").resize((16, 8), Image.Resampling.LANCZOS))
    assert np.abs(picture[:8].astype(int) - small).max() <= 1


@pytest.mark.usefixtures("digits")
def test_what_cannot_be_completed_is_said(call: Call) -> None:
    Path("broken.png").write_bytes(b"no picture")
    whole = part("whole.png", 32, 32)
    for words, code in (
        (["--complete", whole], 2),
        (["--complete", "broken.png"], 1),
        (["--complete", "nowhere.png"], 1),
    ):
        answer = call("generate", *words, "-o", "a.png", code=code)
        assert str(words[-1]) in answer.err
    assert "nothing is missing" in call("generate", "--complete", whole, code=2).err
    assert not Path("a.png").exists()


@pytest.mark.usefixtures("trained")
def test_a_family_that_cannot_says_which_can(call: Call) -> None:
    answer = call("generate", "--complete", part("part.png", 16, 8), "-o", "a.png", code=2)
    assert "family gan" in answer.err
    assert "rnn" in answer.err
