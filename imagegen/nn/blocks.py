"""Convolution blocks for small pictures: norm-free, dense 3x3, made for channels_last on a CPU."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2
"""Of the leaky rectifier below zero."""

Grid = tuple[int, int]
"""(height, width) in cells."""

Edge = Literal["zeros", "replicate", "circular"]
"""What is beyond the edge: zeros, the edge's cells again, or the other side of the picture."""


class _Leaky(torch.autograd.Function):
    """A leaky rectifier that knows its second derivative is zero.

    PyTorch's own sends a tensor of zeros back through the whole forward graph in a double
    backward: a gradient penalty then costs half as much again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.leaky_relu(x, SLOPE)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slopes: Tensor = torch.ops.aten.leaky_relu_backward(grads[0], x.detach(), SLOPE, False)
        return slopes


def leaky(x: Tensor) -> Tensor:
    """Return max(x, 0.2 x)."""
    y: Tensor = _Leaky.apply(x)  # type: ignore[no-untyped-call]
    return y


def in_float32(x: Tensor) -> Tensor:
    """Return x in float32 if mixed precision has made it bfloat16, else x itself.

    For whatever is compared or summed up next: bfloat16 has 8 bits, and differences of nearly equal
    numbers have none of them left.
    """
    return x.float() if x.dtype == torch.bfloat16 else x


def conv3(inputs: int, outputs: int, edge: Edge = "zeros") -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the grid and, after `leaky`, the variance.

    A GAN's generator must not see zeros beyond the edge, or it draws a frame: replicating the edge
    costs about 1 % of its time.
    """
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=edge)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


class Residual(nn.Module):
    """x + f(x), where f is two activated 3x3 convolutions and starts as zero.

    Fixup (Zhang et al. 2019, arXiv 1901.09321): with the last convolution at zero no
    normalisation is needed. A style, if any, scales and shifts what is between the two, after each
    cell's features were brought to unit length (Karras et al. 2018, arXiv 1710.10196, section 4.2).
    """

    def __init__(self, width: int, style: int = 0, edge: Edge = "zeros") -> None:
        super().__init__()
        self.first = conv3(width, width, edge)
        self.last = conv3(width, width, edge)
        nn.init.zeros_(self.last.weight)
        self.style = nn.Linear(style, 2 * width) if style else None
        if self.style is not None:
            nn.init.normal_(self.style.weight, std=style**-0.5)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        """Map (N, width, H, W), and (N, style), to the same shape as x."""
        y = self.first(leaky(x))
        if self.style is not None:
            scale, shift = self.style(style)[..., None, None].chunk(2, dim=1)
            y = y * (y.square().mean(1, keepdim=True) + 1e-6).rsqrt()
            y = y * (1 + scale) + shift
        changed: Tensor = x + self.last(leaky(y))
        return changed


class Stage(nn.Module):
    """Blocks of one width, one after the other, all told the same."""

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor, *told: Tensor) -> Tensor:
        """Map (N, width, H, W), and what the blocks are told, to the same shape as x."""
        for block in self.blocks:
            x = block(x, *told)
        return x


def enlarge(x: Tensor, grid: Grid, edge: Edge = "replicate") -> Tensor:
    """Enlarge (N, C, h, w) to (N, C, *grid), bilinearly; a circular edge goes on at the other."""
    if edge != "circular":
        return F.interpolate(x, size=grid, mode="bilinear", align_corners=False)
    before = x.shape[2:]
    # The least margin that becomes a whole number of cells.
    margin = [old // math.gcd(old, new) for old, new in zip(before, grid, strict=True)]
    top, left = (m * new // old for m, old, new in zip(margin, before, grid, strict=True))
    x = F.pad(x, (margin[1], margin[1], margin[0], margin[0]), mode="circular")
    x = enlarge(x, (grid[0] + 2 * top, grid[1] + 2 * left))
    return x[:, :, top : top + grid[0], left : left + grid[1]]


@contextmanager
def around(*networks: nn.Module) -> Iterator[None]:
    """Let pictures continue at the opposite edge, in all that these networks do meanwhile.

    What was trained with replicated edges, which do not tell where a cell is, draws pictures
    without a seam so.
    """
    changed: list[tuple[nn.Module, str, str]] = []
    for module in (module for network in networks for module in network.modules()):
        name = "padding_mode" if isinstance(module, nn.Conv2d) else "edge"
        if hasattr(module, name) and getattr(module, "kernel_size", None) != (1, 1):
            changed.append((module, name, getattr(module, name)))
            setattr(module, name, "circular")
    try:
        yield
    finally:
        for module, name, edge in changed:
            setattr(module, name, edge)


def halve(x: Tensor) -> Tensor:
    """Average 2x2 cells of (N, C, H, W); an odd side is rounded up."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def pyramid(grid: Grid) -> list[Grid]:
    """Return the grids that halving leads to, from `grid` to one of at most 7 cells a side."""
    grids = [grid]
    while max(grids[-1]) > 7:
        height, width = grids[-1]
        grids.append((-(-height // 2), -(-width // 2)))
    return grids


def width_at(width: int, grid: Grid) -> int:
    """Return the channels on a grid: `width` up to 8 cells a side, fewer at equal cost above.

    Multiples of 8 fill the vector registers: on one core, 16 to 24 channels at 32 cells a side
    reach 80 to 90 % of the multiply-adds a second of 96 channels at 8.
    """
    return min(width, max(8, round(width / max(grid)) * 8))
