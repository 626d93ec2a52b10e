"""What operations on colour and tone are known to do."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.exposure import match_histograms

from imagegen.errors import SettingsError
from imagegen.images import files
from imagegen.images.pixels import to_pixels
from imagegen.post.chain import build_chain
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.grading import _chromaticity, hex_color
from imagegen.post.oklab import from_oklab, to_oklab

FILES = Path(__file__).parent / "files"
RAMP = np.arange(256, dtype=np.uint8)[None]


def apply(step: str | dict[str, Any], image: Image.Image | np.ndarray) -> np.ndarray:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return np.asarray(build_chain([step])(image)).astype(int)


def report(step: str, image: np.ndarray) -> dict[str, Any]:
    [found] = build_chain([step]).run(to_pixels(Image.fromarray(image))).reports
    return json.loads(json.dumps(found))


def scene(height: int = 64, width: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise, (H, W, 3) of 8 bit."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(20, 235, (5, 6, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return (smooth + random.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)


def linear(values: np.ndarray) -> np.ndarray:
    return to_linear((values / 255).astype(np.float32))


# --- white balance, temperature -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["grey-world", "white-patch", "shades-of-grey"])
def test_white_balance_brings_a_cast_grey_ramp_back(method: str) -> None:
    ramp = np.repeat(np.linspace(10, 200, 191)[None, :, None].round(), 3, axis=2)
    gains = np.array([1.25, 0.98, 0.5])
    cast = from_linear((linear(ramp) * (gains / luminance(gains))).astype(np.float32))
    before = np.rint(cast * 255).astype(np.uint8)
    assert np.ptp(before.astype(int), axis=2).max() > 50
    assert np.abs(apply(f"white-balance:method={method}", before) - ramp).max() <= 2


def test_the_locus_goes_through_known_lights() -> None:
    def chromaticity(x: float, y: float) -> list[float]:
        return [4 * x / (12 * y - 2 * x + 3), 6 * y / (12 * y - 2 * x + 3)]

    for kelvin, x, y in [(2856, 0.44758, 0.40745), (5003, 0.3457, 0.3585), (6504, 0.3127, 0.3290)]:
        assert _chromaticity(kelvin) == pytest.approx(chromaticity(x, y), abs=3e-4)
    near = [_chromaticity(kelvin) for kelvin in range(1700, 25000, 10)]
    assert np.abs(np.diff(near, axis=0)).max() < 2e-3


def test_temperature_and_tint() -> None:
    image = scene()
    assert np.abs(apply("temperature:kelvin=6504", image) - image).max() <= 1
    grey = np.full((4, 4), 120, np.uint8)
    warm = apply("temperature:kelvin=4000", grey)
    cold = apply("temperature:kelvin=9000", grey)
    assert warm[0, 0, 0] > 130 > 110 > warm[0, 0, 2]
    assert cold[0, 0, 0] < 115 < 125 < cold[0, 0, 2]
    assert luminance(linear(warm)) == pytest.approx(linear(grey), abs=0.004)
    magenta, green = (apply(f"temperature:kelvin=6504,tint={t}", grey)[0, 0] for t in (30, -30))
    assert magenta[1] < 117 < 123 < green[1]
    assert abs(magenta[0] - magenta[2]) < 20
    # There and back again, by the light that undoes it.
    x = 1 / (2 / 6504 - 1 / 5200)
    back = apply(f"temperature:kelvin={x}", apply("temperature:kelvin=5200", grey).astype(np.uint8))
    assert np.abs(back - 120).max() <= 4


# --- tone -----------------------------------------------------------------------------------------


def test_exposure_is_a_factor_in_linear_light() -> None:
    out = apply("exposure:stops=1", RAMP)[0]
    expected = from_linear((linear(RAMP[0, :, None]) * 2).astype(np.float32))[:, 0] * 255
    assert np.abs(out - expected).max() <= 0.51
    assert (apply("exposure:stops=0", RAMP) == RAMP).all()


def test_gamma_and_invert() -> None:
    assert (apply("gamma:value=2", RAMP)[0] == np.rint(255 * (RAMP[0] / 255) ** 0.5)).all()
    assert (apply("invert", RAMP)[0] == 255 - RAMP[0].astype(int)).all()
    deep = np.array([[0, 1, 1000, 65535]], np.uint16)
    assert (apply("invert", deep) == 65535 - deep.astype(int)).all()


def test_contrast_turns_about_its_pivot_and_does_not_clip() -> None:
    out = apply("contrast:amount=2,pivot=100", RAMP)[0]
    assert out[100] == 100
    assert out[50] == 25
    assert (out[101:] > RAMP[0, 101:] - 1).all()
    deep = np.arange(0, 65536, 999, dtype=np.uint16)[None]
    assert (np.diff(apply("contrast:amount=2", deep)[0]) > 0).all()
    assert (apply("contrast:amount=0", RAMP) == 128).all()
    assert (apply("contrast:amount=1", RAMP) == RAMP).all()


def test_curves_go_through_their_points_and_stay_between_them() -> None:
    out = apply("curves:points=0:0 64:30 70:200 255:210", RAMP)[0]
    assert [out[at] for at in (0, 64, 70, 255)] == [0, 30, 200, 210]
    assert (np.diff(out) >= 0).all()
    assert (apply("curves:points=0:0 255:255", RAMP) == RAMP).all()
    level = apply("curves:points=100:50 200:220", RAMP)[0]
    assert (level[:100] == 50).all()
    assert (level[200:] == 220).all()
    image = scene()
    red = apply("curves:points=0:0 255:0,channel=red", image)
    assert (red[..., 0] == 0).all()
    assert (red[..., 1:] == image[..., 1:]).all()
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert (apply("curves:points=0:0 255:255", deep) == deep).all()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("", "two or more"),
        ("0:0", "two or more"),
        ("0:0 50", "FROM:TO, such as 64:48, got '50'"),
        ("0:0 x:9", "got 'x:9'"),
        ("0:0 256:255", "levels from 0 up to 255, got '256:255'"),
        ("0:0 nan:255", "levels"),
        ("9:0 9:255", "FROM to rise, got '9:255' after 9"),
    ],
)
def test_curves_refuse_bad_points(points: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^curves: points: .*{message}"):
        build_chain([{"curves": {"points": points}}])


def test_greyscale_keeps_what_it_says() -> None:
    image = scene()
    for method, expected in {
        "luminance": from_linear(luminance(linear(image))) * 255,
        "luma": luminance(image.astype(float)),
        "mean": image.mean(axis=2),
        "max": image.max(axis=2),
    }.items():
        out = apply(f"greyscale:method={method}", image)
        assert np.abs(out - expected[..., None]).max() <= 0.51


def test_threshold() -> None:
    out = apply("threshold:level=128", RAMP)[0]
    assert (out == np.where(RAMP[0] >= 128, 255, 0)).all()
    pixels = np.full((10, 10), 90, np.uint8)
    pixels[4:] = 140
    assert (apply("threshold", pixels) == np.where(pixels > 100, 255, 0)).all()
    assert (apply("threshold", pixels[:3]) == 90).all()


def test_equalise_is_that_of_opencv_on_grey() -> None:
    grey = cv2.cvtColor(scene() // 3 + 40, cv2.COLOR_RGB2GRAY)
    assert np.abs(apply("equalise", grey) - cv2.equalizeHist(grey)).max() <= 1
    deep = (grey.astype(np.uint16) * 100) + np.arange(96, dtype=np.uint16)
    out = apply("equalise", deep)
    shares = np.histogram(out, 16, (0, 65536))[0] / out.size
    assert np.abs(shares - 1 / 16).max() < 0.005
    assert len(np.unique(out)) == len(np.unique(deep))


def test_equalise_keeps_the_hue_of_colors() -> None:
    image = (scene() // 3 + 40).astype(np.uint8)
    after = apply("equalise", image)
    lab = [cv2.cvtColor((v / 255).astype(np.float32), cv2.COLOR_RGB2Lab) for v in (image, after)]
    inside = (after.min(axis=2) > 0) & (after.max(axis=2) < 255)
    assert np.abs(lab[0] - lab[1])[inside][:, 1:].max() < 1.5
    assert np.ptp(lab[1][..., 0]) > 95


@pytest.mark.parametrize("clip", [1.5, 4, 40])
def test_clahe_is_that_of_opencv_on_grey(clip: float) -> None:
    # Large tiles: OpenCV gives out in whole pixels what it clips, and the rest to dark tones.
    grey = cv2.cvtColor(scene(480, 512), cv2.COLOR_RGB2GRAY)
    expected = cv2.createCLAHE(clip, (2, 2)).apply(grey).astype(int)
    difference = np.abs(apply(f"clahe:clip={clip},tiles=2", grey) - expected)
    assert difference.mean() < 0.6
    assert difference.max() <= 2


def test_clahe_keeps_sixteen_bits_and_does_as_with_eight() -> None:
    deep = cv2.GaussianBlur(scene(256, 192)[..., 0].astype(np.uint16) * 257, (0, 0), 2)
    out = apply("clahe", deep)
    assert len(np.unique(out)) > 5000
    eight = apply("clahe", np.rint(deep / 257).astype(np.uint8))
    assert np.abs(out / 257 - eight).mean() < 1.5


def test_clahe_does_not_see_what_is_transparent() -> None:
    pixels = np.dstack([scene(64, 64), np.full((64, 64), 255, np.uint8)])
    pixels[:, 32:, 3] = 0
    other = pixels.copy()
    other[:, 32:, :3] = 7
    one, two = apply("clahe", pixels), apply("clahe", other)
    assert (one[:, :32] == two[:, :32]).all()


def test_automatic_tones() -> None:
    image = (scene() * [0.6, 0.5, 0.3] + [20, 30, 10]).astype(np.uint8)
    out = apply("auto-levels:cutoff=0", image)
    assert (out.min((0, 1)) == 0).all()
    assert (out.max((0, 1)) == 255).all()
    assert np.median(luminance(apply("auto-gamma", image).astype(float))) == pytest.approx(118, 2)
    mended = apply("auto", image)
    spread = [np.ptp(v.mean((0, 1))) / v.mean() for v in (image, mended)]
    assert spread[1] < 0.8 * spread[0]
    assert np.ptp(mended) > 1.3 * np.ptp(image)
    flat = np.full((5, 5, 3), 77, np.uint8)
    for name in ("auto-levels", "equalise"):
        assert (apply(name, flat) == 77).all()


# --- Oklab and grading ----------------------------------------------------------------------------


def test_oklab_is_that_of_its_author() -> None:
    colors = np.float32([[[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    expected = [
        [1, 0, 0],
        [0.62796, 0.22486, 0.12585],
        [0.86644, -0.23389, 0.17950],
        [0.45201, -0.03246, -0.31153],
    ]
    assert to_oklab(colors)[0] == pytest.approx(np.array(expected), abs=2e-4)
    image = (scene() / 255).astype(np.float32)
    assert from_oklab(to_oklab(image)) == pytest.approx(image, abs=1e-3)


def test_what_srgb_cannot_show_loses_chroma_alone() -> None:
    lab = np.float32([[[0.7, 0.3, 0.1], [0.4, -0.2, -0.3], [1.2, 0, 0]]])
    again = to_oklab(from_oklab(lab))[0]
    assert again[:2, 0] == pytest.approx([0.7, 0.4], abs=2e-3)
    angle = np.arctan2(lab[0, :2, 2], lab[0, :2, 1])
    assert np.arctan2(again[:2, 2], again[:2, 1]) == pytest.approx(angle, abs=0.02)
    assert again[2] == pytest.approx([1, 0, 0], abs=2e-3)


def oklch(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    light, a, b = np.moveaxis(to_oklab((values / 255).astype(np.float32)), 2, 0)
    return light, np.hypot(a, b), np.degrees(np.arctan2(b, a))


def test_hue_turns_and_keeps_the_rest() -> None:
    image = (scene() * 0.3 + 90).astype(np.uint8)
    before, after = oklch(image), oklch(apply("hue:degrees=90", image))
    assert after[0] == pytest.approx(before[0], abs=0.005)
    assert after[1] == pytest.approx(before[1], abs=0.006)
    strong = before[1] > 0.03
    turn = (after[2] - before[2] - 90 + 180) % 360 - 180
    assert np.abs(turn[strong]).max() < 8
    assert np.abs(apply("hue:degrees=360", image) - image).max() <= 1


def test_vibrance_lifts_pale_colors_most() -> None:
    image = np.uint8([[[130, 120, 120], [230, 40, 40], [120, 120, 120]]])
    before, after = oklch(image), oklch(apply("vibrance:amount=1", image))
    gain = after[1][0, :2] / before[1][0, :2]
    assert gain[0] > 1.7
    assert gain[1] < 1.1
    assert after[0] == pytest.approx(before[0], abs=0.005)
    assert np.ptp(apply("vibrance:amount=1", image)[0, 2]) <= 1
    assert np.ptp(apply("vibrance:amount=-1", image)[0, 0]) <= 2


def test_split_toning_colors_dark_and_bright_and_keeps_the_ends() -> None:
    step = "split-toning:shadows=#0000ff,highlights=#ff0000,amount=0.3"
    out = apply(step, RAMP)[0]
    assert out[0].max() <= 1
    assert out[255].min() >= 254
    assert out[60, 2] > out[60, 0] + 10
    assert out[190, 0] > out[190, 2] + 10
    light = to_oklab((RAMP / 255)[..., None].astype(np.float32))[0, :, 0]
    assert oklch(out[None])[0][0] == pytest.approx(light, abs=0.006)
    with pytest.raises(SettingsError, match="split-toning: shadows: expected a colour as #RRGGBB"):
        build_chain(["split-toning:shadows=teal"])


def test_sepia_is_that_of_the_web() -> None:
    assert apply("sepia", np.uint8([[[100, 50, 200]]])).tolist() == [[[116, 103, 80]]]
    assert apply("sepia", np.uint8([[100]])).tolist() == [[[135, 120, 94]]]


def test_color_blindness() -> None:
    grey = np.repeat(RAMP[..., None], 3, axis=2)
    # Red and green as far apart as the deuteranope cannot tell, by the authors' own matrix.
    image = np.uint8([[[200, 30, 60]]])
    matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413]]
    expected = from_linear((linear(image)[0, 0] @ np.transpose(matrix)).astype(np.float32)) * 255
    assert apply("color-blindness", image)[0, 0, :2] == pytest.approx(expected, abs=0.51)
    for name in ("protanopia", "deuteranopia", "tritanopia", "achromatopsia"):
        assert np.abs(apply(f"color-blindness:type={name}", grey) - grey).max() <= 1
        same = apply(f"color-blindness:type={name},severity=0", image)
        assert np.abs(same - image).max() <= 1
    assert np.ptp(apply("color-blindness:type=achromatopsia", image)) <= 1


# --- matching -------------------------------------------------------------------------------------


@pytest.fixture
def reference(tmp_path: Path) -> tuple[str, np.ndarray]:
    values = (scene(80, 70, seed=5) * [0.5, 0.8, 0.6] + [90, 10, 30]).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "reference.png")
    return str(tmp_path / "reference.png"), values


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean distance between two cumulative histograms: earth mover's, of the range."""
    a, b = (np.bincount(v.ravel(), minlength=256).cumsum() / v.size for v in (one, other))
    return float(np.abs(a - b).mean())


