"""Operations that a model does: a flow that knows its pictures, and an ONNX file of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.families.autoencoder import Autoencoder
from imagegen.families.flow import Flow
from imagegen.family import Condition
from imagegen.images.reading import BadPictureError
from imagegen.nn import flow
from imagegen.post.chain import build_chain
from tests.post.conftest import save

FILES = Path(__file__).parent / "files"
SIDE = 16


def stripes(count: int, seed: int, side: int = SIDE) -> np.ndarray:
    """Return yellow and blue stripes, upright or flat, anywhere, (N, 3, side, side)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side]
    upright = random.integers(0, 2, (count, 1, 1))
    wave = np.sin(np.where(upright, x, y) * 0.9 + random.uniform(0, 2 * np.pi, (count, 1, 1)))
    return np.stack([0.6 * wave, 0.6 * wave, -0.5 * wave], axis=1).astype(np.float32)


def train(network: torch.nn.Module, loss: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Train on stripes for some seconds."""
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    known = torch.from_numpy(stripes(512, 1))
    for step in range(300):
        optimiser.zero_grad()
        loss(known[torch.randint(0, len(known), (16,))]).backward()
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / 300)
        optimiser.step()


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a flow that knows stripes."""
    torch.manual_seed(0)
    family = Flow(Flow.Model(width=24), (3, SIDE, SIDE), Condition())

    def loss(x: torch.Tensor) -> torch.Tensor:
        noise, t = torch.randn_like(x), torch.rand(len(x))
        return flow.matching_loss(lambda z, t, s: family.network(z, t, s, None), x, noise, t).mean()

    train(family.network, loss)
    folder = tmp_path_factory.mktemp("stripes")
    save(folder, "flow", family)
    return folder


@pytest.fixture
def trained(home: Path, _trained: Path) -> None:
    (home / "models" / "stripes").symlink_to(_trained)


def image(values: np.ndarray) -> Image.Image:
    """Turn (3, H, W) in [-1, 1] into a picture."""
    return Image.fromarray(
        np.rint((values.clip(-1, 1) / 2 + 0.5) * 255).astype(np.uint8).transpose(1, 2, 0)
    )


def error(one: Image.Image, other: Image.Image) -> float:
    """Return the root mean square difference in levels."""
    return float(np.sqrt(np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)))


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("side", [SIDE, 40, 11])
def test_denoise_knows_its_pictures(side: int) -> None:
    random = np.random.default_rng(3)
    clean = stripes(1, 99, side)[0]
    noisy = clean + random.normal(0, 30 / 127.5, clean.shape)
    before = error(image(noisy), image(clean))
    after = error(build_chain(["denoise:model=stripes,sigma=30"])(image(noisy)), image(clean))
    assert after < 0.6 * before
    # Better than what knows nothing of stripes, at its best.
    blurs = [f"gaussian:sigma={sigma}" for sigma in (0.5, 0.8, 1.2, 2)]
    assert after < min(error(build_chain([blur])(image(noisy)), image(clean)) for blur in blurs)


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an upscaler that knows stripes."""
    torch.manual_seed(0)
    model = Autoencoder.Model(kind="half", width=16, blocks=1, prior_width=8)
    family = Autoencoder(model, (3, SIDE, SIDE), Condition())
    train(family.codec, lambda x: (family.decode(family.encode(x)) - x).abs().mean())
    folder = tmp_path_factory.mktemp("doubles")
    save(folder, "autoencoder", family)
    return folder


@pytest.mark.parametrize("side", [SIDE, 48, 10])
def test_upscale_by_what_was_learnt(home: Path, upscaler: Path, side: int) -> None:
    (home / "models" / "doubles").symlink_to(upscaler)
    values = stripes(1, 98, side)[0]
    small = image(values.reshape(3, side // 2, 2, side // 2, 2).mean((2, 4)))
    large = build_chain(["upscale:method=model,model=doubles"])(small)
    assert large.size == (side, side)
    for method in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        plain = small.resize(large.size, method)
        assert error(large, image(values)) < 0.6 * error(plain, image(values))
    twice = build_chain(["upscale:method=model,model=doubles,factor=4"])(small)
    assert twice.size == (2 * side, 2 * side)


def test_upscale_by_a_model_keeps_alpha() -> None:
    shape = Image.new("RGBA", (8, 8), (200, 20, 20, 255))
    shape.paste((0, 0, 0, 0), (4, 0, 8, 8))
    large = build_chain(["upscale:method=model,model=sprites-half"])(shape)
    alpha = np.asarray(large.getchannel("A"))
    assert large.size == (16, 16)
    assert (alpha[:, :6] > 200).all()
    assert (alpha[:, 10:] < 55).all()
    # Not trained at all, it is a bilinear enlargement.
    assert np.abs(np.asarray(large)[:, :6, :3] - np.array([200, 20, 20])).max() <= 1


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("denoise:model=sprites", "sprites is of family autoencoder; needed: flow"),
        ("reconstruct:model=sprites-flow", "is of family flow; needed: autoencoder or codec"),
        ("denoise:model=nobody", "model: unknown model 'nobody'"),
        ("upscale:method=model", "model: missing; name one"),
        ("upscale:model=sprites-half", "model: would be ignored by method=edge"),
        ("upscale:method=model,model=sprites", "sprites is not of kind half: train with --preset"),
    ],
)
def test_models_that_do_not_fit(step: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        build_chain([step])


def test_matte_by_an_onnx_file() -> None:
    values = np.full((20, 30, 3), 40, np.uint8)
    values[5:15, 10:20] = 220
    cut = build_chain([{"matte": {"file": str(FILES / "bright.onnx"), "size": 64}}])(
        Image.fromarray(values)
    )
    alpha = np.asarray(cut.getchannel("A"))
    assert cut.mode == "RGBA"
    assert (np.asarray(cut)[..., :3] == values).all()
    assert (alpha[6:14, 11:19] == 255).all()
    assert alpha[:4].max() == alpha[:, :9].max() == 0


def test_matte_needs_a_matting_model(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"matte: file: no-file\.onnx: No such file"):
        build_chain(["matte:file=no-file.onnx"])
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    with pytest.raises(SettingsError, match=r"bad\.onnx is no ONNX model"):
        build_chain([{"matte": {"file": str(bad)}}])
    step = {"matte": {"file": str(FILES / "bright.onnx"), "mean": 0.4}}
    assert build_chain([step])(Image.new("L", (1, 1), 90)).getpixel((0, 0)) == (90, 0)
    with pytest.raises(BadPictureError, match="gives back 1x3x"):
        build_chain([{"matte": {"file": str(FILES / "same.onnx")}}])(Image.new("L", (4, 4)))
