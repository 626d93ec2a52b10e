"""A small drawn picture to show operations on: a gradient, a subject, fine detail, some noise."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 256


def scene() -> Image.Image:
    """Return the picture, the same every time: a sky, hills, and a red ball with a shadow."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    random = np.random.default_rng(1)
    rows = [(0.25, 0.45, 0.75), (0.95, 0.8, 0.6)]
    picture = np.stack([low + (high - low) * y * 1.4 for low, high in zip(*rows, strict=True)], -1)
    for level, color in [(0.62, (0.35, 0.45, 0.5)), (0.75, (0.3, 0.42, 0.2))]:
        ridge = level + 0.05 * np.sin(9 * x + 20 * level) + 0.012 * np.sin(47 * x)
        stripes = 0.06 * np.sin(260 * x * (y + 0.3))[..., None]
        picture = np.where((y > ridge)[..., None], np.array(color) + stripes, picture)
    shadow = np.exp(-(((x - 0.56) / 0.2) ** 2 + ((y - 0.87) / 0.035) ** 2))
    picture *= 1 - 0.6 * shadow[..., None]
    u, v = (x - 0.5) / 0.22, (y - 0.65) / 0.22
    depth = np.sqrt((1 - u**2 - v**2).clip(0))
    light = (0.55 * depth - 0.45 * u - 0.5 * v).clip(0.12)
    ball = np.array([0.85, 0.15, 0.12]) * light[..., None] + 0.8 * (light**24)[..., None]
    edge = ((1 - np.sqrt(u**2 + v**2)) * 0.22 * SIDE).clip(0, 1)[..., None]
    picture = picture + edge * (ball - picture) + random.normal(0, 0.012, picture.shape)
    return Image.fromarray(np.rint(picture.clip(0, 1) * 255).astype(np.uint8))
