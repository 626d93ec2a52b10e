"""Fewer dots and fewer tones: what print, old screens and old games do to a picture.

Where dots stand for tones (halftone, dither, pixelate, scanlines), eyes mix their light. So these
work in linear light, and a picture looks as bright as before from afar.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.neighbours import average, fill_hidden
from imagegen.post.operations import operation

SUBPIXELS = 4
"""Places a side in a pixel that halftone looks at, to draw dots with smooth edges."""
INKS = (-30.0, 30.0, -45.0)
"""Angles of the screens of cyan, magenta and yellow against that of black: print's 15, 75, 0."""


@operation("filter", "halftone:size=8")
def halftone(
    color: Floats,
    alpha: Floats | None,
    *,
    size: Annotated[float, Field(ge=2, le=64)] = 6.0,
    angle: Annotated[float, Field(ge=-360, le=360)] = 45.0,
    mono: bool = False,
) -> Floats:
    """Print with dots that are larger where it is darker.

    Colours take three inks, cyan, magenta and yellow, each with a screen of its own angle. Tones
    stay on the mean, in linear light, as eyes mix the dots. At 1024 x 1024 pixels about 1 s.

    Args:
        size: Distance of the dots in pixels.
        angle: Of the screen in degrees; with three inks of the black one that is not there, to
            which the others are turned by 15, 75 and 0 minus 45.
        mono: Black ink only.
    """
    light = to_linear(fill_hidden(color, alpha))
    if mono:
        light = luminance(light)[..., None]
    turns = INKS if light.shape[2] == 3 else (0.0,)
    screens = [
        _print(light[..., channel], size, angle + turn) for channel, turn in enumerate(turns)
    ]
    paper = from_linear(np.stack(screens, axis=2))
    return np.array(np.broadcast_to(paper, color.shape), np.float32)


def _print(light: Floats, size: float, angle: float) -> Floats:
    """Return how much of each pixel stays without ink, if the dots leave as much light as given."""
    height, width = light.shape
    tile = _dot()
    turn = np.radians(angle)
    cos, sin = (np.float32(of(turn) / size * len(tile)) for of in (np.cos, np.sin))
    paper = np.zeros(light.shape, np.float32)
    for sub in range(SUBPIXELS**2):
        below, right = ((part + 0.5) / SUBPIXELS for part in divmod(sub, SUBPIXELS))
        y = np.arange(height, dtype=np.float32)[:, None] + np.float32(below)
        x = np.arange(width, dtype=np.float32) + np.float32(right)
        # The tile's side is a power of 2, so that & is the remainder, below 0 too.
        u, v = (
            np.floor(at).astype(np.int32) & (len(tile) - 1)
            for at in (x * cos + y * sin, y * cos - x * sin)
        )
        paper += light > tile[v, u]
    return paper / np.float32(SUBPIXELS**2)


def _dot() -> Floats:
    """Return the light below which each place of a cell has ink: ranks, so that all are even."""
    wave = np.cos(2 * np.pi * (np.arange(128) + 0.5) / 128)
    height = wave[:, None] + wave
    ranks = np.empty(height.size, np.float32)
    ranks[np.argsort(height, axis=None, kind="stable")] = np.arange(height.size)
    return (ranks.reshape(height.shape) + np.float32(0.5)) / np.float32(height.size)


