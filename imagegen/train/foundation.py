"""What a model stands on: an autoencoder, trained before it by the same command or named."""

from __future__ import annotations

import json
from pathlib import Path

from imagegen import durable, presets, registry
from imagegen.data.store import KINDS
from imagegen.errors import NotFoundError, SettingsError
from imagegen.families import FAMILIES
from imagegen.family import Condition, LatentCodec, Shape
from imagegen.settings import AutoencoderSettings, seconds, size_of

NAME = ("autoencoder", "name")
WEIGHTS = ("autoencoder", "weights")
PRESET = ("autoencoder", "preset")
SIZE = ("data", "size")
CHANNELS = ("data", "channels")
PRIOR_SHARE = ("model", "prior_share")
LITTLE = 0.1
"""Of the training of an autoencoder, what its own flow gets when another draws its latents."""
ABOVE = "above.json"
"""In an autoencoder's folder, what is to be trained on it, until that has begun."""
_SHARED = (
    ("device",),
    *(
        ("train", key)
        for key in (
            "seed",
            "precision",
            "checkpoint_every",
            "sample_every",
            "watch_every",
            "features",
        )
    ),
)
"""What is set for a model holds for its autoencoder too."""


def is_missing(layer: presets.Layer) -> bool:
    """Say whether a model needs an autoencoder, and none is named."""
    return layer.get(("autoencoder",)) is not None and layer.get(NAME) is None


def name_for(name: str) -> str:
    """Return the name of the autoencoder that is trained for a model."""
    return f"{name[: 64 - len('-autoencoder')]}-autoencoder"


def begun_size(layer: presets.Layer, name: str) -> int | str | None:
    """Return the size of the pictures that a training was begun with, if it was.

    That of the model, or else of the autoencoder that was to be trained before it.
    """
    names = [name, name_for(name)] if is_missing(layer) else [name]
    for one in names:
        model = registry.Model(registry.models_folder() / one)
        if model.is_begun:
            size: int | str = model.settings().get(SIZE)
            return size
    return None


def remember(name: str, asked: presets.Layer, parent: str | None) -> None:
    """Write down what is to be trained on the autoencoder that is trained for it.

    Nothing else knows of it before it has begun.

    Args:
        name: of the model.
        asked: its settings, before any is chosen.
        parent: the name of the model that it is to start from.
    """
    settings = presets.Layer().over(asked)
    preset = asked.get(PRESET)
    if isinstance(preset, str) and presets.is_path(preset):  # to be found from another folder too
        settings.put(PRESET, str(Path(preset).resolve()), asked.origin(PRESET))
    record = {"name": name, "settings": settings.values, "continue_from": parent}
    durable.write(_above(name), json.dumps(record).encode())


def remembered(name: str) -> tuple[presets.Layer, str | None] | None:
    """Return the settings and the parent's name that `remember` wrote down, if it did."""
    try:
        record = json.loads(_above(name).read_bytes())
        settings, start = dict(record["settings"]), record["continue_from"]
        if record["name"] != name:  # a copy, or a name that is as long and begins alike
            return None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # not there, or damaged: the command that began it still helps
    return presets.Layer(settings, {(section,): f"asked for {name}" for section in settings}), start


def forget(name: str) -> None:
    """Delete what `remember` wrote down, as the model has begun."""
    _above(name).unlink(missing_ok=True)


def _above(name: str) -> Path:
    return registry.models_folder() / name_for(name) / ABOVE


def plan(layer: presets.Layer, name: str) -> presets.Layer:
    """Share the time out: return the settings of the autoencoder, and lower those of the model.

    Its pictures are the model's; the caller says which, when their size is chosen.

    Args:
        layer: the settings of the model, in which no autoencoder is named; one is now.
        name: of the model.
    """
    config = presets.check(layer)
    assert config.autoencoder is not None
    share = config.autoencoder.share
    below = presets.load_with_parents(config.autoencoder.preset)
    if below.get(PRIOR_SHARE) is None:
        below.put(PRIOR_SHARE, LITTLE, "something stands on it")
    for keys in _SHARED:
        if layer.get(keys) is not None:
            below.put(keys, layer.get(keys), layer.origin(keys))
    if config.train.steps is not None:
        first = max(1, round(config.train.steps * share))
        below.put(("train", "steps"), first, "autoencoder.share")
        layer.put(("train", "steps"), max(1, config.train.steps - first), "autoencoder.share")
    else:
        budget = seconds(config.train.budget)
        below.put(("train", "budget"), _duration(budget * share), "autoencoder.share")
        layer.put(("train", "budget"), _duration(budget * (1 - share)), "autoencoder.share")
    layer.put(NAME, name_for(name), "trained for it")
    return below


def _duration(length: float) -> str:
    return f"{length:.3f}".rstrip("0").rstrip(".") + "s"


def pin(layer: presets.Layer) -> registry.Model:
    """Write down which weights the named autoencoder has, and return it.

    Raises:
        SettingsError: if there is no such model.
        UserError: if it has no weights, or they are damaged.
    """
    try:
        model = registry.find(layer.get(NAME))
    except NotFoundError as error:
        where = layer.origin(NAME)
        raise SettingsError(f"{where}: autoencoder.name: {error.message}", error.hint) from None
    layer.put(WEIGHTS, registry.read_weights(model)[1], "found")
    return model


def follow(layer: presets.Layer) -> None:
    """Let pictures be as the named autoencoder knows them, in what is not set; and `pin` it.

    A codec knows pictures of any channels; the size it was trained with is still the one
    that it is best at.

    Raises:
        SettingsError: if there is no such model.
        UserError: if it has no weights, or they are damaged.
    """
    model = pin(layer)
    header = model.header()
    channels, height, width = header["shape"]
    same = {SIZE: size_of(width, height)}
    if not FAMILIES[header["config"]["family"]].fits_any_shape:
        same[CHANNELS] = "grey16" if header.get("depth") == 16 else KINDS[channels]
    for keys, value in same.items():
        if layer.get(keys) is None:
            layer.put(keys, value, f"that of {model.name}")


def build(settings: AutoencoderSettings | None, shape: Shape) -> LatentCodec | None:
    """Return the autoencoder that a model of these settings stands on, if it does.

    One that is yet to be trained comes as it will begin: good for timing, and for checking whether
    all fits.

    Raises:
        SettingsError: if the model that is named can't be stood on.
        UserError: if its weights are missing or damaged.
    """
    if settings is None:
        return None
    if settings.weights is None:
        layer = presets.load_with_parents(settings.preset)
        kind = FAMILIES[presets.check(layer).family]
        family = kind(presets.check_section(kind.Model, "model", layer), shape, Condition())
    else:
        family = registry.load_foundation(settings, shape)
    if not isinstance(family, LatentCodec):
        what = settings.preset if settings.weights is None else settings.name
        raise SettingsError(
            f"autoencoder: {what} is no autoencoder", "train one: --preset autoencoder"
        )
    if family.shape != shape:
        channels, height, width = family.shape
        raise SettingsError(
            f"autoencoder.name: {settings.name} is for {_described(family.shape)}, and the "
            f"pictures are {_described(shape)}",
            f"--set data.size={size_of(width, height)} --set data.channels={KINDS[channels]}, or "
            "leave the name out to have one trained",
        )
    return family


def _described(shape: Shape) -> str:
    channels, height, width = shape
    return f"{width}x{height} {KINDS[channels]}"
