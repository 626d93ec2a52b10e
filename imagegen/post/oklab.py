"""Oklab (Ottosson 2020): lightness L in [0, 1] and two opponent colours; distances look even.

Its polar form is Oklch: chroma, the distance of (a, b) from grey, and hue, their angle.
"""

from __future__ import annotations

import numpy as np

from imagegen.images.pixels import Floats
from imagegen.post.color import from_linear, power, to_linear, transform

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_CONES = np.linalg.inv(_TO_CONES)
_FROM_LAB = np.linalg.inv(_TO_LAB)


def to_oklab(color: Floats) -> Floats:
    """Convert sRGB, (H, W, 1 or 3), to L, a, b."""
    return transform(power(transform(to_linear(color), _TO_CONES), 1 / 3), _TO_LAB)


def from_oklab(lab: Floats) -> Floats:
    """Convert to sRGB; what lies outside of it loses chroma, not lightness or hue."""
    lab = lab.copy()
    lab[..., 0] = lab[..., 0].clip(0, 1)
    linear = _linear(lab)
    outside = ((linear < -1e-4) | (linear > 1 + 1e-4)).any(axis=2)
    if outside.any():
        linear[outside] = _fit(lab[outside])
    return from_linear(linear)


def _linear(lab: Floats) -> Floats:
    cones = transform(lab, _FROM_LAB)
    return transform(cones * cones * cones, _FROM_CONES)


def _fit(lab: Floats) -> Floats:
    """Find by halving how much chroma each colour can keep; to 1 in 256 of what it has."""
    lab = lab[None]
    least, most = np.zeros_like(lab[..., :1]), np.ones_like(lab[..., :1])
    for _ in range(8):
        middle = (least + most) * np.float32(0.5)
        linear = _linear(_scaled(lab, middle))
        inside = ((linear >= 0) & (linear <= 1)).all(axis=2, keepdims=True)
        least, most = np.where(inside, middle, least), np.where(inside, most, middle)
    fitted: Floats = _linear(_scaled(lab, least))[0]
    return fitted


def _scaled(lab: Floats, factor: Floats) -> Floats:
    return np.concatenate([lab[..., :1], lab[..., 1:] * factor], axis=2)
