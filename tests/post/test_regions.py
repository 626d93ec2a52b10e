"""What is done to regions: known answers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.images.pixels import to_pixels
from imagegen.post.chain import build_chain
from imagegen.post.operations import Picture

IT = "segment:method=threshold,as=it"


def two_parts() -> Image.Image:
    values = np.full((6, 10, 3), (200, 180, 160), np.uint8)
    values[:, :6:2], values[:, 1:6:2] = (10, 20, 30), (30, 40, 50)
    return Image.fromarray(values)


def run(image: Image.Image, *steps: object) -> Picture:
    return build_chain(list(steps)).run(to_pixels(image))  # type: ignore[arg-type]


def levels(image: Image.Image, *steps: object) -> np.ndarray:
    return np.asarray(build_chain(list(steps))(image)).astype(int)  # type: ignore[arg-type]


def test_region_mean_keeps_the_light_of_each_region() -> None:
    out = levels(two_parts(), IT, "region-mean")
    assert (out[:, 6:] == [200, 180, 160]).all()
    assert len(np.unique(out[:, :6].reshape(-1, 3), axis=0)) == 1
    # In linear light, the mean lies above that of the levels.
    light = [np.mean([((x / 255 + 0.055) / 1.055) ** 2.4 for x in (20, 40)])]
    assert out[0, 0, 1] == round(255 * (1.055 * light[0] ** (1 / 2.4) - 0.055))


def test_region_mean_does_not_mix_in_hidden_colors() -> None:
    values = np.zeros((4, 4, 4), np.uint8)
    values[...] = (0, 255, 0, 0)
    values[1:3, 1:3] = (200, 0, 0, 255)
    out = levels(Image.fromarray(values), "segment:method=alpha,as=it", "region-mean")
    assert (out == values).all()


def test_region_palette_gives_each_region_colors_of_its_own() -> None:
    image = two_parts()
    assert (levels(image, IT, "region-palette:n=2") == np.asarray(image)).all()
    out = levels(image, IT, "region-palette:n=1")
    assert (out == levels(image, IT, "region-mean")).all()


def test_fill() -> None:
    out = levels(two_parts(), IT, "fill:color=#0080ff,region=it")
    assert (out[:, 6:] == [0, 128, 255]).all()
    assert (out[:, :6] == np.asarray(two_parts())[:, :6]).all()
    assert levels(Image.new("L", (2, 2)), "fill:color=#fff").min() == 255
    with pytest.raises(SettingsError, match="fill: color: expected a colour such as #88aaff"):
        build_chain(["fill:color=sky"])


def test_replaced_colors_keep_their_shades() -> None:
    values = np.zeros((1, 3, 3), np.uint8)
    values[0] = [(200, 40, 40), (190, 38, 38), (40, 200, 40)]
    out = levels(Image.fromarray(values), "replace-color:from=#c82828,to=#2828c8,tolerance=40")
    assert np.abs(out[0, 0] - [40, 40, 200]).max() <= 1
    assert out[0, 1, 2] < out[0, 0, 2]
    assert out[0, 1, 2] > out[0, 1, 0]
    assert (out[0, 2] == [40, 200, 40]).all()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_outlines_have_their_width_and_no_place_else(width: int) -> None:
    values = np.full((12, 16, 3), 20, np.uint8)
    values[:, 9:] = 220
    out = levels(Image.fromarray(values), IT, f"outline:color=#00ff00,width={width},alone=true")
    line = (out == [0, 255, 0]).all(axis=2)
    assert (line.sum(axis=1) == width).all()
    assert line[:, 9].all()
    assert (out[~line] == 0).all()


@pytest.mark.parametrize("tone", [0, 60, 128, 200, 255])
def test_outlines_stand_out_from_any_grey(tone: int) -> None:
    values = np.full((12, 16), tone, np.uint8)
    values[:, 9:] = tone + 2 if tone < 128 else tone - 2
    out = levels(Image.fromarray(values), IT, "outline:width=2")
    assert (out[:, 8:10] == 255).all()
    assert (out[:, [7, 10]] == 0).all()
    assert (out[:, [*range(7), *range(11, 16)]] == values[:, [*range(7), *range(11, 16)]]).all()
    chosen = levels(Image.fromarray(values), IT, "outline:width=2,color=#ffffff")
    assert (chosen[:, [7, 10]] == values[:, [7, 10]]).all()


def test_facts() -> None:
    (report,) = run(two_parts(), IT, "region-stats").reports
    ground, subject = report["regions"]
    assert subject == {
        "label": 1,
        "pixels": 24,
        "share": 0.4,
        "box": [6, 0, 4, 6],
        "centre": [7.5, 2.5],
        "color": "#c8b4a0",
        "lightness": pytest.approx(74.2, abs=0.5),
        "deviation": 0,
    }
    assert ground["label"] == 0
    (report,) = run(two_parts(), IT, "region-stats:region=rect:9:0:1:1").reports
    assert [(one["label"], one["pixels"]) for one in report["regions"]] == [(1, 1)]


def test_masks_and_label_maps_come_out() -> None:
    steps = [IT, "save-mask:region=it", "save-mask:region=!it", "save-labels"]
    result = run(two_parts(), *steps)
    assert list(result.extras) == ["mask.png", "mask-2.png", "labels.png"]
    first, second, labels = (np.asarray(image) for image in result.extras.values())
    assert (first[:, 6:] == 255).all()
    assert (first.astype(int) + second == 255).all()
    assert labels.dtype == np.uint16
    assert (labels == (first > 0)).all()
    assert result.reports[0] == {"op": "save-mask", "mask": "-mask.png", "pixels": 24, "share": 0.4}
    assert result.reports[2]["regions"] == 1


def test_unknown_segment_steps() -> None:
    with pytest.raises(SettingsError, match="of: no earlier segment step has as=ti"):
        build_chain([IT, "region-mean:of=ti"])


# --- cut-out ------------------------------------------------------------------------------------


def disc_on_green() -> tuple[Image.Image, np.ndarray]:
    """Draw a white disc with a soft edge on green, as it would be mixed in sRGB."""
    away = np.hypot(*np.mgrid[-32:32, -32:32])
    share = (20.5 - away).clip(0, 1)[..., None]
    color = share * 255 + (1 - share) * np.array([0, 200, 0])
    return Image.fromarray(np.rint(color).astype(np.uint8)), share[..., 0]


def test_a_cut_out_has_the_true_alpha_and_no_green_edge() -> None:
    image, share = disc_on_green()
    out = levels(image, "cut-out")
    assert np.abs(out[..., 3] / 255 - share).mean() < 0.005
    seen = out[..., 3] > 40
    assert np.abs(out[seen][:, :3] - 255).mean() < 2
    hard = levels(image, "cut-out:edge=0")
    assert set(np.unique(hard[..., 3])) == {0, 255}
    assert (hard[..., :3] == np.asarray(image)).all()


def test_a_cut_out_keeps_what_it_is_told_to() -> None:
    image = Image.new("RGBA", (10, 10), (9, 9, 9, 100))
    out = levels(image, "cut-out:keep=rect:2:2:4:4,edge=0")
    assert (out[2:6, 2:6, 3] == 100).all()
    assert out[..., 3].sum() == 1600
    moved = levels(image, "cut-out:keep=rect:2:2:4:4,edge=0,shift=-1")
    assert moved[..., 3].sum() == 400
    with pytest.raises(SettingsError, match="no earlier segment step has as=nix"):
        build_chain(["cut-out:keep=nix"])


def test_hard_alpha_leaves_clear_and_opaque_alone() -> None:
    values = np.zeros((1, 4, 4), np.uint8)
    values[0] = [(200, 100, 0, 255), (200, 100, 0, 180), (200, 100, 0, 120), (200, 100, 0, 0)]
    hard = np.asarray(build_chain(["hard-alpha"])(Image.fromarray(values)))
    assert hard[0, :, 3].tolist() == [255, 255, 0, 0]
    assert (hard[0, :2, :3] == values[0, :2, :3]).all()
    assert np.asarray(build_chain(["hard-alpha:at=0.8"])(Image.fromarray(values)))[0, 1, 3] == 0
    opaque = two_parts()
    assert (levels(opaque, "hard-alpha") == np.asarray(opaque)).all()


def test_flatten_mixes_by_alpha_and_leaves_nothing_transparent() -> None:
    values = np.zeros((1, 3, 4), np.uint8)
    values[0] = [(200, 100, 0, 255), (200, 100, 0, 51), (200, 100, 0, 0)]
    flat = build_chain(["flatten:color=#ff8000"])(Image.fromarray(values))
    assert flat.mode == "RGB"
    # A fifth of the colour and four fifths of the ground.
    assert np.asarray(flat).tolist() == [[[200, 100, 0], [244, 122, 0], [255, 128, 0]]]
    opaque = two_parts()
    assert (levels(opaque, "flatten") == np.asarray(opaque)).all()
