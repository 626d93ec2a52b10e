"""Several models of the same pictures side by side: which one to use, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from imagegen import presets, registry
from imagegen.data.store import to_tensor
from imagegen.evaluate import charts, page, subject
from imagegen.evaluate.copies import is_copying
from imagegen.evaluate.extractor import Report
from imagegen.evaluate.facts import Evaluation, number, percent, quality
from imagegen.evaluate.measure import Record
from imagegen.evaluate.metrics import interval
from imagegen.evaluate.subject import Subject
from imagegen.images import grid, metadata
from imagegen.sample.draw import to_pictures

SHOWN = 16
"""Pictures of each model on the sheet."""
SECOND = ("network", "features", "kid", "kid_interval", "coverage")
"""What is said of each model by the second feature network."""
FASTER = 2
"""How many times as fast another model must draw to be worth a word."""


@dataclass(frozen=True, eq=False)
class Row:
    """One model of a comparison.

    Attributes:
        preset: what it was trained by.
        subject: what was measured, and drawn for it.
        bytes: of its weights, and of those of a model that it stands on.
        behind: the interval of its KID less that of the first row, in the same real pictures.
        second_behind: the same in the features of the second network.
    """

    preset: str
    subject: Subject
    bytes: int
    behind: tuple[float, float]
    second_behind: tuple[float, float]

    @property
    def record(self) -> Record:
        """What was measured."""
        return self.subject.evaluation.record

    @property
    def is_copying(self) -> bool:
        """Whether so many of its pictures are training pictures again that its KID says little."""
        return is_copying(self.record)

    @property
    def fidelity(self) -> float | None:
        """Share of the pictures whose label a judge recognises, in [0, 1]."""
        return self._share("fidelity")

    @property
    def text_fidelity(self) -> float | None:
        """Share of the pictures whose text a judge tells from nine others, in [0, 1]."""
        return self._share("text_fidelity")

    def _share(self, key: str) -> float | None:
        found = self.record[key]
        return None if found is None else found["generated"]

    def as_json(self) -> Record:
        """Return its line of the table."""
        keys = ("model", "step", "kid", "kid_interval", "coverage", "copies", "copies_interval")
        return {
            "preset": self.preset,
            **{key: self.record[key] for key in keys},
            "fidelity": self.fidelity,
            "text_fidelity": self.text_fidelity,
            "seconds_a_picture": self.subject.seconds,
            "bytes": self.bytes,
            "kid_behind_interval": list(self.behind),
            "second": {
                "kid_behind_interval": list(self.second_behind),
                **{key: self.record["second"][key] for key in SECOND},
            },
        }


def measure(
    models: Sequence[tuple[str, registry.Model]], count: int, network: str, report: Report
) -> list[Row]:
    """Measure models of the same pictures with the same seeds, and keep what is found with each.

    Args:
        models: the name of the preset and the model, one or more.
        count: pictures to draw of each.
        network: name of the first feature network, or `auto`.
        report: told how far it is.

    Returns:
        The models, the lowest KID first, but after all others those that copy.

    Raises:
        UserError: if the real pictures are not there, or too few.
    """
    subjects: list[Subject] = []
    for _, model in models:
        like = subjects[0] if subjects else None
        subjects.append(subject.model(model, None, range(count), network, [], report, like))
        subjects[-1].keep()
    pairs = zip(models, subjects, strict=True)
    ordered = sorted(pairs, key=lambda pair: rank(pair[1].evaluation.record))
    best = ordered[0][1].evaluation.draws
    return [
        Row(
            preset,
            one,
            _bytes(model),
            *(interval(a - b) for a, b in zip(one.evaluation.draws, best, strict=True)),
        )
        for (preset, model), one in ordered
    ]


def rank(record: Record) -> tuple[bool, float]:
    """Return what models are ordered by: whether one copies, and its KID."""
    return is_copying(record), record["kid"]


def _bytes(model: registry.Model) -> int:
    stands = presets.check(model.settings()).autoencoder
    below = stands and registry.foundation(stands)
    return sum(one.weights.stat().st_size for one in (model, below) if one)


def why(rows: Sequence[Row]) -> str:
    """Return which model to use, the first of the rows, and the reasons, in plain words."""
    best, *others = rows
    honest = [row for row in others if row.is_copying == best.is_copying]
    told = f"use {best.record['model']}"
    if best.record["floor_interval"]:
        told += f", whose pictures are {quality(Evaluation.model_validate(best.record))}"
    told += f": its KID of {number(best.record['kid'])} is the lowest"
    better = [row for row in others if row.record["kid"] < best.record["kid"]]
    if better:
        told += " of those that do not copy"
    near = [row for row in honest if row.behind[0] <= 0]
    if honest and not near:
        low, high = honest[0].behind
        told += f", and that of the next, {honest[0].record['model']}, "
        told += f"is {number(low)} to {number(high)} higher"
    elif near:
        names = " and ".join(row.record["model"] for row in near)
        told += f", though too near to that of {names} to tell them apart"
    for row in better:
        told += (
            f"; {row.record['model']} has {number(row.record['kid'])}, but "
            f"{percent(row.record['copies'])} of its pictures are copies of training pictures"
        )
    if is_copying(best.record, share=0):
        copies = percent(best.record["copies"])
        told += f"; {copies} of its pictures are copies of training pictures: look at them"
    told += _disagreement(best, honest)
    quick = min(near, key=lambda row: row.subject.seconds, default=None)
    if quick and (ratio := best.subject.seconds / quick.subject.seconds) >= FASTER:
        told += f"; {quick.record['model']} draws {ratio:.0f} times as fast"
    return told


def _disagreement(best: Row, others: Sequence[Row]) -> str:
    """Return which other model the second network prefers to the best one; empty if none."""

    def kid(row: Row) -> float:
        value: float = row.record["second"]["kid"]
        return value

    preferred = min([best, *others], key=kid)
    if preferred is best:
        return ""
    told = (
        f"; the second network ({best.record['second']['network']}) disagrees: by its features "
        f"{preferred.record['model']} is better, with a KID of {number(kid(preferred))} against "
        f"{number(kid(best))}"
    )
    surely = preferred.second_behind[1] < 0
    return told if surely else f"{told}, though too near to tell them apart"


def heads(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the heads of the table's columns."""
    first, second = rows[0].record["network"], rows[0].record["second"]["network"]
    scores = (f"KID ({first})", "coverage", f"KID ({second})", "coverage")
    return ("preset", *scores, "copies", "label", "text", "s/picture", "MB", "steps")


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table, one text for each of its heads."""
    record = row.record
    return (
        row.preset,
        *_scores(record),
        *_scores(record["second"]),
        percent(record["copies"]),
        *("-" if one is None else percent(one) for one in (row.fidelity, row.text_fidelity)),
        f"{row.subject.seconds:.2g}",
        f"{row.bytes / 1e6:.1f}",
        f"{record['step']:,}",
    )


def _scores(record: Record) -> tuple[str, str]:
    """Return the KID with its interval, and the coverage, in the features of one network."""
    low, high = record["kid_interval"]
    return f"{number(record['kid'])} [{number(low)}, {number(high)}]", percent(record["coverage"])


def pictures(row: Row) -> list[Image.Image]:
    """Return some of what a model drew, evenly spread: of the same seeds for each model."""
    images = row.subject.generated.images
    count = min(SHOWN, len(images))
    chosen = [index * len(images) // count for index in range(count)]
    return to_pictures(to_tensor(images[chosen]))


def sheet(rows: Sequence[Row]) -> Image.Image:
    """Return one line of pictures for each model, with its name; columns have the same seeds."""
    return grid.lines([(row.preset, pictures(row)) for row in rows])


def html(
    source: str,
    budget: str,
    rows: Sequence[Row],
    left_out: dict[str, str],
    warnings: Sequence[str],
) -> str:
    """Return the comparison as a page.

    Args:
        source: the pictures.
        budget: how long each was trained, as `--budget` takes it.
        rows: the models, the best first.
        left_out: presets that could not be trained on these pictures, and why.
        warnings: what to know before the numbers are believed.
    """
    first = rows[0].record
    kid_charts = [
        (first["features"], _kid_chart([(row.preset, row.record) for row in rows])),
        (
            first["second"]["features"],
            _kid_chart([(row.preset, row.record["second"]) for row in rows]),
        ),
    ]
    shape = rows[0].subject.generated.images.shape[1:]
    return page.render(
        "compare.html",
        source=source,
        budget=budget,
        why=why(rows),
        rows=rows,
        heads=heads(rows),
        cells=[cells(row) for row in rows],
        kid_charts=kid_charts,
        lines=[(row, [_png(one) for one in pictures(row)]) for row in rows],
        first=first,
        warnings=warnings,
        left_out=left_out,
        shape=shape,
        enlarged=max(shape[1:]) < charts.FINE,
    )


def _kid_chart(named: Sequence[tuple[str, Record]]) -> charts.Intervals:
    """Place the KIDs of models, and of held-out real pictures, in the features of one network."""
    rows = [
        charts.Row(name, record["kid"], record["kid_interval"], "ours") for name, record in named
    ]
    _, first = named[0]
    if first["floor"] is not None:
        real = charts.Row(
            "Real pictures, held out", first["floor"], first["floor_interval"], "real"
        )
        rows.append(real)
    return charts.intervals(rows, [0.0])


def _png(picture: Image.Image) -> bytes:
    return metadata.encode(picture, {"version": 1})
