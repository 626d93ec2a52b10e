"""Losses in the features of a pretrained network: a perceptual one, and an adversarial one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from imagegen.nn import efficientnet
from imagegen.nn.blocks import SLOPE, in_float32

SCALE = 1.5
"""Pictures are enlarged by this before the network sees them, since ImageNet's objects fill 224
pixels; more costs more, and changes features little."""
TAPS = (3, 5, 11)
"""Blocks of EfficientNet-Lite0 whose outputs are compared: the ends of stages 2, 3 and 5, at a 4th,
8th and 16th of the enlarged size. Later ones see objects, which a square of 32 pixels is not."""
CHANNELS = (24, 40, 112)
"""Channels of these outputs."""
PROJECTED = 64
"""Channels that each of them is projected to, at random, for the discriminator."""


class Features:
    """Feature maps of frozen EfficientNet-Lite0. Not an `nn.Module`: it is no part of a model."""

    def __init__(self, device: torch.device) -> None:
        """Load the network.

        Raises:
            UserError: if the weights of EfficientNet-Lite0 are not installed.
        """
        self._network = efficientnet.load().to(device)

    def __call__(self, x: Tensor) -> list[Tensor]:
        """Map (N, 3, H, W) in [-1, 1] to a feature map for each of `TAPS`, cells at unit length."""
        x = F.interpolate(x, scale_factor=SCALE, mode="bicubic")
        maps = map(in_float32, self._network.taps((x + 1) * 127.5, TAPS))
        return [y * (y.square().sum(1, keepdim=True) + 1e-6).rsqrt() for y in maps]


def perceptual_distance(features: Sequence[Tensor], goals: Sequence[Tensor]) -> Tensor:
    """Return LPIPS without learnt weights (Zhang et al. 2018, arXiv 1801.03924, eq. 1), a scalar.

    Squared differences are summed over channels, averaged over cells, and summed over maps.
    """
    pairs = zip(features, goals, strict=True)
    return torch.stack([(x - y).square().sum(1).mean() for x, y in pairs]).sum()


class ProjectedDiscriminator(nn.Module):
    """Scores every cell of the feature maps (Sauer et al. 2021, arXiv 2111.01007, section 3).

    Each map goes through a fixed random projection, so that no direction of it can be ignored, and
    three convolutions with spectral normalisation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head() for _ in CHANNELS)
        for index, channels in enumerate(CHANNELS):
            projection = torch.randn(PROJECTED, channels, 1, 1)  # of unit vectors: variance 1
            self.register_buffer(f"projection{index}", projection)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features, as of `Features`, to a score for each cell, (N, cells of all maps)."""
        scores = []
        for index, (head, x) in enumerate(zip(self.heads, features, strict=True)):
            x = F.conv2d(x, getattr(self, f"projection{index}"))
            scores.append(head(x).flatten(1))
        return in_float32(torch.cat(scores, dim=1))


def _head() -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(PROJECTED, PROJECTED, 3, padding=1)),
        nn.LeakyReLU(SLOPE),
        spectral_norm(nn.Conv2d(PROJECTED, PROJECTED, 3, padding=1)),
        nn.LeakyReLU(SLOPE),
        spectral_norm(nn.Conv2d(PROJECTED, 1, 1, bias=False)),  # of scores, only differences count
    )