def test_a_matched_histogram_is_that_of_the_reference(reference: tuple[str, np.ndarray]) -> None:
    path, values = reference
    image = scene()
    out = apply({"match": {"reference": path, "method": "histogram"}}, image)
    for channel in range(3):
        assert distance(image[..., channel], values[..., channel]) > 0.05
        assert distance(out[..., channel], values[..., channel]) < 0.02
    expected = match_histograms(image, values, channel_axis=2)
    assert np.abs(out - expected).max() <= 1


def test_monge_kantorovich_matches_mean_and_covariance(reference: tuple[str, np.ndarray]) -> None:
    path, values = reference
    out = apply({"match": {"reference": path}}, scene())
    goal, found = values.reshape(-1, 3), out.reshape(-1, 3)
    assert found.mean(0) == pytest.approx(goal.mean(0), abs=1.5)
    assert np.cov(found.T) == pytest.approx(np.cov(goal.T), rel=0.05, abs=40)


def test_reinhard_matches_mean_and_spread_in_oklab(reference: tuple[str, np.ndarray]) -> None:
    path, values = reference
    out = apply({"match": {"reference": path, "method": "reinhard"}}, scene() // 2 + 60)
    labs = [to_oklab((v / 255).astype(np.float32)).reshape(-1, 3) for v in (out, values)]
    assert labs[0].mean(0) == pytest.approx(labs[1].mean(0), abs=0.01)
    assert labs[0].std(0) == pytest.approx(labs[1].std(0), rel=0.1)


@pytest.mark.parametrize("method", ["histogram", "reinhard", "monge-kantorovich"])
def test_matching_grey_and_itself(method: str, reference: tuple[str, np.ndarray]) -> None:
    path, values = reference
    step = {"match": {"reference": path, "method": method}}
    assert np.abs(apply(step, values) - values).max() <= 2
    deep = scene()[..., 0].astype(np.uint16) * 200 + np.arange(96, dtype=np.uint16)
    out = apply(step, deep)
    luma = luminance(values.astype(float))
    assert out.mean() / 257 == pytest.approx(luma.mean(), abs=1.5)
    assert out.std() / 257 == pytest.approx(luma.std(), rel=0.05)


def test_the_reference_is_read_before_any_picture(tmp_path: Path) -> None:
    missing, broken, clear = (tmp_path / name for name in ("none.png", "text.png", "clear.png"))
    broken.write_text("not a picture")
    Image.new("RGBA", (4, 4)).save(clear)
    for path, message in [
        (missing, "No such file"),
        (broken, "not a picture"),
        (clear, "nothing of it is visible"),
    ]:
        with pytest.raises(SettingsError, match=f"match: reference: .*{path.name}: {message}"):
            build_chain([{"match": {"reference": str(path)}}])


# --- look-up tables -------------------------------------------------------------------------------


def cube(path: Path, size: int = 9, seed: int = 3) -> str:
    """Write a table that bends colours hard, red fastest."""
    grid = np.linspace(0, 1, size)
    blue, green, red = np.meshgrid(grid, grid, grid, indexing="ij")
    noise = np.random.default_rng(seed).uniform(-0.15, 0.15, (*red.shape, 3))
    values = np.stack([red**0.6, 0.2 + 0.6 * green * red, 1 - blue], axis=3) + noise
    lines = [" ".join(f"{v:.6f}" for v in row) for row in values.clip(0, 1).reshape(-1, 3)]
    path.write_text(f"LUT_3D_SIZE {size}\n" + "\n".join(lines) + "\n")
    return str(path)


def ffmpeg(*arguments: str, image: np.ndarray) -> np.ndarray:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")
    height, width = image.shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    done = subprocess.run(
        [program, "-loglevel", "error", *raw, "-i", "-", *arguments, *raw[:4], "-"],
        input=image.tobytes(),
        capture_output=True,
        check=True,
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(image.shape).astype(int)


COLORS = np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.mark.parametrize("interpolation", ["tetrahedral", "trilinear"])
def test_a_table_does_what_ffmpeg_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpolation: str
) -> None:
    file = cube(tmp_path / "hard.cube")
    monkeypatch.chdir(tmp_path)  # in the text of a filter, ffmpeg reads a path in its own way
    out = apply({"lut": {"file": file, "interpolation": interpolation}}, COLORS)
    expected = ffmpeg("-vf", f"format=gbrp,lut3d=hard.cube:interp={interpolation}", image=COLORS)
    assert np.abs(out - expected).max() <= 1
    assert np.abs(expected - COLORS.astype(int)).mean() > 20


def test_a_hald_picture_does_what_ffmpeg_does(tmp_path: Path) -> None:
    level = 4
    grid = np.arange(level**2) / (level**2 - 1)
    blue, green, red = np.meshgrid(grid, grid, grid, indexing="ij")
    side = level**3
    same = np.rint(np.stack([red, green, blue], axis=3).reshape(side, side, 3) * 255)
    file = str(tmp_path / "hald.png")
    Image.fromarray(same.astype(np.uint8)).save(file)
    assert np.abs(apply({"lut": {"file": file}}, COLORS) - COLORS).max() <= 1
    Image.fromarray(255 - same[..., ::-1].astype(np.uint8)).save(file2 := str(tmp_path / "2.png"))
    out = apply({"lut": {"file": file2}}, COLORS)
    assert np.abs(out - (255 - COLORS[..., ::-1].astype(int))).max() <= 1
    graph = "[0]format=rgb24[a];[1]format=rgb24[b];[a][b]haldclut=interp=tetrahedral"
    expected = ffmpeg("-i", file2, "-filter_complex", graph, image=COLORS)
    assert np.abs(out - expected).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_hald_picture_does_what_imagemagick_does(tmp_path: Path, bits: int) -> None:
    program = shutil.which("convert")
    if program is None:
        pytest.skip("ImageMagick's convert is not installed")
    hald, photo, out = (str(tmp_path / name) for name in ("hald.png", "photo.png", "out.png"))
    grade = ["-modulate", "100,150", "-sigmoidal-contrast", "5", "-depth", str(bits)]
    subprocess.run([program, "hald:8", *grade, hald], check=True)
    Image.fromarray(photograph := data.astronaut()).save(photo)
    # To 8 bit it would cut off what we round.
    subprocess.run([program, photo, hald, "-hald-clut", "-depth", "16", out], check=True)
    expected = files.read(Path(out).read_bytes()).pixels.color * 255
    assert np.abs(expected - photograph).mean() > 10
    for interpolation, off in (("trilinear", 0.51), ("tetrahedral", 1.5)):
        ours = apply({"lut": {"file": hald, "interpolation": interpolation}}, photograph)
        assert np.abs(ours - expected).max() < off


def test_tables_of_one_dimension_and_domains(tmp_path: Path) -> None:
    file = tmp_path / "one.cube"
    file.write_text("LUT_1D_SIZE 3\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 2\n0 0 0\n1 0.5 1\n1 1 0\n")
    out = apply({"lut": {"file": str(file)}}, np.repeat(RAMP[..., None], 3, axis=2))[0]
    assert (out[:, 0] == np.rint(RAMP[0] * 2.0).clip(0, 255)).all()
    assert (out[:, 1:] == RAMP[0, :, None]).all()
    assert (apply({"lut": {"file": str(file)}}, RAMP)[0] == out).all()
    cube3 = tmp_path / "three.cube"
    rows = [f"{r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    cube3.write_text("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0.0 0.5\n" + "\n".join(rows))
    doubled = apply({"lut": {"file": str(cube3)}}, COLORS)
    assert np.abs(doubled - (COLORS.astype(int) * 2).clip(0, 255)).max() <= 1


def test_a_grey_table_keeps_grey_deep(tmp_path: Path) -> None:
    file = tmp_path / "grey.cube"
    file.write_text("LUT_1D_SIZE 2\n1 1 1\n0 0 0\n")
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    out = apply({"lut": {"file": str(file)}}, deep)
    assert (out == 65535 - deep.astype(int)).all()


ROWS = "0 0 0\n1 1 1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("LUT_1D_SIZE 2\n0 0 0\n1 x 1\n", "line 3: expected three numbers, got '1 x 1'"),
        ("LUT_1D_SIZE 2\n0 0 0\n\n1 nan 1\n", "line 4: expected three numbers, got '1 nan 1'"),
        ("LUT_1D_SIZE 2\n0 0\n1 1\n", "line 2: expected three numbers, got '0 0'"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1\n", "line 3: expected three numbers, got '1 1'"),
        ("LUT_1D_SIZE 3\n" + ROWS, "expected 3 lines of numbers for size 3, got 2"),
        ("LUT_1D_SIZE 3\n", "expected 3 lines of numbers for size 3, got 0"),
        ("LUT_3D_SIZE 257\n" + ROWS, "line 1: LUT_3D_SIZE: expected a size from 2 up to 256"),
        ("LUT_1D_SIZE two\n" + ROWS, "line 1: LUT_1D_SIZE: expected a size .*, got 'two'"),
        ("# hm\nSIZE 2\n" + ROWS, "line 2: unknown keyword 'SIZE'"),
        (ROWS, "expected LUT_1D_SIZE or LUT_3D_SIZE"),
        ("", "expected LUT_1D_SIZE or LUT_3D_SIZE"),
        ("LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n" + ROWS, "line 2: .*got both"),
        ("LUT_1D_SIZE 2\nDOMAIN_MIN 0 0\n" + ROWS, "line 2: DOMAIN_MIN: expected three numbers"),
        ("LUT_1D_SIZE 2\nDOMAIN_MIN 0 1 0\n" + ROWS, "expected DOMAIN_MIN below DOMAIN_MAX"),
        ("DOMAIN_MAX 2 2 2\nDOMAIN_MAX 3 3 3\n" + ROWS, "line 2: DOMAIN_MAX is given twice"),
    ],
)
def test_a_bad_table_is_refused_before_any_picture(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.cube"
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"^lut: file: .*bad.cube.*{message}"):
        build_chain([{"lut": {"file": str(file)}}])


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"lut: file: .*none\.cube: No such file"):
        build_chain([{"lut": {"file": str(tmp_path / "none.cube")}}])
    Image.new("RGB", (30, 30)).save(tmp_path / "photo.png")
    with pytest.raises(SettingsError, match=r"expected a HALD picture, .* got 30x30"):
        build_chain([{"lut": {"file": str(tmp_path / "photo.png")}}])
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(SettingsError, match=r"expected a \.cube file or a HALD picture"):
        build_chain([{"lut": {"file": str(tmp_path / "text.txt")}}])


