"""`imagegen features` and the operation `reconstruct`, with a real autoencoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import SMALL, Call

AUTOENCODER = [*SMALL, "--preset", "autoencoder", "--set", "model.prior_width=8"]


@pytest.fixture(scope="module")
def home_of_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("autoencoder")


@pytest.fixture
def model(call: Call, home_of_one: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path) -> str:
    """Return the name of an autoencoder of the folder `pictures`, trained for a few steps."""
    monkeypatch.setenv("IMAGEGEN_HOME", str(home_of_one))
    if not (home_of_one / "models" / "ae").exists():
        call("train", pictures, "--name", "ae", "--steps", 4, *AUTOENCODER)
    return "ae"


def test_latents_of_every_picture(call: Call, model: str, pictures: Path, tmp_path: Path) -> None:
    out, page = tmp_path / "x.npz", tmp_path / "map.png"
    answer = call("features", model, pictures, "-o", out, "--map", page)
    assert answer.out.split() == [str(out), str(page)]
    with np.load(out) as arrays:
        assert arrays["latents"].shape == (12, 8, 4, 4)
        assert arrays["latents"].dtype == np.float32
        assert list(arrays["names"]) == sorted(arrays["names"])
        assert set(arrays["labels"]) == {"disc", "square"}
        assert len(np.unique(arrays["latents"].reshape(12, -1), axis=0)) == 12
        first = arrays["latents"]
    with Image.open(page) as shown:
        assert shown.width > 4 * 16
    call("features", model, pictures, "-o", out)
    with np.load(out) as arrays:
        assert np.array_equal(arrays["latents"], first)


def test_labels_none_or_several(call: Call, model: str, pictures: Path, tmp_path: Path) -> None:
    first, second, *_ = sorted(path for path in pictures.rglob("*.png"))
    (tmp_path / "set/red").mkdir(parents=True)
    (tmp_path / "set/none.png").write_bytes(first.read_bytes())
    (tmp_path / "set/red/two.png").write_bytes(second.read_bytes())
    (tmp_path / "set/table.csv").write_text("file_name,label\nred/two.png,red;small\n")
    call("features", model, tmp_path / "set", "-o", tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        labels = dict(zip(arrays["names"].tolist(), arrays["labels"].tolist(), strict=True))
    assert labels == {"none.png": "", "red/two.png": "red;small"}


def test_what_features_refuses(call: Call, model: str, pictures: Path, tmp_path: Path) -> None:
    assert "FILE.npz" in call("features", model, pictures, "-o", tmp_path / "x.csv", code=2).err
    assert "unknown model" in call("features", "nobody", code=4).err
    call("train", pictures, "--name", "contest", "--steps", 2, *SMALL)
    assert "has no encoder: it is a gan" in call("features", "contest", pictures, code=2).err


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("size", [(16, 16), (21, 13), (1, 1)])
def test_reconstruct_keeps_what_a_picture_is(
    call: Call, model: str, tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    path, out = tmp_path / "in.png", tmp_path / "out.png"
    if mode == "I;16":
        Image.fromarray(np.full(size[::-1], 40_000, np.uint16)).save(path)
    else:
        Image.effect_noise(size, 60).convert(mode).save(path)
    call("postprocess", path, "--op", f"reconstruct:model={model}", "-o", out)
    with Image.open(path) as before, Image.open(out) as after:
        assert (after.size, after.mode) == (before.size, before.mode)
        if "A" in mode:
            assert after.getchannel("A").tobytes() == before.getchannel("A").tobytes()


def test_reconstruct_needs_an_autoencoder(call: Call, model: str, pictures: Path) -> None:
    picture = next(pictures.rglob("*.png"))
    for name, says in {"nobody": "unknown model", "../x": "can't be the name"}.items():
        words = ["postprocess", picture, "--op", f"reconstruct:model={name}", "-o", "out.png"]
        assert says in call(*words, code=2).err


def test_the_built_in_codec_encodes_any_pictures(
    call: Call, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.npz"
    call("features", pictures, "-o", out)
    with np.load(out) as arrays:
        assert arrays["latents"].shape[0] == 12
        assert arrays["latents"].shape[2:] == (8, 8)  # all pictures at 64x64 pixels
    assert "name them: DATA" in call("features", "builtin:codec", code=2).err
    assert "no such folder: nowhere/" in call("features", "nowhere/", code=1).err
    call("features", "sample:smileys", "-o", out)
    with np.load(out) as arrays:
        assert arrays["latents"].shape[1:] == (64, 8, 8)
    picture = next(pictures.rglob("*.png"))
    call("postprocess", picture, "--op", "reconstruct", "-o", tmp_path / "again.png")
    with Image.open(picture) as before, Image.open(tmp_path / "again.png") as after:
        pair = [np.asarray(one.convert("RGB"), float) for one in (before, after)]
    assert np.abs(pair[0] - pair[1]).mean() < 16
