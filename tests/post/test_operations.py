"""Every operation in the catalog, and what each is known to do."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen.images.pixels import Pixels, to_image, to_pixels
from imagegen.post.chain import build_chain
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.operations import OPERATIONS, Moved, operation

NAMES = sorted(OPERATIONS)
BLENDED = [name for name in NAMES if OPERATIONS[name].kind in ("filter", "color", "alpha")]

# Filters whose result is colours and alpha both.
CHANGE_ALPHA = {"seamless"}


# What turns grey pictures into coloured ones.
COLORING = {"lut", "sepia", "split-toning", "temperature"}

FILES = Path(__file__).parent / "files"
NEEDED = {
    "lut": {"file": str(FILES / "warm.cube")},
    "match": {"reference": str(FILES / "sunset.png")},
    "crop": {"content": True},
    "matte": {"file": str(FILES / "bright.onnx")},
    "denoise": {"model": "sprites-flow"},
    "reconstruct": {"model": "sprites"},
    "nine-patch": {"width": 20, "height": 9, "border": 0},
    "pad": {"by": 3},
    "resize": {"scale": 1.5},
    "slice-sheet": {"columns": 1, "rows": 1},
}


def step(name: str, **settings: object) -> dict[str, dict[str, object]]:
    return {name: {**NEEDED.get(name, {}), **settings}}


def defaults(name: str) -> dict[str, dict[str, object]]:
    return step(name, **({"as": "it"} if OPERATIONS[name].kind == "segment" else {}))


def apply(name: str, image: Image.Image, **settings: object) -> np.ndarray:
    return np.asarray(build_chain([step(name, **settings)])(image)).astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_takes_every_picture(name: str, any_picture: Image.Image) -> None:
    kind = OPERATIONS[name].kind
    out = build_chain([defaults(name)])(any_picture)
    if kind == "geometry":
        assert min(out.size) >= 1
        return
    assert out.size == any_picture.size
    if kind == "alpha":
        return
    expected = {"P": "RGB"}.get(any_picture.mode, any_picture.mode)
    if name in COLORING:
        expected = "RGBA" if any_picture.has_transparency_data else "RGB"
    assert out.mode == expected
    if "A" in out.getbands() and name not in CHANGE_ALPHA:
        assert out.getchannel("A").tobytes() == any_picture.getchannel("A").tobytes()


@pytest.mark.parametrize("name", BLENDED)
def test_no_strength_is_no_change(name: str, any_picture: Image.Image) -> None:
    out = build_chain([step(name, strength=0)])(any_picture)
    same = any_picture.convert("RGB") if any_picture.mode == "P" else any_picture
    assert out.tobytes() == same.tobytes()


@pytest.mark.parametrize("name", BLENDED)
def test_nothing_changes_outside_of_the_region(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 60, (20, 24, 3), dtype=np.uint8)
    pixels[6:14, 8:18] += 180
    image = Image.fromarray(pixels)
    if OPERATIONS[name].kind == "alpha":
        image.putalpha(255)
    before = np.asarray(image)
    segment = step("segment", **{"method": "threshold", "as": "it"})
    out = np.asarray(build_chain([segment, step(name, region="!it")])(image).convert(image.mode))
    assert (out[6:14, 8:18] == before[6:14, 8:18]).all()
    everywhere = np.asarray(build_chain([segment, step(name)])(image).convert(image.mode))
    outside = np.ones((20, 24), bool)
    outside[6:14, 8:18] = False
    assert (out[outside] == everywhere[outside]).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_explains_itself(name: str) -> None:
    op = OPERATIONS[name]
    assert op.summary.endswith(".")
    assert op.example.startswith("imagegen postprocess ")
    assert all(setting.help for setting in op.settings)


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Let a test file operations of its own."""
    before = set(OPERATIONS)
    yield
    for name in set(OPERATIONS) - before:
        del OPERATIONS[name]


SQUARE = np.zeros((4, 6, 3), np.uint8)
SQUARE[1:3, 2:4] = 200


