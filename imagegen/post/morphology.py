"""Edges, reliefs and shapes: what the differences to the neighbours tell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import luminance
from imagegen.post.neighbours import blur, fill_hidden
from imagegen.post.operations import operation, settle

METHOD_DEFAULTS: dict[str, dict[str, float]] = {
    "amount": {"sobel": 3.0, "laplacian": 6.0},
    "low": {"canny": 20.0},
    "high": {"canny": 50.0},
}


def _settings_of_method(settings: dict[str, Any]) -> None:
    settle(settings, METHOD_DEFAULTS)
    if settings["method"] == "canny" and settings["low"] > settings["high"]:
        raise ValueError(
            f"low: expected at most high ({settings['high']:g}), got {settings['low']:g}"
        )


Threshold = Annotated[float, Field(ge=0, le=255)]


@operation("filter", "edges:method=canny", check=_settings_of_method)
def edges(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Literal["sobel", "laplacian", "canny"] = "sobel",
    sigma: Annotated[float, Field(ge=0, le=20)] = 1.0,
    amount: Annotated[float, Field(gt=0, le=50)] | None = None,
    low: Threshold | None = None,
    high: Threshold | None = None,
) -> Floats:
    """Draw edges white on black; `levels:out_black=255,out_white=0` after it makes them a sketch.

    Of the luma of sRGB values, in which steps look even.

    Args:
        method: sobel draws how steep each place is, laplacian how bent, canny lines one pixel wide
            (Canny 1986).
        sigma: Of the Gaussian that is blurred with first, in pixels; 0 is none.
        amount: Factor; at 1 a sharp step from black to white is just white (sobel, 3 if not given;
            laplacian, 6).
        low: Steepness, in grey levels of 255, down to which canny follows a line (20 if not given).
        high: Steepness that a line needs at one place at least (canny, 50 if not given).
    """
    import cv2

    luma = luminance(fill_hidden(color, alpha))[..., None]
    if sigma > 0:
        luma = blur(luma, None, sigma)
    across, down = (_slope(luma, *order) for order in ((1, 0), (0, 1)))
    if method == "sobel":
        drawn = amount * np.hypot(across, down)
    elif method == "laplacian":
        bend = cv2.Laplacian(luma, cv2.CV_32F, borderType=cv2.BORDER_REFLECT_101)
        drawn = amount * np.abs(bend)
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

    The time of a disk or cross grows with its area: at 1024 x 1024 pixels about 1.5 s for 30.

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
