"""A small ResNet (He et al. 2016, arXiv 1512.03385), trained by imagegen itself, for features.

The second judge beside EfficientNet-Lite0: plain 3x3 convolutions instead of inverted residuals,
and other training data, icons and drawings instead of ImageNet's photographs. It learned to predict
the words of captions, and which corruption (noise, blur, JPEG and others) a picture went through,
so that its features show both what a picture is of and how clean it is. `recipes/general/judge.py`
trains it; the weights are part of this package.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen import durable
from imagegen.data.store import Images
from imagegen.errors import UserError
from imagegen.evaluate import whitening
from imagegen.evaluate.extractor import (
    EXTRACTORS,
    Extractor,
    Floats,
    Report,
    cached_arrays,
    digest,
    resized_rgb,
)

WEIGHTS = Path(__file__).with_name("resnet.safetensors")
WIDTHS = (24, 40, 80, 160)
"""Channels at a half, a quarter, an eighth and a sixteenth of the input's side."""
FEATURES = 64
"""Directions of the whitened features, at most; an eighth of the number of pictures if less."""
SIDE, LARGEST = 64, 128
"""Pixels a side that pictures are fed at: 64, as in training, or up to 128 for larger ones."""

Norm = Callable[[int], nn.Module]
"""Builds the normalisation of so many channels."""


@EXTRACTORS.register("resnet")
def extractor(images: Images, device: torch.device, report: Report) -> Extractor:
    """Return the network with its weights, its features whitened for these pictures.

    Grey, RGB and RGBA pictures of any size are fed at 64 to 128 pixels a side.
    """
    side = min(max(*images.shape[2:], SIDE), LARGEST)
    network, sha256 = load()
    prepare = partial(resized_rgb, side=side)
    key = f"resnet{side}-{sha256[:12]}-{digest(images)}"

    def fitted() -> dict[str, Floats]:
        plain = Extractor("resnet", "", "", network, prepare)
        count = max(2, min(FEATURES, len(images) // 8))
        mean, matrix = whitening.fit(torch.from_numpy(plain(images, report)).sqrt(), count)
        return {"mean": mean.float().numpy(), "matrix": matrix.float().numpy()}

    fit = {name: torch.from_numpy(array) for name, array in cached_arrays(key, fitted).items()}
    whitened = Whitened(network, fit["mean"], fit["matrix"]).to(device)
    name = f"ResNet (captions of icons and drawings) at {side} px"
    return Extractor("resnet", name, key, whitened, prepare)


def load(path: Path = WEIGHTS) -> tuple[ResNet, str]:
    """Return the network with the weights of a file, and the sha256 of that.

    Raises:
        UserError: if the file or its sha256 is missing, or they do not fit.
    """
    from safetensors.torch import load as parse

    try:
        data, sha256 = durable.read_checked(path)
    except UserError as error:
        raise UserError(error.message, "install imagegen again: its files are incomplete") from None
    network = ResNet()
    network.load_state_dict({name: value.float() for name, value in parse(data).items()})
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, sha256


class ResNet(nn.Module):
    """RGB pictures in, the mean of each channel of four resolutions out.

    Early channels respond to noise, blur and compression, late ones to what is shown.
    """

    def __init__(self, norm: Norm | None = None) -> None:
        """Build the network; without `norm`, normalisations are folded into the convolutions."""
        super().__init__()
        self.stem = ConvNorm(3, WIDTHS[0], kernel=4, stride=2, norm=norm)
        self.stages = nn.ModuleList(Stage(a, b, norm) for a, b in pairwise(WIDTHS))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [0, 255] to (N, 304), not negative."""
        x = F.relu(self.stem((x - 127.5) / 64))
        means = [x.mean((2, 3))]
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean((2, 3)))
        return torch.cat(means, dim=1)


class Whitened(nn.Module):
    """Features of the network that are whitened for a set of real pictures, and of one length.

    The mean of a rectified channel has a long tail, and channels go up and down together: with
    plain means the kernel distance would be that of a few odd pictures, and corruptions would not
    show. Hence square roots, whitening and normalisation.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, network: ResNet, mean: Tensor, matrix: Tensor) -> None:
        """Take a network, and what `whitening.fit` returns for the roots of its features."""
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.float())
        self.register_buffer("matrix", matrix.float())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [0, 255] to (N, D), each of length sqrt(D)."""
        whitened = (self.network(x).sqrt() - self.mean) @ self.matrix
        features: Tensor = F.normalize(whitened, dim=1) * self.matrix.shape[1] ** 0.5
        return features


class Stage(nn.Module):
    """Halves the resolution, then one residual block."""

    def __init__(self, inputs: int, outputs: int, norm: Norm | None) -> None:
        super().__init__()
        self.down = ConvNorm(inputs, outputs, stride=2, norm=norm)
        self.first = ConvNorm(outputs, outputs, norm=norm)
        self.second = ConvNorm(outputs, outputs, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H / 2, W / 2)."""
        x = F.relu(self.down(x))
        return F.relu(x + self.second(F.relu(self.first(x))))


class ConvNorm(nn.Module):
    """A convolution and its normalisation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: Norm | None = None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=1)
        self.norm = norm(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H', W')."""
        y: Tensor = self.norm(self.conv(x))
        return y
