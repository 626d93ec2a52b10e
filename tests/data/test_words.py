"""Texts as numbers."""

import json
import math

import pytest

from imagegen.data.words import LEAST, TOKENS, WORDS, Vocabulary, split

TEXTS = ["A red Cat, flat style", "a blue cat; FLAT style!", "a red dog's bed", "ein Zebra"]


def test_words_are_small_and_without_punctuation():
    assert split("  A RED cat,flat-style! ") == ["a", "red", "cat", "flat", "style"]
    assert split("the dog\u2019s \ufb01sh") == ["the", "dog's", "fish"]
    assert split("...") == split("") == split("'' \u2764\ufe0f") == []
    assert split("'quoted' snake_case it's") == ["quoted", "snake", "case", "it's"]


def test_vowels_that_are_marks_belong_to_their_word():
    assert split("\u092c\u093f\u0932\u094d\u0932\u0940 \u0915\u0940") == [
        "\u092c\u093f\u0932\u094d\u0932\u0940",
        "\u0915\u0940",
    ]
    assert len(split("\u0e2a\u0e35\u0e41\u0e14\u0e07")) == 1


def test_words_of_several_texts_are_known_the_most_frequent_first():
    known = Vocabulary.of(TEXTS)
    assert dict(known.words) == {"a": 3, "cat": 2, "flat": 2, "red": 2, "style": 2}
    assert next(iter(known.words)) == "a"
    assert Vocabulary.of(["cat cat cat", "dog"]).words == {}  # one text each


def test_each_known_word_is_one_number():
    known = Vocabulary.of(TEXTS)
    assert known.tokens("cat") == known.tokens("CAT!") == [list(known.words).index("cat") + 1]
    assert len(known.tokens("a red cat")) == 3
    assert known.tokens("a red cat") != known.tokens("cat red a")
    assert max(known.tokens("a zebra and a cat")) < len(known)
    assert min(known.tokens("a zebra and a cat")) > 0


def test_other_words_are_spelt_in_pieces():
    known = Vocabulary.of([*TEXTS, "painted", "painting", "printed", "scanned"])
    assert "pain" in known.pieces or "paint" in known.pieces
    whole, other = known.tokens("painted"), known.tokens("scanned")
    assert 1 < len(whole) < len("painted")
    assert set(whole) & set(known.tokens("paintings"))  # what they share is the same
    assert whole != other
    assert known.tokens("\u4e2d\u6587") == []  # no such letters


def test_long_texts_are_cut():
    known = Vocabulary.of(TEXTS)
    assert len(known.tokens("cat " * 5_000)) == TOKENS
    many = Vocabulary.of([" ".join(f"w{n}" for n in range(WORDS + 50))] * LEAST)
    assert len(many.words) == WORDS


def test_unknown_words_come_with_the_nearest_known_ones():
    known = Vocabulary.of(TEXTS)
    assert known.unknown("a red cat") == []
    assert known.unknown("a Caat in reds, xyz, Caat") == ["caat", "in", "reds", "xyz"]
    assert [known.near(word) for word in ("caat", "reds", "xyz")] == [["cat"], ["red"], []]
    assert known.near("z" * 100_000) == []


def test_a_vocabulary_is_kept_as_plain_data():
    known = Vocabulary.of(TEXTS)
    again = Vocabulary.read(json.loads(json.dumps(known.record())))
    assert again == known
    assert list(again.words) == list(known.words)
    assert again.tokens("a zebra") == known.tokens("a zebra")


def test_rare_words_are_told_from_frequent_ones():
    words = Vocabulary.of(["red cat"] * 2 + ["red dog"] * 6)
    rarity = words.rarity()
    assert len(rarity) == len(words)
    known = [rarity[words.tokens(word)[0]] for word in ("red", "dog", "cat")]
    assert known == pytest.approx([math.log(2), math.log(1 + 8 / 6), math.log(5)])
    assert rarity[-1] == pytest.approx(math.log(9))  # a piece
    assert len(Vocabulary.of([]).rarity()) == 1


def test_no_texts_at_all():
    none = Vocabulary.of([])
    assert len(none) == 1
    assert none.tokens("cat") == []


def test_texts_that_are_cut_say_so():
    known = Vocabulary.of(["a red cat"] * 2)
    assert not known.is_cut("red " * TOKENS)
    assert known.is_cut("red " * (TOKENS + 1))
    assert len(known.tokens("red " * (TOKENS + 1))) == TOKENS
