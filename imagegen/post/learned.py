"""Operations that a model from the registry does."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imagegen.errors import UserError
from imagegen.images.pixels import Floats
from imagegen.post.operations import operation

if TYPE_CHECKING:
    from torch import Tensor

    from imagegen.families.autoencoder import Autoencoder
    from imagegen.registry import Model


def check_autoencoder(key: str, name: str) -> None:
    """Raise ValueError unless the registry has an autoencoder of that name."""
    from imagegen import presets, registry

    try:
        found = registry.find(name)
        family = presets.check(found.settings()).family
    except UserError as error:
        raise ValueError(f"{key}: {error.message}") from None
    if family != "autoencoder":
        raise ValueError(f"{key}: {found.name} is a {family}, and an autoencoder is needed")


def _is_autoencoder(settings: dict[str, Any]) -> None:
    check_autoencoder("model", settings["model"])


@operation("filter", "reconstruct:model=sprites", check=_is_autoencoder)
def reconstruct(color: Floats, alpha: Floats | None, *, model: str) -> Floats:
    """Send through an autoencoder and back: what it has not learnt, such as noise, is lost.

    The picture keeps its size; what is seen is what the autoencoder saw in training, so it works
    best on pictures of about that size.

    Args:
        model: A trained autoencoder (imagegen train DATA --preset autoencoder).
    """
    import torch

    from imagegen import registry

    network = _loaded(registry.find(model))
    channels = network.shape[0]
    height, width = color.shape[:2]
    x = _to_network(network, color, alpha)
    with torch.inference_mode():
        again = network.decode(network.encode(x))
    if channels == 1:
        again = again.transpose(0, 1)
    result = (again[0].clamp(-1, 1) / 2 + 0.5).numpy().transpose(1, 2, 0)[:height, :width]
    if channels == 4:
        result = result[..., :3] / np.maximum(result[..., 3:], 0.5 / 255)
    if color.shape[2] == 1:
        result = result.mean(axis=2, keepdims=True)
    return np.asarray(result, np.float32)


def latents(model: str, color: Floats, alpha: Floats | None) -> tuple[Floats, int]:
    """Return what an autoencoder makes of a picture, and how many pixels a cell is wide.

    It is (rows, columns, numbers); the last row and column may reach beyond the picture. Of an
    autoencoder of grey pictures, the numbers of all channels one after another.
    """
    import torch

    from imagegen import registry

    network = _loaded(registry.find(model))
    with torch.inference_mode():
        found = network.encode(_to_network(network, color, alpha)).numpy()
    cells = np.moveaxis(np.concatenate(list(found)), 0, 2)
    return np.asarray(cells, np.float32), network.factor


def _to_network(network: Autoencoder, color: Floats, alpha: Floats | None) -> Tensor:
    """Turn a picture into the network's numbers in [-1, 1], with sides that it can halve."""
    import torch

    channels = network.shape[0]
    opaque = np.ones_like(color[..., :1]) if alpha is None else alpha
    if channels == 4:  # it knows colours as multiplied by alpha
        rgb = np.broadcast_to(color, (*color.shape[:2], 3))
        values = np.concatenate([rgb * opaque, opaque], axis=2)
    elif channels == 1:  # each channel on its own
        values = color
    else:
        values = np.broadcast_to(color, (*color.shape[:2], 3))
    height, width = values.shape[:2]
    factor = network.factor
    values = np.pad(values, ((0, -height % factor), (0, -width % factor), (0, 0)), mode="edge")
    x = torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32)) * 2 - 1
    return x.transpose(0, 1) if channels == 1 else x


@lru_cache(maxsize=2)
def _loaded(found: Model) -> Autoencoder:
    from imagegen import registry
    from imagegen.families.autoencoder import Autoencoder

    family, _ = registry.load(found)
    assert isinstance(family, Autoencoder)
    return family
