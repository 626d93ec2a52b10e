"""All that is measured of a set of generated pictures, against real ones and against the floor.

The floor is what real pictures score that were held out of training: a perfect model reaches it,
and no number can be read without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imagegen.data.split import held_out
from imagegen.data.store import Images, Indices, Pictures, as_numbers
from imagegen.errors import UserError
from imagegen.evaluate import metrics
from imagegen.evaluate.copies import Index, is_copying
from imagegen.evaluate.extractor import Extractor, Floats, Report, silent
from imagegen.evaluate.judge import CaptionJudge, Judge

LEAST = 10
"""Pictures a side below which nothing can be said."""
FEW = 50
"""Pictures a side below which every number comes with a warning."""
MOST = 4_000
"""Pictures a side that are compared: more would take memory, and hardly narrow the intervals."""
PAIRS = 8
"""How many of the pictures that are nearest to training pictures are named."""
ROUNDS = 5
"""Random parts over which a number is averaged where the sets must be of equal size."""

Mask = npt.NDArray[np.bool_]
Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Generated:
    """Pictures to be judged.

    Attributes:
        images: uint8 (M, C, H, W), of the real pictures' shape.
        labels: int64 (M,), into the real pictures' label names, -1 for none of them; or None.
        sources: says of each picture where it is from: a seed and a label, or a file.
    """

    images: Images
    labels: Indices | None
    sources: Sequence[Record]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Reference:
    """Real pictures, and which of them play which part.

    Attributes:
        pictures: all of them.
        known: (N,), those that generated pictures are measured against.
        floor: two parts, (N,) each, whose distance is the floor; the second plays the generated.
        notes: what the user should know of the parts.
    """

    pictures: Pictures
    known: Mask
    floor: tuple[Mask, Mask]
    notes: tuple[str, ...] = ()


def split_for(pictures: Pictures, index: Index | None) -> Reference:
    """Say which real pictures were trained on and which were held out.

    Without an index, or when one of the two is missing, all are measured against, and the floor is
    the distance of two halves.
    """
    pictures = at_most(pictures)
    everything = np.ones(len(pictures), bool)
    notes: tuple[str, ...] = ()
    if index is not None:
        trained = index.trained(pictures)
        if not trained.any():
            notes = ("none of these pictures was trained on: all of them are measured against",)
        elif (~trained).sum() >= LEAST:
            return Reference(pictures, trained, (trained, ~trained))
        else:
            notes = (
                f"only {(~trained).sum()} of these pictures were held out of training: the floor "
                "is the distance of two halves of all of them",
            )
    second = held_out(pictures, 0.5)
    return Reference(pictures, everything, (~second, second), notes)


def at_most(pictures: Pictures) -> Pictures:
    """Return no more than MOST of the pictures, chosen by their content."""
    if len(pictures) <= MOST:
        return pictures
    order = np.argsort(as_numbers(pictures.digests), kind="stable")
    chosen = np.zeros(len(pictures), bool)
    chosen[order[:MOST]] = True
    return pictures.part(chosen)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        record: as it is written to files.
        draws: bootstrap resamples of the KID, (draws,), one array for each feature network: to
            compare it with that of another model.
    """

    record: Record
    draws: tuple[metrics.Array, ...]


def measure(
    generated: Generated,
    reference: Reference,
    extractors: Sequence[Extractor],
    index: Index,
    report: Report = silent,
) -> Evaluation:
    """Measure pictures.

    Args:
        generated: at most MOST pictures.
        reference: the real ones.
        extractors: the feature networks, one or two. The first one decides; what it says stands in
            the record itself, what the second says under `second`.
        index: of the pictures that may have been copied.
        report: told how far it is.

    Raises:
        UserError: if there are too few pictures on a side to say anything.
    """
    sizes = {"generated": len(generated), "real": int(reference.known.sum())}
    for name, count in sizes.items():
        if count < LEAST:
            raise UserError(
                f"only {count} {name} pictures: nothing can be measured with fewer than {LEAST}",
                "take more; a few hundred give narrow intervals",
            )
    first = _compare(generated, reference, extractors[0], report)
    # Of the second only what is reported: its kernels take as much memory again.
    others = [_compare(generated, reference, one, report).evaluation for one in extractors[1:]]
    report("comparing", 0, 3)
    record: Record = {
        "n_generated": len(generated),
        "n_real": sizes["real"],
        "n_held_out": int(reference.floor[1].sum()),
        **first.evaluation.record,
        "second": others[0].record if others else None,
    }
    report("comparing", 1, 3)
    record |= _copies(generated, index)
    report("comparing", 2, 3)
    record |= _labels(generated, reference, first)
    record["text_fidelity"] = _texts(generated, reference, first.x, first.y)
    record["warnings"] = [*reference.notes, *_warnings(record)]
    report("comparing", 3, 3)
    draws = first.evaluation.draws + tuple(one.draws[0] for one in others)
    return Evaluation(record, draws)


