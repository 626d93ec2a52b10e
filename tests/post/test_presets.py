"""The shipped chains work on any picture, and do what they are named after."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagegen import presets
from imagegen.images.pixels import to_pixels
from imagegen.images.scene import scene
from imagegen.post.chain import Chain, build_chain

NAMES = [name for name in presets.names() if name.startswith("post/")]


def chain(name: str) -> Chain:
    return build_chain(presets.check(presets.resolve([name])).postprocess)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_any_picture_will_do(name: str, mode: str) -> None:
    whole = scene()
    for size in [(1, 1), (3, 2), (64, 48)]:
        small = whole.resize(size)
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257)
        else:
            picture = small.convert(mode)
        assert min(chain(name)(picture).size) >= 1


def test_a_product_shot_is_square_and_white_around_the_subject() -> None:
    shot = chain("post/product-shot")(scene())
    assert shot.mode == "RGB"
    assert shot.width == shot.height
    values = np.asarray(shot)
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    assert (border == 255).all()
    red, green, blue = values[shot.height // 2, shot.width // 2].astype(int)
    assert red > 2 * max(green, blue)  # the ball


def test_pixel_art_has_few_colors_in_blocks() -> None:
    small = scene().resize((24, 24))
    art = np.asarray(chain("post/pixel-art")(small))
    assert art.shape == (96, 96, 3)
    assert len(np.unique(art.reshape(-1, 3), axis=0)) <= 16
    assert (art == art[::4, ::4].repeat(4, 0).repeat(4, 1)).all()


def test_a_texture_repeats() -> None:
    picture = to_pixels(scene())

    def seam(*steps: object) -> float:
        result = build_chain([*steps, "seam"]).run(picture)  # type: ignore[list-item]
        return float(result.reports[0]["seam"])

    texture = presets.check(presets.resolve(["post/texture"])).postprocess
    assert seam(*texture) < 1.5 < seam()


def test_an_icon_has_all_its_sizes() -> None:
    result = chain("post/icon").run(to_pixels(scene()))
    assert len(result.extras) == 7
    assert result.pixels.alpha is not None
    assert result.pixels.alpha.min() == 0
    height, width, _ = result.pixels.color.shape
    assert height == width


def test_a_scan_keeps_its_depth_and_gains_contrast() -> None:
    y, x = np.mgrid[0:64, 0:64]
    faint = 30000 + 40 * x + 7 * y + 300 * ((x // 4 + y // 4) % 2)
    out = np.asarray(chain("post/medical-contrast")(Image.fromarray(faint.astype(np.uint16))))
    assert out.dtype == np.uint16
    assert len(np.unique(out)) > 256 / 2

    def local(values: np.ndarray) -> float:
        blocks = values.astype(float).reshape(8, 8, 8, 8).std(axis=(1, 3))
        return float(blocks.mean())

    assert local(out) > 5 * local(faint)
