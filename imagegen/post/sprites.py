"""What games and programs take: cells of a sheet, nine-patches, icons."""

from __future__ import annotations

import io
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from imagegen.images.pixels import Pixels, to_image
from imagegen.images.reading import BadPictureError
from imagegen.post.geometry import Margin, Side, check_size, each, pad, resize
from imagegen.post.operations import Moved, operation

Extras = dict[str, Image.Image | bytes]


@operation("report", "slice-sheet:columns=4,rows=2")
def slice_sheet(
    pixels: Pixels,
    extras: Extras,
    *,
    columns: Annotated[int, Field(ge=1, le=1000)] = 4,
    rows: Annotated[int, Field(ge=1, le=1000)] = 4,
    gap: Margin = 0,
    skip_empty: bool = True,
) -> dict[str, Any]:
    """Cut a sprite sheet into its cells, and write each beside the output.

    They are named NAME-R-C.png by row and column, from 0. Remains at the right and lower edge that
    fill no cell are left out.

    Args:
        columns: Cells across.
        rows: Cells down.
        gap: Pixels between two cells.
        skip_empty: Leave out cells of one colour, or without any.
    """
    tall, wide = pixels.color.shape[:2]
    width, height = (wide + gap) // columns - gap, (tall + gap) // rows - gap
    if min(width, height) < 1:
        raise BadPictureError(f"{columns}x{rows} cells do not fit into {wide}x{tall} pixels")
    written = 0
    for row in range(rows):
        for column in range(columns):
            top, left = row * (height + gap), column * (width + gap)
            place = (slice(top, top + height), slice(left, left + width))
            cell = each(pixels, lambda plane, place=place: plane[place])  # type: ignore[misc]
            if not (skip_empty and _is_empty(cell)):
                extras[f"{row}-{column}.png"] = to_image(cell)
                written += 1
    return {"cells": written, "width": width, "height": height}


def _is_empty(cell: Pixels) -> bool:
    if cell.alpha is not None:
        return not cell.alpha.any()
    return bool((cell.color == cell.color[0, 0]).all())


@operation("geometry", "nine-patch:width=300,height=120,border=16")
def nine_patch(
    pixels: Pixels,
    max_pixels: int,
    *,
    width: Side,
    height: Side,
    border: Margin = 8,
    middle: Literal["stretch", "tile"] = "stretch",
) -> Moved:
    """Bring a frame or button to a size: corners stay, edges and middle stretch or repeat.

    Takes the nearest pixel, so no new colours come in.

    Args:
        width: New width in pixels.
        height: New height in pixels.
        border: How far corners reach into the picture, in pixels.
        middle: What becomes of all but the corners.
    """
    check_size(width, height, max_pixels)
    tall, wide = pixels.color.shape[:2]
    across = _patch("width", wide, width, border, middle)
    down = _patch("height", tall, height, border, middle)

    def pick(plane: Any) -> Any:
        return plane[down[:, None], across]

    return each(pixels, pick), pick


def _patch(name: str, old: int, new: int, border: int, middle: str) -> Any:
    """Return which old row or column stands at each new one."""
    inner, room = old - 2 * border, new - 2 * border
    if inner < 1:
        raise BadPictureError(f"border={border} leaves nothing of {old} pixels between two corners")
    if room < 0:
        raise BadPictureError(f"{name}={new} has no room for two corners of {border} pixels")
    place = np.arange(room)
    between = place % inner if middle == "tile" else place * inner // max(1, room)
    return np.concatenate(
        [np.arange(border), border + between, np.arange(old - border, old)]
    ).astype(np.intp)


def _sizes(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdigit() and 1 <= int(word) <= 1024 for word in words):
        raise ValueError(
            f"sizes: expected whole numbers from 1 up to 1024 such as '16 32 48', got {text!r}"
        )
    return sorted({int(word) for word in words})


def _check_sizes(settings: dict[str, Any]) -> None:
    _sizes(settings["sizes"])


@operation("report", "icons:sizes='16 32 48 256'", check=_check_sizes)
def icons(
    pixels: Pixels,
    max_pixels: int,
    extras: Extras,
    *,
    sizes: str = "16 32 48 64 128 256",
    method: Literal["area", "lanczos", "nearest"] = "area",
) -> dict[str, Any]:
    """Write an icon set beside the output: NAME-icon.ico, and NAME-icon-SIZE.png for each size.

    Pictures that are not square get transparent margins. Works in linear light. The .ico holds the
    sizes up to 256, each as PNG.

    Args:
        sizes: Sides in pixels, separated by blanks.
        method: How to resize: area, lanczos, or nearest for pixel art.
    """
    tall, wide = pixels.color.shape[:2]
    if tall != wide:
        pixels, _ = pad(pixels, max_pixels, square=True, fill="transparent")
    wanted = _sizes(sizes)
    drawn = {size: _icon(pixels, max_pixels, size, method) for size in wanted}
    for size, icon in drawn.items():
        extras[f"icon-{size}.png"] = icon
    fit = [drawn[size] for size in wanted if size <= 256]
    if fit:
        file = io.BytesIO()
        # Pillow takes the base for its largest size, and each other one from what is appended.
        fit[-1].save(file, "ICO", sizes=[icon.size for icon in fit], append_images=fit[:-1])
        extras["icon.ico"] = file.getvalue()
    return {"sizes": wanted}


def _icon(
    pixels: Pixels, max_pixels: int, size: int, method: Literal["area", "lanczos", "nearest"]
) -> Image.Image:
    grows = size >= len(pixels.color)
    chosen = "lanczos" if grows and method == "area" else method
    icon, _ = resize(pixels, max_pixels, width=size, height=size, method=chosen)
    return to_image(Pixels(icon.color, icon.alpha, 255)).convert("RGBA")
