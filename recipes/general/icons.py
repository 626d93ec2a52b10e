"""Icons of @iconify/json: which are taken, and what they are called."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.general import captions
from recipes.general.rasters import WORK, Raster, from_svg
from recipes.general.sources import IconSet, Sources

ALIKE = 4
"""Icons of one colour that are kept of those with the same name."""

_SKIN = re.compile(r"(^|-)(light|medium|dark|medium-light|medium-dark)-skin-tone")
_DIRECTION = re.compile(r"^(arrow|chevron|caret|angle|corner|align|border|layout|text|format)\b")
_NUMBERED = re.compile(r"(?<=[a-z]) (one|two|three|four|five|six|seven|eight|nine)$")
_FLAG = re.compile(r"^1f1[0-9a-f]{2}-1f1[0-9a-f]{2}$")


@dataclass(frozen=True)
class Icon:
    """One icon.

    Attributes:
        source: its set.
        name: in the set.
        text: what it shows, in words.
        body: SVG elements.
        box: left, top, width and height.
        is_variant: whether it differs from another only in the tone of a skin.
    """

    source: IconSet
    name: str
    text: str
    body: str
    box: tuple[float, float, float, float]
    is_variant: bool

    def raster(self, size: int = WORK, crisp: bool = False, colour: str = "#000") -> Raster:
        """Draw it, centred in a square.

        Raises:
            ValueError: if resvg can't read it.
        """
        left, top, width, height = self.box
        side = max(width, height)
        corner = f"{left - (side - width) / 2} {top - (side - height) / 2}"
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{corner} {side} {side}" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" color="{colour}" '
            f'width="{side}" height="{side}">{self.body}</svg>'
        )
        return from_svg(svg, size, crisp)


def load(folder: Path, sources: Sources) -> list[Icon]:
    """Return the icons of all sets that are taken, in a fixed order without a pattern.

    Args:
        folder: of the unpacked package.
        sources: says what is taken.

    Raises:
        ValueError: if a set's licence is not the one that the sources say.
    """
    countries = _countries(_read(folder, "twemoji"))
    found: list[Icon] = []
    for one in sources.icons:
        found += _of_set(one, _read(folder, one.name), sources, countries)
    vocabulary = {word for icon in found if not icon.source.joined for word in icon.text.split()}
    vocabulary = {word for word in vocabulary if len(word) > 2 or word in ("a", "of", "in", "on")}
    found = [_segmented(icon, vocabulary) for icon in found]
    found.sort(key=lambda icon: hashlib.sha1(f"{icon.source.name}/{icon.name}".encode()).digest())
    return _without_repeats(found)


def _read(folder: Path, name: str) -> dict[str, Any]:
    said: dict[str, Any] = json.loads((folder / "json" / f"{name}.json").read_text())
    return said


def _countries(twemoji: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of countries by two letters, from the set's names of flags."""
    names = {}
    for code, name in twemoji["chars"].items():
        if _FLAG.match(code):
            letters = [chr(int(part, 16) - 0x1F1E6 + ord("a")) for part in code.split("-")]
            names["".join(letters)] = captions.from_icon(name.removeprefix("flag-"))
    return names


def is_wanted(one: IconSet, name: str, said: Mapping[str, Any], sources: Sources) -> bool:
    """Say whether an icon of a set is taken, by its name, variant and categories."""
    if sources.brands.search(name) or said["icons"][name].get("hidden"):
        return False
    if one.flags and name.startswith("lang-"):  # the flags of countries once more
        return False
    return one.variants is None or _variant(name, said) in one.variants


def _variant(name: str, said: Mapping[str, Any]) -> str:
    suffixes = sorted(filter(None, said.get("suffixes") or ()), key=len, reverse=True)
    return next((suffix for suffix in suffixes if name.endswith(f"-{suffix}")), "")


def _of_set(
    one: IconSet, said: Mapping[str, Any], sources: Sources, countries: Mapping[str, str]
) -> Iterable[Icon]:
    if said["info"]["license"]["spdx"] != one.licence:
        raise ValueError(f"{one.name} is {said['info']['license']['spdx']}, not {one.licence}")
    brands = {
        name
        for category, names in (said.get("categories") or {}).items()
        if sources.brand_categories.search(category)
        for name in names
    }
    for name, icon in said["icons"].items():
        if name in brands or not is_wanted(one, name, said, sources):
            continue
        box = tuple(
            float(icon.get(key, said.get(key, default)))
            for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
        )
        text = captions.from_icon(name, said.get("suffixes") or ())
        if one.numbered:
            text = _NUMBERED.sub("", text)
        if one.flags:
            code = name[:2] if len(name) == 2 or name[2:3] == "-" else ""
            country = countries.get(code, "")
            text = f"flag of {country}" if country and len(text) < 8 else f"flag {text}"
        is_variant = bool(_SKIN.search(name))
        yield Icon(one, name, text, icon["body"], (box[0], box[1], box[2], box[3]), is_variant)


def _segmented(icon: Icon, vocabulary: set[str]) -> Icon:
    if not icon.source.joined or " " in icon.text:
        return icon
    text = captions.segmented(icon.text, vocabulary)
    return Icon(icon.source, icon.name, text, icon.body, icon.box, icon.is_variant)


def _without_repeats(icons: list[Icon]) -> list[Icon]:
    """Leave out identical drawings, and what many sets of one colour draw alike."""
    seen: set[tuple[str, str]] = set()
    alike: Counter[str] = Counter()
    kept = []
    for icon in icons:
        drawing = (icon.source.name, icon.body)
        if drawing in seen:
            continue
        seen.add(drawing)
        if icon.source.is_mono:
            thing = " ".join(icon.text.split()[:2])
            alike[icon.text] += 1
            alike["\0" + thing] += 1
            most = 3 * ALIKE if not _DIRECTION.match(icon.text) else ALIKE
            if alike[icon.text] > ALIKE or alike["\0" + thing] > most:
                continue
        kept.append(icon)
    return kept
