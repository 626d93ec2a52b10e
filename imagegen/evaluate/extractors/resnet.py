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
from imagegen.evaluate.extractor import EXTRACTORS, Extractor, Report, resized_rgb

WEIGHTS = Path(__file__).with_name("resnet.safetensors")
WIDTHS = (24, 40, 80, 160)
"""Channels at a half, a quarter, an eighth and a sixteenth of the input's side."""
FEATURES = sum(WIDTHS)
SIDE, LARGEST = 64, 128
"""Pixels a side that pictures are fed at: 64, as in training, or up to 128 for larger ones."""

Norm = Callable[[int], nn.Module]
"""Builds the normalisation of so many channels."""


@EXTRACTORS.register("resnet")
def extractor(images: Images, device: torch.device, report: Report) -> Extractor:
    """Return the network with its weights; grey, RGB and RGBA of any size become 64 to 128 px."""
    side = min(max(*images.shape[2:], SIDE), LARGEST)
    network, sha256 = load()
    name = f"ResNet (captions of icons and drawings) at {side} px"
    key = f"resnet{side}-{sha256[:12]}"
    return Extractor("resnet", name, key, network.to(device), partial(resized_rgb, side=side))


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

    The early ones respond to noise, blur and compression, the late ones to what is shown.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, norm: Norm | None = None) -> None:
        """Build the network; without `norm`, normalisations are folded into the convolutions."""
        super().__init__()
        self.stem = ConvNorm(3, WIDTHS[0], kernel=4, stride=2, norm=norm)
        self.stages = nn.ModuleList(Stage(a, b, norm) for a, b in pairwise(WIDTHS))
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("scale", torch.ones(FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [0, 255] to (N, 304), about standardised for pictures like those it
        was trained on."""
        return (self.pooled(x) - self.mean) * self.scale

    def pooled(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [0, 255] to the mean of each channel, (N, 304), not negative."""
        x = F.relu(self.stem((x - 127.5) / 64))
        means = [x.mean((2, 3))]
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean((2, 3)))
        return torch.cat(means, dim=1)


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
