"""Slow methods see a small copy; their labels are enlarged, and edges put where colours change."""

from __future__ import annotations

import numpy as np

from imagegen.images.pixels import Floats
from imagegen.post.region import Labels, lab

WORK_SIZE = 256
"""Longest side that slow methods see: GrabCut takes 66 s at 1024 pixels and 2 s at 256."""


def shrink(color: Floats) -> Floats:
    """Return an RGB copy of at most WORK_SIZE pixels a side, by the mean of each cell."""
    import cv2

    height, width = color.shape[:2]
    rgb = np.ascontiguousarray(np.broadcast_to(color, (height, width, 3)), dtype=np.float32)
    factor = WORK_SIZE / max(height, width)
    if factor >= 1:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.float32)


def enlarge(regions: Labels, color: Floats) -> Labels:
    """Bring labels of a small copy to the size of the picture, and refine their edges."""
    import cv2

    height, width = color.shape[:2]
    if regions.shape == (height, width):
        return regions
    factor = max(height, width) / max(regions.shape)
    values = regions.astype(np.int32)
    big = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return _refine(np.asarray(big, np.int32), lab(color), round(2 * factor) + 1)


def guided(guide: Floats, values: Floats, radius: int, smooth: float) -> Floats:
    """Fit `values` to `guide` by a line in each square (guided filter; He et al. 2010).

    Args:
        guide: (H, W), whose edges to follow.
        values: (H, W).
        radius: half the side of the squares, in pixels.
        smooth: variance of the guide, below which a square counts as flat.
    """
    import cv2

    def mean(field: Floats) -> Floats:
        side = (2 * radius + 1, 2 * radius + 1)
        return np.asarray(cv2.blur(field, side, borderType=cv2.BORDER_REFLECT), np.float32)

    guide_mean, values_mean = mean(guide), mean(values)
    covariance = mean(guide * values) - guide_mean * values_mean
    slope = covariance / (mean(guide * guide) - guide_mean**2 + np.float32(smooth))
    return mean(slope) * guide + mean(values_mean - slope * guide_mean)


def contrast(values: Floats, inside: Floats) -> Floats:
    """Project (H, W, C) on the line between the means inside and outside: 1 and 0 there."""
    weight = inside[..., None]
    mean = (values * weight).sum((0, 1)) / max(float(inside.sum()), 1e-6)
    rest = (values * (1 - weight)).sum((0, 1)) / max(float((1 - inside).sum()), 1e-6)
    away = mean - rest
    return np.asarray((values - rest) @ away / max(float(away @ away), 1e-6), np.float32)


def _refine(labels: Labels, values: Floats, radius: int) -> Labels:
    """Give each pixel near an edge to the region whose guided mask is highest there.

    Each region is guided by the colour that parts it best from its surroundings.
    """
    from scipy.ndimage import find_objects

    best = np.full(labels.shape, -np.inf, np.float32)
    result = labels.copy()
    for label, box in enumerate(find_objects(labels + 1)):
        if box is None:
            continue
        around = tuple(slice(max(0, s.start - 2 * radius), s.stop + 2 * radius) for s in box)
        inside = (labels[around] == label).astype(np.float32)
        likely = guided(contrast(values[around], inside), inside, radius, 0.02)
        better = likely > best[around]
        best[around][better] = likely[better]
        result[around][better] = label
    return result
