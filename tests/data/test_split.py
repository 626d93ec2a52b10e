from dataclasses import replace

import numpy as np
import pytest

from imagegen.data import split
from imagegen.data.split import held_out
from imagegen.data.store import load_pictures
from imagegen.settings import DataSettings


@pytest.fixture(scope="module")
def smileys():
    return load_pictures("sample:smileys", DataSettings(size=32))


def taken(pictures, order):
    """Return the pictures in another order, or some of them, or some twice."""
    return replace(
        pictures,
        images=pictures.images[order],
        labels=None if pictures.labels is None else pictures.labels[order],
        names=tuple(pictures.names[i] for i in order),
        digests=pictures.digests[order],
    )


def test_about_the_share_is_held_out(smileys):
    for share in (0.1, 0.3, 0.5):
        assert held_out(smileys, share).mean() == pytest.approx(share, abs=0.09)
    assert not held_out(smileys, 0).any()


def test_a_larger_share_holds_out_the_same_and_more(smileys):
    small, large = held_out(smileys, 0.1), held_out(smileys, 0.3)
    assert (large | ~small).all()


def test_content_decides_and_nothing_else(smileys):
    order = np.random.Generator(np.random.Philox(1)).permutation(len(smileys))
    moved = replace(taken(smileys, order), names=tuple(f"{i}.png" for i in range(207)))
    assert (held_out(moved, 0.2) == held_out(smileys, 0.2)[order]).all()


def test_a_picture_keeps_its_side_when_others_are_added(smileys):
    before = held_out(smileys.part(np.arange(207) < 150), 0.2)
    after = held_out(smileys, 0.2)[:150]
    assert (before == after).mean() > 0.97


def test_what_is_alike_falls_on_one_side(smileys):
    images = np.concatenate([smileys.images, smileys.images[..., ::-1]])
    digests = np.random.Generator(np.random.Philox(5)).integers(0, 256, (414, 8), np.uint8)
    both = replace(smileys, images=images, labels=None, digests=digests, names=smileys.names * 2)
    chosen = held_out(both, 0.3)
    assert (chosen[:207] == chosen[207:]).all()
    assert 0.1 < chosen.mean() < 0.6


def test_shifted_doubles_of_training_pictures_are_not_held_out(smileys):
    moved = np.roll(smileys.images[:60], 1, axis=3)
    images = np.concatenate([smileys.images, moved])
    digests = np.random.Generator(np.random.Philox(6)).integers(0, 256, (267, 8), np.uint8)
    both = replace(smileys, images=images, labels=None, digests=digests, names=("",) * 267)
    chosen = held_out(both, 0.3)
    assert 0.1 < chosen.mean() < 0.4
    assert not (chosen[207:] & ~chosen[:60]).any()
    assert not (~chosen[207:] & chosen[:60]).any()


def test_no_label_is_held_out_whole(smileys):
    alone = np.zeros(207, np.int64)
    alone[np.flatnonzero(held_out(smileys, 0.5))[:2]] = 1
    chosen = held_out(replace(smileys, labels=alone), 0.5)
    assert not chosen[alone == 1].all()
    assert chosen[alone == 0].any()
    rare = [(0, 1) if one else (0,) for one in alone]  # and not if it is the second of several
    labels = np.zeros(207, np.int64)
    more = replace(smileys, labels=labels, several=tuple(rare), label_names=("a", "b"))
    assert not held_out(more, 0.5)[alone == 1].all()


def test_the_answer_can_not_be_changed(smileys):
    with pytest.raises(ValueError, match="read-only"):
        held_out(smileys, 0.2)[0] = True


def test_a_single_picture_is_trained_on(smileys):
    one = smileys.part(np.flatnonzero(held_out(smileys, 0.5))[:1] == np.arange(207))
    assert len(one) == 1
    assert not held_out(replace(one, labels=None), 0.5).any()


def test_large_sets_are_grouped_by_exact_doubles(smileys, monkeypatch):
    monkeypatch.setattr(split, "MAX_COMPARED", 10)
    doubled = taken(smileys, [*range(207), *range(207)])
    chosen = held_out(doubled, 0.2)
    assert (chosen[:207] == chosen[207:]).all()
    assert chosen.any()
