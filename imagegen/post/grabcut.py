"""The subject by GrabCut: colour models of subject and ground, and the shortest edge between."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imagegen.images.pixels import Floats
from imagegen.post.partition import centers
from imagegen.post.refine import enlarge, shrink
from imagegen.post.region import Labels, Mask, lab

Box = tuple[int, int, int, int]
"""X, Y, width, height in pixels."""

Seeds = npt.NDArray[np.uint8]
GROUND, LIKELY_GROUND, LIKELY_SUBJECT = 0, 2, 3
"""OpenCV's GC_BGD, GC_PR_BGD and GC_PR_FGD."""

ROUNDS = 5
"""Times that colour models and cut are made again; more change little."""
MARGIN = 0.12
"""Added on each side to the box around a guessed subject, as a share of the longest side."""


def grabcut(color: Floats, box: Box | None) -> Labels:
    """Part the subject, 1, from the ground, 0 (Rother et al. 2004).

    Without a box, it is run twice: from a guess of what is unlike the border, and from the box
    around what that found.
    """
    small = shrink(color)
    height, width = small.shape[:2]
    seeds = np.full((height, width), GROUND, np.uint8)
    if box is not None:
        scale = np.array([width / color.shape[1], height / color.shape[0]] * 2)
        left, top, wide, high = np.array(box) * scale
        seeds[round(top) : round(top + high), round(left) : round(left + wide)] = LIKELY_SUBJECT
        found = _cut(small, seeds)
    else:
        border = np.ones((height, width), bool)
        edge = max(1, round(0.04 * min(height, width)))
        border[edge:-edge, edge:-edge] = False
        found = _cut(small, _guess(small, border))
        if found.any():
            seeds[_around(found)] = LIKELY_SUBJECT
            seeds[border] = GROUND
            found = _cut(small, seeds)
    return enlarge(found.astype(np.int32), color)


def _cut(small: Floats, seeds: Seeds) -> Mask:
    """Return the subject that these seeds lead to."""
    import cv2

    likely = np.asarray(seeds == LIKELY_SUBJECT)
    if likely.all() or not likely.any():  # it needs some of both to learn from
        return likely
    picture = np.rint(small * 255).astype(np.uint8)
    ground, subject = np.zeros((1, 65)), np.zeros((1, 65))
    whole = (0, 0, seeds.shape[1], seeds.shape[0])  # not looked at
    cv2.setRNGSeed(0)
    cv2.grabCut(picture, seeds, whole, ground, subject, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray(seeds == LIKELY_SUBJECT)


def _guess(small: Floats, border: Mask) -> Seeds:
    """Mark the border as ground, and what is unlike it and near the middle as likely subject."""
    import cv2
    from skimage.filters import threshold_otsu

    height, width = border.shape
    smooth = cv2.GaussianBlur(lab(small), (0, 0), max(height, width) / 100)
    values = np.asarray(smooth, np.float32)
    known = centers(values[border], 8)
    unlike = np.min([np.linalg.norm(values - one, axis=2) for one in known], axis=0)
    rows = np.linspace(-1, 1, height)[:, None] ** 2
    columns = np.linspace(-1, 1, width)[None] ** 2
    unlike = unlike * np.exp(-(rows + columns))
    level = threshold_otsu(unlike)  # type: ignore[no-untyped-call]
    seeds = np.where(unlike > level, LIKELY_SUBJECT, LIKELY_GROUND).astype(np.uint8)
    seeds[border] = GROUND
    return seeds


def _around(found: Mask) -> tuple[slice, slice]:
    """Return the box around the larger pieces of a mask, with a margin."""
    from scipy.ndimage import binary_opening, label

    opened = binary_opening(found)
    pieces, _ = label(opened if opened.any() else found)
    area = np.bincount(pieces.ravel())[1:]
    rows, columns = np.nonzero(np.isin(pieces, 1 + np.flatnonzero(area >= 0.1 * area.max())))
    margin = round(MARGIN * max(found.shape))
    return (
        slice(max(0, rows.min() - margin), rows.max() + margin + 1),
        slice(max(0, columns.min() - margin), columns.max() + margin + 1),
    )
