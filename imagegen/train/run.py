"""A training's folder: made once, and afterwards only continued by the same training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from imagegen import durable, presets, registry
from imagegen.data.split import held_out
from imagegen.data.store import Pictures
from imagegen.device import Precision, has_bfloat16, pick_device, pick_precision
from imagegen.errors import SettingsError, UserError
from imagegen.evaluate import copies
from imagegen.families import FAMILIES
from imagegen.family import Condition, Family
from imagegen.post.chain import take_apart
from imagegen.settings import Config, Settings
from imagegen.train import checkpoint
from imagegen.train.journal import FILE, Journal

FREE = {
    "train": {"checkpoint_every", "sample_every"},
    "autoencoder": {"name", "preset", "share"},  # its weights say which one it is
}
"""Settings that may differ when a training is continued: they do not change its course."""
SECTIONS = ("family", "data", "model", "autoencoder", "train", "sample")


@dataclass(frozen=True)
class Finished:
    """How a training ended."""

    step: int
    reason: str


@dataclass(frozen=True)
class Sides:
    """A set of pictures, divided: what is trained on, what is held out, and the index of it."""

    training: Pictures
    held_out: Pictures
    index: copies.Index | None


def known(name: str) -> registry.Model:
    """Return the model of a name, which need not exist.

    Raises:
        UserError: if there is a model of this name that can't be trained on.
    """
    model = registry.Model(registry.models_folder() / registry.check_name(name))
    if model.is_begun and not model.state.is_dir():
        raise UserError(
            f"model '{name}' exists already, without what training needs to go on",
            f"choose another name: --name NAME; or start from it: --from {name}",
        )
    return model


def folder(name: str) -> registry.Model:
    """Return the model of a name, with a folder for what training keeps.

    Raises:
        UserError: if there is a model of this name that can't be trained on.
    """
    model = known(name)
    model.state.mkdir(parents=True, exist_ok=True)
    model.samples.mkdir(exist_ok=True)
    return model


def prepare(
    model: registry.Model,
    config: Config,
    source: str,
    pictures: Pictures,
    parent: registry.Model | None = None,
) -> Sides:
    """Begin a training in a model's folder, or find that it is the one begun there before.

    Some pictures are held out of a new training. What they are is kept in the index of the others.

    Args:
        model: from `folder`, locked.
        config: with every setting filled in.
        source: where the pictures came from, as a later command can name it.
        pictures: all there are.
        parent: the model whose weights a new training starts from.

    Raises:
        UserError: if the name belongs to another training; says what differs.
    """
    for place in (model.path, model.state, model.samples):
        durable.sweep(place)
    data: dict[str, Any] = {
        "source": source,
        "fingerprint": pictures.fingerprint,
        "pictures": len(pictures),
        "skipped": [list(pair) for pair in pictures.skipped],
    }
    if parent is not None:
        data["continued_from"] = {"name": parent.name, "step": parent.header()["step"]}
    if not model.is_begun:
        sides = _hold_out(model, config, pictures)
        data["held_out"] = len(sides.held_out)
        data["labels"] = sides.training.label_counts()
        durable.write(model.path / "data.json", json.dumps(data, indent=1).encode())
        durable.write(model.path / "config.yaml", presets.dump(config).encode())
        return sides
    refuse_other(model, config, pictures, parent)
    return divide(model, config, pictures)


class OtherTrainingError(UserError):
    """A model of that name is there, and was trained with other settings or on other pictures."""


def refuse_other(
    model: registry.Model,
    config: Config,
    pictures: Pictures,
    parent: registry.Model | None = None,
) -> None:
    """Check that a training is the one that was begun in a model's folder.

    Raises:
        OtherTrainingError: if it is not; says what differs.
    """
    differences = _differences(presets.check(model.settings()), config)
    before = registry.data(model)
    if before.get("fingerprint") != pictures.fingerprint:
        differences.append(f"other pictures ({before.get('pictures')} then, {len(pictures)} now)")
    if parent is not None and before.get("continued_from", {}).get("name") != parent.name:
        differences.append("it was not started from the same model")
    if differences:
        hint = (
            "start a new one with --name NAME, also from this one's weights: --from "
            f"{model.name} --name NAME; or delete this one first: --force"
        )
        if before.get("fingerprint") == pictures.fingerprint and parent is None:
            hint += f"; or go on with the settings it has: imagegen train --resume {model.name}"
        raise OtherTrainingError(
            f"model '{model.name}' was trained otherwise: {'; '.join(differences)}", hint
        )


def divide(model: registry.Model, config: Config, pictures: Pictures) -> Sides:
    """Divide the pictures as they were divided when this training began."""
    if not model.index.exists() and "held_out" not in registry.data(model):  # begun before it was
        return Sides(pictures, pictures.part(np.zeros(len(pictures), bool)), None)
    try:
        index = copies.load(model.index)
    except UserError:  # damaged; but the same pictures fall on the same sides again
        return _hold_out(model, config, pictures)
    held = index.held(pictures)
    return Sides(pictures.part(~held), pictures.part(held), index)


def is_new(model: registry.Model) -> bool:
    """Say whether a training has not even saved its beginning."""
    return not any(model.state.glob("[0-9]*.safetensors"))


def precision_of(config: Config, begun: registry.Model | None) -> Precision:
    """Return the precision of a training: as it began, whatever the clock would say now.

    Args:
        config: with the device and `train.precision`.
        begun: its model, if this is not its beginning.

    Raises:
        SettingsError: if bfloat16 is slower than float32 here, or the device does not support it.
    """
    device = pick_device(config.device)
    name = None if begun is None else Journal.read(begun.state / FILE).precision
    if begun is None or (name is None and (is_new(begun) or device.type != "cpu")):
        return pick_precision(config.train.precision, device)
    if name is None:  # begun by a version whose `auto` was float32 on every CPU
        name = config.train.precision
    if name != "bfloat16":
        return Precision("float32", "as this training began")
    if not has_bfloat16(device):
        raise SettingsError(
            f"model '{begun.name}' is trained in bfloat16, which this {device.type} device does "
            "not support",
            "continue on the CPU: --set device=cpu; or start a new training: --name NAME",
        )
    return Precision("bfloat16", "as this training began")


def carry_over(parent: registry.Model, family: Family, config: Config) -> list[str]:
    """Give a new family the weights of a trained model, where they fit; say which did.

    Those that draw are the model's own, the best there are. The others are only in its state.

    Args:
        parent: the trained model.
        family: the new one's.
        config: the new one's settings.

    Returns:
        Lines to say: what is carried over of each part, and what else is the parent's.

    Raises:
        UserError: if the model has no weights yet, or is damaged.
    """
    trained, _ = registry.load(parent)
    known = trained.drawn()
    state, _ = checkpoint.load_newest(parent.state)
    if state is not None:
        known = state.family | known
    ours = family.trained()
    known = _by_name(known, ours, trained.condition, family.condition)
    lines = []
    for part in family.phases:
        names = [name for name in ours if name.split(".")[0] == part]
        fit = [name for name in names if name in known and known[name].shape == ours[name].shape]
        family.load_state_dict({name: known[name] for name in fit}, strict=False)
        line = f"{part}: {len(fit)} of {len(names)} tensors carried over"
        new = [name for name in names if name not in fit]
        lines.append(line + (f"; new: {', '.join(new[:3])}" if new else ""))
    steps = presets.check(parent.settings()).postprocess
    given = [settings for name, settings in map(take_apart, steps) if name == "palette"]
    if steps == config.postprocess and any("colors" in one for one in given):
        lines.append(
            f"postprocess.palette: the colours of {parent.name}; its preset, if named again, "
            "finds those of the new pictures"
        )
    if new := [one for one in family.condition.labels if one not in trained.condition.labels]:
        lines.append(f"new labels, nothing is learnt of them yet: {', '.join(new[:8])}")
    if trained.shape != family.shape:
        lines.append(
            "it had pictures of another size: some that are held out now may be known to it, so "
            "measurements may flatter"
        )
    lines.append("not carried over: optimisers, steps done, schedules, measurements")
    return lines


def _by_name(
    known: Mapping[str, Tensor], ours: Mapping[str, Tensor], then: Condition, now: Condition
) -> dict[str, Tensor]:
    """Return weights with what was learnt of each label and word where it belongs now.

    Args:
        known: weights of a model, by name.
        ours: those of another one; its new labels and words stay as they are in it.
        then: what the first can be told.
        now: what the other can be told.
    """
    tables: dict[str, tuple[Sequence[object], Sequence[object]]] = {
        "conditioner.labels": (then.labels, now.labels),
    }
    if then.vocabulary is not None and now.vocabulary is not None:
        tables["reader.words.weight"] = then.vocabulary.numbered(), now.vocabulary.numbered()
    moved = dict(known)
    for name in known.keys() & ours.keys():
        for end, (before, after) in tables.items():
            if name.endswith(end) and known[name].shape[1:] == ours[name].shape[1:]:
                place = {one: row for row, one in enumerate(before)}
                moved[name] = ours[name].clone()
                for row, one in enumerate(after):
                    if one in place:
                        moved[name][row] = known[name][place[one]]
    return moved


def _hold_out(model: registry.Model, config: Config, pictures: Pictures) -> Sides:
    """Divide the pictures, and write the index of those to train on, which knows the others."""
    held = held_out(pictures, config.data.held_out)
    training, others = pictures.part(~held), pictures.part(held)
    index = copies.build(training, others)
    index.save(model.index)
    return Sides(training, others, index)


def _differences(old: Config, new: Config) -> list[str]:
    def flat(config: Config) -> dict[str, Any]:
        values = config.model_dump(mode="json", include=set(SECTIONS), exclude=FREE)
        return {
            f"{section}.{key}" if isinstance(value, dict) else section: inner
            for section, value in values.items()
            for key, inner in (value.items() if isinstance(value, dict) else [("", value)])
        }

    if old.family != new.family:  # then nearly all the rest is something else
        return [f"family {old.family} then, {new.family} now"]
    # What the version that began it did not know yet was as it is unless something else is set.
    kind = FAMILIES[old.family]
    sections = {"model": _defaults(kind.Model), "sample": _defaults(kind.Sampling)}
    before, after = flat(old.model_copy(update=sections)) | flat(old), flat(new)
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key} {before.get(key)} then, {after.get(key)} now"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _defaults(settings: type[Settings]) -> dict[str, Any]:
    return settings().model_dump(mode="json")


def finished(model: registry.Model) -> Finished | None:
    """Return how the training ended, or None if it has not."""
    for record in durable.lines(model.state / FILE):
        if "finished" in record:
            return Finished(int(record["finished"]), str(record["reason"]))
    return None
