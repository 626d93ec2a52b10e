"""Tone: exposure, curves, contrast, histograms and the automatic settings of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import (
    auto_contrast,
    by_value,
    from_linear,
    look_up,
    luminance,
    rgb,
    to_linear,
    white_balance,
)
from imagegen.post.operations import operation
from imagegen.post.region import Mask, visible


@operation("color", "exposure:stops=0.5")
def exposure(color: Floats, *, stops: Annotated[float, Field(ge=-10, le=10)] = 0.5) -> Floats:
    """Make brighter or darker, as a longer or shorter exposure would.

    Works in linear light; what becomes brighter than white clips.

    Args:
        stops: Each doubles the light; negative ones halve it.
    """
    return by_value(color, lambda v: _bent(v, lambda light: light * 2**stops))


@operation("color", "gamma:value=1.5")
def gamma(color: Floats, *, value: Annotated[float, Field(ge=0.1, le=10)] = 1.2) -> Floats:
    """Brighten or darken the middle tones; black and white stay.

    Works on sRGB values: each is raised to 1 / gamma.

    Args:
        value: Above 1 brightens, below 1 darkens.
    """
    return by_value(color, lambda v: v ** (1 / value))


@operation("color", "contrast:amount=1.5")
def contrast(
    color: Floats,
    *,
    amount: Annotated[float, Field(ge=0, le=10)] = 1.25,
    pivot: Annotated[float, Field(gt=0, lt=255)] = 127.5,
) -> Floats:
    """Draw tones away from a middle one, or together.

    Works on sRGB values. More contrast is an S of two powers that meet at the pivot, so that
    nothing clips; less is a straight line.

    Args:
        amount: Slope at the pivot: 0 makes all tones alike, 1 is no change.
        pivot: Level, of 255, that stays.
    """
    middle = pivot / 255

    def curve(values: Any) -> Any:
        if amount <= 1:
            return middle + amount * (values - middle)
        below = middle * (values.clip(0, middle) / middle) ** amount
        above = (1 - middle) * ((1 - values.clip(middle, 1)) / (1 - middle)) ** amount
        return np.where(values < middle, below, 1 - above)

    return by_value(color, curve)


def _are_points(settings: dict[str, Any]) -> None:
    _points(settings["points"])


@operation("color", "'curves:points=0:0 64:48 192:208 255:255'", check=_are_points)
def curves(
    color: Floats,
    *,
    points: str = "0:0 64:54 192:202 255:255",
    channel: Literal["all", "red", "green", "blue"] = "all",
) -> Floats:
    """Bend tones along a smooth curve through given points.

    Works on sRGB values. The curve is a monotone cubic (PCHIP, Fritsch and Carlson 1980): between
    two points it never leaves their levels. Outside of the points it is level.

    Args:
        points: FROM:TO pairs in levels of 255, FROM rising: "0:0 64:48 192:208 255:255".
        channel: Which channel to bend; grey pictures have only all.
    """
    from scipy.interpolate import PchipInterpolator

    x, y = np.array(_points(points)).T / 255
    table = PchipInterpolator(x, y)(np.arange(65536).clip(x[0] * 65535, x[-1] * 65535) / 65535)
    if channel == "all":
        return look_up(color, table)
    if color.shape[2] == 1:
        return color
    index = ("red", "green", "blue").index(channel)
    bent = color.copy()
    bent[..., index] = look_up(color[..., index], table)
    return bent


def _points(text: str) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    for word in text.split():
        x, colon, y = word.partition(":")
        try:
            if not colon:
                raise ValueError
            point = float(x), float(y)
        except ValueError:
            raise ValueError(f"points: expected FROM:TO, such as 64:48, got {word!r}") from None
        if not all(0 <= value <= 255 for value in point):
            raise ValueError(f"points: expected levels from 0 up to 255, got {word!r}")
        if points and point[0] <= points[-1][0]:
            raise ValueError(f"points: expected FROM to rise, got {word!r} after {points[-1][0]:g}")
        points.append(point)
    if len(points) < 2:
        raise ValueError(f"points: expected two or more FROM:TO pairs, got {text!r}")
    return points


@operation("color", "invert")
def invert(color: Floats) -> Floats:
    """Make a negative: each sRGB value becomes what it lacks to white."""
    return 1 - color


@operation("color", "greyscale:method=luma")
def greyscale(
    color: Floats, *, method: Literal["luminance", "luma", "mean", "max"] = "luminance"
) -> Floats:
    """Take the colours away; the picture keeps its channels.

    Args:
        method: What to keep: luminance is the light (Rec. 709, linear), luma the same weights on
            sRGB values (as television does), mean and max are those of the three sRGB values.
    """
    if method == "luminance":
        grey = from_linear(luminance(to_linear(color))[..., None])
    elif method == "luma":
        grey = luminance(color)[..., None]
    elif method == "mean":
        grey = color.mean(axis=2, keepdims=True)
    else:
        grey = color.max(axis=2, keepdims=True)
    return np.broadcast_to(grey, color.shape)


@operation("color", "threshold:level=128")
def threshold(
    color: Floats,
    alpha: Floats | None,
    *,
    level: Annotated[float, Field(ge=0, le=255)] | None = None,
) -> Floats:
    """Make bright pixels white and the others black, by their luma.

    Args:
        level: Luma, of 255, from which a pixel is white; if not given, the one that parts dark
            from bright best (Otsu 1979).
    """
    from skimage.filters import threshold_otsu

    luma = luminance(color)[..., None]
    if level is not None:
        white = luma * 255 >= level - 1e-3
    else:
        seen = luma[visible(alpha, luma.shape[:2])]
        if len(seen) == 0 or np.ptp(seen) < 1e-6:
            return color
        # Of the 256 bins of float values, this gives the middle of the last dark one.
        edge = threshold_otsu(seen) + np.ptp(seen) / 512  # type: ignore[no-untyped-call]
        white = luma > edge
    return np.broadcast_to(white, color.shape).astype(np.float32)


@operation("color", "equalise")
def equalise(color: Floats, alpha: Floats | None) -> Floats:
    """Spread the tones so that each is as frequent as any other.

    Of colours it spreads CIE L*, and keeps a* and b*. `clahe` does so place by place.
    """
    seen = visible(alpha, color.shape[:2])

    def spread(tones: Floats) -> Floats:
        counts = np.bincount(_steps(tones[seen]), minlength=65536)
        first = counts[np.flatnonzero(counts)[0]] if counts.any() else 0
        rest = counts.sum() - first
        return look_up(tones, (counts.cumsum() - first).clip(0) / rest) if rest else tones

    return _with_lightness(color, spread)


@operation("color", "clahe:clip=3")
def clahe(
    color: Floats,
    alpha: Floats | None,
    depth: int,
    *,
    clip: Annotated[float, Field(gt=0, le=100)] = 2.0,
    tiles: Annotated[int, Field(ge=1, le=64)] = 8,
) -> Floats:
    """Bring out local contrast: equalise tile by tile, but no tone more than a limit.

    Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) with 256 bins, of grey or of
    CIE L*, while a* and b* stay. Tiles flow into each other; they are no smaller than 16 pixels.

    Args:
        clip: How many times its even share a tone may be spread: 1 nearly keeps the tones as they
            are, 40 is hardly a limit.
        tiles: How many tiles along each side.
    """
    seen = visible(alpha, color.shape[:2])
    # L* of 8-bit colours takes more than 256 values.
    levels = 65536 if depth > 255 else 256 if color.shape[2] == 1 else 4096
    return _with_lightness(color, lambda tones: _by_tiles(tones, seen, clip, tiles, levels))


def _by_tiles(tones: Floats, seen: Mask, clip: float, tiles: int, levels: int) -> Floats:
    height, width = tones.shape
    rows, columns = (max(1, min(tiles, side // 16)) for side in (height, width))
    # Pixel centres in units of tiles: whole numbers are the centres of tiles.
    y = (np.arange(height, dtype=np.float32) + np.float32(0.5)) / height * rows - np.float32(0.5)
    x = (np.arange(width, dtype=np.float32) + np.float32(0.5)) / width * columns - np.float32(0.5)
    step = np.rint(tones * np.float32(levels - 1)).astype(np.int32)
    tile = (y + 0.5).astype(np.int32)[:, None] * columns + (x + 0.5).astype(np.int32)
    bins = tile * 256 + step // np.int32(max(1, levels // 256))
    if not seen.all():
        bins = bins[seen]
    counts = np.bincount(bins.ravel(), minlength=rows * columns * 256).reshape(-1, 256)
    table = _tables(counts.astype(np.float64), clip, levels).ravel()

    def between(place: Floats, count: int) -> tuple[Any, Any, Floats]:
        low = np.floor(place).astype(np.int32)
        share = (place - low).astype(np.float32)
        return low.clip(0, count - 1), (low + 1).clip(0, count - 1), share

    top, bottom, down = between(y, rows)
    left, right, across = between(x, columns)

    def row(index: Any) -> Floats:
        start = step + (index * np.int32(columns * levels))[:, None]
        one = table[start + left * np.int32(levels)]
        other = table[start + right * np.int32(levels)]
        return np.asarray(one + across * (other - one), np.float32)

    upper = row(top)
    mixed: Floats = upper + down[:, None] * (row(bottom) - upper)
    return mixed


def _tables(counts: Any, clip: float, levels: int) -> Floats:
    """Turn the histograms of tiles, (N, 256), into tables, (N, levels): the clipped ones' sums."""
    area = counts.sum(axis=1, keepdims=True)
    limit = np.maximum(clip * area / 256, 1)
    clipped = np.minimum(counts, limit)
    clipped += (counts - clipped).sum(axis=1, keepdims=True) / 256
    sums = clipped.cumsum(axis=1) / np.maximum(area, 1)
    # A tile without a visible pixel keeps its tones.
    ends = (np.arange(256) + 1) / 256
    sums = np.where(area > 0, sums, ends)
    if levels == 256:
        return np.asarray(sums, np.float32)
    # Finer than the bins, each rises evenly, from the end of the one before to its own.
    nodes = np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
    place = np.arange(levels) / levels * 256
    bin_ = place.astype(int)
    share = place - bin_
    finer = nodes[:, bin_] * (1 - share) + nodes[:, bin_ + 1] * share
    return np.asarray(finer, np.float32)