# --- palettes -------------------------------------------------------------------------------------

FOUR = ["#1a1c2c", "#b13e53", "#38b764", "#f4f4f4"]


def palette_file(folder: Path, suffix: str) -> str:
    path = folder / f"four{suffix}"
    bytes_ = [bytes.fromhex(color[1:]) for color in FOUR]
    if suffix == ".hex":
        path.write_text("\n".join(color[1:] for color in FOUR) + "\n\n")
    elif suffix == ".gpl":
        rows = ["{:3d} {:3d} {:3d}\tname".format(*values) for values in bytes_]
        path.write_text("GIMP Palette\nName: four\nColumns: 2\n# made up\n" + "\n".join(rows))
    else:
        Image.frombytes("RGB", (4, 1), b"".join(bytes_)).save(path)
    return str(path)


@pytest.mark.parametrize("suffix", [".gpl", ".hex", ".png"])
def test_a_palette_gives_each_pixel_its_nearest_color(tmp_path: Path, suffix: str) -> None:
    step = {"palette": {"file": palette_file(tmp_path, suffix)}}
    out = apply(step, COLORS)
    box = np.float32([[hex_color(color) for color in FOUR]])
    points, centers = to_oklab((COLORS / 255).astype(np.float32)), to_oklab(box)[0]
    nearest = ((points[:, :, None] - centers) ** 2).sum(axis=3).argmin(axis=2)
    assert (out == np.rint(box[0] * 255)[nearest]).all()
    assert (apply(step, out.astype(np.uint8)) == out).all()
    dithered = {"palette": {"file": palette_file(tmp_path, suffix), "dither": "floyd-steinberg"}}
    mixed = apply(dithered, np.full((40, 40, 3), 120, np.uint8))
    assert len(np.unique(mixed.reshape(-1, 3), axis=0)) > 1
    assert {"#{:02x}{:02x}{:02x}".format(*c) for c in mixed.reshape(-1, 3)} <= set(FOUR)


