"""A training's folder: made once, and afterwards only continued by the same training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from imagegen import durable, presets, registry
from imagegen.data.split import held_out
from imagegen.data.store import Pictures
from imagegen.errors import UserError
from imagegen.evaluate import copies
from imagegen.settings import Config

FREE = {"train": {"checkpoint_every", "sample_every"}}
"""Settings that may differ when a training is continued: they do not change its course."""
SECTIONS = ("family", "data", "model", "train")


@dataclass(frozen=True)
class Finished:
    """How a training ended."""

    step: int
    reason: str


def prepare(
    name: str, config: Config, source: str, pictures: Pictures
) -> tuple[registry.Model, Pictures]:
    """Return the folder of a new training, or of the same training begun before, and its pictures.

    Some pictures are held out of a new training. What they are is kept in the index of the others.

    Args:
        name: of the model.
        config: with every setting filled in.
        source: where the pictures came from, as a later command can name it.
        pictures: all there are.

    Raises:
        UserError: if the name belongs to another training; says what differs.

    Returns:
        The model, and the pictures to train on.
    """
    model = registry.Model(registry.models_folder() / registry.check_name(name))
    data = {
        "source": source,
        "fingerprint": pictures.fingerprint,
        "pictures": len(pictures),
        "labels": pictures.label_counts(),
        "skipped": [list(pair) for pair in pictures.skipped],
    }
    if not (model.path / "config.yaml").exists():
        model.state.mkdir(parents=True, exist_ok=True)
        model.samples.mkdir(exist_ok=True)
        training = _hold_out(model, config, pictures)
        data["held_out"] = len(pictures) - len(training)
        durable.write(model.path / "data.json", json.dumps(data, indent=1).encode())
        durable.write(model.path / "config.yaml", presets.dump(config).encode())
        return model, training
    if not model.state.is_dir():
        raise UserError(
            f"model '{name}' exists already, without what training needs to go on",
            "choose another name: --name NAME",
        )
    differences = _differences(presets.check(model.settings()), config)
    before = registry.data(model)
    if before.get("fingerprint") != data["fingerprint"]:
        differences.append(f"other pictures ({before.get('pictures')} then, {len(pictures)} now)")
    if differences:
        hint = "start a new one with --name NAME"
        if before.get("fingerprint") == data["fingerprint"]:
            hint += f", or go on with the settings it has: imagegen train --resume {name}"
        raise UserError(f"model '{name}' was trained otherwise: {'; '.join(differences)}", hint)
    if not model.index.exists():  # begun before pictures were held out
        return model, pictures
    try:
        return model, pictures.part(~copies.load(model.index).held(pictures))
    except UserError:  # damaged; but the same pictures fall on the same sides again
        return model, _hold_out(model, config, pictures)


def _hold_out(model: registry.Model, config: Config, pictures: Pictures) -> Pictures:
    """Return the pictures to train on, and write their index, which says what the others are."""
    held = held_out(pictures, config.data.held_out)
    training = pictures.part(~held)
    copies.build(training, pictures.part(held)).save(model.index)
    return training


def _differences(old: Config, new: Config) -> list[str]:
    def flat(config: Config) -> dict[str, Any]:
        values = config.model_dump(mode="json", include=set(SECTIONS), exclude=FREE)
        return {
            f"{section}.{key}" if isinstance(value, dict) else section: inner
            for section, value in values.items()
            for key, inner in (value.items() if isinstance(value, dict) else [("", value)])
        }

    before, after = flat(old), flat(new)
    keys = sorted(before.keys() | after.keys())
    return [
        f"{key} {before.get(key)} then, {after.get(key)} now"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def finished(model: registry.Model) -> Finished | None:
    """Return how the training ended, or None if it has not."""
    for record in registry.lines(model.state / "journal.jsonl"):
        if "finished" in record:
            return Finished(int(record["finished"]), str(record["reason"]))
    return None
