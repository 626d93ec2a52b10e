"""What is asked for, and what pictures are, as networks are told it."""

from __future__ import annotations

import numpy as np
import pytest

from imagegen.data.store import Pictures
from imagegen.errors import SettingsError
from imagegen.family import Condition
from imagegen.sample import tell
from imagegen.sample.tell import Ask
from tests.telling import TEXTS, WORDS

BOTH = Condition(("ant", "bee", "cat"), WORDS)


def test_labels_are_read_alone_and_mixed() -> None:
    assert tell.parse(BOTH, "bee") == Ask({"bee": 1.0})
    assert tell.parse(BOTH, " cat:0.7, ant:0.3") == Ask({"cat": 0.7, "ant": 0.3})
    assert tell.parse(BOTH, None, "a cat") == Ask({}, "a cat")
    assert tell.parse(BOTH, "none") == Ask(unlabelled=True)
    assert tell.parse(Condition(("all", "none")), "none") == Ask({"none": 1.0})
    odd = Condition(("a:b", "c,d"))
    assert tell.parse(odd, "c,d") == Ask({"c,d": 1.0})
    assert tell.parse(odd, "a:b:1") == Ask({"a:b": 1.0})
    assert tell.parse(Condition(("a, b", "c")), "a, b,c") == Ask({"a, b": 0.5, "c": 0.5})
    assert tell.parse(Condition(("a, b", "c")), "a, b:0.7,c:0.3") == Ask({"a, b": 0.7, "c": 0.3})
    assert tell.parse(BOTH, "cat,ant") == Ask({"cat": 0.5, "ant": 0.5})


@pytest.mark.parametrize(
    ("condition", "label", "text", "expected"),
    [
        (BOTH, "bat", None, "unknown label 'bat'; did you mean 'cat'"),
        (BOTH, "none,cat", None, "none goes alone"),
        (BOTH, "cat:0.5", None, "sum up to 1"),
        (BOTH, "cat:-1,ant:2", None, "sum up to 1"),
        (BOTH, "cat:nan", None, "sum up to 1"),
        (BOTH, "cat:", None, "sum up to 1"),
        (BOTH, "cat:0.7,ant", None, "sum up to 1"),
        (BOTH, "CAT", None, "unknown label 'CAT'; did you mean 'cat'"),
        (BOTH, "cat:0.7,cat:0.3", None, "'cat' is in it twice"),
        (Condition(), "none", None, "trained without labels"),
        (BOTH, None, " ", "the text is empty"),
        (BOTH, None, "ant \udcff", r"the text is not UTF-8: 'ant \\udcff'"),
        (BOTH, None, "\u4f60\u597d", "no word of the text is known"),
        (Condition(), "cat", None, "trained without labels"),
        (Condition(("cat",)), None, "cat", "trained without text"),
    ],
)
def test_what_can_not_be_asked(
    condition: Condition, label: str | None, text: str | None, expected: str
) -> None:
    with pytest.raises(SettingsError, match=expected):
        tell.parse(condition, label, text)


def test_no_label_can_be_asked_of_a_model_of_words_alone() -> None:
    assert tell.parse(Condition((), WORDS), "none", "ant") == Ask({}, "ant", unlabelled=True)


def test_asks_become_weights_and_numbers() -> None:
    asks = [Ask({"cat": 0.7, "ant": 0.3}), Ask(text="a busy bee"), Ask({"bee": 1.0}, "ant")]
    told = tell.of_asks(asks, BOTH, [1, 2, 3])
    assert told is not None
    assert np.allclose(told.labels, [[0.3, 0, 0.7], [0, 0, 0], [0, 1, 0]])
    assert told.words[1].tolist() == WORDS.tokens("a busy bee")
    assert told.words[2, 0].item() == WORDS.tokens("ant")[0]
    assert told.words[0].sum() == 0
    assert tell.of_asks(asks[:0], Condition(), []) is None
    bare = tell.of_asks([Ask(unlabelled=True)], BOTH, [1])
    assert bare is not None
    assert bare.labels.sum() == bare.words.sum() == 0


def test_labels_left_open_go_by_the_seed_alone() -> None:
    def numbers(seeds: list[int]) -> list[int]:
        told = tell.of_asks([Ask()] * len(seeds), BOTH, seeds)
        assert told is not None
        assert (told.labels.sum(1) == 1).all()
        return told.labels.argmax(1).tolist()

    many = numbers(list(range(300)))
    assert np.bincount(many).min() > 70
    assert numbers([17, 5]) == [many[17], many[5]]
    assert many[:8] == [2, 0, 1, 2, 2, 2, 1, 2]  # pictures that are there can be drawn again


def test_what_pictures_are() -> None:
    pictures = Pictures(
        images=np.zeros((3, 1, 16, 16), np.uint8),
        labels=np.array([1, -1, 0]),
        label_names=("bee", "dog"),
        names=("a", "b", "c"),
        skipped=(),
        notes=(),
        digests=np.zeros((3, 8), np.uint8),
        fingerprint="",
        texts=(TEXTS[0], "", TEXTS[1]),
    )
    told = tell.of_pictures(pictures, BOTH)
    assert told is not None
    assert told.labels.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]  # dogs are not known
    assert told.words[1].sum() == 0
    assert told.words[2].tolist() == WORDS.tokens(TEXTS[1])
    assert tell.of_pictures(pictures, Condition()) is None


def test_labels_are_asked_for_however_marks_are_written() -> None:
    for known, asked in (("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")):
        condition = Condition(("ant", known))
        assert tell.parse(condition, asked).labels == {known: 1.0}
        assert tell.parse(condition, f"{asked}:0.5,ant:0.5").labels == {known: 0.5, "ant": 0.5}


def test_of_several_labels_those_that_are_known_count_in_full() -> None:
    pictures = Pictures(
        images=np.zeros((2, 1, 16, 16), np.uint8),
        labels=np.array([0, 0]),
        several=((0, 1), (0, 1, 2)),
        label_names=("bee", "cat", "fly"),
        names=("a", "b"),
        skipped=(),
        notes=(),
        digests=np.zeros((2, 8), np.uint8),
        fingerprint="",
    )
    told = tell.of_pictures(pictures, BOTH)
    assert told is not None
    assert np.allclose(told.labels, [[0, 0.5, 0.5], [0, 0.5, 0.5]])
