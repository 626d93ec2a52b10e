"""Filters that blur, sharpen and smooth, against closed forms and other libraries."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.restoration import richardson_lucy

from imagegen.images.pixels import to_pixels
from imagegen.post.chain import build_chain
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.filters import box, deblur, detail, gaussian
from imagegen.post.neighbours import guided_mean
from imagegen.post.smoothing import bilateral, guided, non_local_means, total_variation

SMOOTHING = [bilateral, non_local_means, total_variation, guided]


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(3).random((height, width, channels), dtype=np.float32)


def noisy_step(spread: float = 0.03) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of two halves, without noise and with it."""
    clean = np.full((48, 64, 3), 0.25, np.float32)
    clean[:, 32:] = 0.75
    random = np.random.default_rng(0).normal(0, spread, clean.shape).astype(np.float32)
    return clean, clean + random


def smooth_scene() -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    tones = 0.5 + 0.3 * np.sin(x / 5) * np.cos(y / 7) + 0.15 * ((x // 16 + y // 16) % 2)
    return tones.astype(np.float32)[..., None]


@pytest.mark.parametrize("sigma", [25.0, 80.0, 200.0])
@pytest.mark.parametrize("size", [(61, 90), (1, 40), (40, 1), (1, 1), (2, 3)])
def test_a_wide_gaussian_is_the_sum_of_its_weights(sigma: float, size: tuple[int, int]) -> None:
    values = noise(*size)
    summed = ndimage.gaussian_filter(
        values.astype(float), (sigma, sigma, 0), mode="mirror", truncate=8
    )
    np.testing.assert_allclose(gaussian(values, None, sigma=sigma), summed, atol=2e-5)


def test_both_gaussians_agree_where_they_meet() -> None:
    values = noise(90, 130)
    narrow, wide = (gaussian(values, None, sigma=sigma) for sigma in (20, 20.001))
    np.testing.assert_allclose(narrow, wide, atol=3e-4)


def test_blur_of_light_mixes_black_and_white_to_the_grey_of_half_the_light() -> None:
    stripes = np.zeros((9, 9, 1), np.float32)
    stripes[:, ::2] = 1
    mixed = gaussian(stripes, None, sigma=4, linear=True)[4, 4, 0]
    assert mixed * 255 == pytest.approx(188, abs=1)
    assert gaussian(stripes, None, sigma=4)[4, 4, 0] * 255 == pytest.approx(127.5, abs=1)
    assert box(stripes, None, size=3, linear=True)[4, 4, 0] == pytest.approx(
        from_linear(np.float32(1 / 3)), abs=1e-3
    )


def test_box_is_a_mean() -> None:
    values = noise(11, 14)
    expected = ndimage.uniform_filter(values, (5, 5, 0), mode="mirror")
    np.testing.assert_allclose(box(values, None, size=5), expected, atol=1e-6)


def test_box_weighs_with_alpha() -> None:
    color = np.float32([[[0.2], [1.0], [0.6]]])
    alpha = np.float32([[[1.0], [0.0], [0.5]]])
    # The middle sees 0.2 with 1 and 0.6 with a half; borders reflect without the edge.
    assert box(color, alpha, size=3)[0, 1, 0] == pytest.approx((0.2 + 0.3) / 1.5)


def test_detail_leaves_flat_places_and_edges_and_raises_texture() -> None:
    def texture(values: np.ndarray) -> float:
        return float(luminance(values)[:, :20].std())

    clean, grainy = noisy_step()
    flat = np.full((20, 20, 3), 0.4, np.float32)
    np.testing.assert_allclose(detail(flat, None), flat, atol=1e-5)
    stronger = detail(grainy, None, amount=1.0, tone=50)
    assert texture(stronger) > 1.5 * texture(grainy)
    # An unsharp mask of that radius would shoot over by a tenth of the step and more.
    assert np.abs(detail(clean, None, amount=1.0, tone=5) - clean).max() < 0.01
    softer = detail(grainy, None, amount=-1.0, tone=50)
    assert texture(softer) < 0.4 * texture(grainy)


def test_detail_keeps_hues() -> None:
    values = noise(20, 20) * 0.4 + 0.3
    change = detail(values, None) - values
    np.testing.assert_allclose(change[..., 0], change[..., 1], atol=1e-6)


def test_deblur_agrees_with_scikit_image_and_undoes_a_blur() -> None:
    sharp = smooth_scene()
    blurred = gaussian(sharp, None, sigma=1.5, linear=True)
    ours = deblur(blurred, None, sigma=1.5, steps=15)
    point = np.zeros((17, 17))
    point[8, 8] = 1
    kernel = ndimage.gaussian_filter(point, 1.5, truncate=5)
    wide = np.pad(to_linear(blurred)[..., 0], 40, mode="reflect")
    theirs = richardson_lucy(wide, kernel, num_iter=15)[40:-40, 40:-40]
    # It starts from a flat picture, and so is about a round behind.
    error = np.abs(ours - sharp)[..., 0]
    np.testing.assert_allclose(to_linear(ours)[..., 0], theirs, atol=0.03)
    assert error.mean() < 0.65 * np.abs(blurred - sharp).mean()


def test_deblur_keeps_what_is_flat() -> None:
    flat = np.full((9, 12, 3), 0.3, np.float32)
    np.testing.assert_allclose(deblur(flat, None), flat, atol=1e-4)
    assert np.isfinite(deblur(np.zeros((5, 5, 1), np.float32), None)).all()


@pytest.mark.parametrize("smooth", SMOOTHING)
def test_smoothing_removes_noise_and_keeps_the_edge(smooth: Callable[..., np.ndarray]) -> None:
    clean, grainy = noisy_step()
    settings = {} if smooth is total_variation else {"tone": 40}
    out = smooth(grainy, None, **settings)
    # Not beside the edge, where a guided filter keeps the noise as well.
    assert (out - clean)[:, :20].std() < 0.4 * (grainy - clean)[:, :20].std()
    assert (out[:, 34] - out[:, 29]).mean() > 0.4


@pytest.mark.parametrize("smooth", SMOOTHING)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (7, 1), (3, 40)])
def test_smoothing_takes_any_size_and_keeps_what_is_flat(
    smooth: Callable[..., np.ndarray], size: tuple[int, int]
) -> None:
    flat = np.full((*size, 3), 0.4, np.float32)
    np.testing.assert_allclose(smooth(flat, None), flat, atol=1e-6)
    assert smooth(noise(*size), None).shape == (*size, 3)


