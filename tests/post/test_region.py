"""Region expressions mean what they say, and say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.images.pixels import Pixels, to_pixels
from imagegen.images.reading import BadPictureError
from imagegen.post.chain import build_chain
from imagegen.post.region import UNNAMED, mask, parse_color, soften

ROW = np.array([[0, 0, 1, 1, 1, 2, 2]], np.int32)
TONES = np.array([[[0.5], [0.5], [0.1], [0.2], [0.1], [0.9], [0.8]]], np.float32)


def drawn(expression: str) -> str:
    maps = {"it": (ROW == 2).astype(np.int32), "a-b": ROW}
    return "".join(str(int(x)) for x in mask(expression, Pixels(TONES, None), maps).ravel())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("all", "1111111"),
        ("subject", "0011111"),
        ("background", "1100000"),
        ("label:1", "0011100"),
        ("label:7", "0000000"),
        ("largest", "0011100"),
        ("brightest", "0000011"),
        ("darkest", "0011100"),
        ("it", "0000011"),
        ("it:1", "0000011"),
        ("a-b", "0011111"),
        ("a-b:2", "0000011"),
        ("a-b-it", "0011100"),
        ("subject-it", "0011100"),
        ("subject - rect:3:0:2:9", "0010011"),
        ("rect:0:0:1:1+it", "1000011"),
        ("!rect:0:0:1:1&!it", "0111100"),
        ("!(rect:0:0:1:1 + it)", "0111100"),
        ("rect:0:0:1:1+subject&it", "1000011"),
        ("(rect:0:0:1:1+subject)&it", "0000011"),
        ("!!it", "0000011"),
        ("rect:6:0:100:100", "0000001"),
        ("rect:60:0:1:1", "0000000"),
        ("color:#808080~1", "1100000"),
        ("color:#888~5", "1100000"),
        ("!color:808080~1", "0011111"),
    ],
)
def test_expressions(expression: str, expected: str) -> None:
    assert drawn(expression) == expected


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("sbject", "no earlier segment step has as=sbject; did you mean 'subject'?"),
        ("it", "no earlier segment step has as=it"),
        ("subject+", "it ends too early"),
        ("subject subject", "expected + - & or the end at 'subject'"),
        ("(subject", "a bracket is not closed"),
        ("label:x", "'label:x' is none"),
        ("color:#12", "color: expected a colour such as #88aaff, got '#12'"),
        ("rect:1:2:3", "'rect:1:2:3' is none"),
        ("rect:1:2:0:3", "W and H from 1 up"),
        ("mask:nowhere.png", "mask: no such file: nowhere.png"),
        ("#", "'#' is none"),
        ("(" * 5000, "too many brackets"),
    ],
)
def test_mistakes_are_found_before_the_first_picture(region: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build_chain([{"sharpen": {"region": region}}])
    assert expected in caught.value.message


@pytest.mark.parametrize("name", ["all", "mask", "label", "brightest", "9", "a b"])
def test_names_that_would_be_misread(name: str) -> None:
    with pytest.raises(SettingsError, match="as: expected a name"):
        build_chain([{"segment": {"as": name}}])


def test_distance_of_colors_is_that_of_lab() -> None:
    # #ff0000 is 53.24 80.09 67.20 in CIE Lab (D65), black is 0 0 0: 117.3 apart.
    black = Pixels(np.zeros((1, 1, 3), np.float32), None)
    assert not mask("color:#ff0000~117", black, {}).any()
    assert mask("color:#ff0000~118", black, {}).all()


def test_masks_from_files(tmp_path: Path) -> None:
    values = np.array([[0, 51, 255]], np.uint8)
    for name in ("my-mask.png", "a+b.png"):
        Image.fromarray(values).save(tmp_path / name)
    pixels = Pixels(np.zeros((1, 3, 1), np.float32), None)

    def found(expression: str) -> list[float]:
        return [round(float(x), 3) for x in mask(expression, pixels, {}).ravel()]

    assert found(f"mask:{tmp_path}/my-mask.png") == [0, 0.2, 1]
    assert found(f"mask:'{tmp_path}/a+b.png' & rect:0:0:2:1") == [0, 0.2, 0]
    assert found(f"mask:{tmp_path}/my-mask.png-rect:2:0:1:1") == [0, 0.2, 0]
    assert found(f"!mask:{tmp_path}/my-mask.png+mask:{tmp_path}/a+b.png") == [1, 0.8, 1]
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(SettingsError, match=r"mask: .*text\.png: not a picture"):
        build_chain([{"sharpen": {"region": f"mask:{tmp_path}/text.png"}}])


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    Image.new("L", (5, 4)).save(tmp_path / "m.png")
    chain = build_chain([{"sharpen": {"region": f"mask:{tmp_path}/m.png"}}])
    with pytest.raises(BadPictureError, match=r"m\.png is 5x4, and the picture is 9x9"):
        chain(Image.new("RGB", (9, 9)))


def test_moved_edges() -> None:
    disc = (np.hypot(*np.mgrid[-15:16, -15:16]) < 8).astype(np.float32)[..., None]
    for expand in (-3, 4):
        area = soften(disc, expand, 0).sum()
        assert area == pytest.approx(np.pi * (7.9 + expand) ** 2, rel=0.08)
    assert soften(disc, -20, 0).sum() == 0
    assert soften(np.ones_like(disc), -3, 0).all()
    assert not soften(np.zeros_like(disc), 3, 0).any()
    assert soften(disc, 0, 2).sum() == pytest.approx(disc.sum(), rel=0.01)


def test_the_subject_is_looked_for_once_when_no_step_did() -> None:
    values = np.full((40, 40, 3), 30, np.uint8)
    values[10:30, 12:28] = (220, 60, 60)
    steps = ["levels:out_white=128,region=subject", "levels:out_black=50,region=background"]
    result = build_chain(steps).run(to_pixels(Image.fromarray(values)))
    assert list(result.maps) == [UNNAMED]
    assert ((result.maps[UNNAMED] == 1) == (values[..., 0] > 100)).all()


def test_an_empty_region_changes_nothing_and_is_said() -> None:
    image = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    chain = build_chain([{"gaussian": {"region": "rect:90:90:5:5"}}, "save-mask:region=label:99"])
    result = chain.run(to_pixels(image))
    assert (result.pixels.color == to_pixels(image).color).all()
    assert result.notes[0] == "gaussian: the region rect:90:90:5:5 is empty"
    assert result.reports == [{"op": "save-mask", "region": "label:99", "pixels": 0}]


def test_colors() -> None:
    assert (parse_color("#8af") * 255).tolist() == [0x88, 0xAA, 0xFF]
    for text in ("", "#", "blue", "#12345", "#1234567"):
        with pytest.raises(ValueError, match="expected a colour"):
            parse_color(text)
