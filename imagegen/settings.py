"""What a run is: the settings of every stage, as pydantic models and nothing else."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator


class Settings(BaseModel):
    """A section of a preset: frozen, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def _known_color(value: str) -> str:
    from PIL import ImageColor

    ImageColor.getrgb(value)  # raises ValueError, which pydantic reports with the setting's path
    return value


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> float:
    """Return the seconds of a duration such as `90s`, `10m`, `1.5h` or `1h30m`.

    Raises:
        ValueError: if it is not one, or is zero.
    """
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", duration):
        raise ValueError("should be a duration such as 90s, 10m or 2h")
    total = sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)([smhd])", duration))
    if total <= 0:
        raise ValueError("should be longer than nothing")
    return total


def _duration(value: str) -> str:
    seconds(value)
    return value


LABEL_SOURCES = ("auto", "folders", "tables", "none")
"""Where labels may come from, if not from the names of pictures."""


def _rule(value: str) -> str:
    if value in LABEL_SOURCES:
        return value
    words = ", ".join(LABEL_SOURCES)
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise ValueError(f"should be {words} or a regular expression: {error}") from None
    if not groups:
        raise ValueError(f"should be {words} or a regular expression with a group: (...)")
    return value


SMALLEST, LARGEST = 16, 1024
"""The sides that training pictures can have, in pixels: from, to."""


def _size(value: object) -> int | str:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", str(value))
    if isinstance(value, int | str) and match:
        width, height = int(match[1]), int(match[2] or match[1])
        if all(SMALLEST <= side <= LARGEST for side in (width, height)):
            return size_of(width, height)
    raise ValueError(
        f"should be a side of {SMALLEST} to {LARGEST:,} pixels, or WIDTHxHEIGHT such as 48x32"
    )


def size_of(width: int, height: int) -> int | str:
    """Return what `data.size` is for pictures of these sides."""
    return width if width == height else f"{width}x{height}"


