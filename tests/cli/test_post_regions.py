"""Regions on the command line: masks in and out, and what is said of empty ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Call


@pytest.fixture
def folder() -> Path:
    """Two pictures of different sizes: a bright square on dark ground."""
    made = Path("in")
    made.mkdir()
    for name, side in (("a", 20), ("b", 30)):
        values = np.full((side, side, 3), 20, np.uint8)
        values[5:15, 5:15] = 220
        Image.fromarray(values).save(made / f"{name}.png")
    return made


def test_a_mask_written_is_a_mask_that_can_be_read(call: Call, folder: Path) -> None:
    photo = folder / "a.png"
    steps = ["--op", "segment:as=it,method=threshold"]
    call("postprocess", photo, *steps, "--op", "save-mask:region=it", "-o", "one")
    assert np.asarray(Image.open("one/a-mask.png")).sum() == 100 * 255
    region = "region=mask:one/a-mask.png"
    call("postprocess", photo, "--op", f"fill:color=#ff0000,{region}", "-o", "two")
    out = np.asarray(Image.open("two/a.png"))
    assert (out[5:15, 5:15] == [255, 0, 0]).all()
    assert (out[0, 0] == 20).all()


def test_label_maps_have_sixteen_bits(call: Call, folder: Path) -> None:
    steps = [
        "--op",
        "segment:as=it,method=slic,n=300",
        "--op",
        "save-labels",
        "--op",
        "region-stats",
    ]
    answer = call("postprocess", folder / "b.png", *steps, "-o", "out", "--json")
    labels = Image.open("out/b-labels.png")
    assert labels.mode == "I;16"
    stats = json.loads(answer.out)["reports"][1]["regions"]
    counts = np.bincount(np.asarray(labels).ravel())
    assert {one["label"]: one["pixels"] for one in stats} == {
        label: count for label, count in enumerate(counts) if count
    }


def test_a_mask_of_another_size_fails_for_that_picture_alone(call: Call, folder: Path) -> None:
    Image.new("L", (30, 30), 255).save("m.png")
    step = "fill:region=mask:m.png"
    answer = call("postprocess", folder, "--op", step, "-o", "out", code=3)
    assert "the mask m.png is 30x30, and the picture is 20x20" in answer.err
    assert [path.name for path in Path("out").iterdir()] == ["b.png"]


def test_an_empty_region_is_said_and_changes_nothing(call: Call, folder: Path) -> None:
    answer = call(
        "postprocess", folder / "a.png", "--op", "fill:region=color:#00ff00~5", "-o", "out.png"
    )
    assert answer.err.count("fill: the region color:#00ff00~5 is empty") == 1
    before, after = (np.asarray(Image.open(path)) for path in (folder / "a.png", "out.png"))
    assert (before == after).all()


def test_a_missing_mask_is_found_before_any_picture_is_read(call: Call) -> None:
    answer = call("postprocess", "nowhere.png", "--op", "fill:region=mask:nix.png", code=2)
    assert "fill: region: mask: no such file: nix.png" in answer.err
