"""Where an operation works and how much: label maps, region expressions, the one blend.

The keyword arguments of `blend` and `remember` are the settings that operations get for free.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from imagegen.images.pixels import Floats

Labels = npt.NDArray[np.int32]
"""(H, W): 0 is the background, 1 and up are the regions of the subject, biggest first."""

Mask = npt.NDArray[np.bool_]

EVERYWHERE = "all"
_NAME = r"[A-Za-z][A-Za-z0-9_-]*"


@dataclass(frozen=True)
class Region:
    """A region expression, taken apart: `name`, `name:label`, either with `!` before it."""

    name: str
    label: int | None = None
    inverted: bool = False


def parse_region(text: str) -> Region:
    """Take a region expression apart; raises ValueError if it is none."""
    match = re.fullmatch(rf"(!?)({_NAME})(?::([0-9]{{1,9}}))?", text)
    if match is None or (match[2] == EVERYWHERE and match[3]):
        raise ValueError(f"region: expected NAME, NAME:LABEL or !NAME, got {text!r}")
    return Region(match[2], int(match[3]) if match[3] else None, bool(match[1]))


def check_name(text: str) -> None:
    """Raise ValueError unless a region expression can name a label map `text`."""
    if not re.fullmatch(_NAME, text) or text == EVERYWHERE:
        raise ValueError(
            f"as: expected a name of letters, digits, - and _, beginning with a letter, "
            f"other than '{EVERYWHERE}', got {text!r}"
        )


def mask(expression: str, maps: dict[str, Labels], size: tuple[int, int]) -> Floats:
    """Draw a region: (H, W, 1), 1 inside and 0 outside. A label that is not there is empty."""
    region = parse_region(expression)
    if region.name == EVERYWHERE:
        inside = np.ones(size, dtype=bool)
    elif region.label is None:
        inside = maps[region.name] >= 1
    else:
        inside = maps[region.name] == region.label
    return np.where(inside != region.inverted, np.float32(1), np.float32(0))[..., None]


def visible(alpha: Floats | None, size: tuple[int, int]) -> Mask:
    """Mark what can be seen: pixels at least half as opaque as the most opaque one.

    Not all with alpha above 0: resampled cut-outs have rings of alpha 1 or 2 in 255 around them,
    whose colours are rounding errors.
    """
    if alpha is None:
        return np.ones(size, dtype=bool)
    opacity = alpha[..., 0]
    seen: Mask = (opacity > 0) & (opacity >= opacity.max() / 2)
    return seen


def blend(
    before: Floats,
    after: Floats,
    maps: dict[str, Labels],
    *,
    region: str = EVERYWHERE,
    feather: Annotated[float, Field(ge=0, le=200)] = 0.0,
    strength: Annotated[float, Field(ge=0, le=1)] = 1.0,
) -> Floats:
    """Lay the result of an operation over what it was given.

    Args:
        region: Where: NAME (the subject that `segment:as=NAME` found), NAME:3 (one label),
            !NAME (the rest), or all.
        feather: Softness of the region's edge in pixels, the sigma of a Gaussian.
        strength: How much of the result to take: 0 is none, 1 all of it.
    """
    inside = mask(region, maps, before.shape[:2])
    if feather > 0:
        import cv2

        soft = cv2.GaussianBlur(inside, (0, 0), feather, borderType=cv2.BORDER_REFLECT_101)
        inside = np.asarray(soft, np.float32)[..., None].clip(0, 1)
    share = inside * np.float32(strength)
    # Unlike before + share * (after - before), this form is exact at both ends.
    mixed: Floats = (1 - share) * before + share * after
    return mixed


def remember(before: Floats, labels: Labels, maps: dict[str, Labels], *, as_: str) -> Floats:
    """Keep a label map for the regions of later steps; the picture stays as it is.

    Args:
        as_: Name of the result, for `region=NAME` in later steps.
    """
    maps[as_] = labels
    return before
