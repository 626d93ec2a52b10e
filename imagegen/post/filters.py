"""Filters that blur and sharpen."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.neighbours import average, blur, box_mean, fill_hidden, guided_mean
from imagegen.post.operations import operation


@operation("filter", "gaussian:sigma=3")
def gaussian(
    color: Floats,
    alpha: Floats | None,
    *,
    sigma: Annotated[float, Field(gt=0, le=200)] = 2.0,
    linear: bool = False,
) -> Floats:
    """Blur with a Gaussian.

    Args:
        sigma: Standard deviation in pixels; the kernel reaches to four of them.
        linear: Mix light, as a lens out of focus does, so that highlights outshine what is around
            them; otherwise sRGB values, as most programs do.
    """
    return blur(color, alpha, sigma, linear)


def _odd_size(settings: dict[str, Any]) -> None:
    if settings["size"] % 2 == 0:
        raise ValueError(f"size: expected an odd number, got {settings['size']}")


@operation("filter", "box:size=7", check=_odd_size)
def box(
    color: Floats,
    alpha: Floats | None,
    *,
    size: Annotated[int, Field(ge=3, le=511)] = 5,
    linear: bool = False,
) -> Floats:
    """Blur with a box: the mean of each square. As fast for large squares as for small ones.

    Args:
        size: Side of the square in pixels, odd.
        linear: Mix light, so that highlights outshine what is around them; otherwise sRGB values.
    """

    def mean(values: Floats) -> Floats:
        return average(values, alpha, lambda part: box_mean(part, size))

    return from_linear(mean(to_linear(color))) if linear else mean(color)


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
    detail = color - blur(color, alpha, radius)
    # Soft: a hard threshold makes specks where a difference just passes it.
    detail = np.sign(detail) * np.maximum(np.abs(detail) - threshold / 255, 0)
    return np.asarray(color + amount * detail, np.float32)


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
    margin = size // 2
    wide = cv2.copyMakeBorder(
        fill_hidden(color, alpha), margin, margin, margin, margin, cv2.BORDER_REFLECT_101
    )
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


@operation("filter", "detail:amount=1.5")
def detail(
    color: Floats,
    alpha: Floats | None,
    *,
    amount: Annotated[float, Field(ge=-1, le=5)] = 1.0,
    radius: Annotated[int, Field(ge=1, le=100)] = 8,
    tone: Annotated[float, Field(gt=0, le=255)] = 25.0,
) -> Floats:
    """Bring out texture without halos at the edges, or soften it.

    Adds the difference of the luma (of sRGB values) to its guided filter, which keeps edges
    (He, Sun and Tang 2010, section 4), so that hues stay.

    Args:
        amount: How much of the difference to add; 0 changes nothing, -1 takes all texture out.
        radius: Size in pixels of the largest texture.
        tone: Standard deviation, in grey levels of 255, above which it is an edge, not texture.
    """
    luma = luminance(color)[..., None]
    texture = luma - guided_mean(luma, alpha, radius, tone / 255)
    return np.asarray(color + amount * texture, np.float32)


@operation("filter", "deblur:sigma=1.5,steps=20")
def deblur(
    color: Floats,
    alpha: Floats | None,
    *,
    sigma: Annotated[float, Field(gt=0, le=10)] = 1.5,
    steps: Annotated[int, Field(ge=1, le=100)] = 10,
) -> Floats:
    """Undo the blur of a lens by Richardson and Lucy (1972, 1974), taking it for a Gaussian.

    Works in linear light, which is what mixes in a lens. It brings out noise as well: denoise
    first. Costs about two linear gaussians a step.

    Args:
        sigma: Standard deviation of the blur in pixels. Too large a guess makes rings.
        steps: Rounds; more are sharper and noisier.
    """
    # No light at all has no ratio to any other.
    seen = np.asarray(to_linear(fill_hidden(color, alpha)).clip(1e-4), np.float32)
    guess = seen
    for _ in range(steps):
        guess = guess * blur(seen / blur(guess, None, sigma), None, sigma)
    return from_linear(guess)
