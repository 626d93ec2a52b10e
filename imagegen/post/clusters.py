"""A few centres for many points: k-means, the same on every call."""

from __future__ import annotations

import numpy as np

from imagegen.images.pixels import Floats


def centers(points: Floats, n: int, sample: int, movement: float, attempts: int) -> Floats:
    """Find `n` centres of points, or as many as there are different ones.

    Args:
        points: (N, D).
        n: how many centres.
        sample: so many points are looked at, evenly spread; some fix a few centres as well as
            millions do.
        movement: centres that move less than this have arrived.
        attempts: starts, of which the best counts.
    """
    import cv2

    points = np.ascontiguousarray(points[:: max(1, len(points) // sample)])
    different = np.unique(points, axis=0)
    if len(different) <= n:
        return different
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 50, movement)
    start = np.zeros((0, 1), np.int32)
    _, _, found = cv2.kmeans(points, n, start, stop, attempts, cv2.KMEANS_PP_CENTERS)
    return np.asarray(found, np.float32)