class DataSettings(Settings):
    """How a folder of pictures becomes training data."""

    size: Annotated[int | str, PlainValidator(_size)] = 32
    """Size of the training pictures in pixels: 32 for 32x32, or 48x32 for 48 wide and 32 high."""
    channels: Literal["auto", "grey", "grey16", "rgb", "rgba"] = "auto"
    """`auto` keeps what the set really has: grey of 8 or 16 bits, colour, or transparency."""
    background: Annotated[str, AfterValidator(_known_color)] = "white"
    """What transparent pictures are laid on when the model has no alpha channel."""
    fit: Literal["crop", "pad"] = "crop"
    """Give a picture the shape of `size` by cropping its centre, or by padding it with the
    background."""
    resample: Literal["lanczos", "nearest"] = "lanczos"
    """How pictures are brought to the size. `nearest` makes no new colours: for pixel art."""
    captions: Literal["auto", "from-names", "none"] = "auto"
    """Where captions come from: `auto` takes NAME.txt beside NAME.png and tables (CSV, JSON lines),
    `from-names` the words of folders and file names, `none` trains without."""
    labels: Annotated[str, AfterValidator(_rule)] = "auto"
    """Where labels come from: `auto` takes sub-folders and tables, `folders` and `tables` one of
    them, `none` trains without; anything else is a regular expression for the names of pictures,
    without suffix, and what its groups find are the labels: `([a-z]+)_[0-9]+`."""
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the pictures kept out of training, so that there is something to measure it with."""
    balance: Annotated[float, Field(ge=0, le=1)] = 0
    """How much rare labels are seen more often: 0 sees each picture as often, 1 each label.
    A picture with several counts as their mean; those without one count as of one more."""
    mirror: bool = False
    """Also train on the left-right mirrored pictures. Wrong for digits and text."""
    turned: Annotated[float, Field(ge=0, le=0.9)] = 0
    """Share of the pictures that are seen mirrored, turned or both, and said to be so, from the
    twentieth time that the set is seen; before the tenth, none are. What is drawn is upright all
    the same. A model learns few pictures by heart more slowly so."""

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height of the training pictures."""
        width, _, height = str(self.size).partition("x")
        return int(width), int(height or width)


Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(Settings):
    """How a model is trained: the one loop that all families share."""

    steps: Annotated[int, Field(ge=1)] | None = None
    """Optimiser steps in all. Without it, `budget` decides."""
    budget: Annotated[str, AfterValidator(_duration)] = "10m"
    """Wall-clock time to train for, such as `90s`, `10m` or `2h`; used when `steps` is not set."""
    batch_size: Annotated[int, Field(ge=1)] = 16
    """Pictures a step."""
    optimizer: Literal["adam", "muon"] = "adam"
    """How weights follow their gradients. `muon` has steps in which all directions of a matrix
    count alike, and Adam for what is no matrix."""
    lr: Annotated[float, Field(gt=0)] = 5e-4
    """Learning rate at its peak."""
    lr_end: Annotated[float, Field(ge=0)] = 5e-5
    """Learning rate at the last step; the way there is a half cosine."""
    warmup: Annotated[int, Field(ge=0)] = 50
    """Steps over which the learning rate rises from zero."""
    betas: tuple[Decay, Decay] = (0.0, 0.99)
    """Decay rates of Adam's two moments."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    """What weights lose of themselves in a step, in units of the learning rate (Loshchilov and
    Hutter 2019, arXiv 1711.05101): less is learnt by heart. Biases and scales lose nothing."""
    decay_towards: Literal["zero", "start"] = "zero"
    """Where weight decay leads: to zero, or to the weights that a run with `--from` started from,
    so that less of them is forgotten (L2-SP, Li et al. 2018, arXiv 1802.01483)."""
    ema_half_life: Annotated[float, Field(gt=0)] = 500
    """Half-life of the weights' moving average, in steps, once training is long enough for it."""
    ema_ramp: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The half-life is at most this share of the steps done, so that early averages work."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seeds the weights, the data order, the augmentation and the noise."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """What networks compute in. `auto` is bfloat16 on CUDA devices that support it, and on a CPU
    where a short trial finds it at least 1.2 times as fast; else float32. It is decided once per
    training. Sampling and validation are always in float32."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 500
    """Steps between two saved states."""
    sample_every: Annotated[int, Field(ge=1)] = 500
    """Steps between two sample sheets."""
    watch_every: Annotated[int, Field(ge=0)] | None = None
    """Steps between two looks at the quality; 0 never looks. Without it, every 8,000 pictures."""
    features: str = "auto"
    """Feature network that validates during training: a name as for `imagegen evaluate --features`.
    `auto` is efficientnet if its weights are installed, else resnet. A model that is trained with
    the features of one network should be validated in those of the other."""


class OutputSettings(Settings):
    """Where pictures go when no `-o` says so."""

    folder: str = "outputs"
    """Folder for pictures, made when needed."""


class AutoencoderSettings(Settings):
    """The autoencoder that a model stands on: it draws what that one decodes."""

    name: str | None = None
    """A trained one. Without it, one is trained first, in the same command."""
    preset: str = "autoencoder"
    """What it is trained by, if none is named."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Share of the budget, or of the steps, that training it takes."""
    weights: str | None = None
    """The sha256 of its weights; filled in when training starts."""


class Config(Settings):
    """One preset, resolved. `model` and `sample` belong to the family, which checks them."""

    description: str = ""
    """What the preset is for, in a line."""
    family: str = "auto"
    """The kind of model: a name from the catalog of families. `auto` takes the preset that was best
    on the most similar set that was measured, by the kind and number of the pictures and the
    budget."""
    data: DataSettings = DataSettings()
    model: dict[str, Any] = {}
    autoencoder: AutoencoderSettings | None = None
    """For models that draw in the latent space of another."""
    train: TrainSettings = TrainSettings()
    sample: dict[str, Any] = {}
    postprocess: list[dict[str, Any] | str] = []
    """Operations applied to every generated picture, in order."""
    output: OutputSettings = OutputSettings()
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps`; of the machine, so a model does not carry it."""
