"""Features of a small network that learns them from the real pictures themselves.

For pictures that are far from photographs, such as digits or scans, and where EfficientNet's
weights are not installed. The network learns to recognise a picture again after it was changed
(SimCLR: Chen et al. 2020, arXiv 2002.05709). Changes are those of colour, place and hiding a part;
neither noise nor blur is among them, so that it stays able to see those.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.data.store import Images, batch_indices, to_tensor
from imagegen.evaluate import whitening
from imagegen.evaluate.extractor import (
    EXTRACTORS,
    Extractor,
    Floats,
    Report,
    cached_arrays,
    digest,
)
from imagegen.nn.augment import CHANGES, augment
from imagegen.nn.blocks import Residual, conv3, halve, leaky
from imagegen.nn.draws import Draws

WIDTHS = {64: 8, 32: 16, 16: 32, 8: 64, 4: 96}
"""Channels of the grids of so many cells a side. Their means are the features, whitened: rectified
channels go up and down together, and a few of them would drown all others."""
FEATURES = 64
"""Directions kept, at most: few enough that a few hundred pictures fill them."""
SIDE = 32
"""Pictures are seen at this many pixels a side, or at twice as many if they are large."""
STEPS, BATCH, RATE, TEMPERATURE = 300, 64, 1e-3, 0.2


@EXTRACTORS.register("own")
def extractor(images: Images, device: torch.device, report: Report) -> Extractor:
    """Return a network trained on these pictures, or the cached one that was trained on them."""
    key = f"own-{digest(images)}"
    network = Network(images.shape)

    def trained() -> dict[str, Floats]:
        state = train(images, partial(report, "learning features")).state_dict()
        return {name: value.numpy() for name, value in state.items()}

    weights = cached_arrays(key, trained)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    name = f"a small network trained on the real pictures, at {network.side} px"
    return Extractor("own", name, key, network.to(device), to_tensor)


class Network(nn.Module):
    """Pictures in, whitened features out."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Build the network for pictures of a shape, (N, C, H, W)."""
        super().__init__()
        count, channels, *sides = shape
        self.side = SIDE if max(sides) <= SIDE * 3 // 2 else 2 * SIDE
        widths = [width for grid, width in WIDTHS.items() if grid <= self.side]
        self.first = conv3(channels, widths[0])
        self.blocks = nn.ModuleList(Residual(width) for width in widths)
        self.between = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(widths))
        width = sum(widths)
        self.head = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 64))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whitening", torch.zeros(width, max(2, min(FEATURES, count // 4))))
        self.mean: Tensor
        self.whitening: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) in [-1, 1] to (N, D), on the real set of about unit variance."""
        whitened: Tensor = (self.grids(x) - self.mean) @ self.whitening
        return whitened

    def grids(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the mean of each channel on each grid, (N, F)."""
        if x.shape[2:] != (self.side, self.side):
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", antialias=True)
        x = self.blocks[0](self.first(x))
        means = [leaky(x).mean((2, 3))]
        for block, change in zip(self.blocks[1:], self.between, strict=True):
            x = block(change(halve(x)))
            means.append(leaky(x).mean((2, 3)))
        return torch.cat(means, dim=1)


def train(images: Images, report: Callable[[int, int], None]) -> Network:
    """Train on the real pictures, uint8 (N, C, H, W); the same pictures give the same network.

    `report` is called with the steps done and the steps in all.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Network(images.shape)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, fused=True)
    for step in range(STEPS):
        batch = to_tensor(images[batch_indices(len(images), 0, step, BATCH)])
        draws = Draws(step, BATCH)
        views = torch.cat([augment(batch, CHANGES, draws) for _ in range(2)])
        loss = _contrast(network.head(network.grids(views)))
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 20) * (1 - step / STEPS)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        report(step + 1, STEPS)
    network.eval().requires_grad_(False)
    _whiten(network, images)
    return network


def _whiten(network: Network, images: Images) -> None:
    """Fit the whitening to the real pictures."""
    starts = range(0, len(images), 256)
    means = torch.cat([network.grids(to_tensor(images[i : i + 256])) for i in starts])
    mean, matrix = whitening.fit(means, network.whitening.shape[1])
    network.mean.copy_(mean)
    network.whitening.copy_(matrix)


def _contrast(x: Tensor) -> Tensor:
    """Return how badly each of (2 N, D) finds its twin, N rows away, among all others."""
    x = F.normalize(x, dim=1)
    likeness = (x @ x.T / TEMPERATURE).fill_diagonal_(-1e9)
    twins = torch.arange(len(x)).roll(len(x) // 2)
    return F.cross_entropy(likeness, twins)
