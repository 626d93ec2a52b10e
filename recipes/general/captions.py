"""Plain captions from the names of icons, pictures and signs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_NUMBER = re.compile(r"(?<!keycap)(?<!number)(?<!digit)(?<!dice) \d{1,2}$")

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


def from_clipart(stem: str, folder: str, vocabulary: Collection[str]) -> str:
    """Return a caption from a clip art's file name and its folder.

    Names are cut, often Italian, and end with the author's ("bat_orlando_karam_.png"): only words
    of the vocabulary are kept.
    """
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", stem)
    words = re.sub(r"[^A-Za-z]+", " ", spaced).lower().split()
    known = [word for word in words if len(word) > 2 and word in vocabulary][:5]
    kind = "" if folder == "unsorted" else folder.replace("_", " ")
    if "bw" in words:
        known.insert(0, "black and white")
    kind = f"{kind} clip art".strip()
    return f"{' '.join(known)}, {kind}" if known else kind


def of_sign(sign: str) -> str:
    """Return what a letter, digit or sign is called."""
    if sign.isdigit():
        return f"digit {sign} {DIGITS[int(sign)]}"
    if sign.isalpha():
        return f"{'capital' if sign.isupper() else 'small'} letter {sign}"
    return unicodedata.name(sign).lower()
