"""Styles for shapes of one colour: how a mask becomes a picture in colour."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from recipes.general.colours import (
    colour,
    contrasting,
    gradient,
    luminance,
    pick,
    ramp,
    related,
    solid,
)
from recipes.general.rasters import Mask, Raster, Rng, filled, over, shadow
from recipes.general.textures import any_texture

Style = Callable[[Mask, Rng], tuple[Raster, str]]
"""Draws a mask; also returns the words of its caption, colour first."""


def grown(mask: Mask, radius: float) -> Mask:
    """Return a mask made wider by a radius in pixels, with soft edges."""
    side = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    wide: Mask = cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), 0.7)
    return wide


def height(mask: Mask, width: float) -> Mask:
    """Return a rounded height over a mask that rises from its edge within a width in pixels."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    rise = np.clip(inside / width, 0, 1)
    round_: Mask = cv2.GaussianBlur(np.sqrt(1 - (1 - rise) ** 2).astype(np.float32), (0, 0), 1.2)
    return round_


def plain(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """One flat colour; black in half of the cases."""
    rgb, word = (colour("black", rng), "black") if rng.random() < 0.4 else pick(rng)
    return filled(mask, rgb), word


def shaded(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """A gradient."""
    rgb, word = pick(rng, avoid=("black",))
    other = related(rgb, rng) if rng.random() < 0.7 else pick(rng)[0]
    return filled(mask, gradient(len(mask), rng, rgb, other)), f"{word} gradient"


def bevelled(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """Lit from a side, as if it had a rounded edge."""
    rgb, word = pick(rng, avoid=("black",))
    surface = height(mask, rng.uniform(4, 14)) * rng.uniform(4, 9)
    dy, dx = np.gradient(surface)
    angle = rng.uniform(-0.9, -0.2) * np.pi
    normal = np.stack([-dx, -dy, np.ones_like(dx)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    light = np.array([np.cos(angle) * 0.6, np.sin(angle) * 0.6, 0.55])
    facing = np.clip(normal @ (light / np.linalg.norm(light)), 0, 1)
    gloss = facing ** rng.uniform(10, 40) * rng.uniform(0, 0.8)
    field = np.clip(rgb * (0.35 + 0.9 * facing[..., None]) + gloss[..., None], 0, 1)
    picture = filled(mask, field.astype(np.float32))
    return over(picture, shadow(mask, 0.02, 0.01, 0.02, 0.4)), f"{word} glossy bevel"


def outlined(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """Filled, with a contour of another colour."""
    rgb, word = pick(rng)
    edge, _ = contrasting(rng, rgb)
    if rng.random() < 0.5 and luminance(rgb) > 0.35:
        edge = colour("black", rng)
    inner = filled(mask, gradient(len(mask), rng, rgb, related(rgb, rng)))
    return over(inner, filled(grown(mask, rng.uniform(3, 6)), edge)), f"{word} outlined"


def sticker(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """In colour on a white border with a shadow, as a sticker."""
    rgb, word = pick(rng, avoid=("white", "beige"))
    paper = grown(mask, rng.uniform(6, 10))
    paper = np.maximum(paper, cv2.morphologyEx(paper, cv2.MORPH_CLOSE, np.ones((9, 9))))
    picture = over(filled(mask, rgb), filled(paper, colour("white", rng)))
    return over(picture, shadow(paper, 0.025, 0.01, 0.02, 0.5)), f"{word} sticker"


def shadowed(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """Flat or graded, with a shadow below."""
    rgb, word = pick(rng, avoid=("black",))
    picture = filled(mask, gradient(len(mask), rng, rgb, related(rgb, rng)))
    x, y = rng.uniform(0.02, 0.06, 2)
    return over(picture, shadow(mask, rng.uniform(0.008, 0.04), x, y, 0.55)), f"{word} with shadow"


def neon(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """A glowing contour in the dark."""
    rgb, word = pick(rng, avoid=("black", "grey", "navy", "brown", "beige"))
    line = np.clip(grown(mask, 1) - cv2.erode(mask, np.ones((4, 4))), 0, 1)
    glow = cv2.GaussianBlur(line, (0, 0), 5) * 1.6 + cv2.GaussianBlur(line, (0, 0), 2) * 0.6
    back = solid(
        len(mask), gradient(len(mask), rng, colour("black", rng), colour("navy", rng) * 0.5)
    )
    back[..., :3] = np.clip(back[..., :3] + glow[..., None] * rgb, 0, 1)
    return over(filled(line, 0.35 + 0.65 * rgb), back), f"{word} neon sign"


def badge(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """On a disc or a rounded square, as the symbol of an app."""
    size = len(mask)
    plate = np.zeros_like(mask)
    is_round = rng.random() < 0.45
    if is_round:
        cv2.circle(plate, (size // 2, size // 2), size // 2 - 3, 1.0, -1, cv2.LINE_AA)
    else:
        y, x = np.abs(np.mgrid[0:size, 0:size] - (size - 1) / 2) / (size / 2 - 3)
        power = rng.uniform(4, 9)
        plate = np.clip((1 - (x**power + y**power) ** (1 / power)) * size / 2, 0, 1)
        plate = plate.astype(np.float32)
    rgb, word = pick(rng)
    front = contrasting(rng, rgb)[0]
    if luminance(rgb) < 0.6 and rng.random() < 0.6:
        front = colour("white", rng)
    back = filled(plate, gradient(size, rng, rgb, related(rgb, rng)))
    scale = 0.62 if is_round else 0.7
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), 0, scale)
    small = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR)
    picture = filled(small, front)
    if rng.random() < 0.4:
        picture = over(picture, shadow(small, 0.02, 0.015, 0.03, 0.5))
    return over(picture, back), f"{word} {'round' if is_round else 'square'} badge"


def engraved(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """Pressed into or raised from a surface."""
    field, words, _ = any_texture(len(mask), rng)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1, 2))
    dy, dx = np.gradient(soft)
    sign = rng.choice((-1, 1))
    light = (dx + dy) * sign * rng.uniform(1.2, 2.5) + 0.15 * sign * (soft - 0.5) + 0.05
    field = np.clip(0.2 + 0.7 * field + light[..., None], 0, 1).astype(np.float32)
    return solid(len(mask), field), f"{'raised from' if sign < 0 else 'pressed into'} {words}"


def textured(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """Filled with a texture, with a thin contour."""
    field, words, _ = any_texture(len(mask), rng)
    edge = filled(grown(mask, 2), colour(str(rng.choice(("black", "white", "brown"))), rng))
    return over(filled(mask, field), edge), f"filled with {words}"


def duotone(mask: Mask, rng: Rng) -> tuple[Raster, str]:
    """Two colours, divided along a ramp with a hard edge."""
    rgb, word = pick(rng)
    other, second = contrasting(rng, rgb, least=0.15)
    share = (ramp(len(mask), rng) > rng.uniform(0.35, 0.65)).astype(np.float32)[..., None]
    share = cv2.GaussianBlur(share, (0, 0), 0.8)[..., None]
    return filled(mask, rgb * share + other * (1 - share)), f"{word} and {second}"


STYLES: dict[str, tuple[Style, float]] = {
    "plain": (plain, 2),
    "gradient": (shaded, 2),
    "bevel": (bevelled, 2.5),
    "outline": (outlined, 2),
    "sticker": (sticker, 1.5),
    "shadow": (shadowed, 1.5),
    "neon": (neon, 0.7),
    "badge": (badge, 2),
    "engraved": (engraved, 0.8),
    "textured": (textured, 1),
    "duotone": (duotone, 1),
}
"""By label: how to draw it, and its weight."""


def styled(mask: Mask, rng: Rng) -> tuple[Raster, str, str]:
    """Draw a mask in a random style; also return its words and the style's label."""
    labels = list(STYLES)
    weights = np.array([STYLES[label][1] for label in labels])
    label = labels[int(rng.choice(len(labels), p=weights / weights.sum()))]
    raster, words = STYLES[label][0](mask, rng)
    return raster, words, label


def backdrop(size: int, rng: Rng) -> tuple[Raster, str]:
    """Return a random opaque background and its words."""
    kind = rng.random()
    first, word = pick(rng)
    if kind < 0.3:
        return solid(size, first), f"{word} background"
    if kind < 0.65:
        return solid(size, gradient(size, rng, first, related(first, rng))), f"{word} gradient"
    field, words, _ = any_texture(size, rng)
    return solid(size, field), words
