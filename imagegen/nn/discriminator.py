"""A discriminator of pictures, and both sides of its contest with whatever makes them.

The loss is that of R3GAN (Huang et al. 2024, arXiv 2501.05441): a picture's lead over its rival in
the batch counts, and gradient penalties keep the discriminator smooth around both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.nn.blocks import Residual, conv3, halve, in_float32, leaky, pyramid, width_at
from imagegen.nn.conditioner import Told

if TYPE_CHECKING:
    from imagegen.family import Condition

DETAIL = 16
"""Channels at the full size of the picture."""

GROUP = 4
"""Pictures that are compared with each other."""

Score = Callable[[Tensor, Told | None, int], Tensor]
"""What the losses call: `Discriminator.forward`, or the like."""


class Discriminator(nn.Module):
    """Pictures, and what they are told to be, in, a score out: the generator's mirror image.

    What is told is compared with what is seen (a projection discriminator, Miyato and Koyama 2018,
    arXiv 1802.05637). No bias at the end: it would cancel out, as only differences of scores count.
    """

    def __init__(
        self, width: int, shape: tuple[int, int, int], condition: Condition | None = None
    ) -> None:
        """Build for pictures of `shape`, (C, H, W), and what can be told of them."""
        super().__init__()
        # Of all that make pictures only upscalers make larger ones that four does not divide.
        patch = 4 if max(shape[1:]) > 48 and not any(side % 4 for side in shape[1:]) else 2
        grids = pyramid((shape[1] // patch, shape[2] // patch))
        widths = [width_at(width, grid) for grid in grids]
        features = widths[-1] * grids[-1][0] * grids[-1][1]
        self.first = conv3(shape[0], DETAIL)
        self.shuffle = nn.PixelUnshuffle(patch)
        self.stem = conv3(DETAIL * patch**2, widths[0])
        self.blocks = nn.ModuleList(Residual(width) for width in widths)
        self.between = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        self.score = nn.Linear(features + 1, 1, bias=False)
        self.conditioner = None
        if condition is not None:
            self.conditioner = condition.conditioner(features, features**-0.5)

    def forward(self, x: Tensor, told: Told | None, group: int) -> Tensor:
        """Map (N, C, H, W), and what they are told to be, to (N,) scores.

        `group` neighbours are compared.
        """
        x = leaky(self.first(x.contiguous(memory_format=torch.channels_last)))
        x = self.blocks[0](self.stem(self.shuffle(x)))
        for block, change in zip(self.blocks[1:], self.between, strict=True):
            x = block(change(halve(x)))
        # What follows is in float32 also in mixed precision, as in StyleGAN2: losses are of small
        # differences between scores.
        x = in_float32(leaky(x).flatten(1))
        with torch.autocast(x.device.type, enabled=False):
            scores: Tensor = self.score(torch.cat([x, _deviation(x, group)], dim=1)).squeeze(1)
            if self.conditioner is not None:
                scores = scores + (x * self.conditioner(told)).sum(1)
        return scores


def _deviation(x: Tensor, group: int) -> Tensor:
    """Return, for (N, F), the mean standard deviation of the features in each group, (N, 1)."""
    groups = x.view(-1, group, x.shape[1])
    deviation = (groups.var(dim=1, correction=0) + 1e-8).sqrt().mean(1)
    return deviation.repeat_interleave(group)[:, None]


def group_of(count: int) -> int:
    """Return how many neighbours of so many pictures are compared: `GROUP` if it divides them."""
    return math.gcd(count, GROUP)


def discriminator_loss(
    discriminator: Score,
    reals: Tensor,
    fakes: Tensor,
    told: Told | None = None,
    gamma: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return softplus(-(D(real) - D(fake))), R3GAN eq. 2, and scalars to log.

    Args:
        discriminator: what gives scores.
        reals: (N, C, H, W), as the discriminator is to see them.
        fakes: the same, without a way back to what made them.
        told: what both are to be, if anything is told.
        gamma: weight of R1 + R2 (R3GAN eq. 3 and 4), penalties on the gradient at reals and fakes;
            0 is without.
    """
    both = in_float32(torch.cat([reals, fakes])).requires_grad_(gamma > 0)
    twice = None if told is None else told.twice()
    scores = discriminator(both, twice, group_of(len(reals)))
    real, fake = scores.chunk(2)
    loss = F.softplus(fake - real).mean()
    logs = {"real": real.detach().mean(), "fake": fake.detach().mean()}
    if gamma > 0:
        (slopes,) = torch.autograd.grad(scores.sum(), both, create_graph=True)
        # R1 + R2: a mean over the reals, and one over the fakes
        penalty = slopes.square().sum() / len(reals)
        loss = loss + gamma / 2 * penalty
        logs["penalty"] = penalty.detach()
    return loss, logs


def generator_loss(
    discriminator: Score, reals: Tensor, fakes: Tensor, told: Told | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return softplus(-(D(fake) - D(real))), the other side of the contest, and scalars to log.

    Arguments are those of `discriminator_loss`, but `fakes` lead back to what made them.
    """
    group = group_of(len(reals))
    with torch.no_grad():
        real = discriminator(reals, told, group)
    behind = real - discriminator(fakes, told, group)
    return F.softplus(behind).mean(), {"behind": behind.detach().mean()}