@dataclass(frozen=True, eq=False)
class _Compared:
    """Real features x, (N, D), and generated ones y, (M, D), of one network; their distances."""

    x: metrics.Array
    y: metrics.Array
    kernels: metrics.Kernels
    evaluation: Evaluation


def _compare(
    generated: Generated, reference: Reference, extractor: Extractor, report: Report
) -> _Compared:
    """Measure the distances of two sets in the features of one network."""
    x = extractor.cached(reference.pictures.images, report).astype(np.float64)
    y = extractor(generated.images, report).astype(np.float64)
    first, second = reference.floor
    kernels = metrics.kernels(x[reference.known], y)
    draws = metrics.kid_draws(kernels)
    record: Record = {
        "network": extractor.network_name,
        "features": extractor.name,
        "kid": metrics.kid(kernels),
        "kid_interval": metrics.interval(draws),
        **_floor(x, reference),
        **_numbers(x[reference.known], y),
        "equal_sizes": _equal_sizes(x[first], x[second], y),
    }
    return _Compared(x, y, kernels, Evaluation(record, (draws,)))


def _floor(x: metrics.Array, reference: Reference) -> Record:
    first, second = reference.floor
    if min(first.sum(), second.sum()) < LEAST:
        return {"floor": None, "floor_interval": None}
    kernels = metrics.kernels(x[first], x[second])
    return {
        "floor": metrics.kid(kernels),
        "floor_interval": metrics.interval(metrics.kid_draws(kernels)),
    }


def _numbers(x: metrics.Array, y: metrics.Array) -> Record:
    """Return what depends on the sizes of the sets."""
    overlap = metrics.overlap(x, y)
    return {
        "frechet": metrics.frechet(x, y),
        "precision": overlap.precision,
        "recall": overlap.recall,
        "density": overlap.density,
        "coverage": overlap.coverage,
        "vendi": metrics.vendi(y, x.mean(0)),
    }


def _equal_sizes(x: metrics.Array, held: metrics.Array, y: metrics.Array) -> Record | None:
    """Return the same numbers for as many generated as held-out pictures, against the others."""
    count = min(len(held), len(y))
    if count <= metrics.NEIGHBOURS or len(x) <= metrics.NEIGHBOURS:
        return None
    random = np.random.Generator(np.random.Philox(key=1))

    def mean(pool: metrics.Array) -> Record:
        parts = [
            _numbers(x, pool[random.permutation(len(pool))[:count]])
            for _ in range(ROUNDS if len(pool) > count else 1)
        ]
        return {key: float(np.mean([part[key] for part in parts])) for key in parts[0]}

    return {"n": count, "generated": mean(y), "real": mean(held)}


def _copies(generated: Generated, index: Index) -> Record:
    distances, nearest = index.nearest(generated.images)
    copies = index.copies(distances)
    worst = np.argsort(distances, kind="stable")[:PAIRS]
    among_real = index.copies(index.held_distances)
    return {
        "copies": float(copies.mean()),
        "copies_interval": metrics.share_interval(int(copies.sum()), len(copies)),
        "copies_among_real": float(among_real.mean()) if len(among_real) else None,
        "copy_threshold": index.threshold,
        "pairs": [
            {
                **generated.sources[i],
                "distance": float(distances[i]),
                "digest": bytes(index.digests[nearest[i]]).hex(),
                "copy": bool(copies[i]),
            }
            for i in worst
        ],
    }


