"""Where an operation works and how much: label maps, region expressions, a mask's edge.

The keyword arguments of `share` and `remember` are the settings that operations get for free.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from imagegen.errors import did_you_mean
from imagegen.images import files
from imagegen.images.pixels import Floats, Pixels
from imagegen.images.reading import BadPictureError

Labels = npt.NDArray[np.int32]
"""(H, W): 0 is the background, 1 and up are the regions of the subject, biggest first."""

Mask = npt.NDArray[np.bool_]

EVERYWHERE = "all"
UNNAMED = ""
"""Where the label map is kept that is made when a region asks for one and no step made any."""

WORDS = (EVERYWHERE, "subject", "background", "largest", "brightest", "darkest")
PREFIXES = ("label", "color", "mask", "rect")
SYNTAX = (
    "all, subject, background, largest, brightest, darkest, label:N, color:#RRGGBB~20, "
    "rect:X:Y:W:H, mask:FILE, NAME or NAME:N of a segment step, joined by + - & ! ( )"
)


class Scene(NamedTuple):
    """What regions are found in: a picture and the label maps so far, the last one last."""

    color: Floats
    alpha: Floats | None
    maps: dict[str, Labels]

    def last(self) -> Labels:
        """Return the last segment step's labels; if there was none, segment now."""
        if not self.maps:
            from imagegen.post.segment import by_default

            self.maps[UNNAMED] = by_default(self.color, self.alpha)
        return self.maps[next(reversed(self.maps))]


Draw = Callable[[Scene], Floats]
"""Draws a region: (H, W), 1 inside and 0 outside."""


def parse_region(text: str, names: tuple[str, ...]) -> Draw:
    """Read a region expression; raises ValueError if it is none.

    `+` is the greater of two masks, `&` the lesser, `a - b` is `a & !b`; `!` binds tightest, then
    `&`. Both names and files may hold a `-`: the longest one that exists is taken.

    Args:
        text: the expression.
        names: what label maps are called.
    """
    try:
        return _parse(text, names)
    except RecursionError:
        raise ValueError("region: too many brackets") from None


@lru_cache(maxsize=64)
def _parse(text: str, names: tuple[str, ...]) -> Draw:
    return _Parser(text, names).whole()


def check_name(text: str) -> None:
    """Raise ValueError unless a region expression can name a label map `text`."""
    taken = (EVERYWHERE, "largest", "brightest", "darkest", *PREFIXES)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) or text in taken:
        raise ValueError(
            f"as: expected a name of letters, digits, - and _, beginning with a letter, "
            f"and none of {', '.join(taken)}; got {text!r}"
        )


def mask(expression: str, pixels: Pixels, maps: dict[str, Labels]) -> Floats:
    """Draw a region: (H, W, 1), 1 inside and 0 outside. A label that is not there is empty."""
    draw = parse_region(expression, tuple(name for name in maps if name != UNNAMED))
    return draw(Scene(pixels.color, pixels.alpha, maps))[..., None]


def share(
    pixels: Pixels,
    maps: dict[str, Labels],
    *,
    region: str = EVERYWHERE,
    expand: Annotated[int, Field(ge=-1000, le=1000)] = 0,
    feather: Annotated[float, Field(ge=0, le=200)] = 0.0,
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Floats:
    """Draw how much of an operation's result each pixel is to take, (H, W, 1).

    Args:
        region: Where: subject or background, NAME (what segment:as=NAME found) or NAME:3 (one
            label of it), label:3, largest, brightest or darkest of the last segment step,
            color:#88aaff~20 (up to 20 away in CIE Lab), rect:X:Y:W:H, mask:file.png, or all;
            joined by + - & ! and brackets.
        expand: Pixels that the region grows by on all sides; below 0 it shrinks.
        feather: Softness of the region's edge in pixels, the sigma of a Gaussian.
        strength: How much of the result to take: 0 is none, 1 all of it.
    """
    inside = soften(mask(region, pixels, maps), expand, feather)
    return inside * np.float32(strength)


def soften(inside: Floats, expand: int, feather: float) -> Floats:
    """Move a mask's edge outwards, by a disc, then blur it. A moved edge is a hard one first."""
    import cv2

    if expand != 0:
        hard = inside[..., 0] >= 0.5
        # Without an edge, there is none to move.
        if hard.any() and not hard.all():
            side = (hard if expand < 0 else ~hard).astype(np.uint8)
            away = cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            hard = np.asarray(away > -expand if expand < 0 else away <= expand)
        inside = hard.astype(np.float32)[..., None]
    if feather > 0:
        soft = cv2.GaussianBlur(inside, (0, 0), feather, borderType=cv2.BORDER_REFLECT_101)
        inside = np.asarray(soft, np.float32).reshape(inside.shape).clip(0, 1)
    return inside


def remember(labels: Labels, maps: dict[str, Labels], *, as_: str) -> None:
    """Keep a label map for the regions of later steps; the picture stays as it is.

    Args:
        as_: Name of the result, for `region=NAME` in later steps.
    """
    maps[as_] = labels


def visible(alpha: Floats | None, size: tuple[int, int]) -> Mask:
    """Mark what can be seen: pixels at least half as opaque as the most opaque one.

    Not all with alpha above 0: resampled cut-outs have rings of alpha 1 or 2 in 255 around them,
    whose colours are rounding errors.
    """
    if alpha is None:
        return np.ones(size, dtype=bool)
    opacity = alpha[..., 0]
    seen: Mask = (opacity > 0) & (opacity >= opacity.max() / 2)
    return seen


def lab(color: Floats) -> Floats:
    """Convert to CIE Lab (D65), where distance is close to seen difference: L 0..100."""
    import cv2

    rgb = np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:2], 3)), dtype=np.float32)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), np.float32)


