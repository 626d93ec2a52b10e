"""The border between `PIL.Image` and float arrays that post-processing works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from imagegen.images.png import Integers

Floats = npt.NDArray[np.float32]


@dataclass
class Pixels:
    """A picture as float32 in [0, 1].

    Attributes:
        color: (H, W, 1) for grey or (H, W, 3) for sRGB, not multiplied by alpha.
        alpha: (H, W, 1), or None for an opaque picture.
        depth: largest integer of the file's channels, 255 or 65535.
    """

    color: Floats
    alpha: Floats | None
    depth: int = 255


def to_pixels(image: Image.Image) -> Pixels:
    """Read a picture of any Pillow mode; palettes, CMYK and the like become RGB or RGBA."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image.convert("I")).clip(0, 65535)
        return from_integers(values.astype(np.uint16)[..., None], 65535)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image)).clip(0, 1)
        return Pixels(values[..., None].astype(np.float32), None, depth=65535)
    transparent = image.has_transparency_data
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")
    return from_integers(np.atleast_3d(np.asarray(image.convert(mode))), 255)


def from_integers(values: Integers, largest: int) -> Pixels:
    """Read grey or RGB, the last of two or four channels being alpha."""
    channels = values.shape[2]
    depth = 65535 if largest > 255 else 255
    if channels in (1, 3):
        return Pixels(_scaled(values, largest), None, depth)
    return Pixels(_scaled(values[..., :-1], largest), _scaled(values[..., -1:], largest), depth)


def to_integers(pixels: Pixels) -> Integers:
    """Round to the picture's own depth; the inverse of `to_pixels` for untouched values."""
    kind = np.uint16 if pixels.depth > 255 else np.uint8
    color = pixels.color
    channels = color.shape[2]
    values = np.empty((*color.shape[:2], channels + (pixels.alpha is not None)), kind)
    for rows in _bands(color):
        values[rows, :, :channels] = _rounded(color[rows], pixels.depth)
        if pixels.alpha is not None:
            values[rows, :, channels:] = _rounded(pixels.alpha[rows], pixels.depth)
    return values


def to_image(pixels: Pixels) -> Image.Image:
    """Round as `to_integers` does, and to 8 bits what Pillow has no 16 bits for: all but grey."""
    if pixels.color.shape[2] > 1 or pixels.alpha is not None:
        pixels = Pixels(pixels.color, pixels.alpha, 255)
    values = to_integers(pixels)
    return Image.fromarray(values.squeeze(2) if values.shape[2] == 1 else values)


def _scaled(values: Integers, largest: int) -> Floats:
    return np.divide(values, np.float32(largest), dtype=np.float32)


def _rounded(values: Floats, depth: int) -> Floats:
    scaled = np.multiply(values, np.float32(depth), dtype=np.float32)
    np.rint(scaled, out=scaled)
    return scaled.clip(0, depth, out=scaled)


def _bands(values: Floats) -> list[slice]:
    """Part rows into bands that fit a processor's cache: twice as fast as all at once."""
    step = max(1, (1 << 17) // max(1, values[0].size))
    return [slice(top, top + step) for top in range(0, len(values), step)]