@operation("color", "auto-levels:cutoff=1")
def auto_levels(
    color: Floats,
    alpha: Floats | None,
    *,
    cutoff: Annotated[float, Field(ge=0, lt=50)] = 0.5,
) -> Floats:
    """Stretch each channel by itself over the whole range: more contrast, and casts go.

    Works on sRGB values. `auto-contrast` stretches all channels alike, so that hues stay.

    Args:
        cutoff: Percent of the pixels to let clip at either end of each channel.
    """
    seen = color[visible(alpha, color.shape[:2])]
    if len(seen) == 0:
        return color
    ends = [np.percentile(np.ascontiguousarray(c), [cutoff, 100 - cutoff]) for c in seen.T]
    low, high = np.transpose(ends)
    flat = high - low < 1e-6
    low, high = np.where(flat, 0, low), np.where(flat, 1, high)
    scaled = (color - low.astype(np.float32)) / (high - low).astype(np.float32)
    return np.asarray(scaled, np.float32)


@operation("color", "auto-gamma")
def auto_gamma(
    color: Floats,
    alpha: Floats | None,
    *,
    target: Annotated[float, Field(gt=0, lt=255)] = 118.0,
) -> Floats:
    """Bring the picture's middle brightness to that of a middle grey, by a gamma.

    Works on sRGB values, all channels alike; the gamma stays between 1/3 and 3.

    Args:
        target: The median luma, of 255, to come to; 118 is a grey card of 18 % reflectance.
    """
    seen = luminance(color)[visible(alpha, color.shape[:2])]
    middle = float(np.median(seen)) if len(seen) else 0.0
    if not 0 < middle < 1:
        return color
    exponent = float(np.clip(np.log(target / 255) / np.log(middle), 1 / 3, 3))
    return by_value(color, lambda v: v**exponent)


