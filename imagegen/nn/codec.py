"""Convolutional codecs: pictures to a coarse grid of latents and back, at any size."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.nn.blocks import Edge, Residual, Stage, conv3, enlarge, halve, leaky, width_at

PATCH = 2
"""Side of the square of pixels that is shuffled into channels before the first convolution."""
DETAIL = 24
"""Channels at the full size, where pictures are drawn. Shuffling pixels back out of channels leaves
a pattern of dots along edges, for longer than a short training lasts."""


class Codec(nn.Module):
    """Pictures to latents and back; convolutions only, so for pictures of any size.

    Beside a way through many layers there can be a straight one, each half of it a matrix between
    the pixels of a cell and its numbers: fine detail, which a short training does not get through
    the layers, comes through there. With a hint from Chen et al. 2024 (arXiv 2410.10733, section
    3.2), where such ways are fixed.
    """

    def __init__(
        self,
        channels: int,
        latents: int,
        outputs: int,
        grids: list[int],
        width: int,
        blocks: tuple[int, int],
        *,
        straight: bool,
    ) -> None:
        """Build both halves.

        Args:
            channels: of the pictures.
            latents: numbers that the decoder takes a cell.
            outputs: numbers that the encoder gives a cell.
            grids: cells a side on each grid, finest first.
            width: channels on grids of up to 8 cells a side; finer grids have fewer.
            blocks: residual blocks on each grid, in the encoder and in the decoder.
            straight: whether there is a straight way; the layers begin as nothing beside it.
        """
        super().__init__()
        widths = [width_at(width, (grid, grid)) for grid in grids]
        cell = channels * PATCH**2

        self.edge: Edge = "replicate"
        self.first = conv3(cell, widths[0], self.edge)

        def stages(blocks: int) -> nn.ModuleList:
            return nn.ModuleList(
                Stage(Residual(width, 0, self.edge) for _ in range(blocks)) for width in widths
            )

        self.down = stages(blocks[0])
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.latent = nn.Conv2d(widths[-1], outputs, 1)
        self.unlatent = conv3(latents, widths[-1], self.edge)
        self.up = stages(blocks[1])
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.finer = nn.Conv2d(widths[0], DETAIL, 1)
        self.detail = conv3(DETAIL, DETAIL, self.edge)
        self.last = conv3(DETAIL, channels, self.edge)
        self.there: nn.Sequential | None = None
        self.back: nn.Sequential | None = None
        if straight:
            factor = PATCH * 2 ** (len(grids) - 1)
            pixels = channels * factor**2
            self.there = nn.Sequential(nn.PixelUnshuffle(factor), nn.Conv2d(pixels, outputs, 1))
            self.back = nn.Sequential(nn.Conv2d(latents, pixels, 1), nn.PixelShuffle(factor))
            nn.init.zeros_(self.latent.weight)
            nn.init.zeros_(self.last.weight)

    def encode(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, outputs, H / factor, W / factor)."""
        straight = 0 if self.there is None else self.there(x)
        x = F.pixel_unshuffle(x, PATCH).contiguous(memory_format=torch.channels_last)
        x = self.first(x)
        for level, stage in enumerate(self.down):
            if level:
                x = self.narrow[level - 1](halve(x))
            x = stage(x)
        latents: Tensor = self.latent(leaky(x)) + straight
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Map (N, latents, h, w) to (N, C, h * factor, w * factor)."""
        x = self.unlatent(latents.contiguous(memory_format=torch.channels_last))
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                height, width = x.shape[2:]
                x = enlarge(self.widen[level](x), (2 * height, 2 * width), self.edge)
            x = self.up[level](x)
        height, width = x.shape[2:]
        x = enlarge(self.finer(leaky(x)), (PATCH * height, PATCH * width), self.edge)
        straight = 0 if self.back is None else self.back(latents)
        pictures: Tensor = self.last(leaky(self.detail(leaky(x)))) + straight
        return pictures


class Halves(nn.Module):
    """Pictures to half the size, by means of 2x2 pixels, and back, by what it has learnt.

    The way back adds detail to a bilinear enlargement (as Kim et al. 2016, arXiv 1511.04587), in
    residual blocks without normalisation (Lim et al. 2017, arXiv 1707.02921) on the small grid.
    """

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.edge: Edge = "replicate"
        self.first = conv3(channels, width, self.edge)
        self.blocks = Stage(Residual(width, 0, self.edge) for _ in range(blocks))
        self.last = conv3(width, channels * PATCH**2, self.edge)
        nn.init.zeros_(self.last.weight)

    def encode(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H / 2, W / 2)."""
        return F.avg_pool2d(x, PATCH)

    def decode(self, latents: Tensor) -> Tensor:
        """Map (N, C, h, w) to (N, C, 2 h, 2 w)."""
        x = latents.contiguous(memory_format=torch.channels_last)
        detail = F.pixel_shuffle(self.last(leaky(self.blocks(self.first(x)))), PATCH)
        height, width = detail.shape[2:]
        return detail + enlarge(latents, (height, width), self.edge)
