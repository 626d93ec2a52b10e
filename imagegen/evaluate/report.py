"""A model's report: one HTML page with its pictures, its numbers and what they mean.

The page holds all it shows. It asks nobody for anything, so it can be opened from a disk without a
network, kept for years and passed on.
"""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegen import presets, registry
from imagegen.errors import UserError
from imagegen.evaluate import charts, facts, page
from imagegen.evaluate.facts import Facts, Fidelity, NetworkScores
from imagegen.images import metadata

if TYPE_CHECKING:
    from imagegen.data.store import Images, Pictures
    from imagegen.family import Family
    from imagegen.sample.tell import Ask
    from imagegen.settings import Settings

DRAWN = 24
"""Pictures on the sample sheet, fewer where the labels do not divide it."""
CONTACTS = 32
"""Training pictures shown, if they are shown."""


@dataclass(frozen=True)
class Drawn:
    """A generated picture: the bytes of a PNG file, and what it was asked for."""

    png: bytes
    seed: int
    label: str | None


@dataclass(frozen=True)
class Contact:
    """A training picture: the bytes of a PNG file, and its path inside the source."""

    png: bytes
    name: str


@dataclass(frozen=True)
class Compared:
    """A generated picture beside the training picture most like it.

    Either is None if it can't be shown or must not be.
    """

    pair: facts.Pair
    generated: Drawn | None
    training: Contact | None


@dataclass(frozen=True)
class Report:
    """A page, and what its reader must be told besides."""

    html: str
    facts: Facts
    warnings: list[str]