def parse_color(text: str) -> Floats:
    """Read #RRGGBB or #RGB, with or without #, as sRGB in [0, 1]; raises ValueError."""
    digits = text.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", digits):
        raise ValueError(f"expected a colour such as #88aaff, got {text!r}")
    return np.asarray(np.frombuffer(bytes.fromhex(digits), np.uint8) / 255, np.float32)


class _Parser:
    """Reads an expression from left to right, and makes a function of it."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text, self.names, self.place = text, names, 0

    def whole(self) -> Draw:
        draw = self.sum()
        if self.peek():
            raise self.error(f"expected + - & or the end at {self.rest()!r}")
        return draw

    def sum(self) -> Draw:
        draw = self.product()
        while sign := self.take("+-"):
            draw = (
                _either(draw, self.product()) if sign == "+" else _both(draw, _not(self.product()))
            )
        return draw

    def product(self) -> Draw:
        draw = self.factor()
        while self.take("&"):
            draw = _both(draw, self.factor())
        return draw

    def factor(self) -> Draw:
        if self.take("!"):
            return _not(self.factor())
        if self.take("("):
            draw = self.sum()
            if not self.take(")"):
                raise self.error("a bracket is not closed")
            return draw
        return self.atom()

    def atom(self) -> Draw:
        if self.match(r"label:([0-9]{1,9})"):
            return _label(None, int(self.found[1]))
        if self.match(r"color:(#?[0-9A-Fa-f]+)(?:~([0-9]+\.?[0-9]*))?"):
            try:
                color = parse_color(self.found[1])
            except ValueError as error:
                raise self.error(f"color: {error}") from None
            return _near(color, float(self.found[2] or 20))
        if self.match(r"rect:([0-9]{1,6}):([0-9]{1,6}):([0-9]{1,6}):([0-9]{1,6})(?![:0-9])"):
            x, y, width, height = (int(part) for part in self.found.groups())
            if width == 0 or height == 0:
                raise self.error("rect: expected X:Y:W:H with W and H from 1 up")
            return _rectangle(x, y, width, height)
        if self.match("mask:"):
            return _file(self.file())
        if self.match(r"([A-Za-z][A-Za-z0-9_-]*)"):
            return self.named(self.found[1])
        raise self.error(f"{self.rest()!r} is none" if self.peek() else "it ends too early")

    def named(self, word: str) -> Draw:
        known = [*self.names, *WORDS]
        # A name may hold a minus, and a minus may end a name.
        for cut in [len(word), *(m.start() for m in reversed(list(re.finditer("-", word))))]:
            if word[:cut] in known:
                self.place -= len(word) - cut
                word = word[:cut]
                break
        else:
            if word in PREFIXES:
                raise self.error(f"{self.text[self.place - len(word) :]!r} is none")
            near = did_you_mean(word, known)
            raise ValueError(f"region: no earlier segment step has as={word}{near}")
        if word in self.names:
            return _label(word, int(self.found[1]) if self.match(":([0-9]{1,9})") else None)
        if word in ("subject", "background"):
            return _label(None, None) if word == "subject" else _not(_label(None, None))
        return {EVERYWHERE: _all, "largest": _largest}.get(word) or _by_luma(word == "brightest")

    def file(self) -> str:
        """Read a file's name: in quotes, or the longest one that exists."""
        if self.match(r"'([^']*)'|\"([^\"]*)\""):
            name = self.found[1] or self.found[2] or ""
            if not Path(name).is_file():
                raise ValueError(f"region: mask: no such file: {name}")
            return name
        self.match(r"[^&()]*")
        whole = self.found[0]
        cuts = [m.start() for m in re.finditer(r"[+-]", whole)]
        for cut in [len(whole), *reversed(cuts)]:
            name = whole[:cut].rstrip()
            if name and Path(name).is_file():
                self.place -= len(whole) - cut
                return name
        raise ValueError(f"region: mask: no such file: {whole.strip()}")

    def peek(self) -> str:
        while self.text[self.place : self.place + 1].isspace():
            self.place += 1
        return self.text[self.place : self.place + 1]

    def take(self, letters: str) -> str:
        letter = self.peek()
        if not letter or letter not in letters:
            return ""
        self.place += 1
        return letter

    def match(self, pattern: str) -> bool:
        self.peek()
        found = re.compile(pattern).match(self.text, self.place)
        if found is None:
            return False
        self.found, self.place = found, found.end()
        return True

    def rest(self) -> str:
        return self.text[self.place : self.place + 30]

    def error(self, what: str) -> ValueError:
        return ValueError(f"region: expected {SYNTAX}; {what} (in {self.text[:80]!r})")


