"""Rectified flow: straight ways from noise to pictures, learnt and then followed.

At time t a picture x with noise e is z = (1 - t) x + t e: noise at 1, the picture at 0 (Liu et al.
2022, arXiv 2209.03003; Lipman et al. 2022, arXiv 2210.02747). A network sees z and guesses x; what
counts is the velocity e - x = (z - x) / t that follows from the guess (Li and He 2025, arXiv
2511.13720).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from imagegen.nn.conditioner import Told
from imagegen.nn.draws import Draws

if TYPE_CHECKING:
    from imagegen.family import Batch

Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Guesses the picture from z, the time t of z, and the time s to go to: (N, C, H, W), (N,), (N,).
What else a network is told, such as a label, it knows already."""
Solver = Literal["multistep", "euler", "midpoint", "heun"]
SolverOrJump = Literal["jump", Solver]

LEAST = 0.05
"""Times below count as this where velocities are computed: they would explode at 0."""
CENTRE, SPREAD, EVEN = -0.4, 1.2, 0.1
"""Times are drawn logit-normal (Esser et al. 2024, arXiv 2403.03206), this share of them evenly."""
JUMPS = (1, 2, 4, 8)
"""Even jumps from noise to the picture that are learnt, each half as long as those before."""
SIDE = 8
"""Pictures are averaged down to about so many cells a side before they are paired with noise."""


def times(draws: Draws) -> Tensor:
    """Draw a time in (0, 1) for each picture, (N,)."""
    usual = torch.sigmoid(draws.normal() * SPREAD + CENTRE)
    return torch.where(draws.uniform(0, 1) < EVEN, draws.uniform(0, 1), usual)


