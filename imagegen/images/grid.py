"""Many pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

TILE = 96
"""Small pictures are enlarged, by whole pixels, to about this many pixels a side."""
LETTERS = 14
"""Height of a name's letters, in pixels."""


def sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay one or more pictures out in rows, in order, on white; as square as possible.

    Smaller ones are centred in their cell.
    """
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    side = max(max(picture.size) for picture in pictures)
    scale = max(1, round(TILE / side))
    gap = _gap(side * scale)
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


def lines(named: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Lay pictures out in lines, each with its name above, on white.

    Args:
        named: the name and the pictures, one or more, of each line.
    """
    tiles = [(name, [_tile(picture) for picture in pictures]) for name, pictures in named]
    height = max(tile.height for _, row in tiles for tile in row)
    gap = _gap(height)
    font = ImageFont.load_default(LETTERS)
    step = height + gap + 2 * LETTERS
    width = max(gap + sum(tile.width + gap for tile in row) for _, row in tiles)
    page = Image.new("RGB", (width, step * len(tiles) + gap), "white")
    write = ImageDraw.Draw(page)
    for index, (name, row) in enumerate(tiles):
        left, top = gap, index * step
        write.text((left, top + LETTERS // 3), name, "black", font)
        for tile in row:
            alpha = tile.getchannel("A") if tile.mode == "RGBA" else None
            page.paste(tile, (left, top + 2 * LETTERS), alpha)
            left += tile.width + gap
    return page


def _tile(picture: Image.Image) -> Image.Image:
    """Return a picture as large as it is shown."""
    scale = max(1, round(TILE / max(picture.size)))
    size = (picture.width * scale, picture.height * scale)
    return _visible(picture).resize(size, Image.Resampling.NEAREST)


def cut(page: Image.Image, count: int) -> list[Image.Image]:
    """Return the pictures of a `sheet` of so many of one size, as large as they are on it.

    A page that was not laid out so is returned whole.
    """
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    for gap in range(2, _gap(max(page.size)) + 1):
        wide, beside = divmod(page.width - gap, columns)
        high, below = divmod(page.height - gap, rows)
        width, height = wide - gap, high - gap
        if not beside and not below and min(width, height) > 0 and gap == _gap(max(width, height)):
            corners = [
                (gap + index % columns * wide, gap + index // columns * high)
                for index in range(count)
            ]
            return [page.crop((x, y, x + width, y + height)) for x, y in corners]
    return [page]


def _gap(side: int) -> int:
    """Return the pixels between tiles of this longest side."""
    return max(2, side // 24)


def _visible(picture: Image.Image) -> Image.Image:
    """Return a picture as 8-bit RGB or RGBA."""
    from imagegen.images.pixels import to_image, to_pixels

    if picture.mode.startswith(("I", "F")):
        pixels = to_pixels(picture)
        pixels.depth = 255
        picture = to_image(pixels)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
