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
"""Pixels beyond the picture that a model looks at."""
MARGIN = 12
"""Pixels beyond the picture that all doublings along edges look at together."""


def _settings_agree(settings: dict[str, Any]) -> None:
    factor, method = settings["factor"], settings["method"]
    if factor & (factor - 1):
        raise ValueError(f"factor: expected 2, 4, 8 or 16, got {factor}")
    settle(settings, {"model": {"model": None}})
    if method == "model":
        if settings["model"] is None:
            raise ValueError("model: missing; name one (imagegen train DATA --preset upscaler)")
        check_model("model", settings["model"], ("autoencoder",), "half")


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
            convolution, Zhou et al. 2012, on the luma's gradients, and a last step by half a
            pixel that keeps all in its place); epx is for pixel art and gives no new colours
            (Scale2x); model adds the detail that a model of your own has learnt from pictures alike
            (imagegen train DATA --preset upscaler).
        factor: 2, 4, 8 or 16.
        wrap: Look past the edges to the other side, so that a texture still tiles.
        model: The model of method=model.
    """
    tall, wide = pixels.color.shape[:2]
    check_size(wide * factor, tall * factor, max_pixels)
    result = _directed(pixels, factor, wrap) if method == "edge" else pixels
    for _ in range(factor.bit_length() - 1):
        if method == "epx":
            result = _epx(result, wrap)
        elif model is not None:
            result = _learned(result, wrap, model)

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


def _directed(pixels: Pixels, factor: int, wrap: bool) -> Pixels:
    # The directions come from the luma alone, so that all channels and alpha go the same way.
    guide = luminance(pixels.color)[..., None]
    if pixels.alpha is not None:
        guide = guide * pixels.alpha + pixels.alpha

    def enlarge(plane: Floats) -> Floats:
        return _along_edges(_padded(np.concatenate([plane, guide], axis=2), wrap, MARGIN), factor)

    return mixed(pixels, enlarge)


def _learned(pixels: Pixels, wrap: bool, model: str) -> Pixels:
    parts = (pixels.color, pixels.alpha)
    wide = [None if part is None else _padded(part, wrap, REACH) for part in parts]
    assert wide[0] is not None
    color, alpha = double(model, wide[0], wide[1])
    inner = slice(2 * REACH, -2 * REACH)
    if pixels.alpha is None:
        alpha = None
    elif alpha is None:  # a model of opaque pictures
        alpha = _directed(pixels, 2, wrap).alpha
    else:
        alpha = alpha[inner, inner]
    return Pixels(color[inner, inner], alpha, pixels.depth)


# Cubic convolution half-way between two of four neighbours in a row (Keys 1981, a = -1/2).
_CUBIC = (-1 / 16, 9 / 16, 9 / 16, -1 / 16)
_RATIO, _POWER = 1.15, 5
_STRIP = 256
"""Rows at once, or the last step would take most of the memory."""


def _along_edges(plane: Floats, factor: int) -> Floats:
    """Enlarge what lies inside of a margin of MARGIN pixels; the last channel gives directions."""
    height, width = (factor * (side - 2 * MARGIN) for side in plane.shape[:2])
    grid = plane
    for _ in range(factor.bit_length() - 1):
        grid = _double(grid)
    # Points between the old pixels are half a new pixel off its place; those amid four are on it.
    top, left = (grid.shape[0] - 3 - height) // 2, (grid.shape[1] - 3 - width) // 2
    result = np.empty((height, width, plane.shape[2] - 1), np.float32)
    for start in range(0, height, _STRIP):
        end = min(height, start + _STRIP)
        # One row more on each side, that each point has its neighbours.
        strip = _amid(grid[top + start - 1 : top + end + 4])[1:-1]
        result[start:end] = strip[:, left : left + width, :-1]
    return result


def _double(grid: Floats) -> Floats:
    """Put points half-way between those of a grid, and drop three rows on each side.

    (H, W, C) becomes (2H - 13, 2W - 13, C), with the same middle.
    """
    amid = _amid(grid)  # the first one lies between the second and the third of the grid
    height, width = (2 * side - 13 for side in grid.shape[:2])
    new = np.empty((height, width, grid.shape[2]), np.float32)
    new[::2, ::2] = grid[3:-3, 3:-3]
    new[1::2, 1::2] = amid[2:-2, 2:-2]
    new[::2, 1::2] = _mix(_four(grid[3:-3, 2:-2], 1), _four(amid[:, 2:-2], 0))
    new[1::2, ::2] = _mix(_four(amid[2:-2], 1), _four(grid[2:-2, 3:-3], 0))
    return new


def _amid(grid: Floats) -> Floats:
    """Return the values amid each four neighbours, (H - 3, W - 3, C)."""
    height, width = (side - 3 for side in grid.shape[:2])
    one = [grid[k : k + height, k : k + width] for k in range(4)]
    other = [grid[k : k + height, 3 - k : 3 - k + width] for k in range(4)]
    return _mix(one, other)


def _four(values: Floats, axis: int) -> list[Floats]:
    """Return each four neighbours along an axis, which gets three shorter."""
    length = values.shape[axis] - 3
    return [values[k : k + length] if axis == 0 else values[:, k : k + length] for k in range(4)]


def _mix(one: list[Floats], other: list[Floats]) -> Floats:
    """Return the middle of four in a row, of that row of two crossing ones that changes less."""
    lines, change = [], []
    for line in (one, other):
        lines.append(sum(np.float32(w) * values for w, values in zip(_CUBIC, line, strict=True)))
        luma = [values[..., -1] for values in line]
        change.append(_summed(sum(np.abs(b - a) for a, b in pairwise(luma))) + 1e-4)
    first, second = change
    weights = [1 / (1 + first**_POWER), 1 / (1 + second**_POWER)]
    share = np.where(
        first > _RATIO * second,
        0,
        np.where(second > _RATIO * first, 1, weights[0] / (weights[0] + weights[1])),
    )[..., None].astype(np.float32)
    return np.asarray(share * lines[0] + (1 - share) * lines[1], np.float32)


def _summed(change: Any) -> Any:
    import cv2

    return cv2.boxFilter(change * 255, -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
