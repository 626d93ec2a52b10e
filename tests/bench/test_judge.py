"""The judges' arithmetic, with a stand-in for their networks."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch

from imagegen.data.store import to_tensor
from imagegen.evaluate.extractor import Extractor
from tests.bench import judge, sets


class Coarse(torch.nn.Module):
    """A picture's features are its pixels at 4x4."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x[:, :3], 4).flatten(1)


@pytest.fixture
def networks(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEGEN_HOME", str(tmp_path))
    return [Extractor("coarse", "coarse", "coarse", Coarse(), to_tensor)]


def pictures(count: int, channels: int = 3, key: int = 0):
    random = np.random.Generator(np.random.Philox(key))
    coarse = random.integers(0, 256, (count, channels, 8, 8)).astype(np.uint8)
    return coarse.repeat(4, 2).repeat(4, 3)


def test_copies_are_found_and_are_near(networks):
    real = pictures(60)
    copied = judge.compare(real, real.copy(), networks=networks)
    other = judge.compare(real, pictures(60, key=1) // 2, networks=networks)
    assert copied.copies == 1
    assert other.copies == 0
    assert copied.verdicts[0].kid < 0 < other.verdicts[0].kid
    assert copied.verdicts[0].coverage == 1


def test_copies_are_of_the_training_pictures(networks):
    real, training = pictures(60), pictures(60, key=1)
    assert judge.compare(real, training.copy(), training, networks=networks).copies == 1


def test_a_perfect_codec_adds_nothing(networks):
    real = pictures(80, 4)
    found = judge.compare_reconstructions(real, real.copy(), networks=networks)
    assert found.verdicts[0].share == 0
    assert found.psnr > 100
    assert found.hue_error == 0


def test_a_bad_codec_has_a_share(networks):
    real = pictures(80)
    found = judge.compare_reconstructions(real, real // 2, networks=networks)
    assert found.verdicts[0].share_interval[0] > 0


def test_decibels_of_known_noise():
    flat = np.full((4, 3, 8, 8), 100, np.uint8)
    assert judge.decibels(float(judge.squared_errors(flat, flat + 5).mean())) == pytest.approx(
        10 * np.log10(255**2 / 25)
    )


def test_transparency_counts_although_colours_agree():
    clear = np.zeros((1, 4, 8, 8), np.uint8)
    opaque = clear.copy()
    opaque[:, 3] = 255
    assert judge.squared_errors(clear, opaque).mean() > 0


@pytest.mark.parametrize("degrees", [10, 30, 170])
def test_hue_is_measured_in_degrees(degrees):
    def plain(hue: float):
        color = np.rint(np.array(colorsys.hls_to_rgb(hue / 360, 0.5, 0.8)) * 255)
        return np.tile(color.astype(np.uint8)[None, :, None, None], (1, 1, 8, 8))

    error, share = judge.hue_error(plain(200), plain(200 + degrees))
    assert share == 1
    assert error == pytest.approx(degrees, abs=4)


def test_lost_colour_counts_as_a_hue_by_chance():
    red = np.zeros((1, 3, 8, 8), np.uint8)
    red[:, 0] = 200
    assert judge.hue_error(red, np.full_like(red, 90)) == (90, 1)


def test_archives_depend_on_nothing_but_their_files(tmp_path):
    files = [("b/2.png", b"2"), ("a/1.png", b"1"), ("a/1.txt", b"one")]
    assert sets.pack(tmp_path / "one.zip", iter(files)) == 2
    assert sets.pack(tmp_path / "two.zip", iter(files[::-1])) == 2
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
