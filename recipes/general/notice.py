"""Write the attributions of the collection: `python -m recipes.general.notice PACKAGES > NOTICE`.

Everything in it is read from the packages' own metadata.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

from recipes.general import sources
from recipes.general.fetch import Packages
from recipes.general.sources import Sources

INTRODUCTION = """\
Attributions of the general collection
======================================

The pictures of the collection that this recipe builds, and models that are trained on it, are made
from the works below. Most were changed: scaled to 64x64 pixels, recoloured, turned, cut out,
outlined, shaded, or combined with others. None of the authors endorses the collection or a model.
Sets marked with * are only in the build --with-benchmark-relatives.
"""
_FILE = re.compile(r" ?\S+\.(?:ttf|otf): ")
_SPACE = re.compile(r"\s+")


def notice(listed: Sources, packages: Packages) -> str:
    """Return the whole text."""
    parts = [
        INTRODUCTION,
        _icons(listed, packages),
        _avatars(listed, packages),
        _others(listed, packages),
        _fonts(listed, packages),
    ]
    return "\n".join(parts)


def _heading(text: str) -> str:
    return f"{text}\n{'-' * len(text)}\n"


def _icons(listed: Sources, packages: Packages) -> str:
    package = listed.packages["icons"]
    folder = packages.unpacked(package) / "json"
    lines = [_heading(f"Icons: npm {package.name} {package.version}")]
    for one in listed.icons:
        info: dict[str, Any] = json.loads((folder / f"{one.name}.json").read_text())["info"]
        author, licence = info["author"], info["license"]
        mark = " *" if one.benchmark_relative else ""
        lines.append(f"{info['name']} ({one.name}){mark} by {author['name']}")
        lines.append(f"    {author.get('url', '')}")
        lines.append(f"    {licence['title']} ({licence['spdx']}), {licence.get('url', '')}")
    return "\n".join(lines) + "\n"


def _avatars(listed: Sources, packages: Packages) -> str:
    version = listed.packages["avatars"].version
    lines = [_heading(f"Avatars: npm @dicebear/STYLE {version} (code: MIT, Florian Körner)")]
    for package in listed.every_package():
        style = package.name.removeprefix("@dicebear/")
        if style in (package.name, "core"):
            continue
        text = (packages.unpacked(package) / "LICENSE").read_text()
        said = dict(re.findall(r"^(Source|Designer|License): (.*)$", text, re.MULTILINE))
        designer = said.get("Designer", "DiceBear")
        lines.append(f"{style}: {said['Source']}\n    by {designer}\n    {said['License']}")
    return "\n".join(lines) + "\n"


def _others(listed: Sources, packages: Packages) -> str:
    package = listed.packages["clipart"]
    lines = [_heading(f"Clip art: Debian {package.name} {package.version}")]
    lines.append(
        "Open Clip Art Library, http://www.openclipart.org: dedicated to the public domain"
    )
    lines.append("by the authors that the files' names tell.\n")
    package = listed.packages["photos"]
    lines.append(_heading(f"Panoramas and lit spheres: npm {package.name} {package.version}"))
    lines.append("CC0 1.0 Universal, https://creativecommons.org/publicdomain/zero/1.0/\n")
    package = listed.packages["sprites"]
    lines.append(_heading(f"Game sprites and textures: Debian {package.name} {package.version}"))
    folder = packages.unpacked(package) / "usr/share/doc" / package.name
    copyright_ = (folder / "copyright").read_text()
    lines.append(copyright_[copyright_.index(" Copyright (c)") :].replace("\n .\n", "\n\n"))
    lines.append("Contributors (CREDITS):\n")
    credits = gzip.decompress((folder / "CREDITS.gz").read_bytes()).decode()
    lines.append(re.sub(r"^", "    ", credits.strip(), flags=re.MULTILINE))
    return "\n".join(lines) + "\n"


def _fonts(listed: Sources, packages: Packages) -> str:
    lines = [_heading("Fonts: npm @fontsource/NAME, of which glyphs are drawn")]
    for package in listed.fonts.values():
        said = json.loads((packages.unpacked(package) / "metadata.json").read_text())
        licence = said["license"]
        # Some repeat the same words for each file of the family.
        claims = dict.fromkeys(_FILE.split(_SPACE.sub(" ", licence["attribution"])))
        attribution = " ".join(claims)
        name = f"{said['family']} ({package.name} {package.version})"
        lines.append(f"{name}: {licence['type']}, {licence['url']}\n    {attribution}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    every = sources.load(with_relatives=True)
    store = Packages(Path(sys.argv[1]))
    store.fetch(every.every_package())
    sys.stdout.write(notice(every, store))
