"""Colour and tone: each new pixel is made from itself and from statistics of the whole picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.operations import operation
from imagegen.post.region import visible

Level = Annotated[float, Field(ge=0, le=255)]


@operation("color", "white-balance:method=grey-world")
def white_balance(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Literal["grey-world", "white-patch", "shades-of-grey"] = "shades-of-grey",
) -> Floats:
    """Take the colour of the light out, keeping the luminance of grey.

    Works in linear light with one gain a channel (von Kries). Grey pictures stay as they are.

    Args:
        method: What is taken for grey: the mean (grey-world, Buchsbaum 1980), the 99th percentile
            of each channel (white-patch, Land 1977) or the Minkowski 6-norm between the two
            (shades-of-grey, Finlayson and Trezzi 2004).
    """
    linear = to_linear(color)
    seen = linear[visible(alpha, linear.shape[:2])]
    if len(seen) == 0:
        return color
    if method == "grey-world":
        light = seen.mean(axis=0, dtype=np.float64)
    elif method == "white-patch":
        light = np.percentile(seen, 99, axis=0)
    else:
        squares = seen * seen
        light = (squares * squares * squares).mean(axis=0, dtype=np.float64) ** (1 / 6)
    # A channel with next to nothing in it has nothing to bring up but noise.
    gain = luminance(light) / np.maximum(light, 1e-3)
    return from_linear(linear * gain.astype(np.float32))


def _black_below_white(settings: dict[str, Any]) -> None:
    if settings["black"] >= settings["white"]:
        raise ValueError(
            f"black: expected less than white ({settings['white']:g}), got {settings['black']:g}"
        )


@operation("color", "levels:black=16,white=235,gamma=1.2", check=_black_below_white)
def levels(
    color: Floats,
    *,
    black: Level = 0.0,
    white: Level = 255.0,
    gamma: Annotated[float, Field(ge=0.1, le=10)] = 1.0,
    out_black: Level = 0.0,
    out_white: Level = 255.0,
) -> Floats:
    """Stretch tones between two levels over the whole range, with a gamma in between.

    The dialogue of GIMP and Photoshop; levels are those of 8 bit, also for 16-bit pictures.

    Args:
        black: Level that becomes black.
        white: Level that becomes white; above black.
        gamma: Bend of the middle tones; above 1 brightens, below 1 darkens.
        out_black: Level to put in the place of black.
        out_white: Level to put in the place of white; below out_black gives a negative.
    """

    def curve(values: Any) -> Any:
        scaled = ((values * 255 - black) / (white - black)).clip(0, 1) ** (1 / gamma)
        return (out_black + (out_white - out_black) * scaled) / 255

    return by_value(color, curve)


@operation("color", "auto-contrast:cutoff=1")
def auto_contrast(
    color: Floats,
    alpha: Floats | None,
    *,
    cutoff: Annotated[float, Field(ge=0, lt=50)] = 0.5,
) -> Floats:
    """Stretch the tones so that the darkest become black and the brightest white.

    All channels are stretched alike, from the least to the greatest of any, so that hues stay
    (GIMP's "keep colors"). A flat grey stays too.

    Args:
        cutoff: Percent of the pixels to let clip at either end.
    """
    seen = color[visible(alpha, color.shape[:2])]
    if len(seen) == 0:
        return color
    # Not of the luma: a red far brighter than its luma would clip, and its hue change.
    low = float(np.percentile(reduce(np.minimum, seen.T), cutoff))
    high = float(np.percentile(reduce(np.maximum, seen.T), 100 - cutoff))
    if high - low < 1e-6:
        return color
    return (color - np.float32(low)) * np.float32(1 / (high - low))


@operation("color", "saturation:amount=1.5")
def saturation(
    color: Floats,
    *,
    amount: Annotated[float, Field(ge=0, le=4)] = 1.25,
) -> Floats:
    """Make colours stronger or weaker at the same luminance.

    Works in linear light, on the line through each colour and the grey of its luminance, and goes
    no further along it than the gamut reaches, so that neither hue nor luminance clips.

    Args:
        amount: Factor on the distance from grey: 0 is grey, 1 no change.
    """
    if color.shape[2] == 1:
        return color
    linear = to_linear(color)
    grey = luminance(linear)[..., None]
    away = linear - grey
    room = np.where(away > 0, 1 - grey, grey) / np.maximum(np.abs(away), np.float32(1e-6))
    least = reduce(np.minimum, np.moveaxis(room, 2, 0))[..., None]
    factor = np.minimum(np.float32(amount), np.maximum(least, 1))
    return from_linear(grey + factor * away)


def by_value(color: Floats, curve: Callable[[Any], Any]) -> Floats:
    """Send each value, in [0, 1], through a curve, by a table of the 65,536 values of 16 bit.

    Exact for pictures of 8 and 16 bit (255 divides 65,535); what lies between, after other steps,
    goes to the nearest.
    """
    return look_up(color, curve(np.arange(65536) / 65535))


def look_up(color: Floats, table: Any) -> Floats:
    """Look each value up in a table of 65,536."""
    table = np.asarray(table, np.float32)
    found: Floats = table[np.rint(color * np.float32(65535)).astype(np.uint16)]
    return found


def to_linear(color: Floats) -> Floats:
    """Undo the sRGB transfer function (IEC 61966-2-1)."""
    return by_value(
        color, lambda v: np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    )


def from_linear(linear: Floats) -> Floats:
    """Apply the sRGB transfer function (IEC 61966-2-1)."""
    # No table: near black the curve is too steep for 65,536 values.
    linear = np.asarray(linear, np.float32).clip(0, 1)
    bent = power(linear, 1 / 2.4) * np.float32(1.055) - np.float32(0.055)
    return np.where(linear <= 0.0031308, linear * np.float32(12.92), bent)


def power(values: Floats, exponent: float) -> Floats:
    """Raise values from 0 up to a power, three times as fast as NumPy."""
    import cv2

    raised = cv2.pow(np.ascontiguousarray(values), exponent)
    return np.asarray(raised, np.float32).reshape(values.shape)


def transform(color: Floats, matrix: Any) -> Floats:
    """Multiply each colour by a matrix of 3 rows; grey counts as three equal channels."""
    import cv2

    return np.asarray(cv2.transform(rgb(color), np.asarray(matrix, np.float32)), np.float32)


def rgb(color: Floats) -> Floats:
    """Return three channels of one or three."""
    return np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:2], 3)))


def luminance(color: Any) -> Any:
    """Weigh the last axis, one channel or three, as Rec. 709 does; of sRGB it is the luma."""
    weights = np.array([0.2126, 0.7152, 0.0722] if color.shape[-1] == 3 else [1.0])
    return color @ weights.astype(color.dtype)
