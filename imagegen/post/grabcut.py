"""The subject by GrabCut: colour models of subject and ground, and the shortest edge between."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from imagegen.images.pixels import Floats
from imagegen.post.refine import enlarge, shrink
from imagegen.post.region import Labels, lab

Box = tuple[int, int, int, int]
"""X, Y, width, height in pixels."""

ROUNDS = 5
"""Times that colour models and cut are made again; more change little."""


def grabcut(color: Floats, box: Box | None) -> Labels:
    """Part the subject, 1, from the ground, 0 (Rother et al. 2004).

    Without a box, the subject is first guessed as what is unlike the border.
    """
    import cv2

    small = shrink(color)
    height, width = small.shape[:2]
    if box is None:
        seeds = _guess(small)
    else:
        seeds = np.full((height, width), cv2.GC_BGD, np.uint8)
        scale = np.array([width / color.shape[1], height / color.shape[0]] * 2)
        left, top, wide, high = np.array(box) * scale
        seeds[round(top) : round(top + high), round(left) : round(left + wide)] = cv2.GC_PR_FGD
    likely = np.isin(seeds, (cv2.GC_PR_FGD, cv2.GC_FGD))
    if likely.all() or not likely.any():  # it needs some of both to learn from
        return np.zeros(color.shape[:2], np.int32) + likely.all()
    cv2.setRNGSeed(0)
    picture = np.rint(small * 255).astype(np.uint8)
    ground, subject = np.zeros((1, 65)), np.zeros((1, 65))
    whole = (0, 0, width, height)  # not looked at
    cv2.grabCut(picture, seeds, whole, ground, subject, ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(seeds, (cv2.GC_PR_FGD, cv2.GC_FGD))
    return enlarge(found.astype(np.int32), color)


def _guess(small: Floats) -> npt.NDArray[np.uint8]:
    """Mark the border as ground, and what is unlike it as likely subject."""
    import cv2
    from skimage.filters import threshold_otsu

    from imagegen.post.partition import centers

    height, width = small.shape[:2]
    margin = max(1, round(0.04 * min(height, width)))
    border = np.ones((height, width), bool)
    border[margin:-margin, margin:-margin] = False
    values = np.asarray(cv2.GaussianBlur(lab(small), (0, 0), max(height, width) / 100), np.float32)
    known = centers(values[border], 8)
    unlike = np.min([np.linalg.norm(values - one, axis=2) for one in known], axis=0)
    rows = np.linspace(-1, 1, height)[:, None] ** 2
    columns = np.linspace(-1, 1, width)[None] ** 2
    unlike = unlike * np.exp(-(rows + columns))
    level = threshold_otsu(unlike)  # type: ignore[no-untyped-call]
    seeds = np.where(unlike > level, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    seeds[border] = cv2.GC_BGD
    return seeds
