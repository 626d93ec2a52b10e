"""Noise belongs to its seed."""

from __future__ import annotations

import numpy as np
import pytest

from imagegen.sample.noise import Noise


def test_rows_depend_on_their_own_seed_alone() -> None:
    together, alone = Noise([3, 9, 2**63 - 1]), Noise([9])
    np.testing.assert_array_equal(together.normal(4, 5)[1], alone.normal(4, 5)[0])
    np.testing.assert_array_equal(together.uniform(7)[1], alone.uniform(7)[0])


def test_draws_follow_each_other_and_differ() -> None:
    noise = Noise([1])
    assert not np.array_equal(noise.normal(8), noise.normal(8))


def test_the_numbers_are_fixed_for_all_time() -> None:
    # From the raw words of Philox4x64-10 with key 42, by Box-Muller in float64.
    words = np.random.Philox(key=42).random_raw(4) >> np.uint64(11)
    a, b, c, d = (float(word) / 2**53 for word in words)
    expected = [np.sqrt(-2 * np.log(1 - a)) * np.cos(2 * np.pi * c)]
    expected += [np.sqrt(-2 * np.log(1 - b)) * np.cos(2 * np.pi * d)]
    np.testing.assert_allclose(Noise([42]).normal(2)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(
        Noise([42]).normal(3)[0], [-1.4607806, -0.4378324, -1.8429635], rtol=1e-6
    )


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_distributions(kind: str) -> None:
    values = getattr(Noise(range(50)), kind)(2000)
    assert values.dtype == np.float32
    values = values.astype(np.float64)
    if kind == "uniform":
        assert 0 <= values.min() < 0.001
        assert 0.999 < values.max() < 1
        assert abs(values.mean() - 0.5) < 0.005
    else:
        assert abs(values.mean()) < 0.01
        assert abs(values.std() - 1) < 0.01
        assert abs((np.abs(values) < 1.959964).mean() - 0.95) < 0.003
