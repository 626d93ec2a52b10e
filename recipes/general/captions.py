"""Plain captions from the names of icons, pictures and signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_NUMBER = re.compile(r"(?<=[a-z])[ ]?\d{1,2}$|(?<= )\d{1,2}$")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def from_icon(name: str, variants: Collection[str] = ()) -> str:
    """Return the words of an icon's name, without a variant's suffix and a number at the end.

    Args:
        name: such as "shopping-cart-2-duotone".
        variants: suffixes that name a variant, such as "duotone".
    """
    for variant in sorted(filter(None, variants), key=len, reverse=True):
        if name.endswith(f"-{variant}") and name != f"-{variant}":
            name = name.removesuffix(f"-{variant}")
            break
    words = re.sub(r"[-_. ]+", " ", name).strip()
    shorter = words
    while (cut := _NUMBER.sub("", shorter).strip()) and cut != shorter:
        shorter = cut
    return shorter if shorter and not shorter.isdigit() else words


def segmented(joined: str, vocabulary: Collection[str]) -> str:
    """Split a name without separators into known words, as few as possible; or leave it."""
    best: list[list[str] | None] = [[]] + [None] * len(joined)
    for end in range(1, len(joined) + 1):
        for start in range(max(0, end - 16), end):
            before, word = best[start], joined[start:end]
            if before is None or not (word in vocabulary or word.isdigit()):
                continue
            now = best[end]
            if now is None or len(before) + 1 < len(now):
                best[end] = [*before, word]
    found = best[-1]
    return " ".join(found) if found else joined


def from_clipart(stem: str, folder: str) -> str:
    """Return a caption from a clip art's file name, without its author, and its folder.

    File names are cut and end with the author's name and a number ("bat_orlando_karam_.png"),
    so only the first words are kept.
    """
    words = re.sub(r"([a-z])([A-Z])", r"\1 \2", stem)
    words = re.sub(r"[^A-Za-z]+", " ", words).lower().split()
    authors = {"architetto", "architet", "francesco", "benji", "park", "ganson", "jean", "victor"}
    kept: list[str] = []
    for word in words:
        if word in authors or len(kept) == 4:
            break
        if len(word) > 1:
            kept.append(word)
    kind = folder.replace("_", " ")
    return " ".join([*kept, f"({kind}) clip art"] if kept else [kind, "clip art"])


def of_sign(sign: str) -> str:
    """Return what a letter, digit or sign is called."""
    if sign.isdigit():
        return f"digit {sign} {DIGITS[int(sign)]}"
    if sign.isalpha():
        return f"{'capital' if sign.isupper() else 'small'} letter {sign}"
    return unicodedata.name(sign).lower()
