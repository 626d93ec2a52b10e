"""The words that a model knows: texts to numbers, with pieces of words for rare and new ones."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import islice
from typing import Any

LEAST = 2
"""Texts that a word must be in, to be known as a whole; others are spelt in pieces."""
WORDS, PIECES = 4_000, 1_000
"""The most words and pieces that are known; of pieces, all single letters always are."""
LONGEST = 5
"""Letters of a piece, at most."""
TOKENS = 32
"""What a text is cut to, in words and pieces."""

LONGEST_WORD = 40
"""Letters by which a word is compared with others."""

APOSTROPHE, TYPOGRAPHIC = "'", "\u2019"


def composed(text: str) -> str:
    """Return a text with letters and their marks as one sign, however a system writes them."""
    return unicodedata.normalize("NFC", text)


def split(text: str) -> list[str]:
    """Return the words of a text, in small letters, without punctuation."""
    signs = unicodedata.normalize("NFKC", text).casefold().replace(TYPOGRAPHIC, APOSTROPHE)
    words = "".join(sign if _is_of_word(sign) else " " for sign in signs).split()
    bare = (word.strip(APOSTROPHE) for word in words)
    return [word for word in bare if any(map(str.isalnum, word))]


def _is_of_word(sign: str) -> bool:
    """Say whether it is a letter, a digit, an apostrophe, or a mark such as the vowels of Hindi.

    Not the marks that only choose how an emoji looks.
    """
    marks = unicodedata.category(sign) in ("Mn", "Mc") and not "\ufe00" <= sign <= "\ufe0f"
    return sign.isalnum() or sign == APOSTROPHE or marks


@dataclass(frozen=True)
class Vocabulary:
    """Words and pieces with a number each, from 1; 0 is no word.

    Attributes:
        words: known words and how many texts each was in, the most frequent first.
        pieces: what all other words are spelt in.
    """

    words: Mapping[str, int]
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Vocabulary:
        """Make the vocabulary of a set's texts."""
        counts = Counter(word for text in texts for word in sorted(set(split(text))))
        frequent = sorted((-count, word) for word, count in counts.items() if count >= LEAST)
        letters: Counter[str] = Counter()
        parts: Counter[str] = Counter()
        for word, count in counts.items():
            letters.update(dict.fromkeys(word, count))
            for size in range(2, LONGEST + 1):
                for start in range(len(word) - size + 1):
                    parts[word[start : start + size]] += count
        most = sorted(parts.items(), key=lambda pair: (-pair[1] * (len(pair[0]) - 1), pair[0]))
        several = [part for part, count in most if count >= LEAST]
        pieces = [*sorted(letters), *several[: max(0, PIECES - len(letters))]]
        return cls({word: -count for count, word in frequent[:WORDS]}, tuple(pieces))

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Vocabulary:
        """Return what `record` has written."""
        return cls({word: count for word, count in record["words"]}, tuple(record["pieces"]))

    def record(self) -> dict[str, Any]:
        """Return it as plain data, for a model's file."""
        # Pairs, as their order is what gives the numbers, and JSON objects have none.
        return {"words": [list(pair) for pair in self.words.items()], "pieces": list(self.pieces)}

    def __len__(self) -> int:
        """Return how many numbers there are, that of no word included."""
        return 1 + len(self.words) + len(self.pieces)

    def rarity(self) -> list[float]:
        """Return how rare each number's word is, the most frequent one being log 2.

        That is log(1 + the most frequent word's count / its own), a smoothed inverse document
        frequency (Sparck Jones 1972). Pieces, which spell rare words, are as rare as can be.
        """
        most = max(self.words.values(), default=1)
        rarest = math.log1p(most)
        known = [math.log1p(most / count) for count in self.words.values()]
        return [rarest, *known, *[rarest] * len(self.pieces)]

    def numbered(self) -> tuple[tuple[str, bool], ...]:
        """Return what each number stands for, and whether it is a whole word; first no word."""
        words, pieces = ((word, True) for word in self.words), ((one, False) for one in self.pieces)
        return (("", False), *words, *pieces)

    @cached_property
    def _numbers(self) -> tuple[dict[str, int], dict[str, int]]:
        words = {word: number for number, word in enumerate(self.words, 1)}
        return words, {piece: n for n, piece in enumerate(self.pieces, 1 + len(words))}

    def tokens(self, text: str) -> list[int]:
        """Return the numbers of a text's words, or of their pieces, the first TOKENS of them.

        Letters that were in no text are passed over.
        """
        return list(islice(self._spelt(text), TOKENS))

    def is_cut(self, text: str) -> bool:
        """Say whether a text has more words and pieces than count."""
        return next(islice(self._spelt(text), TOKENS, None), None) is not None

    def _spelt(self, text: str) -> Iterable[int]:
        words, pieces = self._numbers
        for word in split(text):
            if word in words:
                yield words[word]
                continue
            start = 0
            while start < len(word):
                for size in range(min(LONGEST, len(word) - start), 0, -1):
                    piece = pieces.get(word[start : start + size])
                    if piece is not None:
                        yield piece
                        break
                start += size

    def unknown(self, text: str) -> list[str]:
        """Return the words of a text that are not known as a whole, each once."""
        return list(dict.fromkeys(word for word in split(text) if word not in self.words))

    def near(self, word: str) -> list[str]:
        """Return the known words most like one, three at most."""
        return get_close_matches(word[:LONGEST_WORD], self.words, n=3)
