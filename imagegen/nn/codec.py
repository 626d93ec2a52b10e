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
LEAST_DEVIATION = 1e-2
"""Standard deviation of a principal component, for pixels in [-1, 1], that counts as this at least:
about one level of 255."""


class Codec(nn.Module):
    """Pictures to latents and back; convolutions only, so for pictures of any size.

    Beside the layers there can be a linear path, in each half one matrix between the pixels of a
    cell and its latents. It carries the fine detail that takes the layers long to learn. Similar to
    the shortcuts of Chen et al. 2024 (arXiv 2410.10733, section 3.2), which are fixed.
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
        linear: bool,
    ) -> None:
        """Build both halves.

        Args:
            channels: of the pictures.
            latents: numbers that the decoder takes a cell.
            outputs: numbers that the encoder gives a cell.
            grids: cells a side on each grid, finest first.
            width: channels on grids of up to 8 cells a side; finer grids have fewer.
            blocks: residual blocks on each grid, in the encoder and in the decoder.
            linear: whether there is a linear path; the layers start with an output of zero.
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
        self.factor = PATCH * 2 ** (len(grids) - 1)
        self.linear_encoder: nn.Conv2d | None = None
        self.linear_decoder: nn.Conv2d | None = None
        if linear:
            pixels = channels * self.factor**2
            self.linear_encoder = nn.Conv2d(pixels, outputs, 1)
            self.linear_decoder = nn.Conv2d(latents, pixels, 1)
            for parameter in (*self.latent.parameters(), *self.last.parameters()):
                nn.init.zeros_(parameter)

    @torch.no_grad()
    def initialize(self, images: Tensor, scale: float) -> None:
        """Set the linear path to the principal components of the cells of images.

        Latents are the first components, each of unit variance, so that a codec starts as the best
        linear one.

        Args:
            images: (N, C, H, W); there must be a linear path.
            scale: of what `decode` returns, relative to images.
        """
        encoder, decoder = self.linear_encoder, self.linear_decoder
        assert encoder is not None
        assert decoder is not None
        cells = F.pixel_unshuffle(images, self.factor).movedim(1, -1).flatten(0, 2)
        mean = cells.mean(0)
        variances, components = torch.linalg.eigh(torch.cov(cells.T, correction=0).double())
        count = len(encoder.weight)
        components = components.flip(1)[:, :count].float()
        deviation = variances.flip(0)[:count].clamp_min(0).sqrt().float().clamp_min(LEAST_DEVIATION)
        encode, decode = (components / deviation).T, scale * components * deviation
        encoder.load_state_dict({"weight": encode[..., None, None], "bias": -encode @ mean})
        decoder.load_state_dict({"weight": decode[..., None, None], "bias": scale * mean})

    def encode(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, outputs, H / factor, W / factor)."""
        linear: Tensor | int = 0
        if self.linear_encoder is not None:
            linear = self.linear_encoder(F.pixel_unshuffle(x, self.factor))
        x = F.pixel_unshuffle(x, PATCH).contiguous(memory_format=torch.channels_last)
        x = self.first(x)
        for level, stage in enumerate(self.down):
            if level:
                x = self.narrow[level - 1](halve(x))
            x = stage(x)
        latents: Tensor = self.latent(leaky(x)) + linear
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
        linear: Tensor | int = 0
        if self.linear_decoder is not None:
            linear = F.pixel_shuffle(self.linear_decoder(latents), self.factor)
        pictures: Tensor = self.last(leaky(self.detail(leaky(x)))) + linear
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