def test_as_many_colors_as_asked_for() -> None:
    image = scene()
    for n in (2, 7, 256):
        out = apply(f"palette:n={n}", image)
        assert len(np.unique(out.reshape(-1, 3), axis=0)) == n
    error = [np.abs(apply(f"palette:n={n}", image) - image).mean() for n in (4, 16, 64)]
    assert error[0] > error[1] > error[2]
    few = np.uint8([[list(bytes.fromhex(color[1:])) for color in FOUR]] * 3)
    assert (apply("palette:n=4", few) == few).all()


def test_a_dithered_grey_keeps_its_mean() -> None:
    grey = np.full((64, 64), 100, np.uint8)
    grey[0, 0], grey[0, 1] = 0, 255
    ends = grey.copy()
    ends[:] = np.tile([0, 255], (64, 32))
    out = apply("palette:n=2,dither=floyd-steinberg", (ends // 2 + 40).astype(np.uint8))
    assert set(np.unique(out)) == {40, 167}
    deep = np.random.default_rng(0).integers(0, 65536, (20, 20)).astype(np.uint16)
    assert len(np.unique(apply("palette:n=5", deep))) == 5


def test_a_palette_can_be_given_color_by_color(tmp_path: Path) -> None:
    known = apply({"palette": {"file": palette_file(tmp_path, ".hex")}}, COLORS)
    assert (apply({"palette": {"colors": " ".join(FOUR)}}, COLORS) == known).all()
    for settings, message in (
        ({"colors": "#12345"}, "palette: colors: expected a colour as #RRGGBB, got '#12345'"),
        ({"colors": " "}, "palette: colors: there is none"),
        ({"colors": "#000000 " * 257}, "palette: colors: expected up to 256, got 257"),
        ({"colors": "#000000", "n": 4}, "palette: n: would be ignored"),
        ({"colors": "#000000", "file": "x.hex"}, "palette: file: would be ignored"),
    ):
        with pytest.raises(SettingsError, match=message):
            build_chain([{"palette": settings}])


def test_a_palette_refuses_bad_files(tmp_path: Path) -> None:
    four = palette_file(tmp_path, ".hex")
    with pytest.raises(SettingsError, match=r"n: would be ignored, as .* has only 4 colours"):
        build_chain([{"palette": {"file": four, "n": 8}}])
    for name, text, message in [
        ("a.hex", "ff0000\nred\n", "line 2: expected a colour as #RRGGBB, got 'red'"),
        ("b.gpl", "GIMP Palette\n1 2 300\n", "line 2: expected three numbers from 0 up to 255"),
        ("c.gpl", "1 2 3\n", "expected 'GIMP Palette' on the first line"),
        ("d.hex", "\n", "no colours in it"),
        ("e.png", "hm", "not a picture"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(SettingsError, match=f"palette: file: .*{name}.*{message}"):
            build_chain([{"palette": {"file": str(tmp_path / name)}}])


def test_dominant_colors() -> None:
    image = np.zeros((10, 10, 4), np.uint8)
    image[..., :3], image[..., 3] = (0, 255, 0), 255
    image[:6, :, :3] = (200, 30, 40)
    image[6:9, :, :3] = (20, 30, 200)
    image[9, :, 3] = 0
    found = report("dominant-colors:n=3", image)
    assert found == {
        "op": "dominant-colors",
        "colors": [{"hex": "#c81e28", "share": 0.6667}, {"hex": "#141ec8", "share": 0.3333}],
    }
    grey = report("dominant-colors:n=4", np.full((5, 5), 128, np.uint8))
    assert grey["colors"] == [{"hex": "#808080", "share": 1.0}]
    many = report("dominant-colors:n=4", scene())["colors"]
    assert sum(color["share"] for color in many) == pytest.approx(1, abs=1e-3)
    assert [c["share"] for c in many] == sorted((c["share"] for c in many), reverse=True)
    assert report("dominant-colors", np.zeros((3, 3, 4), np.uint8))["colors"] == []
