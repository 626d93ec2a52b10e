"""Noise that belongs to a seed, and to nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Noise:
    """One counter-based generator (Philox4x64) a seed.

    Row i of every draw depends on `seeds[i]` and on the draws made before it, not on the other
    seeds, the batch or the device. The raw 64-bit words of Philox are fixed for all time, while
    NumPy may change how its own distributions use them, so the transforms are ours.
    """

    def __init__(self, seeds: Sequence[int], stream: int = 0) -> None:
        """Start a generator for each of `seeds`, integers in [0, 2**64).

        Args:
            seeds: of the pictures.
            stream: another one has nothing to do with this one.
        """
        self.seeds = tuple(seeds)
        self._streams = [np.random.Philox(key=seed + (stream << 64)) for seed in self.seeds]

    def __len__(self) -> int:
        return len(self.seeds)

    def uniform(self, *shape: int) -> Floats:
        """Return uniform numbers in [0, 1), float32 of shape (len(self), *shape)."""
        return self._doubles(shape).astype(np.float32).clip(max=np.float32(1 - 2**-24))

    def normal(self, *shape: int) -> Floats:
        """Return standard normal numbers (Box-Muller), float32 of shape (len(self), *shape)."""
        radius, angle = self._doubles((2, *shape)).swapaxes(0, 1)
        values = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
        return np.asarray(values, dtype=np.float32)

    def _doubles(self, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        count = int(np.prod(shape))
        words = np.stack([stream.random_raw(count) for stream in self._streams])
        doubles = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return doubles.reshape(len(self), *shape)