@operation("filter", "scanlines:period=3")
def scanlines(
    color: Floats,
    *,
    period: Annotated[int, Field(ge=2, le=64)] = 4,
    amount: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> Floats:
    """Darken lines across, as on a television with a tube: in linear light.

    Args:
        period: Distance of the lines in pixels; the top row is one.
        amount: Share of the light that is missing in the middle of a line.
    """
    place = np.arange(color.shape[0]) * (2 * np.pi / period)
    share = np.float32(amount) * (0.5 + 0.5 * np.cos(place)).astype(np.float32)
    return from_linear(to_linear(color) * (1 - share)[:, None, None])


@operation("filter", "pixelate:size=8")
def pixelate(
    color: Floats,
    alpha: Floats | None,
    *,
    size: Annotated[int, Field(ge=2, le=1024)] = 8,
) -> Floats:
    """Make squares of one colour: the mean of each, in linear light.

    Squares begin at the top left; those at the other edges may be smaller.

    Args:
        size: Side of the squares in pixels.
    """

    def mean(values: Floats) -> Floats:
        for axis in (0, 1):
            starts = np.arange(0, values.shape[axis], size)
            lengths = np.diff([*starts, values.shape[axis]])
            sums = np.add.reduceat(values, starts, axis=axis)
            means = sums / np.expand_dims(lengths, (1 - axis, 2)).astype(np.float32)
            values = np.repeat(means, lengths, axis=axis)
        return values

    return from_linear(average(to_linear(color), alpha, mean))


@operation("filter", "dither:levels=2,method=ordered")
def dither(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Literal["floyd-steinberg", "ordered"] = "floyd-steinberg",
    levels: Annotated[int, Field(ge=2, le=64)] = 2,
) -> Floats:
    """Make do with a few levels a channel, and mix them in dots for the tones between.

    Levels are even in sRGB values; dots are mixed in linear light, so that tones stay on the mean.

    Args:
        method: floyd-steinberg hands each pixel's error on to its neighbours (1976); ordered
            compares with Bayer's 8 x 8 matrix (1973), which makes a regular pattern.
        levels: In each channel; 2 is black and white, or 8 colours.
    """
    light = to_linear(fill_hidden(color, alpha))
    steps = to_linear(np.linspace(0, 1, levels, dtype=np.float32))
    if method == "ordered":
        height, width = light.shape[:2]
        repeats = (-(-height // 8), -(-width // 8))
        threshold = np.tile(_bayer(), repeats)[:height, :width, None]
        below = (np.searchsorted(steps, light, side="right") - 1).clip(0, levels - 2)
        share = (light - steps[below]) / (steps[below + 1] - steps[below])
        index = below + (share > threshold)
    else:
        index = _diffuse(light, steps)
    return np.asarray(index / (levels - 1), np.float32)


def _bayer() -> Floats:
    order = np.zeros((1, 1))
    for _ in range(3):
        order = np.block([[4 * order, 4 * order + 2], [4 * order + 3, 4 * order + 1]])
    return ((order + 0.5) / order.size).astype(np.float32)


def _diffuse(light: Floats, steps: Floats) -> npt.NDArray[np.intp]:
    """Return which of `steps` each pixel gets, by Floyd and Steinberg, from left to right.

    A pixel waits for the one before it and for three above, so those at x + 2 y = t wait for none
    of each other: all of them are done at once, for one t after the other. Skewed by 2 y, they are
    a column.
    """
    height, width, channels = light.shape
    span = width + 2 * (height - 1)
    # Columns more before and behind, and a row more below, take what is handed out of the picture.
    skewed = np.zeros((span + 4, height + 1, channels), np.float32)
    times = np.arange(width) + 2 * np.arange(height)[:, None] + 1
    rows = np.broadcast_to(np.arange(height)[:, None], times.shape)
    skewed[times, rows] = light
    chosen = np.zeros((span + 1, height, channels), np.intp)
    halfway = (steps[1:] + steps[:-1]) / 2
    for t in range(1, span + 1):
        first, last = max(0, (t - width + 1) // 2), min(height - 1, (t - 1) // 2)
        here = slice(first, last + 1)
        wanted = skewed[t, here]
        chosen[t, here] = np.searchsorted(halfway, wanted)
        error = (wanted - steps[chosen[t, here]]) / 16
        below = slice(first + 1, last + 2)
        skewed[t + 1, here] += 7 * error
        skewed[t + 1, below] += 3 * error
        skewed[t + 2, below] += 5 * error
        skewed[t + 3, below] += error
    found: npt.NDArray[np.intp] = chosen[times, rows]
    return found


@operation("color", "posterise:levels=4")
def posterise(color: Floats, *, levels: Annotated[int, Field(ge=2, le=256)] = 4) -> Floats:
    """Round each channel to a few levels, which are even in sRGB values.

    Args:
        levels: In each channel; 2 leaves black and white, or 8 colours.
    """
    return np.asarray(np.rint(color * (levels - 1)) / (levels - 1), np.float32)
