"""The counting of modes, on answers that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.bench.stacked import modes, stacks


def brightest(images: np.ndarray) -> np.ndarray:
    """Stands in for a classifier: the digit is the brightness."""
    return images[:, 0, 0, 0].astype(int)


def test_modes_are_counted_over_all_three_channels() -> None:
    digits = np.indices((10, 10, 10)).reshape(3, -1).T.astype(np.uint8)
    every = np.ascontiguousarray(digits[:, :, None, None])
    assert modes(every, brightest) == (1000, pytest.approx(0, abs=1e-9))
    assert modes(every[:10], brightest) == (10, pytest.approx(math.log(100)))
    assert modes(every[:1].repeat(50, 0), brightest) == (1, pytest.approx(math.log(1000)))


def test_stacks_are_digits_of_the_set_and_nearly_all_modes_occur() -> None:
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(28, 2).repeat(28, 3)
    pictures = stacks(images, 10_000)
    assert pictures.images.shape == (10_000, 3, 28, 28)
    assert modes(pictures.images, brightest)[0] > 990
