"""What is evaluated: a model, or a folder of pictures from anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image

from imagegen import durable, presets, registry
from imagegen.data import likeness
from imagegen.data.store import (
    Indices,
    Pictures,
    as_drawn,
    in_channels,
    load_pictures,
    to_tensor,
    typical_side,
)
from imagegen.device import pick_device
from imagegen.errors import SettingsError, UserError
from imagegen.evaluate import card, copies, features, metrics
from imagegen.evaluate.drawn import sample
from imagegen.evaluate.extractor import Extractor, Report
from imagegen.evaluate.measure import (
    Evaluation,
    Generated,
    Record,
    Reference,
    at_most,
    measure,
    split_for,
)
from imagegen.families import FAMILIES
from imagegen.family import Family
from imagegen.images.grid import TILE
from imagegen.sample import tell
from imagegen.sample.draw import to_pictures
from imagegen.settings import DataSettings

LARGEST = 256
"""Pixels a side at which pictures from anywhere are compared, at most."""
_AT_ONCE = 100
"""Pictures whose likelihood is computed at once."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Pictures that were evaluated, and all that was used for it.

    Attributes:
        name: of the model, or the folder.
        generated: the pictures.
        reference: the real ones.
        extractors: the two feature networks that judged.
        evaluation: what was found.
        model: the model, if these real pictures are those it was trained on.
        seconds: that drawing a picture took here, on average; 0 if none was drawn.
    """

    name: str
    generated: Generated
    reference: Reference
    extractors: tuple[Extractor, ...]
    evaluation: Evaluation
    model: registry.Model | None = None
    seconds: float = 0

    def keep(self) -> None:
        """Write what was found into the model's folder, if it is evidence of the model's own."""
        if self.model is not None:
            text = json.dumps(self.evaluation.record, indent=1)
            durable.write(self.model.path / registry.EVALUATION, text.encode())
            durable.write(self.model.path / "card.md", card.text(self.model).encode())

    def pairs(self) -> list[Image.Image]:
        """Return the pictures that are most like real ones, each beside that one if it is there."""
        real = self.reference.pictures
        sources = list(self.generated.sources)
        shown = []
        for pair in self.evaluation.record["pairs"]:
            digest = np.frombuffer(bytes.fromhex(pair["digest"]), np.uint8)
            found = np.flatnonzero((real.digests == digest).all(1))
            source = {key: pair[key] for key in sources[0]}
            images = [self.generated.images[sources.index(source)]]
            images += [real.images[i] for i in found[:1]]
            shown.append(_beside(to_pictures(to_tensor(np.stack(images)))))
        return shown


def _beside(pictures: Sequence[Image.Image]) -> Image.Image:
    width, height = pictures[0].size
    scale = max(1, round(TILE / width))
    sheet = Image.new("RGBA", ((2 * width + 1) * scale, height * scale))
    for place, picture in enumerate(pictures):
        large = picture.convert("RGBA").resize(
            (width * scale, height * scale), Image.Resampling.NEAREST
        )
        sheet.paste(large, (place * (width + 1) * scale, 0))
    return sheet


def model(
    found: registry.Model,
    data: str | None,
    seeds: range,
    network: str,
    sets: list[str],
    report: Report,
    like: Subject | None = None,
) -> Subject:
    """Evaluate a model.

    Args:
        found: the model.
        data: real pictures, or None for what it was trained on.
        seeds: of the pictures that are drawn.
        network: name of the first feature network, or `auto`.
        sets: settings of `sample`, as `a.b=value`.
        report: told how far it is.
        like: use the real pictures and the features of this one, to be compared with it.

    Raises:
        UserError: if the real pictures are not there, or too few.
    """
    base = found.settings()
    base.values.pop("device", None)
    layer = presets.resolve([], sets, base=base, sections=("sample", "device"))
    config = presets.check(layer)
    sampling = presets.check_section(FAMILIES[config.family].Sampling, "sample", layer)
    device = pick_device(config.device)
    family, weights = registry.load(found)
    family.check_generates()
    known = registry.data(found)
    index = copies.of(found) if found.index.is_file() else None
    notes: tuple[str, ...] = ()
    if like is not None:
        reference, extractors = like.reference, like.extractors
        if family.shape != reference.pictures.images.shape[1:]:
            raise SettingsError(
                f"model {found.name} draws {_shape(family.shape)}, and model {like.name} "
                f"{_shape(reference.pictures.images.shape[1:])}",
                "compare folders of their pictures: imagegen evaluate --pictures FOLDER DATA",
            )
        if index is not None and index.trained(reference.pictures).mean() < 0.5:
            notes = (f"{found.name} was trained on other pictures than {like.name}",)
    else:
        source = data or str(known.get("source") or "")
        pictures = _real(found, source, config.data, family, report)
        reference = split_for(pictures, index)
        skipped = _skipped(source, pictures)
        images = reference.pictures.images
        extractors, note = features.choose_both(network, images, device, report)
        notes = (note, *skipped) if note else skipped
    if index is None:
        index = _index(reference)
        notes += (
            f"model {found.name} has no index of its training pictures (trained before there were "
            "any): copies are looked for in the real pictures",
        )
    real = reference.pictures
    counts = known.get("labels", {})
    start = time.perf_counter()
    generated = sample(family.to(device), sampling, seeds, counts, report, real)
    taken = (time.perf_counter() - start) / len(seeds)
    labels = _labels(generated.labels, family.condition.labels, real)
    generated = replace(generated, labels=labels)
    own = real.fingerprint == known.get("fingerprint")
    if not own:
        notes += (
            "these are not the pictures it was trained on: not kept with the model, for its card "
            "and report",
        )
    found_out = measure(generated, reference, extractors, index, report)
    record = {
        "version": 1,
        "model": found.name,
        "weights": weights,
        "step": found.header()["step"],
        "seeds": [seeds[0], seeds[-1]],
        "sample": sampling.model_dump(mode="json"),
        **_described(real, found_out, notes),
        "likelihood": _likelihood(family, reference) if family.has_likelihood else None,
    }
    evaluation = Evaluation(record, found_out.draws)
    return Subject(
        found.name, generated, reference, extractors, evaluation, found if own else None, taken
    )


def _likelihood(family: Family, reference: Reference) -> Record | None:
    """Return how likely held-out pictures are, those of the floor, to a model that can say it.

    None if the model has labels and the pictures don't have the same ones.
    """
    _, held_out = reference.floor
    pictures = reference.pictures.part(held_out)
    told = tell.of_pictures(pictures, family.condition)
    if told is not None:
        if family.condition.labels and pictures.label_names != family.condition.labels:
            return None
        told = told.to(family.device)
    images = to_tensor(pictures.trained_on).to(family.device)
    parts = [slice(start, start + _AT_ONCE) for start in range(0, len(images), _AT_ONCE)]
    with torch.inference_mode():
        nats = torch.cat(
            [family.likelihood(images[p], None if told is None else told[p]) for p in parts]
        )
    mean = nats.mean().item()
    return {
        "n": len(nats),
        "nats": mean,
        "nats_error": nats.std().item() / len(nats) ** 0.5,
        "bits_per_dim": family.bits_per_dim(mean),
    }


def _real(
    found: registry.Model,
    source: str,
    settings: DataSettings,
    family: Family,
    report: Report,
) -> Pictures:
    """Load real pictures in the shape, and of the depth, that a model draws."""
    try:
        return load_pictures(
            source,
            as_drawn(settings, family.shape[0], family.depth),
            partial(report, "reading pictures"),
        )
    except UserError as error:
        raise UserError(
            f"the real pictures can't be read: {error.message}",
            f"say where they are: imagegen evaluate {found.name} DATA",
        ) from None


def pictures(folder: str, data: str, network: str, report: Report) -> Subject:
    """Evaluate the pictures of a folder against those of another.

    Both are brought to one size, the smaller one of the two.

    Raises:
        UserError: if there are no pictures, or too few.
    """
    sides = [typical_side(source) for source in (folder, data)]
    size = max(16, min(*sides, LARGEST))
    settings = DataSettings(size=size)
    ours, real = (
        at_most(load_pictures(source, settings, partial(report, f"reading {source}")))
        for source in (folder, data)
    )
    notes = [*_skipped(folder, ours), *_skipped(data, real)]
    if sides[0] != sides[1]:
        notes.append(
            f"the pictures are mostly {sides[0]} px and the real ones {sides[1]} px: both are "
            f"compared at {size} px"
        )
    kinds = {1: "grey", 3: "coloured", 4: "transparent"}
    if (first := ours.images.shape[1]) != (second := real.images.shape[1]):
        notes.append(
            f"the pictures are {kinds[first]} and the real ones {kinds[second]}: "
            "that alone sets them apart"
        )
    channels = max(first, second)
    ours, real = (_with_channels(one, channels) for one in (ours, real))
    reference = split_for(real, None)
    extractors, note = features.choose_both(network, real.images, pick_device("auto"), report)
    generated = Generated(
        ours.images,
        _labels(ours.labels, ours.label_names, real),
        [{"picture": name} for name in ours.names],
    )
    found_out = measure(generated, reference, extractors, _index(reference), report)
    record = {
        "version": 1,
        "pictures": folder,
        **_described(real, found_out, (note, *notes) if note else notes),
    }
    return Subject(folder, generated, reference, extractors, Evaluation(record, found_out.draws))


def _skipped(source: str, pictures: Pictures) -> tuple[str, ...]:
    """Return a line about the files that can't be read, if there are any."""
    if not pictures.skipped:
        return ()
    name, reason = pictures.skipped[0]
    return (f"{len(pictures.skipped)} files of {source} left out, such as {name}: {reason}",)


