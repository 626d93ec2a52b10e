"""The material that pictures are made from, loaded once and shared by all worker processes."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import OpenEXR
from numpy.typing import NDArray
from PIL import Image, ImageFont

from recipes.general import doom, icons
from recipes.general.fetch import Packages
from recipes.general.icons import Icon
from recipes.general.sources import AvatarStyle, Sources

MOST_PIXELS = 16_000_000
"""Of a clip art; a few have ten times as many and take seconds to decode."""
FONT_LICENCES = ("OFL-1.1", "Apache-2.0", "UFL-1.0")
CLIPART_LEFT_OUT = {"logos", "special", "duplicates", "apps", "applications", "coke", "vim"}
CLIPART_LEFT_OUT |= {"tux", "linux", "gnu", "debian", "gentoo", "gnome", "kde", "kdevelop"}
CLIPART_LEFT_OUT |= {"mozilla", "firefox", "windows", "mac", "yahoo", "jabber", "gaim", "java"}
CLIPART_LEFT_OUT |= {"gimp", "inkscape", "blender", "opera", "apacheconf"}
"""Folders and words of names: logos, patterns, and icons of programs."""
_POLYGON = re.compile(r"shapes/stars/star_\d")  # 1,375 regular stars of thin lines

PARTS = {
    "colour": ("colour_icons",),
    "styled": ("mono_icons", "matcaps"),
    "clipart": ("clipart", "words"),
    "scenes": ("colour_icons", "mono_icons", "clipart", "words"),
    "glyphs": ("fonts",),
    "avatars": ("avatars",),
    "sprites": ("sprites", "colour_icons", "mono_icons"),
    "textures": ("photos",),
}
"""Parts of the library that each kind needs."""


@dataclass(frozen=True)
class Font:
    """A font file.

    Attributes:
        name: of its package.
        family: as people know it.
        category: such as "serif" or "handwriting".
        licence: of the font.
        path: of the file.
    """

    name: str
    family: str
    category: str
    licence: str
    path: Path


@dataclass(frozen=True)
class Avatar:
    """An avatar of DiceBear, and which optional parts it has."""

    style: AvatarStyle
    svg: str
    parts: tuple[str, ...]


class Library:
    """Everything that is drawn from; each part is read when it is first asked for.

    Attributes:
        sources: what is taken.
        packages: where it lies.
        seed: of the collection.
        avatar_count: avatars to be made.
    """

    def __init__(self, sources: Sources, packages: Packages, seed: int, avatar_count: int) -> None:
        self.sources = sources
        self.packages = packages
        self.seed = seed
        self.avatar_count = avatar_count

    @cached_property
    def icons(self) -> list[Icon]:
        """All icons that are taken."""
        return icons.load(self._folder("icons"), self.sources)

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of the icons' names, which are English."""
        return frozenset(word for icon in self.icons for word in icon.text.split())

    @cached_property
    def colour_icons(self) -> list[Icon]:
        """Icons in colour; a third of those that differ in the tone of a skin."""
        found = [icon for icon in self.icons if not icon.source.is_mono]
        return [icon for number, icon in enumerate(found) if not icon.is_variant or number % 3 == 0]

    @cached_property
    def mono_icons(self) -> list[Icon]:
        """Icons of one colour."""
        return [icon for icon in self.icons if icon.source.is_mono]

    @cached_property
    def clipart(self) -> list[Path]:
        """Files of clip art, without logos and patterns."""
        root = self._folder("clipart") / "usr/share/openclipart/png"
        found = [path for path in root.rglob("*.png") if not path.is_symlink()]
        found = [path for path in found if is_clipart_wanted(path.relative_to(root))]
        found = [path for path in found if _pixels_of(path) <= MOST_PIXELS]
        found.sort()
        order = np.random.default_rng([self.seed, 1]).permutation(len(found))
        return [found[place] for place in order]

    @cached_property
    def fonts(self) -> list[Font]:
        """One file of each font: the Latin letters, in its regular and its boldest weight.

        Raises:
            ValueError: if a font has a licence that is not expected.
        """
        found = []
        for name, package in self.sources.fonts.items():
            folder = self.packages.unpacked(package)
            said = json.loads((folder / "metadata.json").read_text())
            licence = said["license"]["type"]
            if licence not in FONT_LICENCES:
                raise ValueError(f"font {name} is {licence}")
            weights = sorted(said["weights"])
            for weight in dict.fromkeys((min(weights, key=lambda w: abs(w - 400)), weights[-1])):
                path = folder / "files" / f"{name}-latin-{weight}-normal.woff"
                if path.exists():
                    found.append(Font(name, said["family"], said["category"], licence, path))
        return found

    @cached_property
    def sprites(self) -> list[doom.Lump]:
        """Pictures of Freedoom, each once, mixed."""
        folder = self._folder("sprites") / "usr/share/games/doom"
        lumps = [lump for path in sorted(folder.glob("*.wad")) for lump in doom.read(path)]
        lumps = [lump for lump in lumps if lump.kind != "patch" or min(lump.pixels.shape[:2]) > 31]
        once = {(lump.pixels.shape, lump.pixels.tobytes()): lump for lump in lumps}
        found = list(once.values())
        order = np.random.default_rng([self.seed, 3]).permutation(len(found))
        return [found[place] for place in order]

    @cached_property
    def photos(self) -> dict[str, NDArray[np.float32]]:
        """Panoramas (RGB, linear light) by name."""
        return {
            path.name.partition(".")[0]: _panorama(path)
            for path in sorted((self._folder("photos") / "hdri").glob("*.exr.js"))
        }

    @cached_property
    def matcaps(self) -> list[NDArray[np.float32]]:
        """Pictures of lit spheres (RGB, 0 to 1)."""
        found = []
        for path in sorted((self._folder("photos") / "matcaps").glob("*.webp.js")):
            image = Image.open(io.BytesIO(_data(path))).convert("RGB").resize((128, 128))
            found.append(np.asarray(image, np.float32) / 255)
        return found

    @cached_property
    def avatars(self) -> list[Avatar]:
        """Avatars of all styles, mixed."""
        styles = {style.name: style for style in self.sources.avatars}
        whole = sum(style.share for style in styles.values())
        counts = [
            f"{name}={round(self.avatar_count * style.share / whole) + 1}"
            for name, style in styles.items()
        ]
        script = Path(__file__).with_name("avatars.mjs")
        command = [
            "node",
            "--preserve-symlinks",
            script,
            self._node_modules(),
            str(self.seed),
            *counts,
        ]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        made = [json.loads(line) for line in lines.splitlines()]
        order = np.random.default_rng([self.seed, 2]).permutation(len(made))
        found = [_avatar(made[place], styles) for place in order]
        return found[: self.avatar_count]

    def load_for(self, kind: str) -> None:
        """Load what a kind is made from, before the workers are forked, so that they share it."""
        for part in PARTS[kind]:
            getattr(self, part)

    def _folder(self, role: str) -> Path:
        return self.packages.unpacked(self.sources.packages[role])

    def _node_modules(self) -> Path:
        """Return a folder in which Node finds DiceBear."""
        root = self.packages.folder / "unpacked" / "node"
        scope = root / "node_modules" / "@dicebear"
        scope.mkdir(parents=True, exist_ok=True)
        for package in self.sources.every_package():
            if package.name.startswith("@dicebear/"):
                link = scope / package.name.removeprefix("@dicebear/")
                if not link.exists():
                    link.symlink_to(self.packages.unpacked(package).resolve())
        return root


