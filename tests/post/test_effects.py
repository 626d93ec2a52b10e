"""Film, screens and painting, against closed forms and laws of conservation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import color as skcolor

from imagegen.post.chain import build_chain
from imagegen.post.color import from_linear, to_linear
from imagegen.post.film import bloom, chromatic_aberration, grain, vignette
from imagegen.post.painting import cartoon, oil
from imagegen.post.screens import dither, halftone, pixelate, scanlines


def flat(tone: float, height: int = 64, width: int = 64, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), tone, np.float32)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(5).random((height, width, channels), dtype=np.float32)


# --- film ---------------------------------------------------------------------------------------


def test_bloom_adds_the_light_that_is_above_the_threshold() -> None:
    values = flat(0.0, 81, 81, 1)
    values[40, 40] = 1
    out = to_linear(bloom(values, None, amount=0.5, threshold=0, radius=4))
    around = np.delete(out.ravel(), 40 * 81 + 40)
    assert around.sum() == pytest.approx(0.5 * (1 - 1 / (2 * np.pi * 16)), rel=0.01)
    assert out[40, 44, 0] == pytest.approx(0.5 * np.exp(-0.5) / (2 * np.pi * 16), rel=0.02)


def test_bloom_leaves_what_is_dark() -> None:
    dim = noise(20, 20) * 0.7
    np.testing.assert_allclose(bloom(dim, None, threshold=180), dim, atol=1e-5)


def test_bloom_shines_in_its_own_color_and_hidden_light_does_not() -> None:
    values = flat(0.0, 41, 41)
    values[20, 20] = (1, 0.9, 0)
    out = bloom(values, None, threshold=100, amount=2, radius=3)
    assert out[20, 23, 0] > out[20, 23, 1] > out[20, 23, 2] == 0
    alpha = flat(1.0, 41, 41, 1)
    alpha[20, 20] = 0
    assert (bloom(values, alpha, threshold=100, amount=2, radius=3)[20, 23] == 0).all()


@pytest.mark.parametrize("size", [0, 0.6, 3])
def test_grain_is_as_strong_as_asked_for(size: float) -> None:
    out = grain(flat(0.5, 300, 300), amount=10, size=size) - 0.5
    assert out.std() * 255 == pytest.approx(10, rel=0.03 + 0.03 * size)
    assert abs(out.mean()) * 255 < 0.2 + 0.3 * size
    assert (out[..., 0] == out[..., 2]).all()


def test_grain_depends_on_its_seed_and_not_on_other_steps() -> None:
    def noise_of(*steps: str) -> np.ndarray:
        before = build_chain(steps)(Image.new("RGB", (30, 20), (90, 90, 90)))
        after = build_chain([*steps, "grain:amount=20,seed=7"])(before)
        return np.asarray(after).astype(int) - np.asarray(before)

    assert (noise_of() == noise_of("median", "segment:as=it", "grain:amount=0")).all()
    other = np.asarray(
        build_chain(["grain:seed=8,amount=20"])(Image.new("RGB", (30, 20), (90,) * 3))
    )
    assert (other - 90 != noise_of()).any()


def test_grain_spares_black_and_white_and_may_differ_by_channel() -> None:
    for tone in (0.0, 1.0):
        assert (grain(flat(tone)) == tone).all()
    colored = grain(flat(0.5, 200, 200), mono=False) - 0.5
    assert abs(np.corrcoef(colored[..., 0].ravel(), colored[..., 1].ravel())[0, 1]) < 0.02


def test_vignette_takes_its_share_of_the_light_in_the_corners_only() -> None:
    out = to_linear(vignette(flat(0.8, 31, 41), amount=0.6, start=0.3)) / to_linear(flat(0.8, 1, 1))
    for corner in (out[0, 0], out[0, -1], out[-1, 0], out[-1, -1]):
        np.testing.assert_allclose(corner, 0.4, atol=1e-4)
    np.testing.assert_allclose(out[12:19, 15:26], 1, atol=1e-4)
    np.testing.assert_allclose(out, out[::-1, ::-1], atol=1e-5)


def test_chromatic_aberration_moves_red_out_and_blue_in() -> None:
    # On a ramp from left to right a shift of a pixel is a change of one step.
    ramp = np.tile(np.linspace(0.1, 0.9, 101, dtype=np.float32)[None, :, None], (1, 1, 3))
    out = chromatic_aberration(ramp, None, amount=2) - ramp
    assert out[0, 75, 0] == pytest.approx(-0.008, abs=1e-5)
    assert out[0, 75, 2] == pytest.approx(0.008, abs=1e-5)
    assert out[0, 25, 0] == pytest.approx(0.008, abs=1e-5)
    assert (out[..., 1] == 0).all()
    assert (out[0, 50] == 0).all()
    for size in ((1, 1), (1, 9), (9, 1), (9, 9)):
        values = noise(*size)
        assert (chromatic_aberration(values, None, amount=0) == values).all()
        assert chromatic_aberration(values, None, amount=50).shape == values.shape


# --- screens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tone", [0.0, 0.1, 0.4, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("mono", [False, True])
def test_halftone_keeps_the_light(tone: float, mono: bool) -> None:
    out = halftone(flat(tone, 240, 240), None, size=8, mono=mono)
    np.testing.assert_allclose(
        to_linear(out).mean((0, 1)), to_linear(flat(tone, 1, 1))[0, 0], atol=0.01
    )
    if tone in (0, 1):
        np.testing.assert_allclose(out, tone, atol=1e-6)
    if mono:
        assert (out[..., 0] == out[..., 2]).all()


def test_halftone_dots_are_as_far_apart_as_asked_for() -> None:
    out = halftone(flat(0.5, 160, 160, 1), None, size=8, angle=0)
    assert np.abs(out[:, 8:] - out[:, :-8]).max() < 1e-6
    assert np.abs(out[8:] - out[:-8]).max() < 1e-6
    assert np.abs(out[:, 4:] - out[:, :-4]).max() == pytest.approx(1)


def test_scanlines() -> None:
    out = to_linear(scanlines(flat(0.8, 8, 3), period=4, amount=0.5)) / to_linear(flat(0.8, 1, 1))
    np.testing.assert_allclose(out[:, 0, 0], [0.5, 0.75, 1, 0.75] * 2, atol=1e-4)


def test_pixelate_keeps_the_light_of_each_square() -> None:
    values = noise(20, 27)
    out = to_linear(pixelate(values, None, size=8))
    light = to_linear(values)
    np.testing.assert_allclose(
        out[8:16, 8:16], np.broadcast_to(light[8:16, 8:16].mean((0, 1)), (8, 8, 3)), atol=1e-5
    )
    np.testing.assert_allclose(
        out[16:, 24:], np.broadcast_to(light[16:, 24:].mean((0, 1)), (4, 3, 3)), atol=1e-5
    )
    np.testing.assert_allclose(out.mean(), light.mean(), rtol=1e-5)


def test_pixelate_weighs_with_alpha() -> None:
    color = np.float32([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]])
    alpha = np.float32([[[0.0], [1.0]]])
    np.testing.assert_allclose(pixelate(color, alpha, size=2)[0, 1], [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize("method", ["floyd-steinberg", "ordered"])
@pytest.mark.parametrize("levels", [2, 5])
def test_dither_has_few_levels_and_keeps_the_light(method: str, levels: int) -> None:
    for tone in (0.0, 0.2, 0.5, 0.83, 1.0):
        out = dither(flat(tone, 64, 96), None, method=method, levels=levels)  # type: ignore[arg-type]
        assert set(np.unique(out)) <= set(np.float32(np.arange(levels) / (levels - 1)))
        difference = to_linear(out).mean() - to_linear(flat(tone, 1, 1)).mean()
        assert abs(difference) < 0.012


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2), (7, 23), (23, 7)])
def test_floyd_and_steinberg_pixel_by_pixel(size: tuple[int, int]) -> None:
    values = noise(*size)
    light = np.pad(to_linear(values), ((0, 1), (1, 1), (0, 0)))
    expected = np.zeros_like(values)
    for y in range(size[0]):
        for x in range(1, size[1] + 1):
            wanted = light[y, x].copy()
            expected[y, x - 1] = wanted > 0.5
            error = (wanted - expected[y, x - 1]) / np.float32(16)
            light[y, x + 1] += 7 * error
            light[y + 1, x - 1] += 3 * error
            light[y + 1, x] += 5 * error
            light[y + 1, x + 1] += error
    assert (dither(values, None, levels=2) == expected).all()


def test_ordered_dither_is_bayers_matrix() -> None:
    # Of 64 thresholds, as many are below a tone as its light has 64ths.
    for count in (1, 13, 32, 63):
        tone = from_linear(np.float32(count / 64))
        out = dither(flat(float(tone), 8, 8, 1), None, method="ordered")
        assert out.sum() == count
    quarter = dither(flat(float(from_linear(np.float32(1 / 4))), 8, 8, 1), None, method="ordered")
    assert (quarter[::2, ::2] == 1).all()
    assert quarter.sum() == 16


def test_dithered_twice_is_dithered_once() -> None:
    for method in ("floyd-steinberg", "ordered"):
        once = dither(noise(20, 20), None, method=method, levels=4)  # type: ignore[arg-type]
        assert (dither(once, None, method=method, levels=4) == once).all()  # type: ignore[arg-type]


def test_posterise() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    out = np.asarray(build_chain(["posterise:levels=4"])(ramp))[0]
    assert sorted(set(out)) == [0, 85, 170, 255]
    assert (out[:43] == 0).all()
    assert out[43] == 85
    assert (np.asarray(build_chain(["posterise:levels=256"])(ramp)) == np.asarray(ramp)).all()


# --- painting -----------------------------------------------------------------------------------


def test_oil_flattens_noise_and_keeps_edges() -> None:
    values = flat(0.25, 40, 60)
    values[:, 30:] = 0.75
    np.testing.assert_allclose(oil(values, None, radius=4), values, atol=0.01)
    grainy = values + 0.05 * (noise(40, 60) - 0.5)
    out = oil(grainy, None, radius=4)
    assert (out - values).std() < 0.5 * (grainy - values).std()


def test_oil_without_sharpness_is_a_blur() -> None:
    values = noise(40, 40)
    out = oil(values, None, radius=4, sharpness=0)
    np.testing.assert_allclose(out.mean(), values.mean(), atol=0.01)
    assert out.std() < 0.3 * values.std()
    point = flat(0.0, 21, 21, 1)
    point[10, 10] = 1
    spread = oil(point, None, radius=4, sharpness=0)
    np.testing.assert_allclose(spread, np.rot90(spread), atol=1e-5)
    assert spread.sum() == pytest.approx(1, rel=1e-3)


def test_cartoon_has_few_tones_and_dark_lines() -> None:
    ramp = np.repeat(np.linspace(0, 1, 200, dtype=np.float32)[None, :, None], 3, axis=2)
    out = cartoon(np.repeat(ramp, 40, axis=0), None, tones=3, lines=0)
    lightness = skcolor.rgb2lab(out)[20, :, 0]
    near = np.abs(lightness[:, None] - [0, 50, 100]).min(axis=1)
    assert (near < 5).mean() > 0.6
    step = flat(0.3, 40, 60)
    step[:, 30:] = 0.8
    plain, lined = (cartoon(step, None, lines=lines, tones=32) for lines in (0.0, 1.0))
    assert lined[20, 28:30].max() < 0.5 * plain[20, 28:30].max()
    np.testing.assert_allclose(lined[20, 40:], plain[20, 40:], atol=0.01)
    np.testing.assert_allclose(plain, step, atol=0.03)


@pytest.mark.parametrize(
    "step",
    [
        "bloom:threshold=50",
        "chromatic-aberration:amount=9",
        "halftone",
        "pixelate:size=3",
        "dither",
        "oil",
        "cartoon",
    ],
)
def test_hidden_colors_do_not_come_through(step: str) -> None:
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)  # a hidden green
    pixels[8:16, 8:16] = (200, 0, 0, 255)
    out = np.asarray(build_chain([step])(Image.fromarray(pixels))).astype(int)
    red = np.asarray(build_chain([step])(Image.new("RGB", (24, 24), (200, 0, 0))))
    assert out[8:16, 8:16, 1].max() <= red[..., 1].max()
