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
"""Least standard deviation of a principal component, of pixels in [-1, 1]: about one level."""


class ConvCodec(nn.Module):
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
        blocks: int,
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
        self.down = _stages(widths, blocks)
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.latent = nn.Conv2d(widths[-1], outputs, 1)
        self.decoder = Decoder(channels, latents, grids, width, blocks)
        self.factor = PATCH * 2 ** (len(grids) - 1)
        self.linear_encoder: nn.Conv2d | None = None
        self.linear_decoder: nn.Conv2d | None = None
        if linear:
            pixels = channels * self.factor**2
            self.linear_encoder = nn.Conv2d(pixels, outputs, 1)
            self.linear_decoder = nn.Conv2d(latents, pixels, 1)
            nn.init.zeros_(self.latent.weight)
            self.decoder.start_at_zero()

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
        pictures: Tensor = self.decoder(latents)
        if self.linear_decoder is not None:
            pictures = pictures + F.pixel_shuffle(self.linear_decoder(latents), self.factor)
        return pictures


class Decoder(nn.Module):
    """Latents to pictures, by residual blocks on finer and finer grids."""

    def __init__(
        self, channels: int, latents: int, grids: list[int], width: int, blocks: int
    ) -> None:
        """Build it; arguments as of `ConvCodec`."""
        super().__init__()
        widths = [width_at(width, (grid, grid)) for grid in grids]
        self.edge: Edge = "replicate"
        self.unlatent = conv3(latents, widths[-1], self.edge)
        self.up = _stages(widths, blocks)
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.finer = nn.Conv2d(widths[0], DETAIL, 1)
        self.detail = conv3(DETAIL, DETAIL, self.edge)
        self.last = conv3(DETAIL, channels, self.edge)

    def start_at_zero(self) -> None:
        """Let the output be zero at first, beside a linear path."""
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, latents: Tensor) -> Tensor:
        """Map (N, latents, h, w) to (N, C, h * factor, w * factor)."""
        x = self.unlatent(latents.contiguous(memory_format=torch.channels_last))
        for level in reversed(range(len(self.up))):
            if level < len(self.up) - 1:
                height, width = x.shape[2:]
                x = enlarge(self.widen[level](x), (2 * height, 2 * width), self.edge)
            x = self.up[level](x)
        height, width = x.shape[2:]
        x = enlarge(self.finer(leaky(x)), (PATCH * height, PATCH * width), self.edge)
        pictures: Tensor = self.last(leaky(self.detail(leaky(x))))
        return pictures


class LinearCodec(nn.Module):
    """Principal components of square cells as latents; decoded linearly, and then by layers.

    The components are fixed before training, so latents do not change while the decoder is trained,
    and pictures unlike the training set are encoded as well as others. The layers add what the
    neighbours of a cell tell about it.
    """

    components: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self, channels: int, latents: int, grids: list[int], width: int, blocks: int
    ) -> None:
        """Build it; arguments as of `ConvCodec`. It needs `fit`, or loaded weights."""
        super().__init__()
        self.factor = PATCH * 2 ** (len(grids) - 1)
        pixels = channels * self.factor**2
        self.register_buffer("components", torch.eye(latents, pixels))
        self.register_buffer("mean", torch.zeros(pixels))
        self.register_buffer("deviation", torch.ones(latents))
        self.decoder = Decoder(channels, latents, grids, width, blocks)
        self.decoder.start_at_zero()

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Set the components to the first principal ones of the cells of images, (N, C, H, W).

        They are orthogonal and of one length, so that distances of latents are about those of
        pixels: what is coarse counts for more than what is fine, and a flow generates it first.
        Latents have zero mean, and a variance of one on average over channels.
        """
        cells = F.pixel_unshuffle(images, self.factor).movedim(1, -1).flatten(0, 2)
        count = len(self.components)
        variances, directions = torch.linalg.eigh(torch.cov(cells.T, correction=0).double())
        directions = directions.flip(1)[:, :count].T
        variances = variances.flip(0)[:count].clamp_min(LEAST_DEVIATION**2)
        scale = variances.mean().rsqrt()
        self.mean.copy_(cells.mean(0))
        self.components.copy_(directions * scale)
        self.deviation.copy_(variances.sqrt() * scale)

    def encode(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, latents, H / factor, W / factor)."""
        cells = F.pixel_unshuffle(x, self.factor)
        bias = -self.components @ self.mean
        return F.conv2d(cells, self.components[..., None, None], bias)

    def decode(self, latents: Tensor) -> Tensor:
        """Map (N, latents, h, w) to (N, C, h * factor, w * factor)."""
        # The rows are orthogonal and of one length.
        inverse = (self.components.T / self.components[0].square().sum())[..., None, None]
        linear = F.pixel_shuffle(F.conv2d(latents, inverse, self.mean), self.factor)
        pictures: Tensor = linear + self.decoder(latents)
        return pictures


def _stages(widths: list[int], blocks: int) -> nn.ModuleList:
    return nn.ModuleList(
        Stage(Residual(width, 0, "replicate") for _ in range(blocks)) for width in widths
    )


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
