"""Pictures as if painted or drawn."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import luminance
from imagegen.post.neighbours import fill_hidden, gaussian_mean
from imagegen.post.operations import operation

SECTORS = 8


@operation("filter", "oil:radius=5")
def oil(
    color: Floats,
    alpha: Floats | None,
    *,
    radius: Annotated[int, Field(ge=1, le=16)] = 4,
    sharpness: Annotated[float, Field(ge=0, le=32)] = 8.0,
) -> Floats:
    """Paint in dabs that follow edges: the Kuwahara filter with smooth sectors.

    Each pixel becomes the mean of eight sectors around it, those with the least variance (of
    sRGB values) counting most (Papari, Petkov and Campisi 2007). At 1024 x 1024 pixels about
    1 s.

    Args:
        radius: Of the dabs in pixels.
        sharpness: How much less a sector with more variance counts; 0 is a blur.
    """
    import cv2

    filled = fill_hidden(color, alpha)
    # Around the mean, or there are no digits left for the variance of a flat place.
    values = filled - filled.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    total, weights = np.zeros_like(color), np.zeros_like(color[..., :1])

    def mean(of: Floats, kernel: Floats) -> Floats:
        summed = cv2.filter2D(of, cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
        return np.asarray(summed, np.float32).reshape(of.shape)

    squares = (values**2).sum(axis=2, keepdims=True)
    for kernel in _sectors(radius):
        middle = mean(values, kernel)
        variance = mean(squares, kernel) - (middle**2).sum(axis=2, keepdims=True)
        # Two grey levels of spread are flat: below, the weights would blow up.
        spread = np.sqrt(np.maximum(variance, 0)) + np.float32(2 / 255)
        weight = (np.float32(2 / 255) / spread) ** np.float32(sharpness)
        total += weight * middle
        weights += weight
    painted: Floats = filled - values + total / weights
    return painted


def _sectors(radius: int) -> list[Floats]:
    """Return the weights of each sector: parts of a Gaussian that fade into each other."""
    place = np.arange(-radius, radius + 1)
    x, y = np.meshgrid(place, place)
    bell = np.exp(-(x**2 + y**2) / (2 * (radius / 2) ** 2)) * (x**2 + y**2 <= radius**2)
    kernels = []
    for sector in range(SECTORS):
        turn = np.arctan2(y, x) - 2 * np.pi * sector / SECTORS
        away = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        # The squares of two cosines a quarter of a turn apart sum up to 1.
        share = np.where(away < 2 * np.pi / SECTORS, np.cos(away * SECTORS / 4) ** 2, 0)
        share[radius, radius] = 1 / SECTORS
        kernel = bell * share
        kernels.append((kernel / kernel.sum()).astype(np.float32))
    return kernels


@operation("filter", "cartoon:tones=6")
def cartoon(
    color: Floats,
    alpha: Floats | None,
    *,
    tones: Annotated[int, Field(ge=2, le=32)] = 8,
    lines: Annotated[float, Field(ge=0, le=1)] = 1.0,
    width: Annotated[float, Field(ge=0.3, le=5)] = 1.0,
    smooth: Annotated[int, Field(ge=0, le=8)] = 3,
) -> Floats:
    """Draw flat tones with dark lines (Winnemöller, Olsen and Gooch 2006).

    Texture is smoothed by rounds of a bilateral filter, lightness is rounded to soft steps, and
    lines are drawn where it falls faster than around. Works in CIE Lab. At 1024 x 1024 pixels about
    1 s.

    Args:
        tones: Steps of lightness.
        lines: How dark the lines are; 0 is none.
        width: Of the lines, the sigma of a Gaussian in pixels.
        smooth: Rounds of smoothing.
    """
    import cv2

    grey = color.shape[2] == 1
    rgb = np.ascontiguousarray(np.broadcast_to(fill_hidden(color, alpha), (*color.shape[:2], 3)))
    lab = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), np.float32)
    for _ in range(smooth):
        lab = np.asarray(
            cv2.bilateralFilter(lab, 0, 15, 3, borderType=cv2.BORDER_REFLECT_101), np.float32
        )
    lightness = lab[..., :1].copy()
    step = np.float32(100 / (tones - 1))
    # Not a jump halfway between two tones, but a steep slope: less noise shows (equation 6).
    halfway = (np.floor(lightness / step) + np.float32(0.5)) * step
    slope = np.tanh(6 * (lightness - halfway) / step) / np.tanh(np.float32(3))
    lab[..., :1] = halfway + slope * step / 2
    if lines > 0:
        # A line is where a place is darker than around it (equation 5, its tau, with Lab's L).
        darker = gaussian_mean(lightness, width) - 0.98 * gaussian_mean(lightness, 1.6 * width)
        ink = -np.tanh(np.minimum(darker, 0) * np.float32(2))
        lab[..., :1] *= 1 - np.float32(lines) * ink
    drawn = np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.float32)
    return luminance(drawn)[..., None] if grey else drawn
