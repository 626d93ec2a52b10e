"""Putting trained models into the package, as `recipes.general.package` does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen import registry
from recipes.general import package
from tests.cli.conftest import SMALL, Call

CODEC = ["--preset", "codec", "--set", "model.channels=4", "--set", "model.perceptual=0"]


def put(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["package", *words])
    package.main()


def test_a_flow_is_packaged_on_a_codec_with_a_better_decoder(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "builtin_folder", lambda: tmp_path / "builtin")
    small = [*SMALL, *CODEC, "--set", "model.crop=0"]
    call("train", "sample:smileys", "--name", "first", *small, "--steps", 1)
    flow = ["--preset", "latent-flow", "--set", "autoencoder.name=first"]
    call("train", "sample:smileys", "--name", "faces", *SMALL, *flow, "--steps", 3)
    call("train", "sample:smileys", "--from", "first", "--name", "second", *small, "--steps", 3)
    put(monkeypatch, "second", "codec")
    put(monkeypatch, "faces", "general", "--codec", "builtin:codec", "--set", "train.lr=1e-3")
    call("models", "rm", "faces", "--yes")
    call("models", "rm", "first", "--yes")
    call("models", "rm", "second", "--yes")
    call("generate", "-m", "builtin:general", "--seed", 1, "-o", "drawn.png")
    assert np.ptp(np.asarray(Image.open("drawn.png").convert("RGB"))) > 0
    packaged = registry.find("builtin:general")
    assert packaged.settings().get(("train", "lr")) == 1e-3
    assert packaged.settings().get(("autoencoder", "name")) == "builtin:codec"
    codec = registry.find("builtin:codec")
    assert packaged.header()["config"]["autoencoder"]["weights"] == registry.read_weights(codec)[1]
    assert "3 steps of" in (packaged.path / "card.md").read_text()
