"""A convolutional autoencoder, continuous or in tokens, with a small flow over its latent space.

Three kinds of latents, a few numbers for each cell of a coarse grid:
- kl: Gaussian, pulled towards the standard normal (Kingma and Welling 2013, arXiv 1312.6114), so
  that numbers that tell little are noise, which a flow over them need not learn;
- fsq: finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505): each number is rounded to
  one of a few levels, so a cell is a token, with neither a codebook nor a loss for one;
- half: the picture itself at half the size. What it learns is to enlarge, of any picture.

It has no network that was trained elsewhere to judge likeness with: pixels, structure and edges
have to do, and on demand a discriminator towards the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from imagegen.data.store import DeepImages, Images, to_tensor
from imagegen.errors import SettingsError
from imagegen.family import FAMILIES, Batch, Family, Shape
from imagegen.nn import flow
from imagegen.nn.blocks import (
    Edge,
    Residual,
    Stage,
    around,
    conv3,
    enlarge,
    halve,
    in_float32,
    leaky,
    width_at,
)
from imagegen.nn.conditioner import Told
from imagegen.nn.discriminator import GROUP, Discriminator, discriminator_loss, generator_loss
from imagegen.nn.unet import GROUPS, STYLE, Unet
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

CELLS = 12
"""Sides of the latent grid, at most: from there on, a picture is halved once more."""
PATCH = 2
"""Side of the square of pixels that is shuffled into channels before the first convolution."""
DETAIL = 24
"""Channels at the full size, where pictures are drawn. Shuffling pixels back out of channels leaves
a pattern of dots along edges, for longer than a short training lasts."""
CONTEST = 0.7
"""Share of the training after which the discriminator, if there is one, comes in."""
GAMMA, PENALTY_EVERY = 1.0, 4
"""Weight of the discriminator's gradient penalties, for 32x32 pixels, and steps between two."""
STRUCTURE, EDGES = 0.3, 0.1
"""Weights of unlike structure and of unlike edges, beside unlike pixels."""
WHOLE = 10.0
"""Weight of unlike means of 7x7 pixels, beside the divergence of Gaussian latents. Without it, what
tells a colour from another as bright is soon given up for that (tests/bench/RESULTS.md)."""


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
        blocks: int,
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
            blocks: residual blocks on each grid, in each half.
            straight: whether there is a straight way; the layers begin as nothing beside it.
        """
        super().__init__()
        widths = [width_at(width, (grid, grid)) for grid in grids]
        cell = channels * PATCH**2

        self.edge: Edge = "replicate"
        self.first = conv3(cell, widths[0], self.edge)

        def stage(width: int) -> Stage:
            return Stage(Residual(width, 0, self.edge) for _ in range(blocks))

        self.down = nn.ModuleList(map(stage, widths))
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.latent = nn.Conv2d(widths[-1], outputs, 1)
        self.unlatent = conv3(latents, widths[-1], self.edge)
        self.up = nn.ModuleList(map(stage, widths))
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


@FAMILIES.register("autoencoder")
class Autoencoder(Family):
    """Makes pictures small and back again; other families draw in its latent space."""

    phases: tuple[str, ...] = ("codec", "prior")
    drawn_by = ("codec", "prior")
    together = GROUP
    judged_by = "held_out"

    class Model(Settings):
        """The kind and the size of its networks, and the terms of its loss."""

        kind: Literal["kl", "fsq", "half"] = "kl"
        """`kl`: Gaussian latents; `fsq`: tokens; `half`: small pictures, and so an upscaler."""
        channels: Annotated[int, Field(ge=1, le=64)] = 8
        """Numbers a cell, of kind `kl`."""
        levels: Annotated[tuple[Annotated[int, Field(ge=2, le=64)], ...], Field(min_length=1)] = (
            8,
            5,
            5,
            5,
        )
        """Values that each number of a cell can have, of kind `fsq`; their product is the number of
        different tokens."""
        width: Annotated[int, Field(ge=8)] = 96
        """Channels on grids of up to 8 cells a side; finer grids have fewer, at equal cost."""
        blocks: Annotated[int, Field(ge=1)] = 2
        """Residual blocks on each grid, in the encoder and in the decoder."""
        kl: Annotated[float, Field(ge=0)] = 3e-1
        """Weight of the divergence from the standard normal, of kind `kl`, a number: with more,
        less comes back, and latents are easier to draw."""
        adversarial: Annotated[float, Field(ge=0)] = 0.0
        """Weight of a discriminator's opinion in the last part of training: pictures come back
        crisper, and a little less like themselves. 0 is without one."""
        prior_width: Annotated[int, Field(ge=8, multiple_of=GROUPS)] = 64
        """Channels of the small flow that it draws latents with when nothing stands on it."""
        prior_share: Annotated[float, Field(gt=0, le=1)] = 1.0
        """Share of the training, at its end, in which that flow learns."""
        tile: bool = False
        """Pictures go on at the opposite edge, so that they can be laid side by side: textures."""

    class Sampling(Settings):
        """How pictures are drawn."""

        steps: Annotated[int, Field(ge=1, le=1000)] = 10
        """Steps from noise to a picture."""
        solver: flow.Solver = "multistep"
        """`midpoint` and `heun` look at the network twice a step, the others once."""
        shift: Annotated[float, Field(ge=0.05, le=20)] = 4.0
        """Above 1, steps are short where there is much noise and long at the end."""
        guidance: Annotated[float, Field(ge=0, le=100)] = 1.5
        """How much more a label or text counts than it did in training: above 1, pictures are more
        typical of it and less varied, and take twice the time of 1. Untold it does nothing."""

    model: Model

    def build(self) -> None:
        """Build the networks; see `Family.build`."""
        model, shape = self.model, self.shape
        if model.kind == "fsq" and self.codes > MOST_CODES:
            raise SettingsError(
                f"model.levels: {'x'.join(map(str, model.levels))} levels are more than "
                f"{MOST_CODES:,} different tokens",
                "take fewer or smaller ones",
            )
        self.factor = _factor(shape, model.kind)
        height, width = (side // self.factor for side in shape[1:])
        self.latent_shape: Shape = (self.numbers, height, width)
        finest = max(shape[1:]) // PATCH
        self.codec: Codec | Halves
        if model.kind == "half":
            channels = width_at(model.width, (finest, finest))
            self.codec = Halves(shape[0], channels, model.blocks)
        else:
            count = int(math.log2(self.factor // PATCH)) + 1
            grids = [finest // 2**level for level in range(count)]
            gaussian = model.kind == "kl"
            self.codec = Codec(
                shape[0],
                self.numbers,
                2 * self.numbers if gaussian else self.numbers,
                grids,
                model.width,
                model.blocks,
                straight=gaussian,  # few levels are better used without
            )
        if model.adversarial:
            self.phases = ("discriminator", *self.phases)
            self.judged_by = "kid"  # crisp pictures are farther from the true ones than blurred
            self.discriminator = Discriminator(model.width, shape)
        told = self.condition.conditioner(STYLE, 0.5)
        edge: Edge = "replicate" if model.tile else "zeros"
        self.prior = Unet(self.numbers, (height, width), 1, model.prior_width, 1, told, edge)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def due(self, progress: float) -> tuple[str, ...]:
        """Return the phases to train: the discriminator comes in late, and so may the flow."""
        begins = {"discriminator": CONTEST, "prior": 1 - self.model.prior_share}
        return tuple(phase for phase in self.phases if progress >= begins.get(phase, 0))

    def can_draw(self, progress: float) -> bool:
        """Say whether the flow over its latents is trained by then; see `Family.can_draw`."""
        return "prior" in self.due(progress)

    @property
    def numbers(self) -> int:
        """How many numbers a cell has."""
        kinds = {"kl": self.model.channels, "fsq": len(self.model.levels), "half": self.shape[0]}
        return kinds[self.model.kind]

    @property
    def codes(self) -> int:
        """How many different tokens there are, of kind `fsq`."""
        return math.prod(self.model.levels)

    def encode(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [-1, 1] to (N, numbers, H / factor, W / factor), about in [-1, 1].

        Of kind `kl` these are the means, of kind `fsq` one of the levels each, of kind `half`
        pictures.
        """
        latents, _ = self._encode(images, None)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents back to (N, C, H, W), in about [-1, 1]."""
        return in_float32(self.codec.decode(latents))

    def decode_drawn(self, latents: Tensor) -> Tensor:
        """Map latents back as a flow has drawn them: of kind `fsq`, not yet at their levels."""
        if self.model.kind == "fsq":
            latents = self._values(self._places(latents))
        return self.decode(latents)

    def again(self, images: Tensor) -> Tensor:
        """Return pictures, (N, C, H, W) in [-1, 1], as they come back from their latents."""
        return self.decode(self.encode(images))

    @torch.inference_mode()
    def describe(self, images: Images | DeepImages) -> npt.NDArray[np.float32]:
        """Return the latents of pictures (N, C, H, W), (N, numbers, rows, columns)."""
        parts = [
            self.encode(to_tensor(images[start : start + _AT_ONCE]).to(self.device)).cpu().numpy()
            for start in range(0, len(images), _AT_ONCE)
        ]
        return np.concatenate(parts)

    def tokens(self, latents: Tensor) -> Tensor:
        """Map (N, numbers, h, w) of kind `fsq` to (N, h, w), int64 in [0, codes)."""
        return self._index(self._places(latents))

    def latents(self, tokens: Tensor) -> Tensor:
        """Map (N, h, w) tokens to (N, numbers, h, w) latents."""
        places = []
        for levels in reversed(self.model.levels):
            places.append(tokens % levels)
            tokens = tokens // levels
        return self._values(torch.stack(places[::-1], dim=1).float())

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return how unlike pictures come back; of `prior`, the flow's error."""
        if phase == "discriminator":
            with torch.no_grad():
                fakes = self.again(batch.images)
            gamma = GAMMA * PENALTY_EVERY * batch.images[0, 0].numel() / 32**2
            due = batch.step % PENALTY_EVERY == 0
            return discriminator_loss(
                self.discriminator, batch.images, fakes, gamma=gamma if due else 0.0
            )
        if phase == "prior":
            return self._prior_loss(batch), {}
        latents, divergence = self._encode(batch.images, batch)
        again = self.decode(latents)
        loss = _unlikeness(again, batch.images)
        logs = {"mse": (again.detach() - batch.images).square().mean()}
        if self.model.kind == "kl":
            whole = _window(again - batch.images).abs().mean()
            loss = loss + self.model.kl * (divergence + WHOLE * whole)
            logs["kl"] = divergence.detach()
        if self.model.adversarial and batch.progress >= CONTEST:
            contest, more = generator_loss(self.discriminator, batch.images, again)
            loss, logs = loss + self.model.adversarial * contest, logs | more
        return loss, logs

    @torch.no_grad()
    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return how unlike held-out pictures come back, and their signal-to-noise ratio in dB."""
        again = self.again(held_out.images)
        error = (again.clamp(-1, 1) - held_out.images).square().mean()
        unlike = _unlikeness(again, held_out.images)
        return {"held_out": unlike.item(), "psnr": _decibels(error).item()}

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures, (N, C, H, W), in about [-1, 1]."""
        start = torch.from_numpy(noise.normal(*self.latent_shape)).to(self.device)
        network = flow.guided(self.prior, told, options.guidance)
        with around(self.prior, self.codec) if self.model.tile else nullcontext():
            latents = flow.solve(network, start, options.steps, options.solver, options.shift)
            return self.decode_drawn(latents)

    def _encode(self, images: Tensor, batch: Batch | None) -> tuple[Tensor, Tensor]:
        """Return latents, for training with their noise, and the divergence a number."""
        raw = in_float32(self.codec.encode(images))
        if self.model.kind == "half":
            return raw, raw.new_zeros(())
        if self.model.kind == "fsq":
            places = torch.sigmoid(_STEEP * raw) * (self._levels(raw) - 1)
            # Rounding has no gradient: that of the number itself stands in for it.
            places = places + (places.round() - places).detach()
            return self._values(places), raw.new_zeros(())
        mean, log_variance = raw.chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 4)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
        if batch is not None:
            spread = batch.draws.normal(*mean.shape[1:]).to(mean.device)
            mean = mean + spread * (log_variance / 2).exp()
        return mean, divergence

    def _prior_loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            every = self.encode(batch.whole.images)
        latents, noise = flow.ends(every, batch)
        told = None if batch.told is None else batch.told.partly(batch.draws)
        t = flow.times(batch.draws).to(latents.device)
        return flow.matching_loss(
            lambda z, t, s: self.prior(z, t, s, told), latents, noise, t
        ).mean()

    def _levels(self, like: Tensor) -> Tensor:
        return torch.tensor(self.model.levels, device=like.device).view(1, -1, 1, 1)

    def _places(self, latents: Tensor) -> Tensor:
        """Return the places of the nearest levels, whole numbers from 0."""
        top = self._levels(latents) - 1
        return ((latents + 1) / 2 * top).round().clamp_min(0).minimum(top)

    def _values(self, places: Tensor) -> Tensor:
        """Return the latents, in [-1, 1], at these places between the levels."""
        return places / (self._levels(places) - 1) * 2 - 1

    def _index(self, places: Tensor) -> Tensor:
        index = torch.zeros_like(places[:, 0], dtype=torch.int64)
        for place, levels in zip(places.unbind(1), self.model.levels, strict=True):
            index = index * levels + place.long()
        return index