@pytest.mark.parametrize("name", ["bilateral", "non-local-means", "total-variation", "guided"])
def test_smoothing_keeps_sixteen_bits(name: str) -> None:
    ramp = np.tile(np.arange(40000, 40030, dtype=np.uint16), (30, 1))
    out = np.asarray(build_chain([name])(Image.fromarray(ramp))).astype(int)
    assert (np.diff(out[15, 8:22]) >= 0).all()
    assert len(np.unique(out[15])) > 10


@pytest.mark.parametrize(
    "step", ["box", "detail", "deblur", "bilateral", "non-local-means", "total-variation", "guided"]
)
def test_hidden_colors_do_not_come_through(step: str) -> None:
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)  # a hidden green
    pixels[8:16, 8:16] = (200, 0, 0, 255)
    out = np.asarray(build_chain([step])(Image.fromarray(pixels))).astype(int)
    assert np.abs(out[8:16, 8:16] - [200, 0, 0, 255]).max() <= 1


def test_grey_is_smoothed_alike_in_one_channel_and_in_three() -> None:
    grey = noise(20, 30, 1)
    thrice = np.repeat(grey, 3, axis=2)
    np.testing.assert_allclose(bilateral(thrice, None)[..., :1], bilateral(grey, None), atol=1e-4)


def test_total_variation_keeps_the_mean_and_lessens_the_variation() -> None:
    _, grainy = noisy_step()

    def variation(values: np.ndarray) -> float:
        return float(sum(np.abs(np.diff(values, axis=axis)).sum() for axis in (0, 1)))

    out = total_variation(grainy, None, weight=0.2)
    np.testing.assert_allclose(out.mean((0, 1)), grainy.mean((0, 1)), atol=1e-5)
    assert variation(out) < 0.3 * variation(grainy)


def test_guided_is_a_straight_line_in_each_square() -> None:
    values = noise(13, 17, 1)
    tone = 0.2

    def mean(of: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(of.astype(float), (7, 7, 0), mode="mirror")

    slope = (mean(values**2) - mean(values) ** 2) / (mean(values**2) - mean(values) ** 2 + tone**2)
    expected = mean(slope) * values + mean((1 - slope) * mean(values))
    np.testing.assert_allclose(guided_mean(values, None, 3, tone), expected, atol=1e-5)


def test_non_local_means_uses_what_repeats() -> None:
    tile = np.random.default_rng(1).random((6, 6, 1)).astype(np.float32)
    clean = np.tile(tile, (8, 8, 1))
    grainy = clean + np.random.default_rng(2).normal(0, 0.05, clean.shape).astype(np.float32)
    ours = np.abs(non_local_means(grainy, None, tone=12, patch=2, search=12) - clean)
    local = cv2.bilateralFilter(grainy, 0, 0.1, 3)[..., None]
    assert ours[12:-12, 12:-12].mean() < 0.6 * np.abs(grainy - clean).mean()
    assert ours.mean() < np.abs(local - clean).mean()


def test_an_even_box_is_refused() -> None:
    with pytest.raises(Exception, match="box: size: expected an odd number, got 4"):
        build_chain(["box:size=4"])


def test_transparency_stays() -> None:
    image = Image.fromarray((noise(9, 9, 4) * 255).astype(np.uint8))
    pixels = to_pixels(image)
    assert pixels.alpha is not None
    for smooth in SMOOTHING:
        assert smooth(pixels.color, pixels.alpha).shape == (9, 9, 3)
