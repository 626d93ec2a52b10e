"""Rasters: float32 arrays (height, width, RGBA), premultiplied by alpha, 0 to 1."""

from __future__ import annotations

import io

import cv2
import numpy as np
import resvg_py
from numpy.typing import NDArray
from PIL import Image

Raster = NDArray[np.float32]
Mask = NDArray[np.float32]
Rng = np.random.Generator

cv2.setNumThreads(1)  # pictures are divided among processes

SIZE = 64
"""Side of the collection's pictures."""
WORK = 128
"""Side at which pictures are drawn before they are reduced."""

FILTERS = (
    Image.Resampling.BOX,
    Image.Resampling.BILINEAR,
    Image.Resampling.HAMMING,
    Image.Resampling.BICUBIC,
    Image.Resampling.LANCZOS,
)


def from_svg(svg: str, size: int = WORK, crisp: bool = False) -> Raster:
    """Rasterise a square SVG document; `crisp` turns antialiasing off.

    Raises:
        ValueError: if resvg can't read it.
    """
    data = resvg_py.svg_to_bytes(
        svg_string=svg,
        width=size,
        height=size,
        skip_system_fonts=True,
        shape_rendering="crisp_edges" if crisp else "geometric_precision",
    )
    return from_image(Image.open(io.BytesIO(bytes(data))))


def from_image(image: Image.Image) -> Raster:
    """Return an image as a raster."""
    pixels = np.asarray(image.convert("RGBA"), np.float32) / 255
    return np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], axis=2)


def to_pixels(raster: Raster) -> NDArray[np.uint8]:
    """Return 8-bit pixels with straight alpha; what is fully transparent is black."""
    alpha = np.clip(raster[..., 3:], 0, 1)
    colour = np.clip(raster[..., :3], 0, alpha) / np.maximum(alpha, 1e-6)
    pixels = np.concatenate([colour, alpha], axis=2)
    pixels = np.round(pixels * 255).astype(np.uint8)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def reduce(raster: Raster, rng: Rng | None = None, size: int = SIZE) -> Raster:
    """Scale to `size`, with a random filter where a generator is given."""
    if raster.shape[:2] == (size, size):
        return raster
    chosen = FILTERS[int(rng.integers(len(FILTERS)))] if rng is not None else FILTERS[3]
    channels = [
        np.asarray(Image.fromarray(np.ascontiguousarray(one)).resize((size, size), chosen))
        for one in np.moveaxis(raster, 2, 0)
    ]
    return np.stack(channels, axis=2)


def over(front: Raster, back: Raster) -> Raster:
    """Composite `front` over `back`."""
    return front + back * (1 - front[..., 3:])


def filled(mask: Mask, colour: NDArray[np.float32]) -> Raster:
    """Return a mask filled with one colour (3 numbers) or a field of colours."""
    colour = np.broadcast_to(colour, (*mask.shape, 3))
    return np.concatenate([colour * mask[..., None], mask[..., None]], axis=2).astype(np.float32)


def placed(raster: Raster, scale: float, turn: float = 0, x: float = 0, y: float = 0) -> Raster:
    """Scale and turn (degrees) about the centre, then move by shares of the side."""
    height, width = raster.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), turn, scale)
    matrix[:, 2] += (x * width, y * height)
    how = cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR
    moved: Raster = cv2.warpAffine(raster, matrix, (width, height), flags=how)
    return moved


def fitted(raster: Raster, share: float) -> Raster:
    """Scale and centre what is visible so that its longer side is `share` of the raster's."""
    alpha = raster[..., 3] if raster.ndim == 3 else raster
    rows, columns = np.flatnonzero(alpha.max(1) > 0.02), np.flatnonzero(alpha.max(0) > 0.02)
    if not len(rows) or not len(columns):
        return raster
    height, width = alpha.shape
    tall, wide = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    scale = share * min(height / tall, width / wide)
    centre = (columns[0] + wide / 2 - 0.5, rows[0] + tall / 2 - 0.5)
    matrix = cv2.getRotationMatrix2D(centre, 0, scale)
    matrix[:, 2] += (width / 2 - 0.5 - centre[0], height / 2 - 0.5 - centre[1])
    moved: Raster = cv2.warpAffine(raster, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return moved


def shadow(mask: Mask, blur: float, x: float, y: float, strength: float) -> Raster:
    """Return a soft dark shadow of a mask, moved by shares of the side."""
    height, width = mask.shape
    moved = cv2.warpAffine(
        mask, np.float32([[1, 0, x * width], [0, 1, y * height]]), (width, height)
    )
    soft = cv2.GaussianBlur(moved, (0, 0), max(blur * width, 0.3)) * strength
    return filled(soft, np.zeros(3, np.float32))


def is_empty(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether there is next to nothing to see: transparent, or all of one colour."""
    alpha = pixels[..., 3]
    if np.count_nonzero(alpha > 25) < 0.015 * alpha.size:
        return True
    if alpha.min() < 250 and alpha.max() > 25 and alpha.std() > 4:
        return False
    spread = pixels[..., :3].astype(np.float32).std(axis=(0, 1)).max()
    return bool(spread < 2)
