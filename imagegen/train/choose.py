"""What nobody has set, chosen from the pictures, the machine and the time there is."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from imagegen import presets
from imagegen.data.store import Images, Pictures
from imagegen.device import pick_device
from imagegen.errors import SettingsError
from imagegen.families import FAMILIES
from imagegen.family import Family
from imagegen.post.chain import take_apart
from imagegen.post.palette import MOST
from imagegen.settings import Config, seconds
from imagegen.train import foundation
from imagegen.train.learner import Learner, build
from imagegen.train.parallel import Order

CHOSEN: tuple[presets.Keys, ...] = (
    foundation.SIZE,
    ("model", "width"),
    ("train", "batch_size"),
)
"""What is chosen unless it is set."""
SIZES = (128, 96, 64, 48, 32)
WIDTHS = (96, 64, 48)
NEEDED = 30_000
"""Pictures of 32x32 pixels that must be seen for something recognisable (tests/bench/RESULTS.md);
of larger ones more, as many times as they have more pixels."""
GREYS = 16
"""Shades of grey that are few; each picture's own palette has as many."""
USELESS = 1 / 4
"""Share of that below which nothing comes out."""
STEPS = 5
_OVERHEAD = 0.9  # of the time goes into steps


@dataclass(frozen=True)
class Choice:
    """One setting that was chosen, and why."""

    keys: presets.Keys
    value: Any
    reason: str


@dataclass(frozen=True)
class Estimate:
    """What a few timed steps promise.

    Attributes:
        pace: seconds a step.
        pictures: that will be seen, in the steps or the time there is.
        needed: that it takes for something recognisable.
        memory: bytes that the steps took at their peak, all of this program included.
        budget: seconds there are; None for a training by steps.
    """

    pace: float
    pictures: float
    needed: float
    memory: int
    budget: float | None

    @property
    def is_enough(self) -> bool:
        """Whether something recognisable is to be expected."""
        return self.pictures >= self.needed

    @property
    def is_useless(self) -> bool:
        """Whether the time is too short for anything."""
        return self.budget is not None and self.pictures < USELESS * self.needed

    @property
    def enough(self) -> str:
        """The budget that would do, as `--budget` takes it."""
        minutes = math.ceil((self.budget or 0) * self.needed / self.pictures / 60)
        return f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"


def keep_palette(layer: presets.Layer, pictures: Pictures) -> Choice | None:
    """Let drawn pictures have the colours of these, if they are few and few are wanted.

    So it is where `postprocess` has a bare `palette`, which else is found in each picture anew.
    """
    steps = list(presets.check(layer).postprocess)
    for place, step in enumerate(steps):
        name, settings = take_apart(step)
        if name == "palette" and not settings.keys() & {"file", "colors", "n"}:
            colors = palette_of(pictures.images)
            if colors is None:
                return None
            steps[place] = {name: {**settings, "colors": " ".join(colors)}}
            layer.put(("postprocess",), steps, "the pictures")
            return Choice(("postprocess", name), f"{len(colors)} colours", "all of the pictures'")
    return None


def palette_of(images: Images) -> list[str] | None:
    """Return the colours of pictures, (N, C, H, W), as #RRGGBB.

    Pixels that can be seen through do not count.

    Returns:
        None if there are many, or none. More than GREYS are many for grey pictures.
    """
    is_grey = images.shape[1] == 1
    found: set[int] = set()
    for image in images:
        red, green, blue = image[[0, 0, 0] if is_grey else [0, 1, 2]].astype(np.int32)
        packed = red << 16 | green << 8 | blue
        found |= set(packed[image[3] == 255] if len(image) == 4 else packed.ravel())
        if len(found) > (GREYS if is_grey else MOST):
            return None
    return [f"#{one:06x}" for one in sorted(found)] or None


