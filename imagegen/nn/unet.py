"""A small U-Net over a grid of cells: what a flow learns its velocities with."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.nn.blocks import (
    Edge,
    Stage,
    conv3,
    enlarge,
    halve,
    in_float32,
    pyramid,
    width_at,
)
from imagegen.nn.conditioner import Conditioner, Told
from imagegen.nn.embedding import Embedding, ImageConditioner

STYLE = 128
"""Numbers that tell every block the times, and what the picture is to be."""
GROUPS = 8
"""Groups of channels that are normalised together."""
HEAD = 32
"""Channels of an attention head, at least."""
FREQUENCIES = 16
"""Sines and cosines, each, that a time is seen as."""


class Unet(nn.Module):
    """Pictures with noise, two times and what they are to be in, pictures out.

    Pixels are shuffled into cells first: a CPU is quickest where channels are many. Half of the
    blocks lead down a pyramid of grids, half up again, past what was on the way down (Ronneberger
    et al. 2015, arXiv 1505.04597).
    """

    deviation: Tensor | None

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int],
        patch: int,
        width: int,
        depth: int,
        conditioner: Conditioner | None,
        edge: Edge = "zeros",
        image_conditioner: ImageConditioner | None = None,
        deviation: Tensor | None = None,
    ) -> None:
        """Build a network for (N, channels, *grid).

        Args:
            channels: of the pictures.
            grid: height and width of the pictures, multiples of `patch`.
            patch: side of the square of pixels that makes a cell.
            width: channels on grids of up to 8 cells a side; finer grids have fewer.
            depth: blocks on each grid, down and up again.
            conditioner: what gives a vector of `STYLE` numbers of what is told, if anything can be.
            edge: what lies beyond the edge; zeros tell where a cell is, which noise does not.
            image_conditioner: the same for embeddings of images.
            deviation: about the standard deviation of each channel, (channels,), of zero mean. The
                layers then only correct the best linear estimate.
        """
        super().__init__()
        self.patch = patch
        deviation = None if deviation is None else deviation.detach().view(-1, 1, 1)
        self.register_buffer("deviation", deviation, persistent=False)
        self.grids = pyramid((grid[0] // patch, grid[1] // patch))
        widths = [width_at(width, grid) for grid in self.grids]
        self.edge = edge
        cell = channels * patch**2
        self.time = nn.Sequential(
            nn.Linear(4 * FREQUENCIES, STYLE), nn.SiLU(), nn.Linear(STYLE, STYLE), nn.SiLU()
        )
        self.conditioner = conditioner
        self.image_conditioner = image_conditioner
        # This comes before any normalisation: in mixed precision on a CPU, torch 2.13 crashes in
        # the backward pass of a channels_last GroupNorm whose input needs no gradient.
        self.first = conv3(cell, widths[0], edge)

        def stage(width: int) -> Stage:
            return Stage(Block(width, edge) for _ in range(depth))

        self.down = nn.ModuleList(map(stage, widths))
        self.up = nn.ModuleList(map(stage, widths))
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.attention = Attention(widths[-1])
        self.skip = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths)
        self.norm = nn.GroupNorm(GROUPS, widths[0])
        self.last = conv3(widths[0], cell, edge)
        nn.init.zeros_(self.last.weight)

    def forward(
        self, z: Tensor, t: Tensor, s: Tensor, told: Told | None, image: Embedding | None = None
    ) -> Tensor:
        """Map (N, C, H, W), times (N,) and (N,), and what is told of N, to (N, C, H, W)."""
        style = self.time(torch.cat([_waves(t), _waves(s)], dim=1))
        if self.conditioner is not None:
            style = style + self.conditioner(told)
        if self.image_conditioner is not None:
            style = style + self.image_conditioner(image)
        x = F.pixel_unshuffle(z, self.patch).contiguous(memory_format=torch.channels_last)
        x = self.first(x)
        passed = []
        for level, stage in enumerate(self.down):
            if level:
                x = self.narrow[level - 1](halve(x))
            x = stage(x, style)
            passed.append(x)
        x = self.attention(x)
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                x = enlarge(self.widen[level](x), self.grids[level], self.edge)
            x = self.skip[level](torch.cat([x, passed[level]], dim=1))
            x = self.up[level](x, style)
        pictures: Tensor = F.pixel_shuffle(self.last(F.silu(self.norm(x))), self.patch)
        pictures = in_float32(pictures)
        if self.deviation is not None:
            pictures = preconditioned(z, pictures, t, self.deviation)
        return pictures


def preconditioned(z: Tensor, residual: Tensor, t: Tensor, deviation: Tensor) -> Tensor:
    """Return the best linear estimate of x from z = (1 - t) x + t e, corrected by a residual.

    For x of zero mean and standard deviation d the estimate is (1 - t) d^2 z divided by
    (1 - t)^2 d^2 + t^2. The residual is scaled so that its target has unit variance at all times
    (Karras et al. 2022, arXiv 2206.00364, table 1, on straight paths).

    Args:
        z: (N, C, H, W).
        residual: (N, C, H, W).
        t: (N,).
        deviation: (C, 1, 1).
    """
    t = t.view(-1, 1, 1, 1)
    variance = ((1 - t) * deviation).square() + t.square()
    return (1 - t) * deviation.square() / variance * z + t * deviation * variance.rsqrt() * residual


class Block(nn.Module):
    """x + f(x), where f is two 3x3 convolutions, told the times and the label, and starts as zero.

    With normalised groups of channels, unlike `blocks.Residual`: what a flow sees is half noise, of
    any strength, and here they learn quicker.
    """

    def __init__(self, width: int, edge: Edge) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for _ in range(2))
        self.first = conv3(width, width, edge)
        self.last = conv3(width, width, edge)
        nn.init.zeros_(self.last.weight)
        self.style = nn.Linear(STYLE, 2 * width)
        nn.init.zeros_(self.style.weight)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Map (N, width, H, W), and (N, STYLE), to the same shape as x."""
        before, between = self.norms
        y = self.first(F.silu(before(x)))
        scale, shift = self.style(style)[..., None, None].chunk(2, dim=1)
        changed: Tensor = x + self.last(F.silu(between(y) * (1 + scale) + shift))
        return changed


class Attention(nn.Module):
    """x + f(x), where f lets every cell look at all others, and starts as zero.

    Vaswani et al. 2017, arXiv 1706.03762, section 3.2, with several heads.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = max(1, width // HEAD)
        self.heads = next(count for count in range(heads, 0, -1) if width % count == 0)
        self.norm = nn.GroupNorm(1, width)
        self.queries = nn.Conv2d(width, 3 * width, 1)
        self.last = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, width, H, W) to the same shape."""
        count, width, height, wide = x.shape
        parts = self.queries(self.norm(x)).view(count, 3, self.heads, -1, height * wide)
        query, key, value = parts.mT.unbind(1)
        seen = F.scaled_dot_product_attention(query, key, value)
        changed: Tensor = x + self.last(seen.mT.reshape(count, width, height, wide))
        return changed


def _waves(t: Tensor) -> Tensor:
    """Return sines and cosines of (N,) times in [0, 1], (N, 2 FREQUENCIES)."""
    powers = torch.linspace(0, math.log(64), FREQUENCIES, device=t.device).exp()
    angles = math.pi * t[:, None] * powers
    return torch.cat([angles.sin(), angles.cos()], dim=1)