def _all(scene: Scene) -> Floats:
    return np.ones(scene.color.shape[:2], np.float32)


def _label(name: str | None, label: int | None) -> Draw:
    """Draw one label of a map, or all but the background; without a name, of the last map."""

    def draw(scene: Scene) -> Floats:
        labels = scene.last() if name is None else scene.maps[name]
        inside = labels >= 1 if label is None else labels == label
        return np.asarray(inside, np.float32)

    return draw


def _largest(scene: Scene) -> Floats:
    """Draw the biggest region of the last map, background aside."""
    labels = scene.last()
    area = np.bincount(labels.ravel())
    area[0] = 0
    if not area.any():
        return np.zeros(labels.shape, np.float32)
    return np.asarray(labels == area.argmax(), np.float32)


def _by_luma(brightest: bool) -> Draw:
    """Draw the region of the last map, background included, that is brightest or darkest in mean.

    Pixels that can't be seen do not count.
    """

    def draw(scene: Scene) -> Floats:
        labels = scene.last()
        light = lab(scene.color)[..., 0]
        seen = visible(scene.alpha, labels.shape)
        area = np.bincount(labels[seen])
        if not area.any():
            return np.zeros(labels.shape, np.float32)
        mean = np.bincount(labels[seen], light[seen]) / np.maximum(area, 1)
        mean = np.where(area > 0, mean if brightest else -mean, -np.inf)
        return np.asarray(labels == mean.argmax(), np.float32)

    return draw


def _near(color: Floats, tolerance: float) -> Draw:
    """Draw the pixels at most `tolerance` away in CIE Lab (CIE76; 2.3 is just noticeable)."""
    target = lab(color[None, None])[0, 0]

    def draw(scene: Scene) -> Floats:
        distance = np.linalg.norm(lab(scene.color) - target, axis=2)
        seen = visible(scene.alpha, distance.shape)
        # A colour is not quite itself after a conversion to Lab of another grid of pixels.
        return np.asarray((distance <= tolerance + 1e-3) & seen, np.float32)

    return draw


def _rectangle(x: int, y: int, width: int, height: int) -> Draw:
    def draw(scene: Scene) -> Floats:
        inside = np.zeros(scene.color.shape[:2], np.float32)
        inside[y : y + height, x : x + width] = 1
        return inside

    return draw


def _file(name: str) -> Draw:
    """Draw a picture's brightness, 0 where it is transparent. It is read here, once."""
    try:
        pixels = files.load(name)
    except ValueError as error:
        raise ValueError(f"region: mask: {error}") from None
    opacity = 1 if pixels.alpha is None else pixels.alpha[..., 0]
    inside = np.asarray(pixels.color.mean(axis=2) * opacity, np.float32)

    def draw(scene: Scene) -> Floats:
        height, width = scene.color.shape[:2]
        if inside.shape != (height, width):
            raise BadPictureError(
                f"region: the mask {name} is {inside.shape[1]}x{inside.shape[0]}, "
                f"and the picture is {width}x{height} at this step"
            )
        return inside

    return draw


def _not(one: Draw) -> Draw:
    return lambda scene: 1 - one(scene)


def _both(one: Draw, other: Draw) -> Draw:
    return lambda scene: np.minimum(one(scene), other(scene))


def _either(one: Draw, other: Draw) -> Draw:
    return lambda scene: np.maximum(one(scene), other(scene))
