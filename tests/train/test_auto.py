"""What `train` takes when no preset is named: a choice that was measured."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen import presets
from imagegen.errors import UserError
from imagegen.train import auto

RESULTS = Path(__file__).parents[1] / "bench" / "RESULTS.md"
ASIDE = {
    ("smileys", 6.0, "rnn"), ("smileys", 10.0, "rnn"), ("smileys", 10.0, "latent-flow"),
    ("dcss", 30.0, "gan"), ("dcss", 30.0, "flow"),
}  # fmt: skip
"""Measured, but not to be chosen: they copied, or looked worse."""


def test_the_table_is_what_was_measured() -> None:
    text = RESULTS.read_text().split("## Families on the same pictures and time")[1]
    rows = re.findall(r"^\| (\w+) \| (\d+) \| ([\w-]+) \| (-?[\d.]+) \[", text, re.MULTILINE)
    measured = {(name, float(minutes), preset): float(kid) for name, minutes, preset, kid in rows}
    ours = {
        (one.name, one.minutes, preset): kid
        for one in auto.COMPARED
        for preset, kid in one.kid.items()
    }
    assert ours
    others = {key for key in measured if key in ASIDE or key[2] == "autoencoder"}
    assert ours == {key: kid for key, kid in measured.items() if key not in others}
    assert others > ASIDE
    for name, minutes, preset in ASIDE:
        (one,) = (one for one in auto.COMPARED if (one.name, one.minutes) == (name, minutes))
        assert preset in one.aside


@pytest.mark.parametrize("one", auto.COMPARED, ids=lambda one: f"{one.name}-{one.minutes:g}m")
def test_each_set_measured_gets_its_own_best(one: auto.Compared) -> None:
    name, reason = auto.pick(one.pictures, one.kind, one.minutes, auto.MEASURED)
    assert name == min(one.kid, key=lambda preset: one.kid[preset])
    assert f"{one.pictures:,} pictures" in reason
    assert one.aside in reason


def pictures(folder: Path, count: int, mode: str, side: int = 8) -> str:
    """Fill a folder with pictures of noise; return its name."""
    values = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    for number, one in enumerate(values):
        Image.fromarray(one).convert(mode).save(folder / f"{number}.png")
    return str(folder)


def test_large_pictures_are_not_drawn_pixel_by_pixel(tmp_path: Path) -> None:
    source = pictures(tmp_path, 9, "RGB")
    assert auto.choose(presets.resolve([], ["data.size=64x32"]), source)[0] == "flow"
    assert auto.choose(presets.resolve([], ["data.size=32x128"]), source)[0] != "flow"


def test_a_preset_is_chosen_that_takes_what_is_set(tmp_path: Path) -> None:
    source = pictures(tmp_path, 9, "RGBA")
    for given, fit in [
        ("sample.truncation=0.7", {"gan"}),
        ("model.layers=1", {"rnn"}),
        ("model.tile=true", {"flow", "latent-flow", "gan"}),
        ("sample.shift=2", {"flow", "latent-flow"}),
    ]:
        name, reason = auto.choose(presets.resolve([], [given]), source)
        assert name in fit
        assert "on the most similar set" in reason
    assert auto.choose(presets.resolve([], ["model.nix=1"]), source)[0] in auto.MEASURED


def test_pictures_of_another_size_of_set_are_alike_in_kind(monkeypatch) -> None:
    few = auto.Compared("few", 100, "rgba", 10, {"gan": 0.1, "flow": 0.2})
    many = auto.Compared("many", 10_000, "grey", 60, {"gan": 0.2, "flow": 0.1})
    monkeypatch.setattr(auto, "COMPARED", (few, many))
    assert auto.pick(200, "rgba", 10, ["gan", "flow"])[0] == "gan"
    assert auto.pick(8_000, "grey", 10, ["gan", "flow"])[0] == "flow"
    assert auto.pick(8_000, "grey16", 30, ["gan", "flow"])[0] == "flow"
    assert auto.pick(5_000, "rgb", 120, ["gan", "flow"])[0] == "flow"
    assert auto.pick(300, "grey", 30, ["gan", "flow"])[0] == "flow"
    assert auto.pick(300, "grey16", 30, ["gan", "flow"])[0] == "flow"


def test_steps_say_nothing_of_the_time(monkeypatch) -> None:
    short = auto.Compared("short", 100, "rgb", 10, {"gan": 0.1, "flow": 0.2})
    long = auto.Compared("long", 110, "rgb", 60, {"gan": 0.2, "flow": 0.1})
    monkeypatch.setattr(auto, "COMPARED", (short, long))
    assert auto.pick(110, "rgb", 10, ["gan", "flow"])[0] == "gan"
    assert auto.pick(110, "rgb", None, ["gan", "flow"])[0] == "flow"


def test_the_presets_of_the_table_are_told_apart_by_their_settings() -> None:
    for name in ("gan", "flow", "latent-flow", "rnn"):
        assert auto.like(presets.resolve([name], ["train.steps=3"])) == name
    assert auto.like(presets.resolve(["rnn-bits"])) is None


def test_pictures_that_cannot_be_read_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        auto.choose(presets.Layer(), str(tmp_path / "nowhere"))
