"""Pictures in a terminal: two pixels a character cell, drawn with half blocks."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from rich.color import Color
from rich.style import Style
from rich.text import Text


def blocks(pictures: Sequence[Image.Image], columns: int, height: int = 16) -> Text:
    """Return pictures side by side as text.

    Args:
        pictures: as many as fit are shown.
        columns: characters to use at most.
        height: pixels of each picture, two a line of text.
    """
    shown = pictures[: max(1, columns // (height + 1))]
    strip = Image.new("RGB", (len(shown) * (height + 1) - 1, height))
    for index, picture in enumerate(shown):
        small = picture.convert("RGBA").resize((height, height), Image.Resampling.BOX)
        strip.paste(small, (index * (height + 1), 0), small)
    text = Text()
    for y in range(0, height, 2):
        for x in range(strip.width):
            if x % (height + 1) == height:
                text.append(" ")  # between two pictures, whatever colour the terminal has
                continue
            upper, lower = strip.getpixel((x, y)), strip.getpixel((x, y + 1))
            assert isinstance(upper, tuple)
            assert isinstance(lower, tuple)
            style = Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
            text.append("▀", style)
        text.append("\n")
    return text