def _labels(generated: Generated, reference: Reference, compared: _Compared) -> Record:
    """Return whether a judge sees the label that was asked for, and each label's own numbers."""
    x, y, kernels = compared.x, compared.y, compared.kernels
    real, (first, second) = reference.pictures, reference.floor
    if real.labels is None or generated.labels is None:
        return {"fidelity": None, "labels": {}}
    names, asked = real.label_names, generated.labels
    first, second = (side & (real.labels >= 0) for side in (first, second))
    judge = Judge(x[first].astype(np.float32), real.labels[first], len(names))
    seen = judge(y.astype(np.float32))
    right = seen == asked
    meant = asked >= 0
    known = judge(x[second].astype(np.float32)) == real.labels[second]
    fidelity = _fidelity(right[meant], known, seen[meant] == _shuffled(asked[meant]))
    labels = {}
    for number, name in enumerate(names):
        ours = np.flatnonzero(real.labels[reference.known] == number)
        theirs = np.flatnonzero(asked == number)
        entry: Record = {"n_generated": len(theirs), "n_real": len(ours)}
        if min(len(ours), len(theirs)) >= LEAST:
            part = kernels.part(ours, theirs)
            overlap = metrics.overlap(x[reference.known][ours], y[theirs])
            entry |= {
                "kid": metrics.kid(part),
                "kid_interval": metrics.interval(metrics.kid_draws(part, 400)),
                "precision": overlap.precision,
                "recall": overlap.recall,
                "coverage": overlap.coverage,
            }
        if len(theirs):
            entry["fidelity"] = float(right[theirs].mean())
        labels[name] = entry
    return {"fidelity": fidelity, "labels": labels}


def _texts(
    generated: Generated, reference: Reference, x: metrics.Array, y: metrics.Array
) -> Record | None:
    """Return how often a judge tells the text that was asked for from others."""
    captions = reference.pictures.texts
    asked = [source.get("text", "") for source in generated.sources]
    if captions is None or not any(asked):
        return None

    def some(features: metrics.Array, texts: Sequence[str], side: Mask) -> tuple[Floats, list[str]]:
        rows = [row for row in np.flatnonzero(side).tolist() if texts[row]]
        return features[rows].astype(np.float32), [texts[row] for row in rows]

    first, second = reference.floor
    try:
        judge = CaptionJudge(*some(x, captions, first))
    except ValueError:
        return None
    drawn, texts = some(y, asked, np.ones(len(asked), bool))
    right = judge(drawn, texts)
    known = judge(*some(x, captions, second))
    chance = judge(drawn, [texts[row] for row in _shuffled(np.arange(len(texts)))])
    right, known, chance = (one[one >= 0] for one in (right, known, chance))
    return _fidelity(right, known, chance) if len(right) else None


def _fidelity(right: npt.NDArray[Any], known: npt.NDArray[Any], chance: npt.NDArray[Any]) -> Record:
    """Return how often a judge is right: of 0 and 1 a picture.

    Args:
        right: of generated pictures.
        known: of real ones, held out.
        chance: of generated pictures, if they had nothing to do with what was asked for.
    """
    return {
        "generated": float(right.mean()),
        "generated_interval": metrics.share_interval(int(right.sum()), len(right)),
        "held_out": float(known.mean()) if len(known) else None,
        "chance": float(chance.mean()),
    }


def _shuffled(numbers: Indices) -> Indices:
    """Return numbers in another order, always the same."""
    return np.random.Generator(np.random.Philox(key=3)).permutation(numbers)


def _warnings(record: Record) -> Iterator[str]:
    sides = {
        "generated pictures": ("n_generated", "kid_interval", "KID"),
        "real pictures to measure against": ("n_real", "kid_interval", "KID"),
        "real pictures for the floor": ("n_held_out", "floor_interval", "the floor"),
    }
    for name, (key, interval, what) in sides.items():
        if record[key] < FEW:
            if record[interval] is None:
                yield f"only {record[key]} {name}: {what} is unknown"
                continue
            low, high = record[interval]
            yield (
                f"only {record[key]} {name}: {what} may be anything from {low:.4g} to {high:.4g}, "
                "and the other numbers are as uncertain"
            )
    if is_copying(record):
        yield (
            f"{record['copies']:.0%} of the generated pictures are copies of real ones: how good "
            "and varied the others are, the numbers do not tell"
        )