@operation("color", "auto")
def auto(color: Floats, alpha: Floats | None) -> Floats:
    """Mend a picture at once: half the white balance, then contrast, then half the brightness.

    `white-balance` by shades of grey, `auto-contrast` and `auto-gamma`. The first and the last are
    taken by half, for a sunset should stay warm and a night dark.
    """
    half = np.float32(0.5)
    balanced = (color + white_balance(color, alpha)) * half
    stretched = np.asarray(auto_contrast(balanced, alpha).clip(0, 1), np.float32)
    return (stretched + auto_gamma(stretched, alpha)) * half


def _bent(values: Any, change: Callable[[Any], Any]) -> Any:
    """Change sRGB values in linear light."""
    return from_linear(change(to_linear(np.asarray(values, np.float32))))


def _steps(tones: Floats) -> Any:
    return np.rint(tones * np.float32(65535)).astype(np.intp)


def _with_lightness(color: Floats, change: Callable[[Floats], Floats]) -> Floats:
    """Change the tones of grey, or of colours their CIE L*, as (H, W) in [0, 1]."""
    if color.shape[2] == 1:
        return change(color[..., 0])[..., None]
    import cv2

    lab = cv2.cvtColor(rgb(color), cv2.COLOR_RGB2Lab)
    lab[..., 0] = change((lab[..., 0] / np.float32(100)).clip(0, 1)) * np.float32(100)
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)
