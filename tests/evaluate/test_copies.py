from dataclasses import replace

import numpy as np
import pytest

from imagegen import durable, registry
from imagegen.data import likeness
from imagegen.data.split import held_out
from imagegen.data.store import load_pictures
from imagegen.errors import UserError
from imagegen.evaluate import copies
from imagegen.settings import DataSettings


@pytest.fixture(scope="module")
def smileys():
    return load_pictures("sample:smileys", DataSettings(size=32))


@pytest.fixture(scope="module")
def index(smileys):
    held = held_out(smileys, 0.3)
    return copies.build(smileys.part(~held), smileys.part(held))


def test_training_pictures_are_copies_and_held_out_ones_are_not(smileys, index):
    held = held_out(smileys, 0.3)
    distances, nearest = index.nearest(smileys.images[~held][..., ::-1])
    assert index.copies(distances).all()
    assert (nearest == np.arange((~held).sum())).mean() > 0.97
    distances, _ = index.nearest(smileys.images[held])
    assert index.copies(distances).mean() <= copies.MOST_MISTAKEN
    assert (distances == index.held_distances).all()


def test_it_knows_both_sides_again(smileys, index):
    held = held_out(smileys, 0.3)
    assert (index.held(smileys) == held).all()
    assert (index.trained(smileys) == ~held).all()


def test_real_pictures_that_come_near_lower_the_threshold(index):
    many = np.linspace(0.1, 0.3, 100).astype(np.float32)
    near = copies.Index(index.bits, index.digests, index.held_digests, many, index.shape)
    assert near.threshold == many[2]
    assert near.copies(many).mean() == copies.MOST_MISTAKEN
    few = copies.Index(index.bits, index.digests, index.held_digests, many[:20], index.shape)
    assert few.threshold == likeness.ALIKE
    doubles = np.zeros(100, np.float32)  # the same pictures on both sides prove nothing
    same = copies.Index(index.bits, index.digests, index.held_digests, doubles, index.shape)
    assert same.threshold == likeness.SAME


def test_written_and_read_again(index, tmp_path):
    index.save(tmp_path / "index.safetensors")
    again = copies.load(tmp_path / "index.safetensors")
    for name in ("bits", "digests", "held_digests", "held_distances"):
        assert (getattr(again, name) == getattr(index, name)).all()
    assert again.shape == (4, 32, 32)
    # 64 bytes a background and 8 of digest; a PNG of such a picture takes twenty times as much.
    assert (tmp_path / "index.safetensors").stat().st_size < 150 * 207


def test_damage_is_noticed(index, tmp_path):
    path = tmp_path / "index.safetensors"
    index.save(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="damaged"):
        copies.load(path)
    index.save(path)
    durable.write_checked(path, path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is no index of training pictures"):
        copies.load(path)
    durable.write_checked(path, b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(UserError, match="is no index of training pictures"):
        copies.load(path)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("bits", np.zeros((2, 9, 64), np.uint8)),
        ("bits", np.zeros((2, 0, 64), np.uint8)),
        ("digests", np.zeros((0, 8), np.uint8)),
        ("held_digests", np.zeros((3, 9), np.uint8)),
        ("held_distances", np.zeros(3, np.float64)),
    ],
)
def test_parts_that_do_not_fit_are_refused(index, tmp_path, part, value):
    replace(index, **{part: value}).save(tmp_path / "index.safetensors")
    with pytest.raises(UserError, match=r"its (bits|held_digests|held_distances) should be"):
        copies.load(tmp_path / "index.safetensors")


def test_a_model_without_an_index_says_so(tmp_path):
    with pytest.raises(UserError, match="has no index of its training pictures") as error:
        copies.of(registry.Model(tmp_path / "old"))
    assert "train it again" in error.value.hint
