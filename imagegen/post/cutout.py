"""Cutting the subject out: soft transparency, and edges without the old background in them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats, Pixels
from imagegen.post.operations import operation
from imagegen.post.refine import guided
from imagegen.post.region import Labels, lab, mask, soften

BLEND = 3
"""How far foreground colours are looked for, in units of the edge's width."""


@operation("alpha", "cut-out:keep=subject")
def cut_out(
    pixels: Pixels,
    maps: dict[str, Labels],
    *,
    keep: str = "subject",
    edge: Annotated[float, Field(ge=0, le=100)] = 3.0,
    shift: Annotated[int, Field(ge=-100, le=100)] = 0,
) -> tuple[Floats, Floats | None]:
    """Make all but the subject transparent, and take the background's colour out of the edge.

    The edge becomes as soft as the picture's own: a guided filter (He et al. 2010) follows the line
    in CIE Lab from the subject's colour to the background's. There the subject's own colour is
    estimated by blurring subject and background apart (Forte 2021, arXiv 2006.14970), in sRGB,
    where edges were mixed.

    Args:
        keep: The region that stays: any expression that region= takes.
        edge: Pixels on each side of the region's edge in which alpha is made anew; 0 keeps it hard.
        shift: Pixels to move the edge outwards before; below 0 inwards.
    """
    color, alpha = pixels.color, pixels.alpha
    hard = soften(mask(keep, pixels, maps), shift, 0)
    share = hard
    if edge > 0 and hard.any() and not hard.all():
        share = _soft(lab(color), hard[..., 0], edge)[..., None]
        color = _without_background(color, share, edge)
    return color, share if alpha is None else share * alpha


def _soft(values: Floats, hard: Floats, edge: float) -> Floats:
    """Make alpha anew near the edge of a mask, by colour."""
    import cv2

    inside = (hard >= 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    away = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near = (depth <= edge) & (away <= edge)
    radius = max(1, round(edge))
    # Only what lies next to the edge says which way colours change over it.
    guide = _local_contrast(values, hard, 4 * radius)
    soft = guided(guide, hard, radius, 0.005).clip(0, 1)
    # A guided mask seldom reaches its ends: what is nearly there is there.
    soft = ((soft - 0.06) / 0.88).clip(0, 1)
    return np.where(near, soft, hard).astype(np.float32)


def _local_contrast(values: Floats, inside: Floats, radius: int) -> Floats:
    """Project colours on the line from the background's near by to the subject's: 0 to 1."""
    weight = inside[..., None]
    subject, ground = _spread(values, weight, radius), _spread(values, 1 - weight, radius)
    away = subject - ground
    length = (away**2).sum(axis=2)
    # Where both have one colour, only the mask can tell them apart.
    place = ((values - ground) * away).sum(axis=2) / np.maximum(length, 1e-6)
    return np.where(length > 25, place.clip(-0.5, 1.5), inside).astype(np.float32)


def _without_background(color: Floats, share: Floats, edge: float) -> Floats:
    """Estimate what colour the subject has of its own where background is mixed in."""
    result = color
    for radius in (round(BLEND * edge) + 1, round(edge / 2) + 1):
        subject = _spread(result, share, radius)
        ground = _spread(color, 1 - share, radius)
        result = subject + share * (color - share * subject - (1 - share) * ground)
    return np.where((share > 0) & (share < 1), result.clip(0, 1), color).astype(np.float32)


def _spread(values: Floats, weight: Floats, radius: int) -> Floats:
    """Blur by weights; where none is near, by those further off."""
    import cv2

    def blur(field: Floats, side: int) -> Floats:
        blurred = cv2.blur(field, (side, side), borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, np.float32).reshape(field.shape)

    side = 2 * radius + 1
    total = blur(weight, side)
    near = blur(values * weight, side) / np.maximum(total, 1e-6)
    mean = (values * weight).sum((0, 1)) / max(float(weight.sum()), 1e-6)
    return np.where(total > 1e-4, near, mean).astype(np.float32)
