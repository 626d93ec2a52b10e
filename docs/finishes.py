"""Draw docs/finishes.jpg: what each chain of presets/post does. `make finishes` runs it.

The photographs come with scikit-image, and are CC0 or in the public domain.
"""

from __future__ import annotations

from pathlib import Path

import skimage.data
from PIL import Image, ImageDraw, ImageFont

from imagegen import presets
from imagegen.post.chain import build_chain

SIDE, GAP, LINE = 210, 8, 24
COLUMNS = 3
SMILEY = "imagegen/data/samples/smileys/3d/sunglasses_1f60e.png"
SUBJECTS = {
    "clean": "chelsea",
    "pop": "coffee",
    "film": "astronaut",
    "product-shot": "coffee",
    "icon": "coffee",
    "sketch": "camera",
    "texture": "gravel",
    "pixel-art": "smiley",
    "medical-contrast": "retina",
}


def picture(name: str) -> Image.Image:
    """Return a photograph of `skimage.data`, or a small smiley."""
    if name == "smiley":
        whole = Image.open(Path(__file__).parents[1] / SMILEY).convert("RGBA")
        return whole.resize((32, 32), Image.Resampling.LANCZOS)
    image = Image.fromarray(getattr(skimage.data, name)())
    if name == "gravel":
        return image.crop((0, 0, 128, 128))
    image.thumbnail((640, 640))
    return image


def tile(image: Image.Image, twice: bool) -> Image.Image:
    """Return it on a square of SIDE pixels, chequered where it is transparent."""
    if twice:  # what a texture is for
        both = Image.new(image.mode, (2 * image.width, 2 * image.height))
        for corner in [(0, 0), (image.width, 0), (0, image.height), image.size]:
            both.paste(image, corner)
        image = both
    scale = SIDE / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    image = image.convert("RGBA").resize(size, how)
    page = Image.new("RGB", (SIDE, SIDE), "white")
    place = ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2)
    squares = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(squares)
    for y in range(0, size[1], 10):
        for x in range(y // 10 % 2 * 10, size[0], 20):
            draw.rectangle((x, y, x + 9, y + 9), fill=(222, 222, 222))
    squares.paste(image, (0, 0), image)
    page.paste(squares, place)
    return page


def main() -> None:
    """Draw all pairs in rows, each under its name."""
    wide, high = 2 * SIDE + 3 * GAP, SIDE + LINE + GAP
    rows = -(-len(SUBJECTS) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * wide, rows * high + GAP), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(15)
    for index, (name, subject) in enumerate(SUBJECTS.items()):
        row, column = divmod(index, COLUMNS)
        left, top = column * wide + GAP, row * high + GAP
        chain = build_chain(presets.check(presets.resolve([f"post/{name}"])).postprocess)
        before = picture(subject)
        draw.text((left, top), f"post/{name}", "black", font)
        for step, image in enumerate([before, chain(before)]):
            at = (left + step * (SIDE + GAP // 2), top + LINE)
            page.paste(tile(image, twice=name == "texture"), at)
    page.save(Path(__file__).with_name("finishes.jpg"), quality=88)


if __name__ == "__main__":
    main()
