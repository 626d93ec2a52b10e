"""How neighbours mix. Borders reflect (101: without the edge), hidden colours stay hidden."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imagegen.images.pixels import Floats
from imagegen.post.color import from_linear, to_linear
from imagegen.post.region import visible

WIDE = 20
"""Sigma from which on a Gaussian is not summed up: at 200 that would take 18 s, not 0.5 s."""


def average(color: Floats, alpha: Floats | None, mean: Callable[[Floats], Floats]) -> Floats:
    """Average by weights of alpha, so that the colour of transparent pixels does not come through.

    Args:
        color: (H, W, C).
        alpha: (H, W, 1), or None.
        mean: averages each channel with its neighbours, and keeps the size.
    """
    if alpha is None:
        return mean(color)
    weight = mean(alpha)
    # Not above 0: what rounding leaves of nothing would be a weight too.
    return np.divide(mean(color * alpha), weight, out=color.copy(), where=weight > 1e-6)


def blur(color: Floats, alpha: Floats | None, sigma: float, linear: bool = False) -> Floats:
    """Average with a Gaussian of this sigma in pixels, of sRGB values or, if `linear`, of light."""
    if linear:
        return from_linear(blur(to_linear(color), alpha, sigma))
    return average(color, alpha, lambda values: gaussian_mean(values, sigma))


def gaussian_mean(values: Floats, sigma: float) -> Floats:
    """Average with a Gaussian of this sigma in pixels, whatever alpha is."""
    import cv2

    if sigma > WIDE:
        return _wide_gaussian_mean(values, sigma)
    blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def _wide_gaussian_mean(values: Floats, sigma: float) -> Floats:
    """Do the same with cosines, which mirror at the edge as these borders do: as fast for any."""
    from scipy.fft import dct, idct

    for axis in (0, 1):
        last = values.shape[axis] - 1
        if last > 0:
            decay = np.exp(-((np.pi * sigma / last * np.arange(last + 1)) ** 2) / 2)
            decay = np.expand_dims(decay, (1 - axis, 2)).astype(np.float32)
            values = idct(dct(values, 1, axis=axis) * decay, 1, axis=axis)
    return values


def box_mean(values: Floats, size: int) -> Floats:
    """Average over squares of `size` pixels, whatever alpha is."""
    import cv2

    blurred = cv2.blur(values, (size, size), borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def guided_mean(values: Floats, alpha: Floats | None, radius: int, tone: float) -> Floats:
    """Average within squares, but not across edges: the guided filter of values by themselves.

    Each square is taken for a straight line through its mean, the flatter the less its variance
    is above `tone` squared (He, Sun and Tang 2010, equations 5, 6 and 8).

    Args:
        values: (H, W, C); every channel is its own guide.
        alpha: (H, W, 1), or None.
        radius: of the squares, 2 * radius + 1 pixels wide.
        tone: standard deviation above which a square is an edge, in [0, 1].
    """

    def mean(of: Floats) -> Floats:
        return average(of, alpha, lambda part: box_mean(part, 2 * radius + 1))

    middle = mean(values)
    variance = np.maximum(mean(values**2) - middle**2, 0)
    slope = variance / (variance + np.float32(tone**2))
    return mean(slope) * values + mean(middle - slope * middle)


def fill_hidden(color: Floats, alpha: Floats | None) -> Floats:
    """Give transparent pixels the colour of the nearest visible one, where weights do not help."""
    import cv2

    if alpha is None:
        return color
    hidden = ~visible(alpha, color.shape[:2])
    if hidden.all() or not hidden.any():
        return color
    _, nearest = cv2.distanceTransformWithLabels(
        hidden.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels count the visible pixels in an order of OpenCV's own; look each one's place up.
    places = np.zeros(nearest.max() + 1, dtype=np.intp)
    places[nearest[~hidden]] = np.flatnonzero(~hidden)
    filled: Floats = color.reshape(-1, color.shape[2])[places[nearest]]
    return filled
