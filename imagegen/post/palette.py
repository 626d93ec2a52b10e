"""Palettes: few colours for all, and what the chief colours of a picture are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.clusters import centers
from imagegen.post.color import rgb
from imagegen.post.grading import hex_color
from imagegen.post.match import read_colors
from imagegen.post.oklab import from_oklab, to_oklab
from imagegen.post.operations import operation
from imagegen.post.region import visible

MOST = 256


def _has_palette(settings: dict[str, Any]) -> None:
    file, colors, n = settings["file"], settings["colors"], settings["n"]
    if colors is not None:
        for key, value in (("file", file), ("n", n)):
            if value is not None:
                raise ValueError(f"{key}: would be ignored, as colors says which there are")
        if len(_listed(colors)) > MOST:
            raise ValueError(f"colors: expected up to {MOST}, got {len(_listed(colors))}")
        return
    if file is None:
        settings["n"] = n or 16
        return
    try:
        known = _read(file)
    except ValueError as error:
        raise ValueError(f"file: {error}") from None
    if n is not None and len(known) <= n:
        raise ValueError(f"n: would be ignored, as {file} has only {len(known)} colours")
    if len(known) > MOST and n is None:
        settings["n"] = MOST


@operation("color", "palette:n=8", check=_has_palette)
def palette(
    color: Floats,
    alpha: Floats | None,
    *,
    file: str | None = None,
    colors: str | None = None,
    n: Annotated[int, Field(ge=2, le=MOST)] | None = None,
    dither: Literal["none", "floyd-steinberg"] = "none",
) -> Floats:
    """Paint with the colours of a palette only.

    Each pixel takes the nearest colour in Oklab. Grey pictures become coloured if the file's
    colours are.

    Args:
        file: Where the colours are: a GIMP palette (.gpl), a list of RRGGBB (.hex), or a picture.
            Without it they are found in the picture itself.
        colors: The colours themselves: "#1d2b53 #7e2553 #fff1e8".
        n: How many colours to find, by k-means in Oklab: of the picture (16 if not given), or of
            a file that has more (256).
        dither: How to mix what the palette lacks; floyd-steinberg spreads the error to the next
            pixels, in sRGB of 8 bit.
    """
    seen = color[visible(alpha, color.shape[:2])]
    if len(seen) == 0:
        return color
    if colors is not None:
        box = _listed(colors)
    else:
        box = _paint_box(seen if file is None else _read(file), n)
    if color.shape[2] == 1 and np.ptp(box, axis=1).max() > 0:
        color = rgb(color)
    if color.shape[2] == 1:
        box = np.unique(box[:, :1], axis=0)
    index = _spread(color, box) if dither != "none" else _nearest(color, box)
    return np.asarray(box[index], np.float32)


@operation("report", "dominant-colors:n=5")
def dominant_colors(
    color: Floats,
    alpha: Floats | None,
    inside: Floats,
    *,
    n: Annotated[int, Field(ge=1, le=64)] = 5,
) -> dict[str, Any]:
    """Tell the chief colours of the picture and their shares, the largest first.

    Found by k-means in Oklab; transparent pixels do not count.

    Args:
        n: How many colours at most.
    """
    shown = visible(alpha, color.shape[:2]) & (inside[..., 0] > 0)
    seen = rgb(color[shown][None])
    if seen.size == 0:
        return {"colors": []}
    points = to_oklab(seen)[0]
    chief = _kmeans(points, n)
    index = _nearest_oklab(points, chief)
    shares = np.bincount(index, minlength=len(chief)) / len(index)
    colors = np.rint(from_oklab(chief[None])[0] * 255).astype(int)
    return {
        "colors": [
            {"hex": "#{:02x}{:02x}{:02x}".format(*colors[i]), "share": round(float(shares[i]), 4)}
            for i in np.argsort(-shares, kind="stable")
            if shares[i] > 0
        ]
    }


@lru_cache(maxsize=8)
def _read(path: str) -> Floats:
    """Read the different colours of a file, (N, 3) sRGB in their order; raises ValueError."""
    if path.lower().endswith((".gpl", ".hex")):
        try:
            lines = Path(path).read_text("utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror or error}") from None
        colors = _gpl(path, lines) if path.lower().endswith(".gpl") else _hex(path, lines)
        colors = colors[np.sort(np.unique(colors, axis=0, return_index=True)[1])]
    else:
        _, colors = _different(_packed(rgb(read_colors(path)[None])[0]))
    if len(colors) == 0:
        raise ValueError(f"{path}: no colours in it")
    return np.asarray(colors, np.float32)


def _listed(colors: str) -> Floats:
    """Read colours with spaces between them, (N, 3) sRGB; raises ValueError."""
    try:
        listed = [hex_color(word) for word in colors.split()]
    except ValueError as error:
        raise ValueError(f"colors: {error}") from None
    if not listed:
        raise ValueError("colors: there is none")
    return np.array(listed, np.float32)


def _gpl(path: str, lines: list[str]) -> Floats:
    """Read a GIMP palette: red, green and blue up to 255 and a name on each line."""
    if not lines or lines[0].strip() != "GIMP Palette":
        raise ValueError(f"{path}: expected 'GIMP Palette' on the first line")
    colors = []
    for number, line in enumerate(lines[1:], start=2):
        text = line.strip()
        if not text or text.startswith(("#", "Name:", "Columns:")):
            continue
        words = text.split()[:3]
        if len(words) < 3 or not all(w.isascii() and w.isdigit() and int(w) < 256 for w in words):
            raise ValueError(
                f"{path}, line {number}: expected three numbers from 0 up to 255, got {text!r}"
            )
        colors.append([int(word) / 255 for word in words])
    return np.array(colors, np.float32).reshape(-1, 3)


def _hex(path: str, lines: list[str]) -> Floats:
    colors = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            colors.append(hex_color(line.strip()))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return np.array(colors, np.float32).reshape(-1, 3)


def _packed(color: Floats) -> Any:
    """Return colours of 8 bit as whole numbers, 0xRRGGBB."""
    red, green, blue = np.moveaxis(np.rint(color * np.float32(255)).astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _different(packed: Any) -> tuple[Any, Floats]:
    """Return the different colours of whole numbers: the numbers again, and (N, 3) sRGB."""
    marks = np.zeros(1 << 24, bool)
    marks[packed] = True
    found = np.flatnonzero(marks)
    values = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
    return found, (values / 255).astype(np.float32)


def _paint_box(colors: Floats, n: int | None) -> Floats:
    """Return all colours, or, if they are more than `n`, that many; (N, 3) sRGB of 8 bit.

    Grey in is grey out, with its depth.
    """
    if colors.shape[1] == 1:
        found = np.unique(colors)
        if n is not None and len(found) > n:
            found = _kmeans(colors, n)[:, 0]
        return np.repeat(np.sort(found)[:, None], 3, axis=1)
    if n is None:
        return colors
    _, different = _different(_packed(colors))
    if len(different) <= n:
        return different
    chief = from_oklab(_kmeans(to_oklab(colors[None])[0], n)[None])[0]
    return np.asarray(np.rint(chief * 255) / 255, np.float32)


def _kmeans(points: Floats, n: int) -> Floats:
    """Find `n` centres in Oklab."""
    return centers(points, n, sample=10_000, movement=1e-4, attempts=1)


def _nearest(color: Floats, colors: Floats) -> Any:
    """Give each pixel the index of its nearest colour; each colour of 8 bit is asked but once."""
    if color.shape[2] == 1:
        edges = (colors[1:, 0] + colors[:-1, 0]) / 2
        return np.searchsorted(edges, color[..., 0])
    packed = _packed(color)
    numbers, asked = _different(packed.ravel())
    answers = np.zeros(1 << 24, np.int16)
    answers[numbers] = _nearest_oklab(to_oklab(asked[None])[0], to_oklab(colors[None])[0])
    return answers[packed]


def _nearest_oklab(points: Floats, chief: Floats) -> Any:
    """Give each point, (N, 3), the index of its nearest centre."""
    # |p - c|^2 is least where p.c - |c|^2 / 2 is greatest.
    half = (chief**2).sum(axis=1) / 2
    strips = np.array_split(points, len(points) // 65536 + 1)
    return np.concatenate([np.argmax(strip @ chief.T - half, axis=1) for strip in strips])


def _spread(color: Floats, colors: Floats) -> Any:
    """Dither with Pillow, which knows 8 bit and sRGB."""
    box = Image.new("P", (1, 1))
    flat = np.rint(colors * 255).astype(np.uint8)
    if flat.shape[1] == 1:
        flat = np.repeat(flat, 3, axis=1)
    # Pillow fills a short palette up with black; the first colour again does no harm.
    flat = np.concatenate([flat, np.repeat(flat[:1], MOST - len(flat), axis=0)])
    box.putpalette(flat.tobytes())
    image = Image.fromarray(np.rint(rgb(color) * 255).astype(np.uint8))
    index = np.asarray(image.quantize(palette=box, dither=Image.Dither.FLOYDSTEINBERG))
    return np.where(index < len(colors), index, 0)