def make(model: registry.Model, training_pictures: bool = False) -> Report:
    """Draw a model's pictures and write its report.

    Args:
        model: must have weights.
        training_pictures: also read the training pictures again, and show some.

    Raises:
        UserError: if the model has no weights, or is damaged.
    """
    import torch

    from imagegen.families import FAMILIES
    from imagegen.sample.tell import Ask

    family, _ = registry.load(model)
    family.check_generates()
    known = facts.gather(model)
    layer = presets.Layer(known.config.model_dump(mode="json"), {(): f"model {model.name}"})
    kind = FAMILIES[known.config.family].Sampling
    sampling = presets.check_section(kind, "sample", layer)
    measured = sampling
    if known.state == "current" and known.evaluation:
        for key, value in known.evaluation.sample.items():
            layer.put(("sample", key), value, f"{model.name}'s evaluation")
        measured = presets.check_section(kind, "sample", layer)
    warnings = [*known.complaints, *_doubts(known)]
    pictures = None
    if training_pictures:
        pictures, problem = _training(model, known)
        warnings += problem

    per_label = max(1, DRAWN // max(1, len(known.labels)))
    first = known.evaluation.seeds[0] if known.evaluation and known.evaluation.seeds else 0
    seeds = range(first, first + per_label)
    sheet = [
        one
        for label in known.labels[:DRAWN] or [None]
        for one in _drawn(known, family, sampling, seeds, _ask(label))
    ]
    pairs = []
    for pair in known.evaluation.pairs if known.evaluation else ():
        # Other weights draw another picture, one that was never compared.
        ask = Ask(pair.labels, pair.text) if pair.labels else _ask(pair.label, pair.text)
        can_draw = known.state == "current" and ask.labels.keys() <= set(known.labels)
        ours = None
        if can_draw:
            (ours,) = _drawn(known, family, measured, [pair.seed], ask)
        pairs.append(Compared(pair, ours, _found(pictures, pair.digest)))
    contacts = None if pictures is None else _contacts(pictures)
    html = render(known, sheet, pairs, contacts, warnings, torch.__version__)
    return Report(html, known, warnings)


def _doubts(known: Facts) -> list[str]:
    """Return what the reader must know before believing any number."""
    if known.evaluation is None:
        return []
    doubts = list(known.evaluation.warnings)
    if known.state == "stale":
        doubts.insert(
            0,
            "The numbers belong to an older model: its weights have changed since it was measured. "
            f"Measure it again: imagegen evaluate {known.name}",
        )
    return doubts


def _ask(label: str | None, text: str = "") -> Ask:
    from imagegen.sample.tell import Ask

    return Ask({} if label is None else {label: 1.0}, text)


def _drawn(
    known: Facts,
    family: Family,
    sampling: Settings,
    seeds: Sequence[int],
    ask: Ask,
) -> Iterable[Drawn]:
    from imagegen.sample.draw import draw

    label = next(iter(ask.labels), None)
    for seed, picture in draw(family, seeds, sampling, ask):
        record = metadata.record(
            known.name, known.weights, known.config.family, seed, label, sampling
        )
        yield Drawn(metadata.encode(picture, record), seed, label)


# --- training pictures --------------------------------------------------------------------------


def _training(model: registry.Model, known: Facts) -> tuple[Pictures | None, list[str]]:
    """Read the training pictures again; return them, and what is wrong with them."""
    from imagegen.data.store import load_pictures
    from imagegen.evaluate import copies

    if not known.data.source:
        return None, ["Training pictures can't be shown: nobody knows where they came from."]
    try:
        pictures = load_pictures(known.data.source, known.config.data)
        fingerprint = pictures.fingerprint
        if model.index.exists():  # without it, nothing was held out
            pictures = pictures.part(~copies.load(model.index).held(pictures))
    except UserError as error:
        return None, [f"Training pictures can't be shown: {error.message}"]
    except OSError as error:
        return None, [f"Training pictures can't be shown: {known.data.source}: {error.strerror}"]
    if fingerprint != known.data.fingerprint:
        return pictures, [
            f"The pictures in {known.data.source} have changed since training: those shown here "
            "may not be those it was trained on."
        ]
    return pictures, []


def _contacts(pictures: Pictures) -> list[Contact]:
    """Return some training pictures from all over the set."""
    count = min(CONTACTS, len(pictures))
    chosen = [index * len(pictures) // count for index in range(count)]
    return [Contact(_png(pictures.images[index]), pictures.names[index]) for index in chosen]


def _found(pictures: Pictures | None, digest: str) -> Contact | None:
    for index, own in enumerate(pictures.digests if pictures is not None else ()):
        if pictures is not None and own.tobytes().hex() == digest:
            return Contact(_png(pictures.images[index]), pictures.names[index])
    return None


def _png(image: Images) -> bytes:
    """Turn a training picture, (C, H, W), into the bytes of a PNG file."""
    from imagegen.data.store import to_tensor
    from imagegen.sample.draw import to_pictures

    file = io.BytesIO()
    to_pictures(to_tensor(image[None]))[0].save(file, "PNG")
    return file.getvalue()


# --- the page -----------------------------------------------------------------------------------


def render(
    known: Facts,
    sheet: Sequence[Drawn],
    pairs: Sequence[Compared],
    contacts: Sequence[Contact] | None,
    warnings: Sequence[str],
    torch_version: str,
) -> str:
    """Return the page. The same values give the same page: nothing is read, there is no clock.

    Args:
        known: of the model.
        sheet: generated pictures, in order.
        pairs: those most like a training picture, nearest first.
        contacts: training pictures, or None where they must not or can't be shown.
        warnings: shown before anything else.
        torch_version: what the pictures were drawn with.
    """
    return page.render(
        "report.html",
        torch_version=torch_version,
        known=known,
        data=known.data,
        measured=known.evaluation,
        verdict=facts.verdict(known),
        kind=facts.kind(known),
        uses=facts.uses(known),
        limits=facts.limits(known),
        copies_unclear=known.evaluation is not None and facts.copies_unclear(known.evaluation),
        copies_too_much=known.evaluation is not None and facts.copies_too_much(known.evaluation),
        sheet=sheet,
        pairs=pairs,
        contacts=contacts,
        warnings=warnings,
        kid_charts=_kid_charts(known),
        fidelity_chart=_fidelity_chart(known.evaluation.fidelity if known.evaluation else None),
        text_chart=_fidelity_chart(known.evaluation.text_fidelity if known.evaluation else None),
        curves=[charts.curve(name, points) for name, points in known.curves.items()],
        looks=[charts.curve(name, points) for name, points in known.looks.items()],
        settings=presets.dump(known.config),
        commands=_commands(known, sheet, contacts is not None),
        enlarged=max(known.shape[1:]) < charts.FINE,
    )


def _kid_charts(known: Facts) -> list[tuple[NetworkScores, charts.Intervals]]:
    """Return what each feature network measured, and its chart; nothing without the first one."""
    measured = known.evaluation
    if measured is None or measured.kid is None:
        return []
    found = [measured, *([measured.second] if measured.second else [])]
    return [(one, chart) for one in found if (chart := _kid_chart(one))]


def _kid_chart(measured: NetworkScores) -> charts.Intervals | None:
    if measured.kid is None:
        return None
    rows = [charts.Row("Generated pictures", measured.kid, measured.kid_interval, "ours")]
    if measured.floor is not None:
        rows.append(
            charts.Row("Real pictures, held out", measured.floor, measured.floor_interval, "real")
        )
    return charts.intervals(rows, [0.0])


def _fidelity_chart(fidelity: Fidelity | None) -> charts.Intervals | None:
    if fidelity is None:
        return None
    rows = [
        charts.Row("Generated pictures", fidelity.generated, fidelity.generated_interval, "ours")
    ]
    if fidelity.held_out is not None:
        rows.append(charts.Row("Real pictures, held out", fidelity.held_out, None, "real"))
    if fidelity.chance is not None:
        rows.append(charts.Row("By chance", fidelity.chance, None, "chance"))
    return charts.intervals(rows, [0.0, 1.0], share=True)


def _commands(known: Facts, sheet: Sequence[Drawn], training: bool) -> list[tuple[str, str]]:
    """Return (what it is for, the command) of all that led to this page."""
    name = shlex.quote(known.name)
    source = shlex.quote(known.data.source or "DATA")
    count = sum(one.label == sheet[0].label for one in sheet)
    draw = f"imagegen generate -m {name} --seed {sheet[0].seed} -n {count}"
    again = f"--preset settings.yaml --steps {known.step} --name {name}-again"
    commands = [("Train it again, with the settings above", f"imagegen train {source} {again}")]
    if known.labels:
        commands += [
            (f"Draw the pictures of {label}", f"{draw} --label {shlex.quote(label)}")
            for label in known.labels[:3]
        ]
    else:
        commands.append(("Draw the pictures above", draw))
    shown = " --training-pictures" if training else ""
    return [
        *commands,
        ("Measure it", _evaluate(known)),
        ("Write this page", f"imagegen report {name} -o {name}-report.html{shown}"),
    ]


def _evaluate(known: Facts) -> str:
    command = f"imagegen evaluate {shlex.quote(known.name)}"
    measured = known.evaluation
    if measured is None or not measured.seeds or known.state != "current":
        return command
    command += f" --seed {measured.seeds[0]} -n {measured.seeds[1] - measured.seeds[0] + 1}"
    for key, value in measured.sample.items():
        if value != known.config.sample.get(key):
            command += f" --set sample.{key}={value}"
    return command
