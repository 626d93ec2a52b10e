"""Segmentation finds what is plainly there, and survives what is not."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.images.pixels import Pixels, to_pixels
from imagegen.images.reading import BadPictureError
from imagegen.post.chain import build_chain
from imagegen.post.operations import OPERATIONS
from imagegen.post.region import mask
from imagegen.post.segment import Method, segment
from tests.bench.segmentation import box_of, iou, overlap, scene
from tests.post.conftest import MODES, picture

METHODS = [name for name in get_args(Method) if name not in ("alpha", "features")]
SUBJECT = [
    "kmeans",
    "threshold",
    "merge",
    "mean-shift",
    "components",
    "grabcut",
]


def labels(image: Image.Image, method: str, **settings: int) -> np.ndarray:
    pixels = to_pixels(image)
    fill = {"slic": {"n": 60}, "kmeans": {"n": 2}}.get(method, {})
    return found(pixels.color, pixels.alpha, method, **{**fill, **settings})  # type: ignore[arg-type]


def found(color: np.ndarray, alpha: np.ndarray | None, method: str, **settings: int) -> np.ndarray:
    values = OPERATIONS["segment"].check({"as": "it", "method": method, **settings})
    del values["as"]
    return segment(color, alpha, **values)


def two_colors() -> tuple[Image.Image, np.ndarray]:
    pixels = np.full((48, 64, 3), (30, 60, 120), np.uint8)
    pixels[12:36, 16:48] = (240, 200, 40)
    inside = np.zeros((48, 64), bool)
    inside[12:36, 16:48] = True
    return Image.fromarray(pixels), inside


@pytest.mark.parametrize("method", SUBJECT)
def test_the_subject_is_what_does_not_touch_the_border(method: str) -> None:
    image, inside = two_colors()
    assert ((labels(image, method) >= 1) == inside).all()


@pytest.mark.parametrize("method", SUBJECT)
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


@pytest.mark.parametrize("method", [*METHODS, "alpha", "features"])
@pytest.mark.parametrize("kind", MODES)
def test_any_picture(method: str, kind: str) -> None:
    image = picture(kind)
    settings = {"features": "sprites"} if method == "features" else {}
    found = labels(image, method, **settings)  # type: ignore[arg-type]
    assert found.shape == image.size[::-1]
    assert found.min() >= 0


@pytest.mark.parametrize("method", [name for name in METHODS if name != "slic"])
def test_a_flat_picture_is_all_background(method: str) -> None:
    assert (labels(Image.new("RGB", (9, 9), "teal"), method) == 0).all()


def test_large_pictures_are_segmented_small() -> None:
    image, inside = two_colors()
    big = image.resize((1024, 768), Image.Resampling.NEAREST)
    expected = np.repeat(np.repeat(inside, 16, 0), 16, 1)
    assert ((labels(big, "merge") >= 1) == expected).mean() > 0.99


@pytest.mark.parametrize("n", [20, 100, 400])
def test_superpixels_are_a_mosaic_of_about_as_many_as_asked_for(n: int) -> None:
    image = Image.effect_mandelbrot((400, 300), (-2, -1, 1, 1), 50).convert("RGB")
    parts = labels(image, "slic", n=n)
    area = np.bincount(parts.ravel())
    assert area[0] == 0
    assert 0.7 * n <= (area > 0).sum() <= 1.3 * n
    assert area.max() < 6 * parts.size / n
    flat = labels(Image.new("RGB", (90, 60), "teal"), "slic", n=n)
    assert 0.7 * n <= flat.max() <= 1.3 * n


def test_superpixels_are_made_of_what_can_be_seen() -> None:
    image = Image.effect_mandelbrot((300, 300), (-2, -1, 1, 1), 50).convert("RGB")
    alpha = np.zeros((300, 300), np.uint8)
    alpha[50:200, 50:200] = 255
    image.putalpha(Image.fromarray(alpha))
    parts = labels(image, "slic", n=100)
    assert ((parts == 0) == (alpha == 0)).all()
    assert 70 <= parts.max() <= 150


def test_what_regions_make_of_superpixels() -> None:
    image = Image.effect_mandelbrot((120, 90), (-2, -1, 1, 1), 50).convert("RGB")
    steps = ["segment:method=slic,n=60,as=it", "region-stats"]
    picture = build_chain(steps).run(to_pixels(image))
    regions = picture.reports[0]["regions"]
    assert [one["label"] for one in regions] == list(range(1, len(regions) + 1))
    assert sum(one["pixels"] for one in regions) == 120 * 90
    for expression, pixels in (
        ("it", 120 * 90),
        ("background", 0),
        ("label:1", regions[0]["pixels"]),
        ("largest", max(one["pixels"] for one in regions)),
    ):
        assert mask(expression, picture.pixels, picture.maps).sum() == pixels
    means = np.asarray(build_chain([steps[0], "region-mean"])(image)).reshape(-1, 3)
    assert 1 < len(np.unique(means, axis=0)) <= len(regions)


def test_a_box_outside_of_the_picture() -> None:
    image, inside = two_colors()
    for box in ("64:0:9:9", "0:48:9:9"):
        with pytest.raises(BadPictureError, match=f"box={box} lies outside .* which is 64x48 at"):
            labels(image, "grabcut", box=box)  # type: ignore[arg-type]
    with pytest.raises(BadPictureError, match="lies outside"):
        labels(Image.new("RGB", (9, 9)), "grabcut", box="9:0:3:3")  # type: ignore[arg-type]
    beyond = labels(image, "grabcut", box="12:8:900:900")  # type: ignore[arg-type]
    assert (beyond == labels(image, "grabcut", box="12:8:52:40")).all()  # type: ignore[arg-type]
    assert iou(beyond == 1, inside) > 0.9


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
        assert ((found(tones, None, "threshold") >= 1) == inside).all()


def test_multi_otsu_parts_three_tones() -> None:
    tones = np.full((20, 30), 20, np.uint8)
    tones[5:15, 5:15], tones[5:10, 20:25] = 120, 230
    found = labels(Image.fromarray(tones), "threshold", n=3)
    assert [found[0, 0], found[10, 10], found[7, 22]] == [0, 1, 2]


def test_a_local_threshold_finds_strokes_under_uneven_light() -> None:
    light = np.tile(np.linspace(60, 200, 120), (60, 1))
    light[20:24, 10:110] += 40
    found = labels(Image.fromarray(light.astype(np.uint8)), "local", size=21)
    assert (found[21:23, 15:105] == 1).all()
    assert labels(Image.fromarray(light.astype(np.uint8)), "threshold")[22, 15] == 0


def test_components_are_counted() -> None:
    values = np.full((40, 60, 3), 240, np.uint8)
    for index, size in enumerate((12, 8, 4)):
        values[5 : 5 + size, 5 + 18 * index : 5 + 18 * index + size] = (200, 30, 40 + 60 * index)
    values[17, 17] = (0, 0, 0)  # touches the first at a corner
    found = labels(Image.fromarray(values), "components")
    assert np.bincount(found.ravel())[1:].tolist() == [145, 64, 16]


def test_alpha_parts_what_is_opaque() -> None:
    image, inside = two_colors()
    image.putalpha(Image.fromarray(np.where(inside, 250, 10).astype(np.uint8)))
    assert (labels(image, "alpha") == inside).all()
    assert (labels(image.convert("RGB"), "alpha") == 1).all()


@pytest.mark.parametrize("method", ["merge", "mean-shift", "kmeans"])
def test_known_regions_are_found(method: str) -> None:
    image, truth = scene(3, 120)
    settings = {"n": 8} if method == "kmeans" else {}
    assert overlap(labels(image, method, **settings), truth) > 0.9


def test_grabcut_finds_what_is_in_its_box_alone() -> None:
    image, truth = scene(3, 120)
    for label in (1, 2):
        found = labels(image, "grabcut", box=box_of(truth == label, 3))  # type: ignore[arg-type]
        assert iou(found == 1, truth == label) > 0.9


def test_an_edge_is_refined_where_the_picture_has_it() -> None:
    away = np.hypot(*np.mgrid[-300:300, -300:300])
    values = np.where(away[..., None] < 170, (220, 60, 50), (40, 90, 160)).astype(np.uint8)
    found = labels(Image.fromarray(values), "merge")
    assert iou(found == 1, away < 170) > 0.995


def test_features_part_what_the_autoencoder_sees_apart() -> None:
    image, inside = two_colors()
    found = labels(image, "features", features="sprites", n=2)  # type: ignore[arg-type]
    assert iou(found >= 1, inside) > 0.7


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("features=nix", "features: "),
        ("method=slic,features=sprites", "features: would be ignored by method=slic"),
        ("method=grabcut,box=1:2:3", "box: expected X:Y:W:H in pixels"),
        ("method=slic,box=1:2:3:4", "box: would be ignored by method=slic"),
        ("method=threshold,n=6", "n: expected up to 5 for method=threshold, got 6"),
        ("method=watershd", "method: expected one of slic, "),
    ],
)
def test_mistakes(step: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build_chain([f"segment:as=it,{step}"])
    assert expected in caught.value.message


def test_a_model_is_named_in_short() -> None:
    chain = build_chain(["segment:as=it,features=sprites"])
    assert chain.records[0]["method"] == "features"


def test_features_are_those_of_the_built_in_codec_unless_a_model_is_named() -> None:
    chain = build_chain(["segment:as=it,method=features"])
    assert chain.records[0]["features"] == "builtin:codec"
    image, inside = two_colors()
    assert iou(labels(image, "features", n=2) >= 1, inside) > 0.7
    assert chain.records[0]["n"] == 6