def is_clipart_wanted(path: Path) -> bool:
    """Say whether a clip art is taken, by its folder and name."""
    name = path.as_posix().lower()
    return not (_POLYGON.search(name) or CLIPART_LEFT_OUT & set(re.split(r"[/_\-. ]+", name)))


def _pixels_of(path: Path) -> int:
    """Return how many pixels a PNG has, from its header; Pillow refuses to open huge ones."""
    with path.open("rb") as file:
        width, height = struct.unpack(">II", file.read(24)[16:])
    return int(width * height)


def _avatar(line: dict[str, Any], styles: dict[str, AvatarStyle]) -> Avatar:
    return Avatar(styles[line["style"]], line["svg"], tuple(line["extra"]))


def _data(path: Path) -> bytes:
    """Return what a JavaScript module holds as a data URI."""
    return base64.b64decode(path.read_text().partition("base64,")[2].rstrip("\"';\n "))


def _panorama(path: Path) -> NDArray[np.float32]:
    with NamedTemporaryFile(suffix=".exr") as file:  # the library reads files only
        file.write(_data(path))
        file.flush()
        channels = OpenEXR.File(file.name).channels()
    return np.ascontiguousarray(channels["RGB"].pixels, np.float32)


def truetype(font: Font, size: int) -> ImageFont.FreeTypeFont:
    """Open a font."""
    return ImageFont.truetype(str(font.path), size)
