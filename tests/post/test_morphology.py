"""Edges, reliefs and shapes, against closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import morphology as shapes

from imagegen.errors import SettingsError
from imagegen.post.chain import build_chain
from imagegen.post.morphology import emboss, morphology


def drawn(step: str, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(build_chain([step])(Image.fromarray(pixels))).astype(int)


def step_up(height: int = 9, width: int = 12) -> np.ndarray:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, width // 2 :] = 255
    return pixels


def test_sobel_draws_a_sharp_step_white() -> None:
    out = drawn("edges:sigma=0,amount=1", step_up())
    assert (out[:, [5, 6]] == 255).all()
    assert (np.delete(out, [5, 6], axis=1) == 0).all()
    # As steep as it is high: a ramp of 10 levels a pixel has two of them over two pixels.
    ramp = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (5, 1))
    assert (drawn("edges:sigma=0,amount=1", ramp)[:, 1:-1] == 20).all()


def test_laplacian_draws_what_bends() -> None:
    ramp = np.tile(np.arange(0, 250, 10, dtype=np.uint8), (5, 1))
    assert (drawn("edges:method=laplacian,sigma=0", ramp)[:, 1:-1] == 0).all()
    point = np.zeros((5, 5), np.uint8)
    point[2, 2] = 20
    out = drawn("edges:method=laplacian,sigma=0,amount=1", point)
    assert out[2, 2] == 80
    assert out[2, 1] == out[1, 2] == 20


def test_canny_draws_one_line_at_a_step() -> None:
    out = drawn("edges:method=canny", step_up(20, 30))
    assert set(np.unique(out)) == {0, 255}
    assert ((out[2:-2] > 0).sum(axis=1) == 1).all()
    assert not drawn("edges:method=canny,low=100,high=250,sigma=2", step_up(20, 30) // 8).any()


def test_edges_of_equal_luma_in_three_channels() -> None:
    rgb = np.repeat(step_up()[..., None], 3, axis=2)
    out = drawn("edges", rgb)
    assert (out[..., 0] == drawn("edges", step_up())).all()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("edges:low=3", "low: would be ignored by method=sobel"),
        ("edges:method=canny,amount=3", "amount: would be ignored by method=canny"),
        ("edges:method=canny,low=60", "low: expected at most high (50), got 60"),
        ("morphology:method=erod", "method: expected one of erode"),
        ("morphology:radius=31", "radius: expected a whole number from 1 up to 30, got 31"),
    ],
)
def test_mistakes(step: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build_chain([step])
    assert expected in caught.value.message


@pytest.mark.parametrize(("angle", "lit"), [(0, False), (180, True)])
def test_a_relief_is_lit_from_its_side(angle: float, lit: bool) -> None:
    values = (step_up() / 255).astype(np.float32)[..., None]
    out = emboss(values, None, angle=angle, sigma=0)
    # The step rises to the right, so its slope looks to the left.
    assert out[4, 5, 0] == pytest.approx(1 if lit else 0)
    assert (out[:, :4] == 0.5).all()
    for upright in (90, -90):
        np.testing.assert_allclose(emboss(values, None, angle=upright, sigma=0), 0.5, atol=1e-6)
    down = np.swapaxes(values, 0, 1)
    assert emboss(down, None, angle=90, sigma=0)[5, 4, 0] == pytest.approx(1)


SHAPES = {"square": shapes.footprint_rectangle((5, 5)), "disk": shapes.disk(2), "cross": None}
SHAPES["cross"] = (np.abs(np.mgrid[-2:3, -2:3]).min(axis=0) == 0).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("method", "theirs"),
    [
        ("erode", ndimage.grey_erosion),
        ("dilate", ndimage.grey_dilation),
        ("open", ndimage.grey_opening),
        ("close", ndimage.grey_closing),
        ("gradient", ndimage.morphological_gradient),
        ("tophat", ndimage.white_tophat),
        ("blackhat", ndimage.black_tophat),
    ],
)
def test_morphology_agrees_with_scipy(method: str, theirs, shape: str) -> None:
    values = np.random.default_rng(4).random((20, 23, 3), dtype=np.float32)
    ours = morphology(values, None, method=method, shape=shape, radius=2)  # type: ignore[arg-type]
    each = [theirs(values[..., c], footprint=SHAPES[shape], mode="nearest") for c in range(3)]
    inner = (slice(4, -4), slice(4, -4))
    np.testing.assert_allclose(ours[inner], np.stack(each, axis=2)[inner], atol=1e-6)


def test_open_and_close_stay_when_done_twice_and_enclose_the_picture() -> None:
    values = np.random.default_rng(4).random((20, 23, 1), dtype=np.float32)
    for method, sign in (("open", 1), ("close", -1)):
        once = morphology(values, None, method=method, radius=2)  # type: ignore[arg-type]
        assert (sign * (values - once) >= 0).all()
        again = morphology(once, None, method=method, radius=2)  # type: ignore[arg-type]
        assert (again == once).all()


def test_what_is_transparent_is_no_edge() -> None:
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)
    pixels[8:16, 8:16] = (200, 0, 0, 255)
    assert (drawn("edges", pixels)[8:16, 8:16, :3] == 0).all()
    assert (np.abs(drawn("emboss", pixels)[8:16, 8:16, :3] - 127.5) < 1).all()
    assert (drawn("morphology:method=dilate", pixels)[8:16, 8:16, :3] == [200, 0, 0]).all()
