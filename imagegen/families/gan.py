"""A small, stable GAN: a relativistic pairing loss with zero-centred gradient penalties.

The loss is that of R3GAN (Huang et al. 2024, arXiv 2501.05441). It needs no tricks in the long
run, but a CPU has no long run: within the first thousand steps plain networks draw one face for
all seeds. Two old remedies (Karras et al. 2018, arXiv 1710.10196) cure that, as measured: features
normalised a cell before z scales and shifts them, and a discriminator that sees how much the
pictures of a group differ.

Both networks are pyramids of grids that cost about the same. The discriminator begins on a grid of
a half or a quarter of the picture's size, into whose cells it shuffles the pixels. The generator
goes up to the full size instead, with few channels: shuffling pixels out of cells is a little
quicker, but leaves a checkerboard for the first thousands of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from imagegen.errors import SettingsError
from imagegen.family import FAMILIES, Batch, Condition, Family, Shape
from imagegen.nn.augment import CHANGES, Change, augment, roll
from imagegen.nn.blocks import Edge, Residual, conv3, enlarge, in_float32, leaky, pyramid, width_at
from imagegen.nn.conditioner import Told
from imagegen.nn.discriminator import (
    GROUP,
    Discriminator,
    discriminator_loss,
    generator_loss,
    group_of,
)
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

SMALLEST, LARGEST, STEP = 16, 256, 4
"""The sides it makes, in pixels: from, to, and whole multiples of."""

TARGET = 0.5
"""Gap of the discriminator above which more pictures are augmented, and below which fewer."""
STEP_UP = 0.25
"""Share of the pictures by which that changes after a look."""


class Generator(nn.Module):
    """z, and what is told, in, pictures out: from the coarsest grid to the picture's own.

    At first z has a strong say, in every block, and what is told a weak one; otherwise the
    generator begins with one picture a label.
    """

    def __init__(self, z: int, width: int, shape: Shape, condition: Condition, edge: Edge) -> None:
        super().__init__()
        self.edge: Edge = edge
        self.grids = pyramid(shape[1:])[::-1]
        widths = [width_at(width, grid) for grid in self.grids]
        rows, columns = self.grids[0]
        self.conditioner = condition.conditioner(z, 0.2)
        style = z if self.conditioner is None else 2 * z
        self.first = nn.Linear(style, widths[0] * rows * columns)
        nn.init.normal_(self.first.weight, std=(2 / z) ** 0.5)
        self.blocks = nn.ModuleList(Residual(width, style, edge) for width in widths)
        self.between = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.last = conv3(widths[-1], shape[0], edge)

    def forward(self, z: Tensor, told: Told | None) -> Tensor:
        """Map (N, z), and what is told of N, to (N, C, H, W)."""
        style = z if self.conditioner is None else torch.cat([z, self.conditioner(told)], dim=1)
        x = self.first(style).view(len(z), -1, *self.grids[0])
        x = self.blocks[0](x.contiguous(memory_format=torch.channels_last), style)
        for block, change, grid in zip(self.blocks[1:], self.between, self.grids[1:], strict=True):
            x = block(enlarge(change(x), grid, self.edge), style)
        return in_float32(self.last(leaky(x)))


@FAMILIES.register("gan")
class Gan(Family):
    """Two networks that train each other; draws a picture in one pass."""

    phases = ("discriminator", "generator")
    drawn_by: tuple[str, ...] = ("generator",)
    together = GROUP
    can_collapse = True

    class Model(Settings):
        """The size of the networks and the terms of their contest."""

        z: Annotated[int, Field(ge=1)] = 64
        """Random numbers that a picture is made from."""
        width: Annotated[int, Field(ge=8)] = 96
        """Channels on grids of up to 8 cells a side; finer grids have fewer, at equal cost."""
        gamma: Annotated[float, Field(ge=0)] = 0.5
        """Weight of the gradient penalties at first: more is more stable, less more varied; 0 is
        without, and forgets most of a varied set. For 32x32 pixels of grey; it grows with the
        numbers of a picture."""
        gamma_end: Annotated[float, Field(gt=0)] = 0.2
        """Weight of the gradient penalties at the end; the way there is geometric."""
        penalty_every: Annotated[int, Field(ge=1)] = 4
        """Steps from one penalty to the next; each weighs that many times more."""
        augment: Literal["auto"] | tuple[Change, ...] = "auto"
        """Changes to what the discriminator sees, of all pictures. `auto`: all changes, of more
        pictures where there are few to learn from or where training learns them by heart."""

        tile: bool = False
        """Pictures go on at the opposite edge, so that they can be laid side by side: textures."""

    class Sampling(Settings):
        """How pictures are drawn."""

        truncation: Annotated[float, Field(gt=0, le=1)] = 1.0
        """Scales the random numbers: below 1, pictures are safer and less varied."""

    model: Model

    def build(self) -> None:
        """Build the networks; see `Family.build`."""
        model, shape = self.model, self.shape
        _check(shape)
        self.discriminator = Discriminator(model.width, shape, self.condition)
        edge: Edge = "circular" if model.tile else "replicate"
        self.generator = Generator(model.z, model.width, shape, self.condition, edge)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return softplus(-(own lead)), where a picture's lead is over its rival in the batch.

        The penalties are on the pictures as the discriminator sees them, augmented; they come
        every few steps, weighed up.
        """
        told = None if batch.told is None else batch.told.partly(batch.draws)
        with torch.set_grad_enabled(phase == "generator"):
            fakes = self._augment(self._made(batch, told), batch)
        reals = self._augment(batch.images, batch)
        if phase == "generator":
            return generator_loss(self.discriminator, reals, fakes, told)
        every = self.model.penalty_every
        gamma = every * self._gamma(batch) if batch.step % every == 0 else 0.0
        return discriminator_loss(self.discriminator, reals, fakes, told, gamma)

    def choices(self, dataset_size: int) -> Mapping[str, str]:
        """Return how pictures are augmented, if that was left to the set."""
        if self.model.augment != "auto":
            return {}
        share = _first_strength(dataset_size)
        few = "can be learnt by heart" if share else "are too many to be learnt by heart soon"
        reason = f"{dataset_size:,} pictures {few}; {share:.0%} at first, then as looks show"
        return {"model.augment=auto": reason}

    def strength(self, checks: Sequence[Mapping[str, float]], dataset_size: int) -> float:
        """Return the share of pictures to change: more after each look with a large gap.

        As Karras et al. 2020, arXiv 2006.06676, but in few large steps, as there are few looks.
        """
        share = _first_strength(dataset_size)
        for check in checks:
            if "gap" in check:
                share += STEP_UP if check["gap"] > TARGET else -STEP_UP
                share = min(1.0, max(0.0, share))
        return share

    @torch.no_grad()
    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return the discriminator's gap: 0 if held-out pictures seem as real to it as training
        ones, 1 if they seem as false as made ones: then it has learnt the set by heart.

        Compare r_v of Karras et al. 2020, arXiv 2006.06676, eq. 1.
        """
        made = self._made(known, known.told)
        sets = (known.images, known), (held_out.images, held_out), (made, known)
        real, held, fake = (
            self.discriminator(images, batch.told, group_of(len(images))).mean()
            for images, batch in sets
        )
        return {"gap": ((real - held) / (real - fake).clamp_min(1e-6)).item()}

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures, (N, C, H, W), in about [-1, 1]."""
        z = torch.from_numpy(noise.normal(self.model.z)).to(self.device) * options.truncation
        pictures: Tensor = self.generator(z, told)
        return pictures

    def _made(self, batch: Batch, told: Told | None) -> Tensor:
        """Return as many pictures as there are in the batch, as the discriminator is shown them.

        Those that tile are rolled: then a seam would lie anywhere, and could be seen.
        """
        z = batch.draws.normal(self.model.z).to(self.device)
        pictures: Tensor = self.generator(z, told)
        return roll(pictures, batch.draws) if self.model.tile else pictures

    def _gamma(self, batch: Batch) -> float:
        """Return the weight of the penalties, twice as much after each sign of collapse."""
        model, numbers = self.model, batch.images[0].numel()
        gamma = model.gamma ** (1 - batch.progress) * model.gamma_end**batch.progress
        return float(gamma * 2**batch.caution * numbers / 32**2)

    def _augment(self, pictures: Tensor, batch: Batch) -> Tensor:
        if self.model.augment != "auto":
            return augment(pictures, self.model.augment, batch.draws)
        strength = min(1.0, batch.strength + STEP_UP * batch.caution)  # a collapse is answered too
        return augment(pictures, CHANGES, batch.draws, strength)


def _first_strength(dataset_size: int) -> float:
    """Return the share of pictures to change at first; the smaller the set, the more."""
    if dataset_size < 5_000:
        return 1.0
    return 0.5 if dataset_size < 20_000 else 0.0


def _check(shape: Shape) -> None:
    """Raise SettingsError unless both sides are sizes that we make."""
    for side in shape[1:]:
        below = side // STEP * STEP
        near = sorted({min(max(size, SMALLEST), LARGEST) for size in (below, below + STEP)})
        if side not in near:
            raise SettingsError(
                f"data.size: a gan makes multiples of {STEP} from {SMALLEST} to {LARGEST}"
                f" pixels, not {side}",
                f"try {' or '.join(map(str, near))}",
            )
