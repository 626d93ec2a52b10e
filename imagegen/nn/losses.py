"""How unlike images are: losses of reconstructions, and measures of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STRUCTURE, EDGES = 0.3, 0.1
"""Weights of unlike structure and of unlike edges, beside unlike pixels."""


def reconstruction_loss(x: Tensor, y: Tensor) -> Tensor:
    """Return how unlike (N, C, H, W) are to each other, in pixels, structure and edges."""
    edges = sum(
        ((x.diff(dim=dim) - y.diff(dim=dim)).abs().mean() for dim in (2, 3)), x.new_zeros(())
    )
    return (x - y).abs().mean() + STRUCTURE * (1 - ssim(x, y)) + EDGES * edges


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity of pictures in [-1, 1], in windows of 7x7 pixels.

    Wang et al. 2004, "Image quality assessment", eq. 13, with even windows.
    """
    low, high = 0.01**2, 0.03**2
    x, y = (x + 1) / 2, (y + 1) / 2  # it compares brightness too, which has no sign
    x_mean, y_mean = window(x), window(y)
    x_var = window(x * x) - x_mean * x_mean
    y_var = window(y * y) - y_mean * y_mean
    both = window(x * y) - x_mean * y_mean
    alike = (2 * x_mean * y_mean + low) * (2 * both + high)
    return (alike / ((x_mean**2 + y_mean**2 + low) * (x_var + y_var + high))).mean()


def window(x: Tensor) -> Tensor:
    """Return the means of 7x7 windows of (N, C, H, W)."""
    return F.avg_pool2d(x, 7, stride=1)


def psnr(error: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of a mean squared error between -1 and 1."""
    return 10 * torch.log10(4 / error.clamp_min(1e-10))
