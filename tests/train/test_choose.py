"""What is chosen for a machine of a known speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imagegen import presets
from imagegen.data.store import load_pictures
from imagegen.presets import Layer
from imagegen.settings import DataSettings
from imagegen.train import choose


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Return a function that sets how many pictures of 32 px, at full width, can be seen."""

    def set_speed(pictures: float) -> None:
        def estimate(layer: Layer, mixed: bool = False) -> choose.Estimate:
            size = layer.get(("data", "size"))
            width = layer.get(("model", "width"))
            share = (32 / size) ** 2 * 96 / width
            needed = choose.NEEDED * (size / 32) ** 2
            return choose.Estimate(0.1, pictures * share, needed, 10**9, 600)

        monkeypatch.setattr(choose, "estimate", estimate)

    return set_speed


@pytest.mark.parametrize(
    ("pictures", "side", "size", "width"),
    [
        (1e9, 512, 128, 96),
        (1e6, 512, 64, 96),
        (1e6, 28, 28, 96),
        (1e6, 17, 16, 96),
        (1e5, 500, 32, 96),
        (2.5e4, 500, 32, 64),
        (1e3, 500, 32, 48),
        (1e9, 70, 68, 96),
        (1e9, 5, 16, 96),
    ],
)
def test_the_largest_that_there_is_time_for(machine, pictures, side, size, width) -> None:
    machine(pictures)
    layer = Layer({"family": "gan"})
    choices, promise = choose.choose(layer, side)
    assert {".".join(c.keys): c.value for c in choices} == {
        "data.size": size,
        "model.width": width,
        "train.batch_size": 16,
    }
    assert layer.get(("data", "size")) == size
    assert all(choice.reason for choice in choices)
    assert promise.is_useless == (pictures == 1e3)


def test_what_is_set_stays(machine) -> None:
    machine(1e9)
    layer = Layer({"family": "gan", "data": {"size": 48}, "train": {"batch_size": 4}})
    choices, _ = choose.choose(layer, 512)
    assert [choice.keys for choice in choices] == [("model", "width")]
    assert layer.get(("data", "size")) == 48


def test_what_would_do_is_said(machine) -> None:
    machine(1e3)
    _, promise = choose.choose(Layer({"family": "gan"}), 500)
    # Even at the least width 2,000 pictures in ten minutes, where 30,000 are needed: 150 minutes.
    assert promise.enough == "3h"


def test_real_steps_are_timed() -> None:
    layer = presets.resolve(["gan"], ["data.size=16", "model.width=8", "train.batch_size=4"])
    promise = choose.estimate(layer)
    assert promise.pace > 0
    assert promise.pictures > 0
    assert promise.memory > 10**8
    layer.put(("train", "steps"), 50, "")
    assert choose.estimate(layer).pictures == 200


def test_sizes_that_a_family_cannot_make_are_passed_over() -> None:
    layer = presets.resolve(["autoencoder"], ["train.steps=1", "model.width=8"])
    sizes = choose._possible(layer, 52)  # its latent grid wants multiples of 8 there
    assert 52 not in sizes
    assert 48 in sizes
    assert 52 in choose._possible(presets.resolve(["gan"], ["model.width=8"]), 52)


def test_no_size_is_chosen_at_which_pixels_are_too_many() -> None:
    assert choose._possible(presets.resolve(["flow"], ["model.width=8"]), 300) == [32, 48, 64]
    assert 128 in choose._possible(presets.resolve(["gan"], ["model.width=8"]), 300)


def test_few_colours_of_pictures_are_found_and_many_are_not() -> None:
    images = np.zeros((2, 4, 16, 16), np.uint8)
    images[:, 3] = 255
    images[1, :3, 0, 0] = 29, 43, 83
    images[1, :, 0, 1] = 9, 9, 9, 128  # seen through
    assert choose.palette_of(images) == ["#000000", "#1d2b53"]
    shades = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert choose.palette_of(shades) is None
    few = choose.palette_of(shades[:, :, :1])
    assert few is not None
    assert few[-2:] == ["#0e0e0e", "#0f0f0f"]
    more = np.repeat(np.repeat(shades, 3, 1), 2, 0)
    assert len(choose.palette_of(more) or []) == 256
    more[1, 0, 0, 0] = 1
    assert choose.palette_of(more) is None
    assert choose.palette_of(np.zeros((1, 4, 16, 16), np.uint8)) is None


def test_a_palette_of_ones_own_stays() -> None:
    pictures = load_pictures("sample:smileys", DataSettings(size=16))
    few = replace(pictures, images=np.zeros_like(pictures.images) + np.uint8(255))
    for step, kept in (
        ("palette", {"palette": {"colors": "#ffffff"}}),
        ("palette:n=4", "palette:n=4"),
        ({"palette": {"dither": "none"}}, {"palette": {"dither": "none", "colors": "#ffffff"}}),
        ("palette:colors=#112233", "palette:colors=#112233"),
        ({"palette": {"file": "x.hex"}}, {"palette": {"file": "x.hex"}}),
        ("invert", "invert"),
    ):
        layer = presets.resolve(["gan"])
        layer.put(("postprocess",), ["flip", step], "here")
        choice = choose.keep_palette(layer, few)
        assert layer.get(("postprocess",)) == ["flip", kept]
        assert (choice is None) == (step == kept)
        layer.put(("postprocess",), ["flip", step], "here")
        assert choose.keep_palette(layer, pictures) is None
        assert layer.get(("postprocess",)) == ["flip", step]
