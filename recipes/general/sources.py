"""What the collection is made from: reading `sources.yaml`, and the rules of exclusion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent


@dataclass(frozen=True)
class IconSet:
    """A set of icons of @iconify/json; attributes as in sources.yaml.

    Attributes:
        is_mono: whether its icons have one colour, which is chosen here.
        variants: suffixes that are kept; None if the set has none.
    """

    name: str
    licence: str
    style: str
    is_mono: bool
    variants: tuple[str, ...] | None = None
    emoji: bool = False
    flags: bool = False
    joined: bool = False
    pixel: int = 0
    one_hue: bool = False
    numbered: bool = False
    benchmark_relative: bool = False


@dataclass(frozen=True)
class AvatarStyle:
    """A style of DiceBear; attributes as in sources.yaml."""

    name: str
    licence: str
    text: str
    share: float = 1
    emoji: bool = False


@dataclass(frozen=True)
class Package:
    """A package of a registry, of an exact version."""

    registry: str
    name: str
    version: str


@dataclass(frozen=True)
class Sources:
    """All that `sources.yaml` and `fonts.yaml` say.

    Attributes:
        packages: by role.
        icons: sets of icons that are taken.
        avatars: styles of avatars that are taken.
        fonts: packages by the name of the font.
        brands: matches names of icons that are left out.
        brand_categories: matches categories of icons that are left out.
        left_out: sets and packages that are left out as a whole, with the reason.
    """

    packages: dict[str, Package]
    icons: tuple[IconSet, ...]
    avatars: tuple[AvatarStyle, ...]
    fonts: dict[str, Package]
    brands: re.Pattern[str]
    brand_categories: re.Pattern[str]
    left_out: dict[str, str]

    def every_package(self) -> list[Package]:
        """Return all packages that the collection needs."""
        core = self.packages["avatars"]
        styles = [Package("npm", f"@dicebear/{style.name}", core.version) for style in self.avatars]
        return [*self.packages.values(), *styles, *self.fonts.values()]


def load(with_relatives: bool = False, with_emoji: bool = True) -> Sources:
    """Read the lists of sources.

    Args:
        with_relatives: take the sets that are related to the benchmark's test sets, too.
        with_emoji: take sets that draw the Unicode emoji, and avatars like these.

    Raises:
        ValueError: if a set is both taken and left out.
    """
    said: dict[str, Any] = yaml.safe_load((HERE / "sources.yaml").read_text())
    fonts: list[str] = yaml.safe_load((HERE / "fonts.yaml").read_text())["fonts"]
    left_out = {name: group["reason"] for group in said["left_out"] for name in group["sets"]}
    icons = tuple(
        one
        for kind, entries in said["icons"].items()
        for one in (_icon_set(entry, kind == "mono") for entry in entries)
        if (with_relatives or not one.benchmark_relative) and (with_emoji or not one.emoji)
    )
    if both := [one.name for one in icons if one.name in left_out]:
        raise ValueError(f"taken and left out: {', '.join(both)}")
    names = said["left_out_names"]
    return Sources(
        packages={
            role: Package(one["registry"], one["name"], str(one["version"]))
            for role, one in said["packages"].items()
        },
        icons=icons,
        avatars=tuple(
            AvatarStyle(name=one.pop("style"), **one)
            for one in said["avatars"]
            if with_emoji or not one.get("emoji")
        ),
        fonts={
            name: Package("npm", f"@fontsource/{name}", version)
            for name, version in map(str.split, fonts)
        },
        brands=re.compile(re.sub(r"\s+", "", names["pattern"]), re.IGNORECASE),
        brand_categories=re.compile(names["category"], re.IGNORECASE),
        left_out=left_out,
    )


def _icon_set(entry: dict[str, Any], is_mono: bool) -> IconSet:
    rest = {key: value for key, value in entry.items() if key not in ("set", "variants")}
    variants = tuple(entry["variants"]) if "variants" in entry else None
    return IconSet(name=entry["set"], is_mono=is_mono, variants=variants, **rest)
