"""A perceptual loss, in the features of a pretrained network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from imagegen.nn import efficientnet
from imagegen.nn.blocks import in_float32

SCALE = 1.5
"""Pictures are enlarged by this before the network sees them, since ImageNet's objects fill 224
pixels; more costs more, and changes features little."""
TAPS = (3, 5, 11)
"""Blocks of EfficientNet-Lite0 whose outputs are compared: the ends of stages 2, 3 and 5, at a 4th,
8th and 16th of the enlarged size. Later ones see objects, which a square of 32 pixels is not."""


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
