"""The border between `PIL.Image` and float arrays that post-processing works on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

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
        values = np.asarray(image.convert("I")).clip(0, 65535) / 65535
        return Pixels(values[..., None].astype(np.float32), None, depth=65535)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image)).clip(0, 1)
        return Pixels(values[..., None].astype(np.float32), None, depth=65535)
    transparent = image.has_transparency_data
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("LA" if transparent else "L") if grey else ("RGBA" if transparent else "RGB")
    scaled: Floats = (np.atleast_3d(np.asarray(image.convert(mode))) / 255).astype(np.float32)
    if transparent:
        return Pixels(scaled[..., :-1].copy(), scaled[..., -1:].copy())
    return Pixels(scaled, None)


def to_image(pixels: Pixels) -> Image.Image:
    """Round to the picture's own depth; the inverse of `to_pixels` for untouched values."""
    color = np.rint(pixels.color.clip(0, 1) * pixels.depth)
    if pixels.depth > 255 and color.shape[2] == 1 and pixels.alpha is None:
        return Image.fromarray(color[..., 0].astype(np.uint16))
    color = np.rint(pixels.color.clip(0, 1) * 255)
    if pixels.alpha is not None:
        color = np.concatenate([color, np.rint(pixels.alpha.clip(0, 1) * 255)], axis=2)
    return Image.fromarray(
        color.astype(np.uint8).squeeze(2) if color.shape[2] == 1 else color.astype(np.uint8)
    )
