"""A sample of what a model draws, in the proportions in which it was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

import numpy as np

from imagegen.data.store import Pictures, as_numbers, from_images
from imagegen.evaluate.extractor import Report
from imagegen.evaluate.measure import Generated, Record
from imagegen.family import Family
from imagegen.sample.draw import draw
from imagegen.sample.tell import Ask
from imagegen.settings import Settings


def sample(
    family: Family,
    sampling: Settings,
    seeds: Sequence[int],
    counts: Mapping[str, int],
    report: Report,
    like: Pictures | None = None,
) -> Generated:
    """Draw one picture a seed.

    Args:
        family: a trained model.
        sampling: an instance of its `Sampling`.
        seeds: of the pictures.
        counts: how many training pictures each label had; labels are drawn in that proportion,
            the first label for the first seeds.
        report: told how far it is.
        like: pictures that a model which knows text is asked for instead, by their captions and
            labels; also where pictures have several labels.
    """
    names = family.condition.labels
    told = family.condition.vocabulary is not None and like is not None and like.texts is not None
    if like is not None and (told or (names and like.several is not None)):
        asks = list(_as_real(like, names, told, len(seeds)))
    else:
        asks = [ask for ask, part in _shared_out(seeds, names, counts) for _ in part]
    pictures, sources = [], []
    for (seed, picture), ask in zip(draw(family, seeds, sampling, asks), asks, strict=True):
        pictures.append(picture)
        source = Record(seed=seed, label=next(iter(ask.labels), None))
        if ask.text:
            source["text"] = ask.text
        if len(ask.labels) > 1:
            source["labels"] = dict(ask.labels)
        sources.append(source)
        report("drawing", len(pictures), len(seeds))
    labels = [_number(names, source["label"]) for source in sources] if names else None
    return Generated(
        from_images(pictures, family.shape[0]),
        None if labels is None else np.array(labels, np.int64),
        sources,
    )


def _number(names: Sequence[str], label: str | None) -> int:
    return -1 if label is None else names.index(label)


def _as_real(like: Pictures, names: Sequence[str], told: bool, count: int) -> Iterator[Ask]:
    """Yield what so many pictures are, evenly spread over a set in the order of its content."""
    order = np.argsort(as_numbers(like.digests), kind="stable")
    for row in order[np.arange(count) * len(order) // count].tolist():
        labels = [like.label_names[one] for one in like.labels_of(row)]
        known = [label for label in labels if label in names]
        text = like.texts[row] if told and like.texts is not None else ""
        yield Ask({label: 1 / len(known) for label in known}, text)


def _shared_out(
    seeds: Sequence[int], names: Sequence[str], counts: Mapping[str, int]
) -> Iterator[tuple[Ask, Sequence[int]]]:
    if not names:
        yield Ask(), seeds
        return
    weights = [counts.get(name, 0) for name in names]
    if not sum(weights):  # nothing is known: as many of each
        weights = [1] * len(names)
    ends = [0, *(len(seeds) * done // sum(weights) for done in accumulate(weights))]
    for name, (start, end) in zip(names, pairwise(ends), strict=True):
        if end > start:
            yield Ask({name: 1.0}), seeds[start:end]
