"""A sample of what a model draws, in the proportions in which it was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from imagegen.data.store import from_images
from imagegen.evaluate.features import Report
from imagegen.evaluate.measure import Generated, Record
from imagegen.family import Family
from imagegen.sample.draw import draw
from imagegen.settings import Settings


def sample(
    family: Family,
    sampling: Settings,
    seeds: Sequence[int],
    counts: Mapping[str, int],
    report: Report,
) -> Generated:
    """Draw one picture a seed.

    Args:
        family: a trained model.
        sampling: an instance of its `Sampling`.
        seeds: of the pictures.
        counts: how many training pictures each label had; labels are drawn in that proportion,
            the first label for the first seeds.
        report: told how far it is.
    """
    pictures, sources = [], []
    names = family.condition.labels
    for label, part in _shared_out(seeds, names, counts):
        for seed, picture in draw(family, part, sampling, label):
            pictures.append(picture)
            sources.append(Record(seed=seed, label=label))
            report("drawing", len(pictures), len(seeds))
    labels = [names.index(source["label"]) for source in sources] if names else None
    return Generated(
        from_images(pictures, family.shape[0]),
        None if labels is None else np.array(labels, np.int64),
        sources,
    )


def _shared_out(
    seeds: Sequence[int], names: Sequence[str], counts: Mapping[str, int]
) -> Iterator[tuple[str | None, Sequence[int]]]:
    if not names:
        yield None, seeds
        return
    weights = [counts.get(name, 0) for name in names]
    if not sum(weights):  # nothing is known: as many of each
        weights = [1] * len(names)
    ends = [0, *(len(seeds) * done // sum(weights) for done in accumulate(weights))]
    for name, (start, end) in zip(names, pairwise(ends), strict=True):
        if end > start:
            yield name, seeds[start:end]
