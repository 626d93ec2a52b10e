"""Filters that take noise out and keep edges."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.neighbours import fill_hidden, guided_mean
from imagegen.post.operations import operation

Tone = Annotated[float, Field(gt=0, le=255)]


@operation("filter", "bilateral:sigma=4,tone=30")
def bilateral(
    color: Floats,
    alpha: Floats | None,
    *,
    sigma: Annotated[float, Field(gt=0, le=16)] = 3.0,
    tone: Tone = 25.0,
) -> Floats:
    """Smooth with a Gaussian that counts less what differs in colour (Tomasi and Manduchi 1998).

    Distances of sRGB values. The time grows with the square of sigma: at 1024 x 1024 pixels about
    0.3 s for 3 and 7 s for 16.

    Args:
        sigma: Standard deviation in pixels; the kernel reaches to one and a half of them.
        tone: Standard deviation, in grey levels of 255, of the differences that are smoothed.
    """
    import cv2

    values = fill_hidden(color, alpha)
    # It sums up the differences of the channels, and grey has to come out alike in one or three.
    width = tone / 255 * color.shape[2]
    smooth = cv2.bilateralFilter(values, 0, width, sigma, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(smooth, np.float32).reshape(color.shape)


@operation("filter", "non-local-means:tone=15")
def non_local_means(
    color: Floats,
    alpha: Floats | None,
    *,
    tone: Tone = 10.0,
    patch: Annotated[int, Field(ge=1, le=4)] = 2,
    search: Annotated[int, Field(ge=1, le=15)] = 6,
) -> Floats:
    """Smooth by the mean of places that look alike (Buades, Coll and Morel 2005): for noise.

    Compares sRGB values. The time grows with the square of the search radius: at 1024 x 1024 pixels
    about 3 s for 6 and 18 s for 15.

    Args:
        tone: How different places may look, in grey levels of 255; about the standard deviation of
            the noise.
        patch: Radius in pixels of the places that are compared.
        search: Radius in pixels of the window in which they are looked for.
    """
    from skimage.restoration import denoise_nl_means

    # It pads by reflection, which needs two pixels a side; copies of the edge make them.
    height, width = color.shape[:2]
    pads = ((0, max(0, 2 - height)), (0, max(0, 2 - width)), (0, 0))
    values = np.pad(fill_hidden(color, alpha), pads, mode="edge")
    # It takes no axis of one channel.
    given, axis = (values[..., 0], None) if values.shape[2] == 1 else (values, 2)
    smooth = denoise_nl_means(given, 2 * patch + 1, search, h=tone / 255, channel_axis=axis)
    return np.asarray(smooth, np.float32).reshape(values.shape)[:height, :width]


@operation("filter", "total-variation:weight=0.2")
def total_variation(
    color: Floats,
    alpha: Floats | None,
    *,
    weight: Annotated[float, Field(gt=0, le=2)] = 0.1,
    steps: Annotated[int, Field(ge=1, le=500)] = 50,
) -> Floats:
    """Flatten to areas with sharp edges (Rudin, Osher and Fatemi 1992): the mean stays.

    Minimises the total variation of sRGB values, each channel on its own, and their distance to
    the picture (Chambolle 2004). At 1024 x 1024 pixels about 3 s for 50 steps.

    Args:
        weight: Of the variation against the distance; more is flatter.
        steps: Rounds at the most; strong weights need more of them.
    """
    from skimage.restoration import denoise_tv_chambolle

    values = fill_hidden(color, alpha)
    flat = denoise_tv_chambolle(  # type: ignore[no-untyped-call]
        values, weight=weight, max_num_iter=steps, channel_axis=2
    )
    return np.asarray(flat, np.float32)


@operation("filter", "guided:radius=8,tone=25")
def guided(
    color: Floats,
    alpha: Floats | None,
    *,
    radius: Annotated[int, Field(ge=1, le=100)] = 4,
    tone: Tone = 25.0,
) -> Floats:
    """Smooth by the guided filter (He, Sun and Tang 2010): like bilateral, and fast for any radius.

    Of sRGB values, each channel its own guide.

    Args:
        radius: Of the squares that it works in, in pixels.
        tone: Standard deviation, in grey levels of 255, above which a square is an edge.
    """
    return guided_mean(color, alpha, radius, tone / 255)