def ends(x: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return both ends of the ways that a part of a batch is to learn: pictures, and their noise.

    Args:
        x: the pictures of the whole batch, or their latents, (B, C, H, W).
        batch: the part.
    """
    noise = batch.whole.draws.normal(*x.shape[1:]).to(x.device)
    return x[batch.rows], pair(x, noise, batch.whole.told)[batch.rows]


def pair(x: Tensor, noise: Tensor, told: Told | None) -> Tensor:
    """Give each picture of a batch the noise that makes all their ways shortest, taken together.

    Ways cross less, and so can be followed in fewer steps (Tong et al. 2023, arXiv 2302.00482;
    Pooladian et al. 2023, arXiv 2304.14772). Only among those told the same, or the noise
    would tell of it.

    Args:
        x: pictures, (N, C, H, W).
        noise: of the same shape.
        told: what they are, if anything.

    Returns:
        The same noise, in another order.
    """
    kinds = np.zeros(len(x)) if told is None else told.kinds().cpu().numpy()
    starts, ends = _small(x), _small(noise)
    order = np.arange(len(x))
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        # Of what has broken down no pairing is right; the losses tell of it, soon after.
        distances = torch.cdist(starts[rows], ends[rows]).square().nan_to_num()
        order[rows] = rows[linear_sum_assignment(distances.numpy())[1]]
    return noise[torch.from_numpy(order).to(noise.device)]


def _small(x: Tensor) -> Tensor:
    """Return what counts for the length of a way, (N, D), on the CPU."""
    every = max(1, min(x.shape[2:]) // SIDE)
    return torch.nn.functional.avg_pool2d(x, every).flatten(1).cpu()


def mix(x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the pictures (N, C, H, W) at times (N,) on their ways."""
    t = _wide(t)
    return (1 - t) * x + t * noise


def velocity(guess: Tensor, z: Tensor, t: Tensor) -> Tensor:
    """Return the velocity at z that leads away from a guessed picture."""
    return (z - guess) / _wide(t.clamp_min(LEAST))


def matching_loss(network: Network, x: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return the mean squared error of the velocity, one a picture, (N,)."""
    z = mix(x, noise, t)
    return (velocity(network(z, t, t), z, t) - velocity(x, z, t)).square().mean((1, 2, 3))


def guided(conditional: Network, null: Network | None, guidance: float) -> Network:
    """Return a network with classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598).

    Args:
        conditional: bound to what the pictures are to be.
        null: what to lead away from: bound to nothing, or a more general model; None for no
            guidance.
        guidance: w in n + w (c - n); at 1 the null network is not needed.
    """
    if null is None or guidance == 1:
        return conditional

    def guess(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
        plain = null(z, t, s)
        return plain + guidance * (conditional(z, t, s) - plain)

    return guess


def solve(
    network: Network, noise: Tensor, steps: int, solver: SolverOrJump, shift: float = 1.0
) -> Tensor:
    """Go from noise at time 1 to pictures at time 0.

    `jump` goes where the network was told to, `euler` along the velocity, `multistep` along one
    that the step before has a say in; these look at the network once a step, `midpoint` and `heun`
    twice.

    Args:
        network: guesses the picture from z, t and the time to go to.
        noise: (N, C, H, W).
        steps: how many.
        solver: how to step.
        shift: above 1, steps are short where there is much noise and long at the end (Esser et al.
            2024, arXiv 2403.03206, eq. 23); 1 for even steps, as jumps always are.
    """
    z = noise
    ways = torch.linspace(1, 0, steps + 1)
    if solver != "jump":
        ways = shift * ways / (1 + (shift - 1) * ways)
    if solver == "multistep":
        return _multistep(network, z, ways)
    for now, then in pairwise(ways.tolist()):
        first = _at(network, z, now, then if solver == "jump" else now)
        if solver in ("euler", "jump") or (solver == "heun" and then == 0):
            z = z + (then - now) * first
        elif solver == "midpoint":
            middle = (now + then) / 2
            z = z + (then - now) * _at(network, z + (middle - now) * first, middle, middle)
        else:
            second = _at(network, z + (then - now) * first, then, then)
            z = z + (then - now) * (first + second) / 2
    return z


def _multistep(network: Network, z: Tensor, ways: Tensor) -> Tensor:
    """Step by the guess that the middle of a step would see, if it goes on changing as before.

    That is DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095, algorithm 2) on straight ways.

    Args:
        network: guesses the picture from z and t.
        z: noise, (N, C, H, W).
        ways: times, from 1 down to 0.
    """
    lengths = torch.logit(1 - ways).diff().tolist()  # of steps, in log signal to noise
    before = z
    for index, (now, then) in enumerate(pairwise(ways.tolist())):
        t = torch.full((len(z),), now, device=z.device)
        guess = ahead = network(z, t, t)
        if 1 < index < len(lengths) - 1:  # the first step and the last are of infinite length
            ahead = guess + lengths[index] / (2 * lengths[index - 1]) * (guess - before)
        z = then / now * z + (1 - then / now) * ahead
        before = guess
    return z


def _at(network: Network, z: Tensor, now: float, then: float) -> Tensor:
    """Return the velocity at a time above 0, on the way to another one.

    Exact at all times, unlike `velocity`: a last step ends where the network guesses.
    """
    t, s = (torch.full((len(z),), time, device=z.device) for time in (now, then))
    return (z - network(z, t, s)) / now


def jump_loss(
    network: Network, teacher: Network, x: Tensor, noise: Tensor, shares: Tensor
) -> Tensor:
    """Return the error of the velocity of jumps, one a picture, (N,).

    A jump is to be as fast as two of half its length on average (Frans et al. 2024, arXiv
    2410.12557). The shortest ones have the velocity in their middle: for as many looks as two
    of Euler's steps, the midpoint method is of second order.

    Args:
        network: guesses the picture from z, t and the time to go to.
        teacher: such a network, its average, that makes the jumps of half the length.
        x: pictures, (N, C, H, W).
        noise: of the same shape.
        shares: two numbers in [0, 1) a picture, (N, 2): how far it jumps, and from where.
    """
    halvings = (shares[:, 0] * len(JUMPS)).floor()
    length = 0.5**halvings
    t = 1 - length * (shares[:, 1] / length).floor()
    s, middle = t - length, t - length / 2
    shortest = halvings == len(JUMPS) - 1
    z = mix(x, noise, t)
    with torch.no_grad():
        first = velocity(teacher(z, t, torch.where(shortest, t, middle)), z, t)
        half = z - _wide(length / 2) * first
        second = velocity(teacher(half, middle, torch.where(shortest, middle, s)), half, middle)
        goal = torch.where(_wide(shortest), second, (first + second) / 2)
    return (velocity(network(z, t, s), z, t) - goal).square().mean((1, 2, 3))


def _wide(times: Tensor) -> Tensor:
    return times.view(-1, 1, 1, 1)
