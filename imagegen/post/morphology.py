"""Edges, reliefs and shapes: what the differences to the neighbours tell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import luminance
from imagegen.post.neighbours import blur, fill_hidden
from imagegen.post.operations import operation


def _canny_only(settings: dict[str, Any]) -> None:
    """Fill in the thresholds of Canny; refuse those that would be ignored."""
    for name, default in (("low", 20.0), ("high", 50.0)):
        if settings[name] is None:
            settings[name] = default if settings["method"] == "canny" else None
        elif settings["method"] != "canny":
            raise ValueError(f"{name}: would be ignored by method={settings['method']}")
    if settings["method"] == "canny" and settings["low"] > settings["high"]:
        raise ValueError(
            f"low: expected at most high ({settings['high']:g}), got {settings['low']:g}"
        )


Threshold = Annotated[float, Field(ge=0, le=255)]


@operation("filter", "edges:method=canny", check=_canny_only)
def edges(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Literal["sobel", "laplacian", "canny"] = "sobel",
    sigma: Annotated[float, Field(ge=0, le=20)] = 1.0,
    low: Threshold | None = None,
    high: Threshold | None = None,
) -> Floats:
    """Draw edges white on black; `levels:out_black=255,out_white=0` after it makes them a sketch.

    Of the luma of sRGB values, in which steps look even.

    Args:
        method: sobel draws how steep each place is, a sharp step from black to white being white;
            laplacian how bent; canny lines one pixel wide (Canny 1986).
        sigma: Of the Gaussian that is blurred with first, in pixels; 0 is none.
        low: Steepness, in grey levels of 255, down to which canny follows a line (20 if not given).
        high: Steepness that a line needs at one place at least (canny, 50 if not given).
    """
    import cv2

    luma = luminance(fill_hidden(color, alpha))[..., None]
    if sigma > 0:
        luma = blur(luma, None, sigma)
    across, down = (_slope(luma, *order) for order in ((1, 0), (0, 1)))
    if method == "sobel":
        drawn = np.hypot(across, down)
    elif method == "laplacian":
        drawn = np.abs(cv2.Laplacian(luma, cv2.CV_32F, borderType=cv2.BORDER_REFLECT_101)) / 2
    else:
        # It takes whole numbers: these keep a hundredth of a grey level.
        steps = [np.rint(slope * 255 * 100).astype(np.int16) for slope in (across, down)]
        assert low is not None
        assert high is not None
        drawn = cv2.Canny(steps[0], steps[1], low * 100, high * 100, L2gradient=True) / 255
    return np.array(np.broadcast_to(drawn.reshape(luma.shape), color.shape), np.float32)


@operation("filter", "emboss:angle=135,amount=2")
def emboss(
    color: Floats,
    alpha: Floats | None,
    *,
    angle: Annotated[float, Field(ge=-360, le=360)] = 135.0,
    amount: Annotated[float, Field(ge=0, le=20)] = 1.0,
    sigma: Annotated[float, Field(ge=0, le=20)] = 1.0,
) -> Floats:
    """Make a grey relief, lit from one side: what is bright stands out.

    The slope of the luma (of sRGB values) towards the light, around the middle grey.

    Args:
        angle: Where the light comes from in degrees, counterclockwise: 0 is right, 90 above.
        amount: Height of the relief; 0 is flat.
        sigma: Of the Gaussian that is blurred with first, in pixels; 0 is none.
    """
    luma = luminance(fill_hidden(color, alpha))[..., None]
    if sigma > 0:
        luma = blur(luma, None, sigma)
    x, y = np.cos(np.radians(angle)), -np.sin(np.radians(angle))
    # A slope that falls towards the light is lit.
    rise = x * _slope(luma, 1, 0) + y * _slope(luma, 0, 1)
    relief = (0.5 - amount * rise / 2).reshape(luma.shape)
    return np.array(np.broadcast_to(relief, color.shape), np.float32)


def _slope(luma: Floats, across: int, down: int) -> Floats:
    """Return the slope by Sobel; a sharp step of 1 has 1 on both sides of it."""
    import cv2

    slope = cv2.Sobel(
        luma, cv2.CV_32F, across, down, scale=1 / 4, borderType=cv2.BORDER_REFLECT_101
    )
    return np.asarray(slope, np.float32)


@operation("filter", "morphology:method=open,radius=2")
def morphology(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Literal["erode", "dilate", "open", "close", "gradient", "tophat", "blackhat"] = "open",
    shape: Literal["square", "disk", "cross"] = "disk",
    radius: Annotated[int, Field(ge=1, le=30)] = 1,
) -> Floats:
    """Take the least or greatest value around each pixel, channel by channel.

    A disk or cross of radius 30 takes some seconds at 1024 x 1024 pixels, a square never.

    Args:
        method: erode takes the least, dilate the greatest; open (erode, then dilate) removes small
            bright spots, close dark ones; gradient is dilate minus erode; tophat is what open
            removes, blackhat what close does.
        shape: Of what is around a pixel.
        radius: Of the shape in pixels; it is 2 * radius + 1 pixels wide.
    """
    import cv2

    around = _shape(shape, radius)
    how = {
        "erode": cv2.MORPH_ERODE,
        "dilate": cv2.MORPH_DILATE,
        "open": cv2.MORPH_OPEN,
        "close": cv2.MORPH_CLOSE,
        "gradient": cv2.MORPH_GRADIENT,
        "tophat": cv2.MORPH_TOPHAT,
        "blackhat": cv2.MORPH_BLACKHAT,
    }[method]
    result = cv2.morphologyEx(fill_hidden(color, alpha), how, around)
    return np.asarray(result, np.float32).reshape(color.shape)


def _shape(shape: str, radius: int) -> Any:
    place = np.arange(-radius, radius + 1)
    if shape == "square":
        inside = np.ones((len(place), len(place)), bool)
    elif shape == "disk":
        inside = place[:, None] ** 2 + place**2 <= radius**2
    else:
        inside = (place[:, None] == 0) | (place == 0)
    return inside.astype(np.uint8)
