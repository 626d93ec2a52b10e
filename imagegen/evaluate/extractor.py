"""A feature network: pictures to vectors in which distances mean something, and their cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagegen import durable
from imagegen.catalog import Catalog
from imagegen.data.store import Images, to_tensor
from imagegen.errors import UserError
from imagegen.home import home

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Floats = npt.NDArray[np.float32]
Report = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is done."""


def silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


_BATCH = 32


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network that turns pictures into features.

    Attributes:
        network_name: its name in the catalog of feature networks.
        name: describes it in reports.
        key: identifies weights and input size in file names.
        network: maps (N, C, H, W) tensors to (N, D).
    """

    network_name: str
    name: str
    key: str
    network: nn.Module
    _prepare: Callable[[Images], Tensor]

    def __call__(self, images: Images, report: Report = silent) -> Floats:
        """Return the features, (N, D), of uint8 pictures, (N, C, H, W)."""
        import torch

        parts = []
        with torch.inference_mode():
            for start in range(0, len(images), _BATCH):
                batch = self._prepare(images[start : start + _BATCH])
                parts.append(self.network(batch.to(next(self.network.parameters()).device)).cpu())
                report("features", min(start + _BATCH, len(images)), len(images))
        return torch.cat(parts).numpy()

    def cached(self, images: Images, report: Report = silent) -> Floats:
        """Return features, (N, D), of pictures that will be asked for again: the real ones."""
        name = f"features-{self.key}-{digest(images)}"
        return cached_arrays(name, lambda: {"features": self(images, report)})["features"]


Factory = Callable[[Images, "torch.device", Report], Extractor]
"""Builds the extractor for a set of real pictures, uint8 (N, C, H, W)."""

EXTRACTORS: Catalog[Factory] = Catalog("feature network", "imagegen evaluate --help")


def resized_rgb(images: Images, side: int) -> Tensor:
    """Turn uint8 pictures, (N, C, H, W), into what networks are fed, see `efficientnet.fed`."""
    from imagegen.nn import efficientnet

    return efficientnet.fed(to_tensor(images), side)


def digest(images: Images) -> str:
    """Return a hash of pictures, for the names of files that depend on them."""
    found = hashlib.sha256(f"{images.shape}".encode())
    found.update(np.ascontiguousarray(images).data)
    return found.hexdigest()[:24]


def cached_arrays(name: str, compute: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
    """Return the arrays of a cache file, or compute and write them; nothing depends on the file.

    Args:
        name: of the file, without its ending.
        compute: called if the file is missing or damaged.
    """
    from safetensors.numpy import load, save

    path: Path = home() / "cache" / f"{name}.safetensors"
    try:
        return dict(load(durable.read_checked(path)[0]))
    except UserError:  # missing or damaged
        arrays = compute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_checked(path, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
    except OSError:  # the disk is full: it is computed again next time
        pass
    return arrays
