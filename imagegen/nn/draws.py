"""Random numbers of a training step that do not depend on how its batch is shared out."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Random numbers for some rows of a batch, the same as those rows get in the whole batch.

    Each call draws for the whole batch and returns its own rows. So whoever computes a part of a
    batch, be it a process of several or one of several turns, sees what it would have seen in one.
    All is drawn on the CPU, and so the same on any device.
    """

    def __init__(self, seed: int, count: int, rows: slice = slice(None)) -> None:
        """Draw for `rows` of a batch of `count`, from a generator of this seed."""
        self._generator = torch.Generator().manual_seed(seed)
        self._count = count
        self._rows = rows

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, (rows, *shape)."""
        return torch.randn(self._count, *shape, generator=self._generator)[self._rows]

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return numbers in [low, high), (rows, *shape)."""
        numbers = torch.empty(self._count, *shape)
        return numbers.uniform_(low, high, generator=self._generator)[self._rows]

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Return whole numbers in [low, high), (rows, *shape), int64."""
        numbers = torch.randint(low, high, (self._count, *shape), generator=self._generator)
        return numbers[self._rows]
