"""The judges find what is there, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from imagegen.evaluate.judge import CaptionJudge, Judge

COLOURS, THINGS = ("red", "green", "blue", "white"), ("cat", "dog", "house", "tree", "car")


def captioned(count: int, noise: float, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return features in which colour and thing can be read, under noise, and the captions."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, len(COLOURS), count)
    things = random.integers(0, len(THINGS), count)
    told = np.concatenate([np.eye(len(COLOURS))[colours], np.eye(len(THINGS))[things]], axis=1)
    mixing = np.random.default_rng(0).normal(size=(told.shape[1], 32))
    features = told @ mixing + noise * random.normal(size=(count, 32))
    texts = [f"A {COLOURS[c]} {THINGS[t]}." for c, t in zip(colours, things, strict=True)]
    return features.astype(np.float32), texts


def test_captions_are_told_from_others_where_pictures_show_what_they_say() -> None:
    judge = CaptionJudge(*captioned(600, 0.3, 1))
    features, texts = captioned(300, 0.3, 2)
    assert judge(features, texts).mean() > 0.95
    wrong = [*texts[1:], texts[0]]
    assert judge(features, wrong).mean() < 0.25
    assert (judge(features, texts) == judge(features, texts)).all()


def test_captions_of_unrelated_pictures_are_right_by_chance_alone() -> None:
    features, texts = captioned(600, 0.3, 1)
    judge = CaptionJudge(np.random.default_rng(3).normal(size=features.shape), texts)
    others = np.random.default_rng(4).normal(size=(1000, 32)).astype(np.float32)
    share = judge(others, captioned(1000, 0.3, 5)[1]).mean()
    assert abs(share - 1 / (1 + CaptionJudge.RIVALS)) < 0.05


def test_captions_without_a_word_that_is_known_are_not_judged() -> None:
    judge = CaptionJudge(*captioned(100, 0.3, 1))
    features, _ = captioned(3, 0.3, 2)
    assert judge(features, ["", "???", "an unheard-of one"]).tolist() == [-1, -1, -1]


def test_captions_that_all_say_the_same_are_refused() -> None:
    features, _ = captioned(50, 0.3, 1)
    with pytest.raises(ValueError, match="no word"):
        CaptionJudge(features, ["smiley"] * 50)


def test_labels_are_named() -> None:
    features, texts = captioned(400, 0.3, 1)
    labels = np.array([THINGS.index(text.split()[2].rstrip(".")) for text in texts])
    judge = Judge(features[:300], labels[:300], len(THINGS))
    assert (judge(features[300:]) == labels[300:]).mean() > 0.95