def choose(layer: presets.Layer, side: int, mixed: bool = False) -> tuple[list[Choice], Estimate]:
    """Choose what `layer` does not set, and put it there, with the reason as its origin.

    The largest size is taken at which enough pictures can be seen in the time; where that is none,
    the smallest, and the widest network at which they can. Each is timed for a few steps on this
    machine.

    Args:
        layer: all that is set.
        side: of the pictures as they are, in pixels.
        mixed: whether training is to be in mixed precision.

    Raises:
        SettingsError: if what is set is wrong.
    """
    fixed = {keys: layer.get(keys) for keys in CHOSEN if layer.get(keys) is not None}
    config = presets.check(layer)
    device = pick_device(config.device)
    batch = 16 if device.type == "cpu" else 64
    choices = []
    if CHOSEN[2] not in fixed:
        why = "small steps learn most in little time" if batch == 16 else "a GPU has room for more"
        choices.append(Choice(CHOSEN[2], batch, f"{why} ({device.type})"))
        layer.put(CHOSEN[2], batch, "chosen")
    sizes = [fixed[CHOSEN[0]]] if CHOSEN[0] in fixed else _possible(layer, side)
    has_width = "width" in FAMILIES[config.family].Model.model_fields
    widths = [fixed[CHOSEN[1]]] if CHOSEN[1] in fixed else list(WIDTHS) if has_width else [None]
    size, width, too_large = sizes[0], widths[0], ""
    promise = _trial(layer, size, width, mixed)
    if promise.is_enough:
        for larger in sizes[1:]:
            trial = _trial(layer, larger, width, mixed)
            if not trial.is_enough:
                too_large = (
                    f"at {larger} px {trial.pictures:,.0f} pictures could be seen, and "
                    f"{trial.needed:,.0f} are needed"
                )
                break
            size, promise = larger, trial
    else:
        for narrower in widths[1:]:
            width, promise = narrower, _trial(layer, size, narrower, mixed)
            if promise.is_enough:
                break
    if CHOSEN[0] not in fixed:
        small = size < sizes[-1] and "the smallest: there is time for no more"
        why = too_large or small or f"the pictures have about {side} px"
        choices.append(Choice(CHOSEN[0], size, why))
        layer.put(CHOSEN[0], size, "chosen")
    if CHOSEN[1] not in fixed and width is not None:
        why = "the full width" if width == widths[0] else "narrow, to see more pictures"
        choices.append(Choice(CHOSEN[1], width, f"{why}: about {promise.pictures:,.0f} in all"))
        layer.put(CHOSEN[1], width, "chosen")
    return choices, promise


def _possible(layer: presets.Layer, side: int) -> list[int]:
    """Return the sizes to try that the family can make, in order; if there is none, the first."""
    sizes = sorted(_sizes(side))
    fit = []
    for size in sizes:
        trial = presets.Layer().over(layer)
        trial.put(CHOSEN[0], size, "chosen")
        with suppress(SettingsError):
            family, _ = _built(trial)
            if size <= family.largest:
                fit.append(size)
    return fit or sizes[:1]


def _sizes(side: int) -> Iterator[int]:
    """Yield the sizes to try: the pictures' own, and those that all larger ones can have."""
    own = max(16, side // 4 * 4)
    if own <= SIZES[0]:
        yield own
    yield from (size for size in SIZES if size < own)


def estimate(layer: presets.Layer, mixed: bool = False) -> Estimate:
    """Time a few steps on noise, and say what they promise.

    Args:
        layer: all settings; what is not set has its default.
        mixed: whether in mixed precision.

    Raises:
        SettingsError: if something set is wrong.
    """
    config = presets.check(layer)
    settings = config.train
    family, noise = _built(layer)
    learner = Learner(family, noise, config)
    learner.step(Order(0, mixed=mixed))  # pays for warming up
    start = time.perf_counter()
    for step in range(1, STEPS):
        learner.step(Order(step, mixed=mixed))
    pace = (time.perf_counter() - start) / (STEPS - 1)
    budget = seconds(settings.budget) if settings.steps is None else None
    steps = settings.steps if budget is None else _OVERHEAD * budget / pace
    needed = NEEDED * math.prod(config.data.sides) / 32**2
    return Estimate(pace, (steps or 0) * settings.batch_size, needed, _peak_memory(), budget)


def _built(layer: presets.Layer) -> tuple[Family, Pictures]:
    """Return a new family of these settings, and noise to train it on."""
    config = presets.check(layer)
    kind = FAMILIES[config.family]
    noise = _noise(config)
    autoencoder = foundation.build(config.autoencoder, noise.shape)
    network = presets.check_section(kind.Model, "model", layer)
    return build(kind, network, config, noise, autoencoder), noise


def _trial(layer: presets.Layer, size: int, width: int | None, mixed: bool) -> Estimate:
    trial = presets.Layer().over(layer)
    trial.put(CHOSEN[0], size, "chosen")
    if width is not None:
        trial.put(CHOSEN[1], width, "chosen")
    return estimate(trial, mixed)


def _noise(config: Config) -> Pictures:
    """Return a few random pictures of the size that is set."""
    channels = {"grey": 1, "grey16": 1, "rgba": 4}.get(config.data.channels, 3)
    width, height = config.data.sides
    shape = (32, channels, height, width)
    images = np.random.Generator(np.random.Philox(0)).integers(0, 256, shape, np.uint8)
    return Pictures(images, None, (), ("",) * 32, (), (), np.zeros((32, 8), np.uint8), "")


def _peak_memory() -> int:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # Windows does not tell
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
