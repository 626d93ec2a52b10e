"""Make pictures larger by whole factors, along their edges."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats, Pixels
from imagegen.post.color import luminance
from imagegen.post.geometry import check_size, mixed
from imagegen.post.learned import check_model, double
from imagegen.post.operations import Moved, operation, settle

REACH = 8
"""Pixels beyond the picture that a doubling looks at."""


def _settings_agree(settings: dict[str, Any]) -> None:
    factor, method = settings["factor"], settings["method"]
    if factor & (factor - 1):
        raise ValueError(f"factor: expected 2, 4, 8 or 16, got {factor}")
    settle(settings, {"model": {"model": None}})
    if method == "model":
        if settings["model"] is None:
            raise ValueError("model: missing; name one (imagegen train DATA --preset upscaler)")
        check_model("model", settings["model"], "autoencoder", "half")


@operation("geometry", "upscale:method=epx,factor=4", check=_settings_agree)
def upscale(
    pixels: Pixels,
    max_pixels: int,
    *,
    method: Literal["edge", "epx", "model"] = "edge",
    factor: Annotated[int, Field(ge=2, le=16)] = 2,
    wrap: bool = False,
    model: str | None = None,
) -> Moved:
    """Double the size, once or more, without stairs along edges.

    Args:
        method: edge goes along the edges of photographs and drawings (directional cubic
            convolution, Zhou et al. 2012, on the luma's gradients); epx is for pixel art and
            gives no new colours (Scale2x); model adds the detail that a model of your own has
            learnt from pictures alike (imagegen train DATA --preset upscaler).
        factor: 2, 4, 8 or 16.
        wrap: Look past the edges to the other side, so that a texture still tiles.
        model: The model of method=model.
    """
    tall, wide = pixels.color.shape[:2]
    check_size(wide * factor, tall * factor, max_pixels)
    result = pixels
    for _ in range(factor.bit_length() - 1):
        if method == "epx":
            result = _epx(result, wrap)
        elif model is not None:
            result = _learned(result, wrap, model)
        else:
            result = _directed(result, wrap)

    def follow(labels: Any) -> Any:
        return labels.repeat(factor, 0).repeat(factor, 1)

    return result, follow


def _padded(plane: Any, wrap: bool, by: int) -> Any:
    return np.pad(plane, ((by, by), (by, by), (0, 0)), mode="wrap" if wrap else "edge")


def _epx(pixels: Pixels, wrap: bool) -> Pixels:
    """Scale2x (Mazzoleni 2001): a corner takes its neighbours' colour where they agree."""
    parts = [pixels.color] if pixels.alpha is None else [pixels.color, pixels.alpha]
    middle = np.concatenate(parts, axis=2)
    if pixels.alpha is not None:
        middle[pixels.alpha[..., 0] == 0] = 0  # all that is transparent looks the same
    wide = _padded(middle, wrap, 1)
    up, down = wide[:-2, 1:-1], wide[2:, 1:-1]
    left, right = wide[1:-1, :-2], wide[1:-1, 2:]

    def same(one: Floats, other: Floats) -> Any:
        return (one == other).all(axis=2)

    crossing = ~same(up, down) & ~same(left, right)
    height, width, channels = middle.shape
    out = np.empty((height, 2, width, 2, channels), np.float32)
    for row, above in ((0, up), (1, down)):
        for column, beside in ((0, left), (1, right)):
            take = (crossing & same(above, beside))[..., None]
            out[:, row, :, column] = np.where(take, above, middle)
    whole = out.reshape(2 * height, 2 * width, channels)
    if pixels.alpha is None:
        return Pixels(whole, None, pixels.depth)
    return Pixels(whole[..., :-1].copy(), whole[..., -1:].copy(), pixels.depth)


def _directed(pixels: Pixels, wrap: bool) -> Pixels:
    # The directions come from the luma alone, so that all channels and alpha go the same way.
    guide = luminance(pixels.color)[..., None]
    if pixels.alpha is not None:
        guide = guide * pixels.alpha + pixels.alpha
    guide = _padded(guide, wrap, REACH)[..., 0]
    return mixed(pixels, lambda plane: _double(_padded(plane, wrap, REACH), guide))


def _learned(pixels: Pixels, wrap: bool, model: str) -> Pixels:
    parts = (pixels.color, pixels.alpha)
    wide = [None if part is None else _padded(part, wrap, REACH) for part in parts]
    assert wide[0] is not None
    color, alpha = double(model, wide[0], wide[1])
    inner = slice(2 * REACH, -2 * REACH)
    if pixels.alpha is None:
        alpha = None
    elif alpha is None:  # a model of opaque pictures
        alpha = _directed(pixels, wrap).alpha
    else:
        alpha = alpha[inner, inner]
    return Pixels(color[inner, inner], alpha, pixels.depth)


# Cubic convolution half-way between two of four neighbours in a row (Keys 1981, a = -1/2).
_CUBIC = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
_RATIO, _POWER = 1.15, 5


def _double(plane: Floats, guide: Floats) -> Floats:
    """Double what lies inside of a margin of REACH pixels.

    The old pixels stay where they were, on even rows and columns; the others are put between, first
    those amid four, then the rest from both.
    """
    height, width, channels = plane.shape
    grid = np.zeros((2 * height, 2 * width, channels), np.float32)
    lines = np.zeros((2 * height, 2 * width, 1), np.float32)
    for out, values in ((grid, plane), (lines, guide[..., None])):
        out[::2, ::2] = values
    both = np.concatenate([grid, lines], axis=2)
    # Each pass: the places to fill, and the two directions across each other that fill them.
    _fill(both, (1, 1), (1, 1), (1, -1))
    _fill(both, (0, 1), (0, 1), (1, 0))
    _fill(both, (1, 0), (0, 1), (1, 0))
    inner = slice(2 * REACH, -2 * REACH)
    return both[inner, inner, :channels]


def _fill(
    grid: Floats, start: tuple[int, int], one: tuple[int, int], other: tuple[int, int]
) -> None:
    """Fill every second row and column from `start` along the direction that changes less."""

    def at(direction: tuple[int, int], step: int, aside: tuple[int, int] = (0, 0)) -> Floats:
        shift = [-(step * d + a) for d, a in zip(direction, aside, strict=True)]
        return np.roll(grid, shift, (0, 1))[start[0] :: 2, start[1] :: 2]

    lines = []
    change = []
    for direction in (one, other):
        line = [at(direction, step) for step in (-3, -1, 1, 3)]
        lines.append(sum(w * values for w, values in zip(_CUBIC, line, strict=True)))
        luma = [values[..., -1] for values in line]
        change.append(sum(np.abs(b - a) for a, b in pairwise(luma)))
    first, second = _summed(change[0]) + 1e-4, _summed(change[1]) + 1e-4
    weights = [1 / (1 + first**_POWER), 1 / (1 + second**_POWER)]
    total = weights[0] + weights[1]
    share = np.where(
        first > _RATIO * second, 0, np.where(second > _RATIO * first, 1, weights[0] / total)
    )[..., None].astype(np.float32)
    grid[start[0] :: 2, start[1] :: 2] = share * lines[0] + (1 - share) * lines[1]


def _summed(change: Any) -> Any:
    import cv2

    return cv2.boxFilter(change * 255, -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