def _with_channels(pictures: Pictures, channels: int) -> Pictures:
    return replace(pictures, images=in_channels(pictures.images, channels))


def _labels(ours: Indices | None, names: Sequence[str], real: Pictures) -> Indices | None:
    """Return labels as numbers of the real ones' by name, -1 for others; None if none is shared."""
    if ours is None or real.labels is None:
        return None
    theirs = real.label_names
    numbers = [theirs.index(name) if name in theirs else -1 for name in names]
    labels = np.where(ours >= 0, np.array(numbers, np.int64)[ours], -1)
    return labels if (labels >= 0).any() else None


def _index(reference: Reference) -> copies.Index:
    """Return an index of all real pictures; its threshold comes from the floor's two halves."""
    real, (first, second) = reference.pictures, reference.floor
    halves = copies.build(real.part(first), real.part(second))
    bits = likeness.embed(real.images)
    return replace(halves, bits=bits, digests=real.digests, held_digests=real.digests[:0])


def _described(real: Pictures, found: Evaluation, notes: Sequence[str]) -> Record:
    record = dict(found.record)
    record["warnings"] = [*notes, *record["warnings"]]
    return {"data": {"fingerprint": real.fingerprint, "pictures": len(real)}, **record}


def _shape(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width}x{height} {({1: 'grey', 3: 'RGB', 4: 'RGBA'})[channels]}"


def difference(first: Subject, second: Subject) -> Record:
    """Compare two models that were measured against the same real pictures.

    Their bootstrap draws hold the same real pictures, so what those contribute to the difference
    of the two kernel distances cancels out.
    """
    one, other = first.evaluation, second.evaluation
    intervals = [metrics.interval(a - b) for a, b in zip(one.draws, other.draws, strict=True)]
    ours, theirs = one.record["second"], other.record["second"]
    return {
        "against": other.record,
        "kid_difference": one.record["kid"] - other.record["kid"],
        "kid_difference_interval": intervals[0],
        "second_kid_difference": ours["kid"] - theirs["kid"],
        "second_kid_difference_interval": intervals[1],
    }
