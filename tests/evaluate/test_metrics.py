import numpy as np
import pytest
import scipy.linalg

from imagegen.evaluate import metrics

RANDOM = np.random.Generator(np.random.Philox(3))


def features(count, shift=0.0, scale=1.0, width=6):
    return RANDOM.standard_normal((count, width)) * scale + shift


def kid(x, y):
    return metrics.kid(metrics.kernels(x, y))


def test_kid_is_what_the_paper_says_pair_by_pair():
    x, y = features(23), features(31, 0.3)
    d = x.shape[1]

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / d + 1) ** 3

    within = [
        sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j)
        / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    assert kid(x, y) == pytest.approx(sum(within) - 2 * between, abs=1e-9)


def test_kid_of_one_source_is_zero_on_average_at_any_size():
    values = [kid(features(12), features(25)) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert min(values) < 0 < max(values)


def test_kid_grows_with_the_distance():
    x = features(200)
    values = [kid(x, features(200, shift)) for shift in (0.1, 0.3, 0.6, 1.0)]
    assert values == sorted(values)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_interval_covers_the_truth(shift):
    """Truth for Gaussians: by one large sample, whose own error is far below the interval's."""
    truth = 0.0 if not shift else kid(features(6000), features(6000, shift))
    hits = 0
    for _ in range(100):
        k = metrics.kernels(features(60), features(80, shift))
        low, high = metrics.interval(metrics.kid_draws(k, 200))
        assert low < metrics.kid(k) < high
        hits += low <= truth <= high
    assert hits >= 90


def test_bootstrap_draws_are_centred_on_the_estimate():
    k = metrics.kernels(features(80), features(90, 0.4))
    draws = metrics.kid_draws(k, 4000)
    assert abs(draws.mean() - metrics.kid(k)) < 0.1 * draws.std()


def test_the_same_seed_draws_the_same_real_pictures():
    x, y = features(40), features(40, 0.2)
    same = metrics.kid_draws(metrics.kernels(x, y)) - metrics.kid_draws(metrics.kernels(x, y))
    assert not same.any()
    other = metrics.kid_draws(metrics.kernels(x, y), seed=1)
    assert (other != metrics.kid_draws(metrics.kernels(x, y))).all()


@pytest.mark.parametrize(("n", "m"), [(50, 80), (5, 4), (100, 5)])
def test_frechet_is_the_distance_of_two_gaussians(n, m):
    x, y = features(n), features(m, 0.5, 2.0)
    root = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T))
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected += np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root.real)
    assert metrics.frechet(x, y) == pytest.approx(expected, rel=1e-5)
    assert metrics.frechet(x, x) == pytest.approx(0, abs=1e-9)


def test_overlap_of_a_set_with_itself_and_with_another_world():
    x = features(60)
    same = metrics.overlap(x, x)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    far = metrics.overlap(x, features(60, 100))
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_overlap_is_what_the_papers_say_picture_by_picture():
    x, y = features(30), features(25, 0.8)

    def radius(s, i):
        return sorted(np.linalg.norm(s[i] - s[j]) for j in range(len(s)) if j != i)[4]

    near = np.array([[np.linalg.norm(a - b) for b in y] for a in x])
    rx, ry = [radius(x, i) for i in range(30)], [radius(y, i) for i in range(25)]
    found = metrics.overlap(x, y)
    inside = near < np.array(rx)[:, None]
    assert found.precision == inside.any(0).mean()
    assert found.recall == (near < np.array(ry)).any(1).mean()
    assert found.density == pytest.approx(inside.sum() / 5 / 25)
    assert found.coverage == (near.min(1) < rx).mean()


def test_collapse_shows_in_variety_and_not_in_quality():
    x = features(200)
    collapsed = x[np.arange(200) % 8] + 1e-3 * features(200)
    found = metrics.overlap(x, collapsed)
    assert found.precision > 0.95
    assert found.recall < 0.1
    assert found.coverage < 0.3


def test_vendi_counts_what_is_different():
    centre = np.zeros(6)
    assert metrics.vendi(np.tile(features(1), (9, 1)), centre) == pytest.approx(1)
    assert metrics.vendi(np.eye(6)[np.arange(30) % 3], centre) == pytest.approx(3)
    assert metrics.vendi(np.eye(6), centre) == pytest.approx(6)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (1, 300, 0.0006, 0.0186),
    ],
)
def test_intervals_of_shares(hits, count, low, high):
    assert metrics.share_interval(hits, count) == pytest.approx((low, high), abs=1e-4)
