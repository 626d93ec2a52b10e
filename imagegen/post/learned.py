"""Operations that a model does: one from the registry, or a file of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from pydantic import Field

from imagegen.errors import SettingsError, UserError
from imagegen.images.pixels import Floats
from imagegen.images.reading import BadPictureError
from imagegen.post.neighbours import fill_hidden
from imagegen.post.operations import operation

if TYPE_CHECKING:
    from torch import Tensor

    from imagegen.families.flow import Flow
    from imagegen.family import Family
    from imagegen.registry import Model

CODECS = ("autoencoder", "codec")
"""Families that encode and decode pictures."""
AT_ONCE = 16
"""Tiles that a network looks at together."""


def check_model(key: str, name: str, families: Sequence[str], kind: str = "") -> None:
    """Raise ValueError unless the registry has a model of that name, family and kind.

    Args:
        key: the setting that names it.
        name: the model.
        families: those that will do; a `flow` must be one over pixels.
        kind: what `model.kind` must be, if it matters.
    """
    from imagegen import presets, registry

    try:
        found = registry.find(name)
        config = presets.check(found.settings())
    except UserError as error:
        raise ValueError(f"{key}: {error.message}") from None
    if config.family not in families:
        needed = " or ".join(families)
        raise ValueError(f"{key}: {found.name} is of family {config.family}; needed: {needed}")
    if config.family == "flow" and config.autoencoder is not None:
        raise ValueError(f"{key}: {found.name} draws latents; needed: a flow over pixels")
    if kind and config.model.get("kind") != kind:
        raise ValueError(f"{key}: {found.name} is not of kind {kind}: train with --preset upscaler")


def _is_autoencoder(settings: dict[str, Any]) -> None:
    check_model("model", settings["model"], CODECS)


def _is_flow(settings: dict[str, Any]) -> None:
    check_model("model", settings["model"], ("flow",))


@operation("filter", "reconstruct", check=_is_autoencoder)
def reconstruct(color: Floats, alpha: Floats | None, *, model: str = "builtin:codec") -> Floats:
    """Encode with an autoencoder and decode again: what it has not learned is lost, such as noise.

    The picture keeps its size. An autoencoder of your own works best on pictures of about the size
    and kind that it was trained on.

    Args:
        model: An autoencoder: the one that comes with imagegen, or one of your own (imagegen train
            DATA --preset autoencoder).
    """
    import torch

    from imagegen.family import LatentCodec

    network = _loaded(model, LatentCodec)
    height, width = color.shape[:2]
    x = _to_network(network.shape[0], color, alpha)
    x = _filled(x, -height % network.factor, -width % network.factor)
    with torch.inference_mode():
        again = network.again(x)
    return _from_network(again[..., :height, :width], color.shape[2])[0]


@operation("filter", "denoise:model=sprites-flow,sigma=15", check=_is_flow)
def denoise(
    color: Floats,
    alpha: Floats | None,
    *,
    model: str,
    sigma: Annotated[float, Field(gt=0, le=255)] = 10.0,
) -> Floats:
    """Take noise out by what a flow knows of its pictures: their mean, given the noisy one.

    The picture is scaled to be what the flow sees at the time when there is as much noise, and what
    it guesses there is the least-squares estimate (Tweedie's formula). Of sRGB values. Pictures
    larger than the model's are done in tiles that overlap by half.

    Args:
        model: A trained flow over pixels (imagegen train DATA --preset flow), of pictures alike.
        sigma: Standard deviation of the noise in grey levels of 255.
    """
    from imagegen.families.flow import Flow

    network = _loaded(model, Flow)
    x = _to_network(network.shape[0], fill_hidden(color, alpha), alpha)
    spread = sigma / 127.5
    t = spread / (1 + spread)
    clean = _guess(network, (1 - t) * x, t)
    return _from_network(clean, color.shape[2])[0]


def double(model: str, color: Floats, alpha: Floats | None) -> tuple[Floats, Floats | None]:
    """Enlarge a picture to twice its size by an autoencoder of kind `half`.

    Args:
        model: its name.
        color: (H, W, 1 or 3), sRGB.
        alpha: (H, W, 1), or None.

    Returns:
        Colours, and alpha if the model knows it, else None.
    """
    import torch

    from imagegen.families.autoencoder import Autoencoder

    network = _loaded(model, Autoencoder)
    small = _to_network(network.shape[0], fill_hidden(color, alpha), alpha)
    with torch.inference_mode():
        large = network.decode(small)
    return _from_network(large, color.shape[2])


def _guess(network: Flow, z: Tensor, t: float) -> Tensor:
    """Return what a flow guesses for pictures of any size, (N, C, H, W), at time t.

    Larger ones are covered by tiles; where these overlap, guesses count less towards the rim.
    """
    import torch

    rows, columns = network.drawn_shape[1:]
    height, width = z.shape[2:]
    z = _filled(z, max(0, rows - height), max(0, columns - width))
    rim = torch.outer(_tent(rows), _tent(columns))
    total, weights = torch.zeros_like(z), torch.zeros_like(z[0, 0])
    places = [
        (one, slice(top, top + rows), slice(left, left + columns))
        for one in range(len(z))
        for top in _starts(z.shape[2], rows)
        for left in _starts(z.shape[3], columns)
    ]
    with torch.inference_mode():
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            tiles = torch.stack([z[one, :, down, across] for one, down, across in some])
            for (one, down, across), tile in zip(some, network.guess(tiles, t), strict=True):
                total[one, :, down, across] += rim * tile
                weights[down, across] += rim / len(z)
    return (total / weights)[..., :height, :width]


def _tent(size: int) -> Tensor:
    """Return weights that rise to the middle and fall again, none of them 0."""
    import torch

    return 1 - (torch.arange(size) - (size - 1) / 2).abs() / (size / 2)


def _starts(size: int, side: int) -> list[int]:
    """Return where tiles of `side` begin that cover `size`, and overlap by half or more."""
    count = 1 + -(-(size - side) // max(1, side // 2))
    return [round(at) for at in np.linspace(0, size - side, count)]


def _is_onnx(settings: dict[str, Any]) -> None:
    if not Path(settings["file"]).is_file():
        raise ValueError(f"file: {settings['file']}: No such file")
    _session(settings["file"])


@operation("alpha", "matte:file=matting.onnx,size=512", check=_is_onnx)
def matte(
    color: Floats,
    alpha: Floats | None,
    *,
    file: str,
    size: Annotated[int, Field(ge=16, le=4096)] = 512,
    mean: Annotated[float, Field(ge=0, le=1)] = 0.5,
    spread: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> Floats:
    """Make all but the subject transparent by a matting model of your own, an ONNX file.

    It gets sRGB values, (1, 3, size, size), and is to give back alpha in [0, 1] as its first
    output, (1, 1, height, width), which is brought to the picture's size. `cut-out` takes the
    background's colour out of edges, this does not.

    Args:
        file: The model, run by ONNX Runtime (pip install 'imagegen[onnx]').
        size: Side of the square that the picture is resized to, unless the model fixes its own.
        mean: Taken off the values, which are in [0, 1], and
        spread: what they are divided by then; most models have 0.5 and 0.5, or about 0.45 and 0.23.
    """
    import cv2

    session = _session(file)
    given = session.get_inputs()[0]
    sides = given.shape[2:] if len(given.shape) == 4 else []
    tall, wide = (side if isinstance(side, int) else size for side in [*sides, size, size][:2])
    rgb = np.array(np.broadcast_to(fill_hidden(color, alpha), (*color.shape[:2], 3)))
    small = cv2.resize(rgb, (wide, tall), interpolation=cv2.INTER_AREA)
    values = ((small - mean) / spread).astype(np.float32).transpose(2, 0, 1)[None]
    try:
        found = np.asarray(session.run(None, {given.name: values})[0], np.float32)
    except Exception as error:  # ONNX Runtime has a class for each of its codes
        first = str(error).strip().splitlines()[0]
        raise BadPictureError(f"{file} failed: {first}", "is it a matting model?") from error
    if found.ndim != 4 or found.shape[:2] != (1, 1):
        raise BadPictureError(
            f"{file} gives back {'x'.join(map(str, found.shape))}, and 1x1xHEIGHTxWIDTH is needed",
            "is it a matting model?",
        )
    height, width = color.shape[:2]
    whole = cv2.resize(found[0, 0], (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.asarray(whole, np.float32)[..., None].clip(0, 1)
    return share if alpha is None else share * alpha


@lru_cache(maxsize=2)
def _session(file: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise SettingsError(
            "matte needs ONNX Runtime, which is not installed", "pip install 'imagegen[onnx]'"
        ) from None
    try:
        return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a class for each of its codes, and none in common
        first = str(error).strip().splitlines()[0]
        raise SettingsError(f"matte: file: {file} is no ONNX model: {first}") from None


def latents(model: str, color: Floats, alpha: Floats | None) -> tuple[Floats, int]:
    """Return what an autoencoder makes of a picture, and how many pixels a cell is wide.

    It is (rows, columns, numbers); the last row and column may reach beyond the picture. Of an
    autoencoder of grey pictures, the numbers of all channels one after another.
    """
    import torch

    from imagegen.family import LatentCodec

    network = _loaded(model, LatentCodec)
    height, width = color.shape[:2]
    x = _to_network(network.shape[0], color, alpha)
    x = _filled(x, -height % network.factor, -width % network.factor)
    with torch.inference_mode():
        found = network.encode(x).numpy()
    cells = np.moveaxis(np.concatenate(list(found)), 0, 2)
    return np.asarray(cells, np.float32), network.factor


def _to_network(channels: int, color: Floats, alpha: Floats | None) -> Tensor:
    """Turn a picture into a network's numbers in [-1, 1], (N, channels, H, W).

    N is 1, but for a network of grey pictures the number of colours, each for itself.
    """
    import torch

    if channels == 4:  # it knows colours as multiplied by alpha
        opaque = np.ones_like(color[..., :1]) if alpha is None else alpha
        rgb = np.broadcast_to(color, (*color.shape[:2], 3))
        values = np.concatenate([rgb * opaque, opaque], axis=2)
    elif channels == 1:
        values = color
    else:
        values = np.broadcast_to(color, (*color.shape[:2], 3))
    x = torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32)) * 2 - 1
    return x.transpose(0, 1) if channels == 1 else x


def _from_network(x: Tensor, colors: int) -> tuple[Floats, Floats | None]:
    """Turn them back into (H, W, colors), and alpha if the network knows it."""
    channels = x.shape[1]
    if channels == 1:
        x = x.transpose(0, 1)
    values = (x[0].clamp(-1, 1) / 2 + 0.5).numpy().transpose(1, 2, 0)
    alpha = None
    if channels == 4:
        alpha = np.ascontiguousarray(values[..., 3:])
        values = values[..., :3] / np.maximum(alpha, 0.5 / 255)
    if colors == 1:
        values = values.mean(axis=2, keepdims=True)
    return np.asarray(values, np.float32), alpha


def _filled(x: Tensor, below: int, right: int) -> Tensor:
    """Repeat the last row and column so many times."""
    import torch.nn.functional as F

    return F.pad(x, (0, right, 0, below), mode="replicate")


NetworkT = TypeVar("NetworkT", bound="Family")


def _loaded(name: str, kind: type[NetworkT]) -> NetworkT:
    from imagegen import registry

    family = _load(registry.find(name))
    assert isinstance(family, kind)  # checked before the first picture
    return family


@lru_cache(maxsize=2)
def _load(found: Model) -> Family:
    from imagegen import registry

    family, _ = registry.load(found)
    return family
