"""Looking at a model while it learns: how good, how varied, how original its pictures are by now.

All looks draw the same seeds and compare them with the same real pictures, so that what changes
from one to the next is the model. The numbers are those of `imagegen evaluate`, of fewer pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imagegen.data.store import Images, Pictures, as_numbers
from imagegen.evaluate import drawn, features, metrics
from imagegen.evaluate.copies import Index
from imagegen.evaluate.extractor import Extractor, silent
from imagegen.evaluate.measure import LEAST
from imagegen.settings import Settings
from imagegen.train.judge import Look
from imagegen.train.learner import Learner
from imagegen.train.parallel import Order

EVERY = 8_000
"""Pictures trained on from one look to the next, if nothing else is set."""
AT_MOST = 0.04
"""Share of the time that looks may take where a clock decides; the last one as much again."""
SEEDS = range(256)
_REAL = 500  # training pictures to compare with
_ASKED = 128  # pictures that are compared with each training picture
_CHECKED = 128  # pictures a side, at most, for the family's own check


class Watcher:
    """Looks at a model. The real pictures' features are computed once, at the first look."""

    def __init__(
        self,
        training: Pictures,
        held_out: Pictures,
        index: Index | None,
        sampling: Settings,
        network: str = features.AUTO,
    ) -> None:
        """Compare with these pictures.

        Args:
            training: the training set.
            held_out: real pictures that are not in it, or none.
            index: of the training set, to find copies with.
            sampling: how pictures are drawn.
            network: name of the feature network, or `auto`.

        Raises:
            SettingsError: if there is no such network.
        """
        features.check(network)
        self.training, self.held_out = training, held_out
        self.index = index
        self.sampling = sampling
        self.network = network
        self._known: tuple[Extractor, metrics.Array, metrics.Array, metrics.Array] | None = None

    def look(self, learner: Learner, order: Order) -> Look:
        """Measure the averaged model: by pictures that it draws, if it has begun to learn how."""
        can_draw = learner.family.can_draw(order.progress)
        numbers = self._measured(learner) if can_draw else {}
        look = Look.of({"at": order.step, **numbers, **self._check(learner, order)})
        return Look.of({"at": order.step, **look.record()})  # rounded, as the journal has it

    def _measured(self, learner: Learner) -> dict[str, Any]:
        """Return what can be said of drawn pictures, by the names of `Look`."""
        counts = self.training.label_counts()
        made = drawn.sample(learner.average, self.sampling, SEEDS, counts, silent, self.training)
        numbers: dict[str, Any] = {}
        if self.index is not None:
            distances, _ = self.index.nearest(made.images[:: len(made) // _ASKED])
            hits = int(self.index.copies(distances).sum())
            numbers["copies"] = hits / len(distances)
            numbers["copies_low"], _ = metrics.share_interval(hits, len(distances))
        if len(self.training) >= LEAST:
            extractor, real, held, pixels = self._real(learner)
            ours = extractor(made.images).astype(np.float64)
            kernels = metrics.kernels(real, ours)
            numbers["kid"] = metrics.kid(kernels)
            low, high = metrics.interval(metrics.kid_draws(kernels, 400))
            numbers |= {"kid_low": low, "kid_high": high}
            numbers["spread"] = min(spread(real, ours), spread(pixels, _pixels(made.images)))
            if len(held) >= LEAST:
                numbers["coverage"] = metrics.overlap(held, ours).coverage
        return numbers

    def _real(
        self, learner: Learner
    ) -> tuple[Extractor, metrics.Array, metrics.Array, metrics.Array]:
        """Return what gives features, those of training and of held-out pictures, and the pixels of
        the training pictures; which are compared goes by their content."""
        if self._known is None:
            order = np.argsort(as_numbers(self.training.digests), kind="stable")
            images = self.training.images[order[:_REAL]]
            extractor = features.fast(self.network, images, learner.family.device)
            held = self.held_out.images[:_REAL]
            both = extractor(np.concatenate([images, held])).astype(np.float64)
            self._known = extractor, both[: len(images)], both[len(images) :], _pixels(images)
        return self._known

    def _check(self, learner: Learner, order: Order) -> Mapping[str, float]:
        if min(len(self.training), len(self.held_out)) < LEAST:
            return {}
        known, held = (
            learner.look(pictures, min(_CHECKED, len(pictures)), order)
            for pictures in (self.training, self.held_out)
        )
        return learner.family.check(known, held)


def spread(real: metrics.Array, made: metrics.Array) -> float:
    """Return how much made pictures differ, (M, D), as a share of how much real ones do, (N, D).

    The least of two ratios: of the mean distance of all pairs, which falls when all pictures
    become alike, and of the median distance to the nearest other picture, which falls when a few
    pictures come again and again. The second is taken of a fourth as many pictures as there are
    real ones: a model that draws each of those equally often does not repeat itself in so few.
    """
    pairs = [tuple(_pairs(one).mean() for one in (made, real))]
    if (count := min(len(real) // 4, len(made))) >= LEAST:
        few = (one[:: len(one) // count][:count] for one in (made, real))
        pairs.append(tuple(np.median(_pairs(one).min(1)) for one in few))
    return min((float(ours / theirs) for ours, theirs in pairs if theirs > 0), default=1.0)


def _pairs(x: metrics.Array) -> metrics.Array:
    """Return the distances of each to all others, (N, N - 1)."""
    distances = np.sqrt(metrics.squared_distances(x, x))
    others: metrics.Array = distances[~np.eye(len(x), dtype=bool)].reshape(len(x), -1)
    return others


def _pixels(images: Images) -> metrics.Array:
    """Return the pixels of each picture, (N, D): of large ones every second, third or so."""
    every = max(1, min(images.shape[2:]) // 32)
    return images[:, :, ::every, ::every].reshape(len(images), -1).astype(np.float64)
