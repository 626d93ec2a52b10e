"""Look-up tables of colours: `.cube` files and HALD pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

from imagegen.images import files
from imagegen.images.pixels import Floats
from imagegen.images.reading import BadPictureError
from imagegen.post.color import look_up, rgb
from imagegen.post.operations import operation

# The limits of the format (Adobe, Cube LUT Specification 1.0).
MOST = {1: 65536, 3: 256}
_STRIP = 1 << 17
"""Pixels at once, few enough for a processor's cache."""


@dataclass(frozen=True)
class Table:
    """A look-up table.

    Attributes:
        values: (N, 3), or (N, N, N, 3) by blue, green, red.
        low, high: The input that the first and the last entry are for, by channel.
    """

    values: Floats
    low: Floats
    high: Floats


def _is_table(settings: dict[str, Any]) -> None:
    try:
        read_table(settings["file"])
    except ValueError as error:
        raise ValueError(f"file: {error}") from None


@operation("color", "lut:file=film.cube", check=_is_table)
def lut(
    color: Floats,
    *,
    file: str,
    interpolation: Literal["tetrahedral", "trilinear"] = "tetrahedral",
) -> Floats:
    """Send colours through a look-up table from a file, as films and cameras are graded.

    Works on sRGB values. Grey pictures become coloured if the table colours grey.

    Args:
        file: A .cube file with a table of one or three dimensions, or a HALD picture.
        interpolation: How to find what lies between the entries of three dimensions.
    """
    table = read_table(file)
    if color.shape[2] == 3:
        return _through(table, color, interpolation)
    greys = (np.arange(65536) / 65535).astype(np.float32)[None, :, None]
    ramp = _through(table, rgb(greys), interpolation)[0].clip(0, 1)
    if np.ptp(ramp, axis=1).max() < 1e-4:
        return look_up(color, ramp[:, 0])
    return np.concatenate([look_up(color, ramp[:, c]) for c in range(3)], axis=2)


def _through(table: Table, color: Floats, interpolation: str) -> Floats:
    place = (color - table.low) / (table.high - table.low)
    if table.values.ndim == 2:
        size = len(table.values)
        steps = np.linspace(0, 1, size)
        bent = [np.interp(place[..., c], steps, table.values[:, c]) for c in range(3)]
        return np.stack(bent, axis=2).astype(np.float32)
    mix = _tetrahedral if interpolation == "tetrahedral" else _trilinear
    points = place.reshape(-1, 3)
    result = np.empty_like(points)
    for start in range(0, len(points), _STRIP):
        result[start : start + _STRIP] = mix(table.values, points[start : start + _STRIP])
    return result.reshape(color.shape)


def _cells(values: Floats, points: Floats) -> tuple[Floats, Any, Floats, Any]:
    """Return the entries in a row, each point's cell and its place there (3, N), and the steps."""
    size = len(values)
    # By channel: NumPy is slow along an axis of three.
    scaled = np.ascontiguousarray(points.T).clip(0, 1) * np.float32(size - 1)
    cell = np.minimum(scaled.astype(np.int32), size - 2)
    # Red runs fastest.
    steps = np.array([1, size, size * size], np.int32)
    first = cell[0] + steps[1] * cell[1] + steps[2] * cell[2]
    return values.reshape(-1, 3), first, scaled - cell, steps


def _tetrahedral(values: Floats, points: Floats) -> Floats:
    """Mix the corners of the tetrahedron that a point is in (Kasson et al. 1995).

    They are met by going from the cell's first corner along its axes, the longest way first.
    """
    flat, first, share, steps = _cells(values, points)
    red, green, blue = share
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    along_most = np.where(red == most, steps[0], np.where(green == most, steps[1], steps[2]))
    # Of equal ways the last is the least, so that it is never the most as well.
    along_least = np.where(blue == least, steps[2], np.where(green == least, steps[1], steps[0]))
    last = first + steps.sum()
    middle = red + green + blue - most - least
    mixed: Floats = (
        (1 - most)[:, None] * flat[first]
        + (most - middle)[:, None] * flat[first + along_most]
        + (middle - least)[:, None] * flat[last - along_least]
        + least[:, None] * flat[last]
    )
    return mixed


def _trilinear(values: Floats, points: Floats) -> Floats:
    """Mix the eight corners of the cell that a point is in."""
    flat, first, share, steps = _cells(values, points)
    red, green, blue = share[..., None]

    def along_red(corner: Any) -> Any:
        start = flat[corner]
        return start + red * (flat[corner + steps[0]] - start)

    def along_green(corner: Any) -> Any:
        start = along_red(corner)
        return start + green * (along_red(corner + steps[1]) - start)

    start = along_green(first)
    mixed: Floats = start + blue * (along_green(first + steps[2]) - start)
    return mixed


