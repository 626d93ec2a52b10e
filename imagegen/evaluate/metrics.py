"""Distances and overlaps of two sets of features: NumPy, float64, each with its source.

x are the features of real pictures, (N, D), and y those of generated ones, (M, D), throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Interval = tuple[float, float]

NEIGHBOURS = 5
"""k of the neighbourhoods that precision, recall, density and coverage are made of."""
LEVEL = 0.95
"""Of every interval."""


class Kernels(NamedTuple):
    """The kernel of all pairs: (N, N) of the real, (M, M) of the generated, (N, M) of both."""

    xx: Array
    yy: Array
    xy: Array

    def part(self, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Kernels:
        """Return the same for some of the pictures, by their indices."""
        return Kernels(self.xx[np.ix_(x, x)], self.yy[np.ix_(y, y)], self.xy[np.ix_(x, y)])


def kernels(x: Array, y: Array) -> Kernels:
    """Return (a.b / D + 1)^3 for all pairs (Binkowski et al. 2018, arXiv 1801.01401)."""
    return Kernels(*((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))))


def kid(k: Kernels) -> float:
    """Return the kernel distance of two sets: unbiased, so around 0, also below, for one source.

    The squared maximum mean discrepancy over all pairs, not over random subsets (Gretton et al.
    2012, eq. 3).
    """
    return _within(k.xx) + _within(k.yy) - 2 * float(k.xy.mean())


def _within(square: Array) -> float:
    """Return the mean of a square matrix without its diagonal."""
    count = len(square)
    return float((square.sum() - np.trace(square)) / (count * (count - 1)))


def kid_draws(k: Kernels, draws: int = 1000, seed: int = 0) -> Array:
    """Return the kernel distance of `draws` bootstrap resamples of both sets, (draws,).

    A resample holds some pictures several times. Pairs of a picture with itself are left out, by
    weighing all others with how often they were drawn; otherwise each resample would be biased.
    The same seed draws the same real pictures, so that two models can be compared draw by draw.
    """
    random = np.random.Generator(np.random.Philox(key=seed))
    ours, theirs = (_drawn(random, len(square), draws) for square in (k.xx, k.yy))
    cross: Array = np.einsum("dn,dn->d", ours @ k.xy, theirs) / (len(k.xx) * len(k.yy))
    return _weighed(k.xx, ours) + _weighed(k.yy, theirs) - 2 * cross


def _drawn(random: np.random.Generator, count: int, draws: int) -> Array:
    """Return how often each of `count` was drawn, (draws, count)."""
    return random.multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def _weighed(square: Array, weights: Array) -> Array:
    """Return the mean over weighed pairs, without those of a picture with itself, (draws,)."""
    total = np.einsum("dn,dn->d", weights @ square, weights)
    same = weights**2 @ np.diag(square)
    mean: Array = (total - same) / (weights.sum(1) ** 2 - (weights**2).sum(1))
    return mean


def interval(draws: Array) -> Interval:
    """Return the central interval of bootstrap draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def frechet(x: Array, y: Array) -> float:
    """Return the Frechet distance of two Gaussians fitted to the sets (Heusel et al. 2017, eq. 6).

    It grows when there are fewer pictures, down to none: compare it at the same sizes only. The
    trace of the root of the covariances' product is the sum of the singular values of A B^T, with
    A and B the centred features; that is safe also with fewer pictures than features.
    """
    a, b = _centred(x), _centred(y)
    apart = ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum()
    together = 2 * np.linalg.svd(_reduced(a) @ _reduced(b).T, compute_uv=False).sum()
    return max(0.0, float(apart - together))


def _centred(x: Array) -> Array:
    centred: Array = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    return centred


def _reduced(a: Array) -> Array:
    """Return at most D rows with the same a^T a; the singular values of a b^T stay."""
    if len(a) <= a.shape[1]:
        return a
    _, triangle = np.linalg.qr(a)
    return triangle


@dataclass(frozen=True)
class Overlap:
    """How far two sets cover each other.

    Attributes:
        precision: share of generated pictures among real neighbours: quality.
        recall: share of real pictures among generated neighbours: variety.
        density: real neighbourhoods that a generated picture lies in, over k: quality; can be
            above 1.
        coverage: share of real pictures with a generated one in their neighbourhood: variety.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def overlap(x: Array, y: Array, k: int = NEIGHBOURS) -> Overlap:
    """Return precision and recall (Kynkaanniemi et al. 2019, arXiv 1904.06991), density and
    coverage (Naeem et al. 2020, arXiv 2002.09797).

    A picture's neighbourhood reaches to its k-th neighbour in its own set. Both sets need more
    than k pictures.
    """
    between = squared_distances(x, y)
    near_x, near_y = _radius(x, k), _radius(y, k)
    inside = between < near_x[:, None]
    return Overlap(
        precision=float(inside.any(0).mean()),
        recall=float((between < near_y[None]).any(1).mean()),
        density=float(inside.sum(0).mean() / k),
        coverage=float((between.min(1) < near_x).mean()),
    )


def squared_distances(x: Array, y: Array) -> Array:
    """Return squared distances, (N, M)."""
    squares: Array = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return np.maximum(squares, 0)


def _radius(x: Array, k: int) -> Array:
    """Return the squared distance of each to its k-th neighbour, itself not counted."""
    own = squared_distances(x, x)
    np.fill_diagonal(own, np.inf)
    radius: Array = np.partition(own, k - 1, axis=1)[:, k - 1]
    return radius


def vendi(y: Array, centre: Array) -> float:
    """Return how many different pictures a set amounts to, from 1 to M (Friedman and Dieng 2023).

    The exponential of the entropy of the eigenvalues of K / M, where K holds the cosines of the
    features. Those are taken from `centre`, (D,), the mean of the real ones: features of a
    rectifier all point the same way, and would make any set look alike.
    """
    unit = y - centre
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    gram = unit @ unit.T if len(unit) < unit.shape[1] else unit.T @ unit
    shares = np.linalg.eigvalsh(gram / len(unit))
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def share_interval(hits: int, count: int) -> Interval:
    """Return an interval of a share (Wilson 1927), right also near 0 and 1 and for few pictures."""
    z = 1.959964
    share = hits / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
