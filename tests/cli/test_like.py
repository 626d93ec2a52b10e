"""A codec, a flow over its latents, and `generate --like`: pictures like a given one."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen.images import metadata
from tests.cli.conftest import SMALL, Call

CODEC = ["--preset", "codec", "--set", "model.crop=0", "--set", "model.channels=4"]
SMALL_CODEC = [*CODEC, "--set", "model.perceptual=0"]
FLOW = ["--preset", "latent-flow", "--set", "autoencoder.name=codec"]


@pytest.fixture
def codec(call: Call) -> None:
    call("train", "sample:smileys", "--name", "codec", *SMALL, *SMALL_CODEC, "--steps", 3)


@pytest.fixture
def flow(call: Call, codec: None) -> None:
    embedding = ["--set", "model.embedding=latents"]
    call("train", "sample:smileys", "--name", "faces", *SMALL, *FLOW, *embedding, "--steps", 4)


@pytest.fixture
def photo() -> Path:
    pixels = np.zeros((40, 30, 3), np.uint8)
    pixels[:20] = 200, 30, 60
    Image.fromarray(pixels).save("photo.png")
    return Path("photo.png")


@pytest.mark.usefixtures("flow")
def test_pictures_like_one_belong_to_it_and_their_seed(call: Call, photo: Path) -> None:
    words = ["-m", "faces", "--like", photo, "--seed", 5]
    call("generate", *words, "-n", 3, "-o", "three")
    call("generate", *words[:-1], 6, "-o", "alone.png")
    call("generate", "-m", "faces", "--seed", 6, "-o", "any.png")
    assert Path("alone.png").read_bytes() == Path("three/faces-6.png").read_bytes()
    assert Path("alone.png").read_bytes() != Path("any.png").read_bytes()
    record = metadata.read(Image.open("alone.png"))
    assert record is not None
    assert record["like"] == hashlib.sha256(photo.read_bytes()).hexdigest()


@pytest.mark.usefixtures("codec")
def test_what_has_no_embeddings_says_how_to_get_them(call: Call, photo: Path) -> None:
    call("train", "sample:smileys", "--name", "plain", *SMALL, *FLOW, "--steps", 2)
    answer = call("generate", "-m", "plain", "--like", photo, code=2)
    assert "trained without image embeddings" in answer.err
    assert "model.embedding=" in answer.err


@pytest.mark.usefixtures("flow")
def test_a_picture_that_is_none_is_named(call: Call) -> None:
    Path("photo.png").write_bytes(b"not a picture")
    answer = call("generate", "-m", "faces", "--like", "photo.png", code=1)
    assert "--like: cannot read photo.png" in answer.err
    assert "gone.png" in call("generate", "-m", "faces", "--like", "gone.png", code=1).err


@pytest.mark.usefixtures("codec")
def test_a_codec_reconstructs_and_cannot_generate(call: Call, photo: Path) -> None:
    call("postprocess", photo, "--op", "reconstruct:model=codec", "-o", "again.png")
    assert Image.open("again.png").size == (30, 40)
    card = Path(os.environ["IMAGEGEN_HOME"], "models/codec/card.md").read_text()
    assert "encodes and decodes pictures" in card
    assert "reconstruct:model=codec" in card
    assert "generate -m codec" not in card
    assert "can't generate" in call("evaluate", "codec", code=2).err
    answer = call("generate", "-m", "codec", code=2)
    assert "it can't generate any" in answer.err
    assert "latent-flow" in answer.err


@pytest.mark.usefixtures("codec")
def test_a_flow_keeps_the_channels_of_its_pictures_on_a_codec(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "grey"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (24, 24), np.uint8)).save(folder / f"{number}.png")
    size = ["--set", "data.size=24x16"]
    call("train", folder, "--name", "greys", *SMALL, *FLOW, *size, "--steps", 2)
    call("generate", "-m", "greys", "--seed", 1, "-o", "grey.png")
    picture = Image.open("grey.png")
    assert (picture.mode, picture.size) == ("L", (24, 16))


def test_built_in_models_are_found_and_stay(call: Call) -> None:
    answer = call("models", "show", "builtin:nothing", code=4)
    assert "unknown model 'builtin:nothing'" in answer.err
    assert "built-in models:" in answer.err


@pytest.mark.usefixtures("codec")
def test_a_model_names_the_codec_by_its_weights(call: Call, home: Path) -> None:
    call("train", "sample:smileys", "--name", "faces", *SMALL, *FLOW, "--steps", 2)
    call("models", "cp", "codec", "other")
    call("models", "rm", "codec", "--yes")
    call("generate", "-m", "faces", "--seed", 1, "-o", "a.png")
    shown = json.loads(call("models", "show", "faces", "--json").out)
    assert len(shown["config"]["autoencoder"]["weights"]) == 64
