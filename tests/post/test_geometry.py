"""Crop, pad, resize, rotate, flip, tiling, upscaling, sheets and icons, with known answers."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.images.pixels import to_integers, to_pixels
from imagegen.images.reading import BadPictureError
from imagegen.post.chain import build_chain
from imagegen.post.operations import Picture

RANDOM = np.random.default_rng(3)
NOISE = RANDOM.integers(0, 256, (12, 20, 3), dtype=np.uint8)


def apply(step: str, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(build_chain([step])(Image.fromarray(pixels)))


def smooth(height: int, width: int, bend: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    waves = np.sin(x / bend) * np.cos(y / (bend + 1))
    return np.rint(127 + 100 * waves).astype(np.uint8)


def run(steps: list[str], pixels: np.ndarray) -> Picture:
    return build_chain(steps).run(to_pixels(Image.fromarray(pixels)))


# --- crop, pad, rotate, flip --------------------------------------------------------------------


def test_crop() -> None:
    assert (apply("crop:x=3,y=2,width=5,height=4", NOISE) == NOISE[2:6, 3:8]).all()
    assert (apply("crop:width=10,height=6", NOISE) == NOISE[3:9, 5:15]).all()
    assert (apply("crop:x=15,width=50", NOISE) == NOISE[:, 15:]).all()
    with pytest.raises(BadPictureError, match="crop: x=20 is outside of the picture"):
        apply("crop:x=20", NOISE)


def test_crop_by_content() -> None:
    page = np.full((30, 40, 3), 240, np.uint8)
    page[5:12, 8:30] = (200, 10, 10)
    assert apply("crop:content=true", page).shape == (7, 22, 3)
    assert apply("crop:content=true,margin=6", page).shape == (5 + 7 + 6, 34, 3)
    page[0, 0] = 236
    assert apply("crop:content=true,tolerance=8", page).shape == (7, 22, 3)
    sprite = np.zeros((9, 9, 4), np.uint8)
    sprite[2:4, 3:8] = 255
    assert apply("crop:content=true", sprite).shape == (2, 5, 4)
    assert apply("crop:content=true", page[20:]).shape == page[20:].shape


@pytest.mark.parametrize(
    ("fill", "mode"), [("edge", "edge"), ("reflect", "symmetric"), ("wrap", "wrap")]
)
def test_pad_from_the_picture(fill: str, mode: str) -> None:
    expected = np.pad(NOISE, ((2, 2), (2, 2), (0, 0)), mode=mode)  # type: ignore[call-overload]
    assert (apply(f"pad:by=2,fill={fill}", NOISE) == expected).all()


def test_pad_with_a_color() -> None:
    out = apply("pad:square=true,fill=#ff8800", NOISE)
    assert out.shape == (20, 20, 3)
    assert (out[4:16] == NOISE).all()
    assert (out[0] == (255, 136, 0)).all()
    clear = apply("pad:width=24,fill=transparent", NOISE)
    assert clear.shape == (12, 24, 4)
    assert (clear[:, :2, 3] == 0).all()
    assert (clear[:, 2:22, 3] == 255).all()
    assert apply("pad:by=1,fill=white", NOISE[..., 0])[0, 0] == 255


def test_right_angles_and_mirrors_lose_nothing() -> None:
    assert (apply("rotate:angle=90", NOISE) == np.rot90(NOISE, -1)).all()
    assert (apply("rotate:angle=-180", NOISE) == NOISE[::-1, ::-1]).all()
    assert (apply("flip", NOISE) == NOISE[:, ::-1]).all()
    assert (apply("flip:axis=vertical", NOISE) == NOISE[::-1]).all()
    assert (apply("flip:axis=both", NOISE) == NOISE[::-1, ::-1]).all()


def test_rotation_agrees_with_pillow() -> None:
    pixels = smooth(61, 81, 6)
    ours = apply("rotate:angle=20,expand=false,fill=black", pixels).astype(int)
    theirs = np.asarray(Image.fromarray(pixels).rotate(-20, Image.Resampling.BICUBIC)).astype(int)
    inner = (slice(15, -15), slice(15, -15))
    assert np.abs(ours - theirs)[inner].max() <= 3
    grown = apply("rotate:angle=45,fill=transparent", pixels)
    assert grown.shape == (100, 100, 2)
    assert grown[0, 0, 1] == 0
    assert grown[50, 50, 1] == 255


def test_rotating_back_and_forth() -> None:
    pixels = smooth(60, 60, 8)
    back = np.asarray(
        build_chain(["rotate:angle=30", "rotate:angle=-30", "crop:width=60,height=60"])(
            Image.fromarray(pixels)
        )
    ).astype(int)
    assert np.abs(back - pixels)[5:-5, 5:-5].max() <= 4


# --- resize -------------------------------------------------------------------------------------


def test_sizes() -> None:
    for step, size in {
        "resize:width=10": (10, 6),
        "resize:height=24": (40, 24),
        "resize:scale=0.5": (10, 6),
        "resize:width=7,height=5": (7, 5),
        "resize:width=10,height=10,fit=inside": (10, 6),
        "resize:width=6,height=6,fit=cover": (6, 6),
        "resize:scale=0.01": (1, 1),
    }.items():
        assert build_chain([step])(Image.fromarray(NOISE)).size == size


def test_area_is_the_mean_of_light() -> None:
    # Black and white in equal parts give half the light: level 188, not 128.
    board = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)
    assert (apply("resize:scale=0.5", board) == 188).all()
    assert (apply("resize:scale=0.5,space=srgb", board) == 128).all()


@pytest.mark.parametrize("method", ["lanczos", "bicubic", "nearest"])
def test_resampling_agrees_with_pillow(method: str) -> None:
    filters = Image.Resampling[method.upper()]
    middle = NOISE // 2 + 64  # Pillow clips 8-bit pictures between its two passes
    for size in ((33, 17), (9, 5)):
        ours = apply(f"resize:width={size[0]},height={size[1]},method={method},space=srgb", middle)
        theirs = np.asarray(Image.fromarray(middle).resize(size, filters))
        assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.skipif(not shutil.which("convert"), reason="ImageMagick is not installed")
def test_area_agrees_with_imagemagick() -> None:
    pixels = smooth(64, 64)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    words = ["convert", "-", "-filter", "box", "-resize", "16x16", "-depth", "8", "png:-"]
    done = subprocess.run(words, input=file.getvalue(), capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this 'convert' is not ImageMagick's")
    theirs = np.asarray(Image.open(io.BytesIO(done.stdout)).convert("L")).astype(int)
    assert np.abs(apply("resize:width=16,space=srgb", pixels) - theirs).max() <= 1


@pytest.mark.parametrize(
    "step", ["resize:scale=0.5", "resize:scale=2", "rotate:angle=20", "upscale", "seamless"]
)
def test_hidden_colors_do_not_come_through(step: str) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)  # a hidden green
    pixels[3:13, 3:13] = (200, 0, 0, 255)
    out = apply(step, pixels)
    assert (out[..., 1][out[..., 3] > 3] <= 2).all()
    assert (out[..., 0][out[..., 3] > 3] >= 190).all()


def test_sixteen_bits_are_kept() -> None:
    deep = np.tile(np.arange(40000, 40020, dtype=np.uint16), (20, 1))
    for step in ("resize:scale=2", "upscale", "rotate:angle=10", "pad:by=2", "tile"):
        picture = run([step], deep)
        values = to_integers(picture.pixels)
        assert values.dtype == np.uint16
        assert 39990 <= values.min() <= values.max() <= 40029


def test_label_maps_follow() -> None:
    page = np.full((30, 40, 3), 240, np.uint8)
    page[5:15, 8:28] = (200, 10, 10)
    segment = "segment:method=threshold,as=it"
    for step in (
        "resize:scale=2", "resize:width=20,height=20,fit=cover", "rotate:angle=90", "flip",
        "rotate:angle=30,fill=white", "pad:by=4", "crop:x=6,y=2,width=30,height=20", "upscale",
        "tile", "offset:x=0.25,y=0.25", "nine-patch:width=60,height=50,border=6",
    ):  # fmt: skip
        picture = run([segment, step], page)
        red = picture.pixels.color[..., 1] < 0.5
        labels = picture.maps["it"]
        assert labels.shape == red.shape
        assert ((labels >= 1) == red).mean() > 0.94, step


# --- tiling -------------------------------------------------------------------------------------


def test_seam_measure() -> None:
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (24, 1))
    [report] = run(["seam"], ramp).reports
    assert report == {"op": "seam", "horizontal": 23.0, "vertical": 1.0, "seam": 23.0}
    y, x = np.mgrid[0:32, 0:32] * 2 * np.pi / 32
    periodic = (127 + 60 * np.sin(x) + 60 * np.cos(2 * y)).astype(np.uint8)
    assert run(["seam"], periodic).reports[0]["seam"] < 1.1


def test_seamless_leaves_no_seam() -> None:
    random = np.random.default_rng(0).normal(size=(96, 64, 3))
    rough = np.cumsum(np.cumsum(random, 0), 1)
    rough = (rough - rough.min()) / np.ptp(rough) * 255
    pixels = rough.astype(np.uint8)
    before, after = run(["seam"], pixels).reports, run(["seamless", "seam"], pixels).reports
    assert before[0]["seam"] > 4
    assert after[0]["seam"] < 1.5
    out = apply("seamless:overlap=0.3", pixels)
    assert np.abs(out[40:56, 28:36].astype(int) - pixels[40:56, 28:36]).max() <= 1


def test_seamless_keeps_the_contrast_of_noise() -> None:
    noise = RANDOM.normal(127, 30, (128, 128)).clip(0, 255).astype(np.uint8)
    out = apply("seamless:overlap=1", noise)
    assert out.std() == pytest.approx(noise.std(), rel=0.05)


def test_tile_and_offset() -> None:
    assert (apply("tile:columns=3,rows=2", NOISE) == np.tile(NOISE, (2, 3, 1))).all()
    assert (apply("offset", NOISE) == np.roll(NOISE, (6, 10), (0, 1))).all()


# --- upscale ------------------------------------------------------------------------------------


def test_epx_by_hand() -> None:
    # A white bend: Scale2x rounds its outer corner off and fills its inner one.
    out = apply("upscale:method=epx", np.array([[0, 255], [255, 255]], np.uint8))
    assert (out == np.array([[0, 0, 255, 255], [0, 255, 255, 255]] + 2 * [[255] * 4])).all()
    # Beyond the border all is as on it, so that the ends of a line lose their inner corner.
    diagonal = apply("upscale:method=epx", np.eye(3, dtype=np.uint8) * 255)
    expected = np.array(
        [
            [1, 1, 0, 0, 0, 0],
            [1, 0, 1, 0, 0, 0],
            [0, 1, 1, 1, 0, 0],
            [0, 0, 1, 1, 1, 0],
            [0, 0, 0, 1, 0, 1],
            [0, 0, 0, 0, 1, 1],
        ]
    )
    assert (diagonal == 255 * expected).all()


def test_epx_gives_no_new_colors() -> None:
    sprite = RANDOM.integers(0, 3, (9, 7, 4)).astype(np.uint8) * 120
    out = apply("upscale:method=epx,factor=4", sprite)
    assert out.shape == (36, 28, 4)
    shown = out[out[..., 3] > 0]
    assert {tuple(c) for c in shown} <= {tuple(c) for c in sprite.reshape(-1, 4)}


def test_edge_upscale_beats_bicubic_on_edges() -> None:
    y, x = np.mgrid[0:128, 0:128]
    large = 255 / (1 + np.exp(-(x * 0.8 - y * 0.45 - 20)))  # an edge at 29 degrees
    small = np.rint(large.reshape(64, 2, 64, 2).mean((1, 3))).astype(np.uint8)
    out = apply("upscale", small).astype(float)
    plain = apply("resize:scale=2,method=bicubic", small)
    inner = (slice(8, -8), slice(8, -8))
    errors = [np.abs(result - large)[inner].mean() for result in (out, plain.astype(float))]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.parametrize("factor", [2, 4, 16])
def test_edge_upscale_keeps_all_in_its_place(factor: int) -> None:
    step = f"upscale:factor={factor}"
    for flips in ((0,), (1,), (0, 1)):
        mirrored = apply(step, np.flip(NOISE, flips))
        assert np.abs(mirrored.astype(int) - np.flip(apply(step, NOISE), flips)).max() <= 1
    y, x = np.mgrid[0:24, 0:32]
    spot = np.rint(250 * np.exp(-((x - 12.3) ** 2 + (y - 9.6) ** 2) / 12)).astype(np.uint8)
    for name in (step, f"resize:scale={factor},method=lanczos"):
        weight = apply(name, spot).astype(float)
        down, across = ((np.indices(weight.shape) + 0.5) / factor * weight).sum((1, 2))
        assert down / weight.sum() == pytest.approx(9.6 + 0.5, abs=0.01)
        assert across / weight.sum() == pytest.approx(12.3 + 0.5, abs=0.01)


@pytest.mark.parametrize("method", ["edge", "epx"])
def test_what_tiles_still_tiles_when_upscaled(method: str) -> None:
    step = f"upscale:wrap=true,method={method}"
    moved = apply(step, np.roll(NOISE, (5, 3), (0, 1)))
    assert np.abs(moved.astype(int) - np.roll(apply(step, NOISE), (10, 6), (0, 1))).max() <= 1


# --- sheets and icons ---------------------------------------------------------------------------


def test_a_sheet_is_cut_into_its_cells() -> None:
    sheet = np.zeros((9, 14, 4), np.uint8)
    sheet[:4, :4, 3], sheet[5:, 10:, 3] = 255, 128
    picture = run(["slice-sheet:columns=3,rows=2,gap=1"], sheet)
    assert picture.reports == [{"op": "slice-sheet", "cells": 2, "width": 4, "height": 4}]
    assert list(picture.extras) == ["0-0.png", "1-2.png"]
    assert np.asarray(picture.extras["1-2.png"])[..., 3].min() == 128
    with pytest.raises(BadPictureError, match="do not fit"):
        run(["slice-sheet:columns=30"], sheet)


def test_a_nine_patch_keeps_its_corners() -> None:
    out = apply("nine-patch:width=31,height=25,border=4", NOISE)
    assert out.shape == (25, 31, 3)
    assert (out[:4, :4] == NOISE[:4, :4]).all()
    assert (out[-4:, -4:] == NOISE[-4:, -4:]).all()
    tiled = apply("nine-patch:width=32,height=12,border=4,middle=tile", NOISE)
    assert (tiled[:, 4:16] == tiled[:, 16:28]).all()
    assert (apply("nine-patch:width=20,height=12,border=4", NOISE) == NOISE).all()


def test_icons() -> None:
    picture = run(["icons:sizes='16 32 300'"], NOISE)
    assert set(picture.extras) == {"icon-16.png", "icon-32.png", "icon-300.png", "icon.ico"}
    data = picture.extras["icon.ico"]
    assert isinstance(data, bytes)
    icon = Image.open(io.BytesIO(data))
    assert icon.info["sizes"] == {(16, 16), (32, 32)}
    small = icon.ico.getimage((16, 16))  # type: ignore[attr-defined]
    assert (np.asarray(small) == np.asarray(picture.extras["icon-16.png"])).all()
    assert np.asarray(small)[0, 0, 3] == 0


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("crop", "crop: width: missing"),
        ("crop:content=true,x=3", "crop: x: would be ignored by content=true"),
        ("crop:width=3,margin=3", "crop: margin: would be ignored without content=true"),
        ("pad", "pad: by: missing"),
        ("pad:by=1,fill=nocolor", "pad: fill: expected edge, reflect, wrap, transparent or a"),
        ("pad:square=true,width=9", "pad: square: would be ignored"),
        ("resize", "resize: scale: give either scale, or width or height"),
        ("resize:scale=2,width=3", "resize: scale: give either"),
        ("resize:width=3,fit=cover", "resize: fit: would be ignored without both"),
        ("resize:width=0", "resize: width: expected a whole number from 1 up to 100000, got 0"),
        ("upscale:factor=3", "upscale: factor: expected 2, 4, 8 or 16, got 3"),
        ("icons:sizes=big", "icons: sizes: expected whole numbers from 1 up to 1024"),
        ("seam:region=all", "seam: unknown setting 'region'"),
        ("flip:strength=0", "flip: unknown setting 'strength'"),
    ],
)
def test_mistakes(step: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build_chain([step])
    assert expected in caught.value.message


@pytest.mark.parametrize(
    "step",
    [
        "resize:width=1500,height=1000",
        "pad:by=500",
        "tile:rows=4,columns=3",
        "rotate:angle=45",
        "upscale:factor=4",
        "nine-patch:width=1500,height=1000",
        "icons:sizes='1024'",
    ],
)
def test_results_over_the_limit_are_refused_and_under_a_raised_one_made(step: str) -> None:
    side = 800 if step.startswith("rotate") else 400
    chain = build_chain([step])
    pixels = to_pixels(Image.fromarray(np.zeros((side, side), np.uint8)))
    with pytest.raises(BadPictureError, match=r"the result would be .* and the limit is 1$") as bad:
        chain.run(pixels, max_pixels=1_000_000)
    assert "--max-megapixels 2" in bad.value.hint or "--max-megapixels 3" in bad.value.hint
    chain.run(pixels, max_pixels=3_000_000)


def test_results_beyond_all_memory_are_refused() -> None:
    for step in ("resize:width=100000,height=100000", "pad:by=100000", "tile:rows=64,columns=64"):
        with pytest.raises(BadPictureError, match="and the limit is 64"):
            run([step], np.zeros((400, 400), np.uint8))
