"""Pictures that operations are tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen import presets, registry
from imagegen.families.autoencoder import Autoencoder
from imagegen.families.flow import Flow
from imagegen.family import Condition, Family

MODES = ["L", "LA", "RGB", "RGBA", "P", "I;16", "tiny", "row", "large", "clear"]


def picture(kind: str) -> Image.Image:
    """Return a small picture of a mode, a single pixel, or one that is all transparent."""
    random = np.random.default_rng(7)
    if kind == "tiny":
        return Image.new("RGB", (1, 1), (10, 200, 30))
    if kind == "row":
        return Image.fromarray(random.integers(0, 256, (1, 7), dtype=np.uint8))
    if kind == "large":
        return Image.fromarray(random.integers(0, 256, (129, 257, 4), dtype=np.uint8))
    if kind == "clear":
        return Image.new("RGBA", (6, 5), (10, 200, 30, 0))
    if kind == "I;16":
        return Image.fromarray(random.integers(0, 65536, (12, 15)).astype(np.uint16))
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 3}[kind]
    values = random.integers(0, 256, (12, 15, channels), dtype=np.uint8)
    image = Image.fromarray(values.squeeze(2) if channels == 1 else values)
    return image.quantize(8) if kind == "P" else image


def save(folder: Path, preset: str, family: Family) -> None:
    """Make a model folder of a family, in place of training."""
    config = presets.check(presets.resolve([preset]))
    config = presets.filled(config, model=family.model)
    registry.save_weights(folder / registry.WEIGHTS, family, config, 1)
    (folder / "config.yaml").write_text(presets.dump(config))


@pytest.fixture(scope="session")
def _models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of small models that have learnt nothing."""
    shape = (3, 16, 16)
    coder, half = (
        Autoencoder.Model(kind=kind, width=8, blocks=1, prior_width=8) for kind in ("kl", "half")
    )
    models: dict[str, tuple[str, Family]] = {
        "sprites": ("autoencoder", Autoencoder(coder, shape, Condition())),
        "sprites-half": ("autoencoder", Autoencoder(half, shape, Condition())),
        "sprites-flow": ("flow", Flow(Flow.Model(width=8), shape, Condition())),
    }
    folders = {}
    for name, (preset, family) in models.items():
        folders[name] = tmp_path_factory.mktemp(name)
        save(folders[name], preset, family)
    return folders


@pytest.fixture(autouse=True)
def sprites(home: Path, _models: dict[str, Path]) -> None:
    """Give each test models of these names, for operations that need one."""
    (home / "models").mkdir()
    for name, folder in _models.items():
        (home / "models" / name).symlink_to(folder)


@pytest.fixture(params=MODES)
def any_picture(request: pytest.FixtureRequest) -> Image.Image:
    return picture(request.param)
