"""Segmentation finds what is plainly there, and survives what is not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagegen.images.pixels import Pixels, to_pixels
from imagegen.post.region import mask
from imagegen.post.segment import segment
from tests.post.conftest import MODES, picture

METHODS = ["slic", "kmeans", "threshold"]


def labels(image: Image.Image, method: str, **settings: int) -> np.ndarray:
    pixels = to_pixels(image)
    fill = {"slic": {"n": 60, "compactness": 10.0}, "kmeans": {"n": 2}, "threshold": {}}[method]
    return segment(pixels.color, pixels.alpha, method=method, **{**fill, **settings})  # type: ignore[arg-type]


def two_colors() -> tuple[Image.Image, np.ndarray]:
    pixels = np.full((48, 64, 3), (30, 60, 120), np.uint8)
    pixels[12:36, 16:48] = (240, 200, 40)
    inside = np.zeros((48, 64), bool)
    inside[12:36, 16:48] = True
    return Image.fromarray(pixels), inside


@pytest.mark.parametrize("method", METHODS)
def test_the_subject_is_what_does_not_touch_the_border(method: str) -> None:
    image, inside = two_colors()
    assert ((labels(image, method) >= 1) == inside).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_dark_subject_on_a_bright_ground(method: str) -> None:
    image, inside = two_colors()
    negative = Image.eval(image, lambda value: 255 - value)
    assert ((labels(negative, method) >= 1) == inside).all()


def test_regions_are_numbered_biggest_first() -> None:
    pixels = np.full((40, 40, 3), 20, np.uint8)
    pixels[5:30, 5:20] = (250, 30, 30)
    pixels[5:15, 25:32] = (30, 250, 30)
    found = labels(Image.fromarray(pixels), "kmeans", n=3)
    assert found[10, 10] == 1
    assert found[10, 28] == 2
    assert found[0, 0] == 0


@pytest.mark.parametrize("method", METHODS)
def test_what_is_transparent_is_background(method: str) -> None:
    image, _ = two_colors()
    alpha = np.zeros((48, 64), np.uint8)
    alpha[8:40, 8:56] = 255
    image.putalpha(Image.fromarray(alpha))
    assert ((labels(image, method) == 0) == (alpha == 0)).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", MODES)
def test_any_picture(method: str, kind: str) -> None:
    image = picture(kind)
    found = labels(image, method)
    assert found.shape == image.size[::-1]
    assert found.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_picture_is_all_background(method: str) -> None:
    assert (labels(Image.new("RGB", (9, 9), "teal"), method) == 0).all()


def test_large_pictures_are_segmented_small() -> None:
    image, inside = two_colors()
    big = image.resize((1024, 768), Image.Resampling.NEAREST)
    expected = np.repeat(np.repeat(inside, 16, 0), 16, 1)
    assert ((labels(big, "slic") >= 1) == expected).mean() > 0.99


def test_region_expressions() -> None:
    maps = {"it": np.array([[0, 1, 2]], np.int32)}

    def drawn(expression: str) -> list[float]:
        return (
            mask(expression, Pixels(np.zeros((1, 3, 1), np.float32), None), maps).ravel().tolist()
        )

    assert drawn("it") == [0, 1, 1]
    assert drawn("!it") == [1, 0, 0]
    assert drawn("it:2") == [0, 0, 1]
    assert drawn("!it:2") == [1, 1, 0]
    assert drawn("it:9") == [0, 0, 0]
    assert drawn("all") == [1, 1, 1]


def test_threshold_parts_at_the_gap_and_not_within_a_histogram_bin() -> None:
    _, inside = two_colors()
    for seed in range(50):
        tones = np.random.default_rng(seed).uniform(0.1, 0.35, (48, 64, 1)).astype(np.float32)
        tones[inside] += 0.5
        assert ((segment(tones, None, method="threshold") >= 1) == inside).all()
