"""Filters: each new pixel is made from its neighbours. Borders reflect (101: without the edge)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.operations import operation
from imagegen.post.region import visible


@operation("filter", "gaussian:sigma=3")
def gaussian(
    color: Floats, alpha: Floats | None, *, sigma: Annotated[float, Field(gt=0, le=200)] = 2.0
) -> Floats:
    """Blur with a Gaussian.

    Args:
        sigma: Standard deviation in pixels; the kernel reaches to four of them.
    """
    return _blur(color, alpha, sigma)


@operation("filter", "sharpen:amount=1.5")
def sharpen(
    color: Floats,
    alpha: Floats | None,
    *,
    amount: Annotated[float, Field(ge=0, le=10)] = 1.0,
    radius: Annotated[float, Field(gt=0, le=100)] = 1.5,
    threshold: Annotated[float, Field(ge=0, le=255)] = 0.0,
) -> Floats:
    """Sharpen by an unsharp mask: add the difference to a Gaussian blur.

    Args:
        amount: How much of the difference to add; 0 changes nothing.
        radius: Sigma of the blur in pixels: the width of the edges that gain.
        threshold: Grey levels of 255 that every difference is lessened by, so that small ones
            (noise) are left alone.
    """
    detail = color - _blur(color, alpha, radius)
    # Soft: a hard threshold makes specks where a difference just passes it.
    detail = np.sign(detail) * np.maximum(np.abs(detail) - threshold / 255, 0)
    return np.asarray(color + amount * detail, np.float32)


def _odd_size(settings: dict[str, Any]) -> None:
    if settings["size"] % 2 == 0:
        raise ValueError(f"size: expected an odd number, got {settings['size']}")


@operation("filter", "median:size=5", check=_odd_size)
def median(
    color: Floats,
    alpha: Floats | None,
    depth: int,
    *,
    size: Annotated[int, Field(ge=3, le=255)] = 3,
) -> Floats:
    """Take the median of each square, channel by channel: removes specks, keeps edges.

    Args:
        size: Side of the square in pixels, odd. Above 5 it is slow on 16-bit pictures.
    """
    import cv2

    shape = color.shape
    if alpha is not None:
        color = _fill_hidden(color, alpha)
    margin = size // 2
    wide = cv2.copyMakeBorder(color, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
    # OpenCV takes floats up to size 5 and beyond that only 8 bit, where nothing is lost by it
    # unless the picture has more.
    if size <= 5:
        wide = cv2.medianBlur(wide, size)
    elif depth == 255:
        wide = cv2.medianBlur(np.rint(wide * 255).astype(np.uint8), size) / np.float32(255)
    else:
        from skimage.filters import median as any_median

        square = np.ones((size, size, 1), dtype=bool)
        wide = any_median(np.atleast_3d(wide), square)  # type: ignore[no-untyped-call]
    inner = wide[margin : margin + shape[0], margin : margin + shape[1]]
    return np.asarray(inner, np.float32).reshape(shape)


def _blur(color: Floats, alpha: Floats | None, sigma: float) -> Floats:
    """Blur by weights of alpha, so that the colour of transparent pixels does not come through."""
    if alpha is None:
        return _convolve(color, sigma)
    weight = _convolve(alpha, sigma)
    blurred = _convolve(color * alpha, sigma)
    return np.divide(blurred, weight, out=color.copy(), where=weight > 0)


def _convolve(values: Floats, sigma: float) -> Floats:
    import cv2

    blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def _fill_hidden(color: Floats, alpha: Floats) -> Floats:
    """Give transparent pixels the colour of the nearest visible one: a median knows no weights."""
    import cv2

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
