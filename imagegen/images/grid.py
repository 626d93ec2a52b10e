"""Many pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image

TILE = 96
"""Small pictures are enlarged, by whole pixels, to about this many pixels a side."""


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay one or more pictures out in rows, in order, on white; as square as possible.

    Smaller ones are centred in their cell.
    """
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    side = max(max(picture.size) for picture in pictures)
    scale = max(1, round(TILE / side))
    gap = max(2, side * scale // 24)
    width = max(picture.width for picture in pictures) * scale + gap
    height = max(picture.height for picture in pictures) * scale + gap
    page = Image.new("RGB", (columns * width + gap, rows * height + gap), "white")
    for index, picture in enumerate(pictures):
        tile = _visible(picture).resize(
            (picture.width * scale, picture.height * scale), Image.Resampling.NEAREST
        )
        row, column = divmod(index, columns)
        left = gap + column * width + (width - gap - tile.width) // 2
        top = gap + row * height + (height - gap - tile.height) // 2
        page.paste(tile, (left, top), tile.getchannel("A") if tile.mode == "RGBA" else None)
    return page


def _visible(picture: Image.Image) -> Image.Image:
    """Return a picture as 8-bit RGB or RGBA."""
    from imagegen.images.pixels import to_image, to_pixels

    if picture.mode.startswith(("I", "F")):
        pixels = to_pixels(picture)
        pixels.depth = 255
        picture = to_image(pixels)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
