"""Textures that repeat without a seam: make them, shift them, lay them out, measure them."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats, Pixels
from imagegen.post.geometry import check_size, each, mixed
from imagegen.post.operations import Moved, operation


@operation("filter", "seamless --op tile")
def seamless(
    pixels: Pixels,
    *,
    overlap: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> tuple[Floats, Floats | None]:
    """Make a texture that repeats without a seam, of the same size.

    Towards its edges the picture goes over into itself moved by half, first across, then down. What
    two textures mixed lose in contrast is given back (Heitz and Neyret 2018: divided by the root of
    the sum of squared weights, about the mean).

    Args:
        overlap: How much of the half between the centre and an edge is mixed: little keeps more of
            the picture, much hides better.
    """
    result = mixed(pixels, lambda plane: _periodic(_periodic(plane, 1, overlap), 0, overlap))
    return result.color, result.alpha


def _periodic(plane: Floats, axis: int, overlap: float) -> Floats:
    """Make the ends along an axis meet."""
    size = plane.shape[axis]
    if size < 4:
        return plane
    half = size // 2
    moved = np.roll(plane, half, axis)
    # Distance from the nearer edge, 0 on the outermost pixels, 1 where the mixing ends.
    place = np.arange(size)
    inward = np.minimum(place, size - 1 - place) / max(1, overlap * (half - 1))
    ease = inward.clip(0, 1)
    weight = (ease * ease * (3 - 2 * ease)).astype(np.float32)
    weight = weight.reshape([-1 if index == axis else 1 for index in range(3)])
    mean = plane.mean(axis=(0, 1), keepdims=True)
    blended = weight * (plane - mean) + (1 - weight) * (moved - mean)
    return np.asarray(mean + blended / np.sqrt(weight**2 + (1 - weight) ** 2), np.float32)


@operation("geometry", "offset")
def offset(
    pixels: Pixels,
    *,
    x: Annotated[float, Field(ge=-1, le=1)] = 0.5,
    y: Annotated[float, Field(ge=-1, le=1)] = 0.5,
) -> Moved:
    """Move the picture, what leaves it on one side coming in on the other: shows its seams.

    Args:
        x: How far to the right, as a share of the width.
        y: How far down, as a share of the height.
    """
    tall, wide = pixels.color.shape[:2]
    shift = (round(y * tall), round(x * wide))

    def roll(plane: Any) -> Any:
        return np.roll(plane, shift, (0, 1))

    return each(pixels, roll), roll


@operation("geometry", "tile:columns=3,rows=2")
def tile(
    pixels: Pixels,
    max_pixels: int,
    *,
    columns: Annotated[int, Field(ge=1, le=64)] = 2,
    rows: Annotated[int, Field(ge=1, le=64)] = 2,
) -> Moved:
    """Repeat the picture side by side, to see how a texture tiles.

    Args:
        columns: How often across.
        rows: How often down.
    """
    tall, wide = pixels.color.shape[:2]
    check_size(wide * columns, tall * rows, max_pixels)

    def repeat(plane: Any) -> Any:
        return np.tile(plane, (rows, columns, 1)[: plane.ndim])

    return each(pixels, repeat), repeat


@operation("report", "seam")
def seam(pixels: Pixels) -> dict[str, float]:
    """Measure how well a texture repeats: up to 1 is as smooth as inside, above 1.5 it shows.

    For each direction, the mean step from the last row or column to the first, divided by the 90th
    percentile of those between neighbours inside.
    """
    color = pixels.color if pixels.alpha is None else pixels.color * pixels.alpha
    across, down = _seam(color, 1), _seam(color, 0)
    return {"horizontal": across, "vertical": down, "seam": max(across, down)}


def _seam(color: Floats, axis: int) -> float:
    others = tuple(index for index in range(3) if index != axis)
    ends = np.take(color, [-1, 0], axis)
    step = float(np.abs(np.diff(ends, axis=axis)).mean())
    steps = np.abs(np.diff(color, axis=axis)).mean(axis=others)
    inside = float(np.percentile(steps, 90)) if len(steps) else 0.0
    # A flat picture with a step in it would be infinitely bad; half a level of 8 bits is nothing.
    return round(max(step, 0.5 / 255) / max(inside, 0.5 / 255), 4)
