"""Pictures to arrays and back, and sheets of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagegen.images.grid import cut, sheet
from imagegen.images.pixels import to_image, to_pixels
from imagegen.images.preview import blocks

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_untouched_pixels_come_back_exactly(mode: str, channels: int) -> None:
    values = RANDOM.integers(0, 256, (7, 5, channels), dtype=np.uint8)
    image = Image.fromarray(values.squeeze(2) if channels == 1 else values)
    again = to_image(to_pixels(image))
    assert again.mode == mode
    assert again.tobytes() == image.tobytes()


def test_sixteen_bits_stay_sixteen_bits() -> None:
    image = Image.fromarray(RANDOM.integers(0, 65536, (7, 5)).astype(np.uint16))
    again = to_image(to_pixels(image))
    assert again.mode == "I;16"
    assert again.tobytes() == image.tobytes()


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "YCbCr", "F", "I"])
def test_other_modes_become_grey_or_rgb(mode: str) -> None:
    pixels = to_pixels(Image.new(mode, (3, 2)))
    assert pixels.color.shape in ((2, 3, 1), (2, 3, 3))
    assert to_image(pixels).size == (3, 2)


def test_a_sheet_shows_every_picture_at_its_place() -> None:
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    page = sheet([Image.new("RGB", (32, 32), color) for color in colors])
    cell = page.width // 2
    centres = [(cell // 2, cell // 2), (cell * 3 // 2, cell // 2), (cell // 2, cell * 3 // 2)]
    assert [page.getpixel(xy) for xy in centres] == colors
    assert page.getpixel((cell * 3 // 2, cell * 3 // 2)) == (255, 255, 255)


def test_a_sheet_enlarges_by_whole_pixels_and_shows_through() -> None:
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    image.putpixel((0, 0), (9, 8, 7, 255))
    page = sheet([image])
    colors = page.getcolors()
    assert colors is not None
    assert sorted(color for _, color in colors) == [(9, 8, 7), (255, 255, 255)]
    assert dict((c, n) for n, c in colors)[(9, 8, 7)] == 48 * 48


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "P"])
def test_a_sheet_takes_any_mode(mode: str) -> None:
    assert sheet([Image.new(mode, (8, 6))]).mode == "RGB"


@pytest.mark.parametrize("size", [(8, 8), (16, 12), (64, 64), (100, 30), (256, 256)])
@pytest.mark.parametrize("count", [1, 2, 4, 7, 16])
def test_a_sheet_is_cut_into_its_pictures(size: tuple[int, int], count: int) -> None:
    colors = [(10 * index, 200, 255 - 10 * index) for index in range(count)]
    tiles = cut(sheet([Image.new("RGB", size, color) for color in colors]), count)
    assert [tile.getcolors() for tile in tiles] == [
        [(tile.width * tile.height, color)] for tile, color in zip(tiles, colors, strict=True)
    ]
    assert tiles[0].width * size[1] == tiles[0].height * size[0]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (211, 211)])
def test_a_page_that_is_no_sheet_is_left_whole(size: tuple[int, int]) -> None:
    page = Image.new("RGB", size)
    assert cut(page, 16) == [page]


def test_a_preview_has_two_pixels_a_character() -> None:
    text = blocks([Image.new("RGB", (32, 32), "red")], columns=80, height=16)
    lines = text.plain.splitlines()
    assert len(lines) == 8
    assert set(lines[0]) == {"▀"}