@pytest.mark.usefixtures("forgotten")
def test_geometry_takes_the_label_maps_along() -> None:
    @operation("geometry", "test-turn")
    def test_turn(pixels: Pixels) -> Moved:
        """Turn."""
        turned = np.rot90(pixels.color)
        return Pixels(turned, pixels.alpha, pixels.depth), np.rot90

    steps = ["segment:method=threshold,as=it", "test-turn", "levels:out_white=0,region=it"]
    out = build_chain(steps)(Image.fromarray(SQUARE))
    assert out.size == (4, 6)
    assert not np.asarray(out).any()


@pytest.mark.usefixtures("forgotten")
def test_new_alpha_is_laid_over_by_region_and_strength() -> None:
    @operation("alpha", "test-clear")
    def test_clear(color: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Clear."""
        return np.zeros_like(color[..., :1])

    image = Image.fromarray(SQUARE)
    steps = ["segment:method=threshold,as=it", "test-clear:region=it,strength=0.6"]
    out = np.asarray(build_chain(steps)(image))
    assert (out[..., :3] == SQUARE).all()
    assert (out[1:3, 2:4, 3] == 102).all()
    assert (out[0, :, 3] == 255).all()
    assert build_chain(["test-clear:strength=0"])(image).mode == "RGB"


@pytest.mark.usefixtures("forgotten")
def test_reports_and_extra_files() -> None:
    @operation("report", "test-mean")
    def test_mean(
        color: np.ndarray, inside: np.ndarray, extras: dict[str, object], *, digits: int = 3
    ) -> dict[str, object]:
        """Measure the mean.

        Args:
            digits: How exact.
        """
        extras["inside.png"] = Image.fromarray((inside[..., 0] * 255).astype(np.uint8))
        return {"mean": round(float(color[inside[..., 0] > 0].mean()), digits)}

    chain = build_chain(["segment:method=threshold,as=it", "test-mean:region=it", "test-mean"])
    result = chain.run(to_pixels(Image.fromarray(SQUARE)))
    assert result.reports == [
        {"op": "test-mean", "mean": 0.784},
        {"op": "test-mean", "mean": 0.131},
    ]
    assert result.extras["inside.png"].getpixel((0, 0)) == 255
    assert (to_image(result.pixels).tobytes()) == SQUARE.tobytes()


@pytest.mark.usefixtures("forgotten")
def test_a_new_operation_is_one_function() -> None:
    @operation("color", "test-negative")
    def test_negative(color: np.ndarray, *, amount: float = 1.0) -> np.ndarray:
        """Invert the colours.

        Args:
            amount: How much.
        """
        return color + amount * (1 - 2 * color)

    out = build_chain(["test-negative:amount=1"])(Image.new("L", (1, 1), 55))
    assert out.getpixel((0, 0)) == 200
    with pytest.raises(AssertionError, match="two operations"):
        OPERATIONS.register("test-negative")(OPERATIONS["test-negative"])
    assert inspect.isfunction(test_negative)


# --- filters ------------------------------------------------------------------------------------


def test_a_constant_stays_constant() -> None:
    image = Image.new("RGB", (9, 7), (13, 130, 250))
    for name in ("gaussian", "median", "sharpen"):
        assert (apply(name, image) == [13, 130, 250]).all()


def test_a_blurred_point_is_a_gaussian() -> None:
    values = np.zeros((41, 41), np.uint16)
    values[20, 20] = 60000
    out = apply("gaussian", Image.fromarray(values), sigma=3)
    assert abs(out.sum() - 60000) < 0.005 * 60000
    # The variance of the weights along an axis is sigma squared.
    place = np.arange(41) - 20
    assert (out.sum(0) * place**2).sum() / out.sum() == pytest.approx(9, rel=0.03)


def test_a_median_removes_specks_and_keeps_edges() -> None:
    pixels = np.full((16, 16), 50, np.uint8)
    pixels[:, 8:] = 200
    clean = pixels.copy()
    pixels[3, 3], pixels[9, 12] = 255, 0
    assert (apply("median", Image.fromarray(pixels)) == clean).all()
    assert (apply("median", Image.fromarray(pixels), size=7)[4:12] == clean[4:12]).all()


def test_a_large_median_keeps_sixteen_bits() -> None:
    ramp = np.tile(np.arange(40000, 40000 + 21, dtype=np.uint16), (21, 1))
    assert (apply("median", Image.fromarray(ramp), size=7)[10, 4:17] == ramp[10, 4:17]).all()


def test_sharpening() -> None:
    pixels = np.full((12, 12), 80, np.uint8)
    pixels[:, 6:] = 160
    image = Image.fromarray(pixels)
    assert (apply("sharpen", image, amount=0) == pixels).all()
    out = apply("sharpen", image, amount=1)
    assert out[6, 5] < 80
    assert out[6, 6] > 160
    assert (apply("sharpen", image, amount=1, threshold=255) == pixels).all()


@pytest.mark.parametrize("name", ["gaussian", "median", "sharpen"])
def test_hidden_colors_do_not_come_through(name: str) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[...] = (0, 255, 0, 0)  # a hidden green
    pixels[5:11, 5:11] = (200, 0, 0, 255)
    out = apply(name, Image.fromarray(pixels))
    assert (out[5:11, 5:11] == [200, 0, 0, 255]).all()


# --- colour -------------------------------------------------------------------------------------


def test_levels() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    out = apply("levels", ramp, black=50, white=200)[0]
    assert (out[:51] == 0).all()
    assert (out[200:] == 255).all()
    assert out[125] == 128
    assert apply("levels", ramp, gamma=2)[0, 64] == round(255 * (64 / 255) ** 0.5)
    assert (apply("levels", ramp, out_black=255, out_white=0)[0] == 255 - np.arange(256)).all()
    assert (apply("levels", ramp)[0] == np.arange(256)).all()


def test_grey_world_makes_the_mean_grey() -> None:
    pixels = np.random.default_rng(0).integers(20, 120, (32, 32, 3)) * [1, 0.7, 0.5]
    out = apply("white-balance", Image.fromarray(pixels.astype(np.uint8)), method="grey-world")
    means = to_linear((out / 255).astype(np.float32)).mean((0, 1))
    assert np.ptp(means) < 0.01 * means.mean()


def test_white_patch_makes_the_brightest_white() -> None:
    image = Image.new("RGB", (4, 4), (200, 160, 120))
    out = apply("white-balance", image, method="white-patch")
    assert np.ptp(out[0, 0]) <= 1


def test_auto_contrast_fills_the_range_and_keeps_hues() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2], pixels[2:] = (60, 90, 60), (120, 150, 120)
    out = apply("auto-contrast", Image.fromarray(pixels), cutoff=0)
    assert out.min() == 0
    assert out.max() == 255
    assert (out[..., 0] == out[..., 2]).all()


def test_saturation() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(40, 200, (8, 8, 3), dtype=np.uint8))
    assert (np.ptp(apply("saturation", image, amount=0), axis=2) <= 1).all()
    same = apply("saturation", image, amount=1)
    assert np.abs(same - np.asarray(image).astype(int)).max() <= 1
    strong = apply("saturation", image, amount=2)
    before, after = (
        luminance(to_linear((values / 255).astype(np.float32)))
        for values in (np.asarray(image), strong)
    )
    np.testing.assert_allclose(after, before, atol=0.01)


def test_transfer_functions_are_inverse() -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32)[None, :, None]
    np.testing.assert_allclose(from_linear(to_linear(values)), values, atol=1e-5)
    assert to_linear(np.float32([[[0.5]]])) == pytest.approx(0.21404, abs=1e-4)


def test_statistics_ignore_what_is_transparent() -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[...] = (255, 255, 255, 0)
    pixels[2:6, 2:4], pixels[2:6, 4:6] = (60, 60, 60, 255), (120, 120, 120, 255)
    out = apply("auto-contrast", Image.fromarray(pixels), cutoff=0)
    assert (out[3, 2] == [0, 0, 0, 255]).all()
    assert (out[3, 5] == [255, 255, 255, 255]).all()


def test_depth_is_kept() -> None:
    deep = Image.fromarray(np.full((4, 4), 1000, np.uint16))
    assert to_pixels(build_chain(["levels:white=128"])(deep)).depth == 65535
