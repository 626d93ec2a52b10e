"""Random colours that have names, and colour fields: gradients and the like."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from recipes.general.rasters import Raster, Rng, filled

Field = NDArray[np.float32]
"""Colours by pixel, (height, width, RGB)."""

# Name: ranges of hue (degrees), saturation and value.
NAMED: dict[str, tuple[tuple[int, int], tuple[float, float], tuple[float, float]]] = {
    "red": ((-10, 8), (0.75, 1), (0.65, 1)),
    "orange": ((20, 36), (0.8, 1), (0.85, 1)),
    "yellow": ((46, 58), (0.7, 1), (0.9, 1)),
    "lime green": ((72, 95), (0.6, 0.95), (0.75, 1)),
    "green": ((105, 150), (0.55, 1), (0.4, 0.8)),
    "turquoise": ((165, 182), (0.55, 1), (0.6, 0.9)),
    "light blue": ((190, 210), (0.4, 0.7), (0.85, 1)),
    "blue": ((208, 235), (0.7, 1), (0.55, 1)),
    "navy": ((218, 238), (0.6, 0.9), (0.2, 0.4)),
    "purple": ((260, 288), (0.5, 0.9), (0.45, 0.85)),
    "magenta": ((300, 322), (0.65, 1), (0.65, 0.95)),
    "pink": ((325, 348), (0.3, 0.6), (0.9, 1)),
    "brown": ((18, 32), (0.5, 0.8), (0.28, 0.5)),
    "beige": ((32, 46), (0.12, 0.3), (0.82, 0.96)),
    "grey": ((0, 360), (0, 0.08), (0.35, 0.7)),
    "black": ((0, 360), (0, 0.2), (0, 0.14)),
    "white": ((0, 360), (0, 0.04), (0.95, 1)),
}
WORDS = tuple(NAMED)
GREYS = ("grey", "black", "white")


def colour(word: str, rng: Rng) -> NDArray[np.float32]:
    """Return a random colour (RGB) of that name."""
    hue, saturation, value = (rng.uniform(*ends) for ends in NAMED[word])
    return np.array(colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value), np.float32)


def pick(rng: Rng, avoid: tuple[str, ...] = ()) -> tuple[NDArray[np.float32], str]:
    """Return a random colour and its name; black, white and grey come half as often."""
    words = [word for word in WORDS if word not in avoid]
    weights = np.array([0.5 if word in GREYS else 1.0 for word in words])
    word = words[int(rng.choice(len(words), p=weights / weights.sum()))]
    return colour(word, rng), word


def luminance(rgb: NDArray[np.float32]) -> float:
    """Return how light a colour looks, 0 to 1."""
    return float(rgb @ np.array([0.3, 0.59, 0.11], np.float32))


def contrasting(
    rng: Rng, other: NDArray[np.float32], least: float = 0.3
) -> tuple[NDArray[np.float32], str]:
    """Return a random colour whose luminance is at least `least` from another's, and its name."""
    for _ in range(20):
        rgb, word = pick(rng)
        if abs(luminance(rgb) - luminance(other)) >= least:
            return rgb, word
    word = "white" if luminance(other) < 0.5 else "black"
    return colour(word, rng), word


def ramp(size: int, rng: Rng) -> NDArray[np.float32]:
    """Return a random smooth field of numbers from 0 to 1: linear, radial or conic."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / (size - 1)
    kind = rng.choice(3, p=(0.6, 0.32, 0.08))
    if kind == 0:
        angle = rng.uniform(0, 2 * np.pi)
        field = np.cos(angle) * x + np.sin(angle) * y
    elif kind == 1:
        cx, cy = rng.uniform(0.15, 0.85, 2)
        field = np.hypot(x - cx, y - cy)
    else:
        angles = np.arctan2(y - rng.uniform(0.3, 0.7), x - rng.uniform(0.3, 0.7))
        field = (1 + np.cos(angles + rng.uniform(0, 2 * np.pi))) / 2
    return ((field - field.min()) / np.ptp(field)).astype(np.float32)


def gradient(size: int, rng: Rng, *stops: NDArray[np.float32]) -> Field:
    """Blend colours along a random ramp."""
    places = np.linspace(0, 1, len(stops))
    field = ramp(size, rng)
    table = np.array(stops)
    blended = [np.interp(field, places, table[:, channel]) for channel in range(3)]
    return np.stack(blended, axis=2).astype(np.float32)


def related(rgb: NDArray[np.float32], rng: Rng) -> NDArray[np.float32]:
    """Return a colour near another: its hue turned a little, lighter or darker."""
    hue, saturation, value = colorsys.rgb_to_hsv(*map(float, rgb))
    hue += rng.uniform(-0.11, 0.11)
    saturation = np.clip(saturation * rng.uniform(0.6, 1.2), 0, 1)
    value = np.clip(value + rng.choice((-1, 1)) * rng.uniform(0.15, 0.4), 0.05, 1)
    return np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value), np.float32)


def solid(size: int, field: NDArray[np.float32]) -> Raster:
    """Return an opaque raster of one colour or a field."""
    return filled(np.ones((size, size), np.float32), field)


def turned_hue(raster: Raster, degrees: float, saturation: float = 1) -> Raster:
    """Turn the hue of a raster (in YIQ, which keeps luminance) and scale its saturation."""
    to_yiq = np.array(
        [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32
    )
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) * np.array(
        [[1], [saturation], [saturation]]
    )
    matrix = (np.linalg.inv(to_yiq) @ turn @ to_yiq).astype(np.float32)
    alpha = raster[..., 3:]
    return np.concatenate([np.clip(raster[..., :3] @ matrix.T, 0, alpha), alpha], axis=2)