_AT_ONCE = 64
"""Pictures that are encoded at once."""
MOST_CODES = 1 << 16
"""Different tokens at most: each is a row of what an rnn learns."""
_STEEP = 1.6
"""Makes standard normal numbers come out of the sigmoid so evenly that all of a few levels are
used: the two at the ends a third to a half as often as those between."""


def _factor(shape: Shape, kind: str) -> int:
    """Return how many pixels a side make a cell of the latent grid: 4, 8, 16 ... or 2, of `half`.

    Raises:
        SettingsError: if a side is not a multiple of that.
    """
    factor = PATCH
    if kind != "half":
        factor *= 2
        while max(shape[1:]) / factor > CELLS:
            factor *= 2
    for side in shape[1:]:
        if side % factor:
            near = sorted({max(factor, side // factor * factor), (side // factor + 1) * factor})
            raise SettingsError(
                f"data.size: an autoencoder makes multiples of {factor} pixels, not {side}",
                f"try {' or '.join(map(str, near))}",
            )
    return factor


def _unlikeness(x: Tensor, y: Tensor) -> Tensor:
    """Return how unlike (N, C, H, W) are to each other, in pixels, structure and edges."""
    edges = sum(
        ((x.diff(dim=dim) - y.diff(dim=dim)).abs().mean() for dim in (2, 3)), x.new_zeros(())
    )
    return (x - y).abs().mean() + STRUCTURE * (1 - _similarity(x, y)) + EDGES * edges


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity of pictures in [-1, 1], in windows of 7x7 pixels.

    Wang et al. 2004, "Image quality assessment", eq. 13, with even windows.
    """
    low, high = 0.01**2, 0.03**2
    x, y = (x + 1) / 2, (y + 1) / 2  # it compares brightness too, which has no sign
    x_mean, y_mean = _window(x), _window(y)
    x_var = _window(x * x) - x_mean * x_mean
    y_var = _window(y * y) - y_mean * y_mean
    both = _window(x * y) - x_mean * y_mean
    alike = (2 * x_mean * y_mean + low) * (2 * both + high)
    return (alike / ((x_mean**2 + y_mean**2 + low) * (x_var + y_var + high))).mean()


def _window(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 7, stride=1)


def _decibels(error: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of a mean squared error between -1 and 1."""
    return 10 * torch.log10(4 / error.clamp_min(1e-10))