@lru_cache(maxsize=4)
def read_table(path: str) -> Table:
    """Read a look-up table; raises ValueError that says where it is wrong."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    if path.lower().endswith(".cube"):
        return _cube(path, data.decode("utf-8-sig", errors="replace").splitlines())
    try:
        pixels = files.read(data).pixels
    except BadPictureError as error:
        raise ValueError(f"{path}: expected a .cube file or a HALD picture: {error}") from None
    return _hald(path, rgb(pixels.color))


def _hald(path: str, color: Floats) -> Table:
    height, width = color.shape[:2]
    level = round(width ** (1 / 3))
    if height != width or level**3 != width or level < 2:
        raise ValueError(
            f"{path}: expected a HALD picture, a square whose side is a cube such as 64 or 512, "
            f"got {width}x{height}"
        )
    return _table(color.reshape(level**2, level**2, level**2, 3), [0, 0, 0], [1, 1, 1])


def _table(values: Any, low: Any, high: Any) -> Table:
    return Table(
        np.ascontiguousarray(values, np.float32),
        np.array(low, np.float32),
        np.array(high, np.float32),
    )


def _cube(path: str, lines: list[str]) -> Table:
    """Read the text of a `.cube` file: keywords first, then three numbers a line."""
    head: dict[str, list[str]] = {}
    dimensions = size = 0
    low, high = [0.0] * 3, [1.0] * 3
    start = len(lines)
    for number, line in enumerate(lines, start=1):
        key, *words = line.split() or ["#"]

        def wrong(text: str, number: int = number) -> NoReturn:
            raise ValueError(f"{path}, line {number}: {text}")

        if key.startswith("#") or key == "TITLE":
            continue
        if key[0] in "+-.0123456789":
            start = number - 1
            break
        if key in head:
            wrong(f"{key} is given twice")
        head[key] = words
        if key in ("LUT_1D_SIZE", "LUT_3D_SIZE"):
            if dimensions:
                wrong("expected a table of one or of three dimensions, got both")
            dimensions = int(key[4])
            text = " ".join(words)
            size = int(text) if text.isascii() and text.isdigit() else 0
            if not 2 <= size <= MOST[dimensions]:
                wrong(f"{key}: expected a size from 2 up to {MOST[dimensions]}, got {text!r}")
        elif key in ("DOMAIN_MIN", "DOMAIN_MAX"):
            ends = _three(words) or wrong(f"{key}: expected three numbers, got {' '.join(words)!r}")
            low, high = (ends, high) if key == "DOMAIN_MIN" else (low, ends)
        elif key in ("LUT_1D_INPUT_RANGE", "LUT_3D_INPUT_RANGE"):
            ends = _three([*words, "0"]) or wrong(f"{key}: expected two numbers")
            low, high = [ends[0]] * 3, [ends[1]] * 3
        else:
            wrong(f"unknown keyword {key!r}")
    if not dimensions:
        raise ValueError(f"{path}: expected LUT_1D_SIZE or LUT_3D_SIZE before the numbers")
    if any(a >= b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"{path}: expected DOMAIN_MIN below DOMAIN_MAX, got {low} and {high}")
    values = _numbers(path, lines, start)
    if len(values) != size**dimensions:
        raise ValueError(
            f"{path}: expected {size**dimensions} lines of numbers for size {size}, "
            f"got {len(values)}"
        )
    return _table(values.reshape(*[size] * dimensions, 3), low, high)


def _numbers(path: str, lines: list[str], start: int) -> Any:
    """Read what follows the head at once, and only if that fails find the line at fault."""
    try:
        values = np.loadtxt(lines[start:], np.float32, ndmin=2) if lines[start:] else None
        if values is None:
            return np.zeros((0, 3))
        if values.shape[1] == 3 and np.isfinite(values).all():
            return values
    except ValueError:
        pass
    for number, line in enumerate(lines[start:], start=start + 1):
        words = line.partition("#")[0].split()
        if words and _three(words) is None:
            raise ValueError(f"{path}, line {number}: expected three numbers, got {line.strip()!r}")
    raise ValueError(f"{path}: expected lines of three numbers")


def _three(words: list[str]) -> list[float] | None:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers if len(numbers) == 3 and np.isfinite(numbers).all() else None
