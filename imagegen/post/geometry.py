"""Geometry: crop, pad, resize, rotate, flip. Label maps that were made before follow along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats, Pixels
from imagegen.images.reading import BadPictureError
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.operations import Moved, operation
from imagegen.post.region import Labels

Side = Annotated[int, Field(ge=1, le=100_000)]
Margin = Annotated[int, Field(ge=0, le=100_000)]
Place = Annotated[int, Field(ge=0, le=1_000_000)]
EDGES = ("edge", "reflect", "wrap", "transparent")


def each(pixels: Pixels, change: Callable[[Any], Any]) -> Pixels:
    """Apply what only moves or copies pixels to colours and alpha alike."""
    alpha = None if pixels.alpha is None else change(pixels.alpha)
    return Pixels(change(pixels.color), alpha, pixels.depth)


def mixed(pixels: Pixels, change: Callable[[Floats], Floats]) -> Pixels:
    """Apply what mixes neighbours, by weights of alpha: hidden colours do not come through."""
    if pixels.alpha is None:
        return Pixels(change(pixels.color).clip(0, 1), None, pixels.depth)
    alpha = change(pixels.alpha).clip(0, 1)
    color = change(pixels.color * pixels.alpha)
    # Under half a step of 16 bits there is nothing to see, and nothing but noise to divide by.
    shown = alpha > 0.5 / 65535
    color = np.divide(color, alpha, out=np.zeros_like(color), where=shown)
    return Pixels(color.clip(0, 1), alpha, pixels.depth)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise BadPictureError for a result of more pixels than that."""
    if width * height > max_pixels:
        raise BadPictureError.too_large(width * height, max_pixels, f"{width}x{height}")


def _crop_settings(settings: dict[str, Any]) -> None:
    sides = [name for name in ("x", "y", "width", "height") if settings[name] is not None]
    if settings["content"] and sides:
        raise ValueError(f"{sides[0]}: would be ignored by content=true")
    for name in ("tolerance", "margin"):
        if settings[name] and not settings["content"]:
            raise ValueError(f"{name}: would be ignored without content=true")
    if not settings["content"] and not sides:
        raise ValueError("width: missing; give width and height, or content=true")


@operation("geometry", "crop:content=true,margin=8", check=_crop_settings)
def crop(
    pixels: Pixels,
    *,
    x: Place | None = None,
    y: Place | None = None,
    width: Side | None = None,
    height: Side | None = None,
    content: bool = False,
    tolerance: Annotated[float, Field(ge=0, le=255)] = 0.0,
    margin: Margin = 0,
) -> Moved:
    """Cut a rectangle out, or all that is not background.

    The content is what is not transparent; of an opaque picture, what differs from the colour of
    its border (the median). A picture without content stays whole.

    Args:
        x: Left edge in pixels; without it the cut is centred.
        y: Upper edge in pixels; without it the cut is centred.
        width: Width in pixels; without it all that there is.
        height: Height in pixels; without it all that there is.
        content: Find the rectangle by content.
        tolerance: Levels of 255 that background may differ by; for photographs about 20.
        margin: Pixels to leave around the content, as far as there are any.
    """
    tall, wide = pixels.color.shape[:2]
    if content:
        top, bottom, left, right = _content(pixels, tolerance / 255, margin)
    else:
        left, right = _span("x", x, width, wide)
        top, bottom = _span("y", y, height, tall)
    place = (slice(top, bottom), slice(left, right))
    return each(pixels, lambda plane: plane[place]), lambda labels: labels[place]


def _span(name: str, start: int | None, length: int | None, size: int) -> tuple[int, int]:
    if start is None:
        length = min(size, length or size)
        start = (size - length) // 2
    elif start >= size:
        raise BadPictureError(f"{name}={start} is outside of the picture, which has {size} pixels")
    return start, min(size, start + (length or size))


def _content(pixels: Pixels, tolerance: float, margin: int) -> tuple[int, int, int, int]:
    """Return the first and the last row and column of what is not background, ends excluded."""
    tall, wide = pixels.color.shape[:2]
    if pixels.alpha is not None and pixels.alpha.min() < 1:
        found = pixels.alpha[..., 0] > tolerance
    else:
        color = pixels.color
        border = np.concatenate([color[0], color[-1], color[:, 0], color[:, -1]])
        found = np.abs(color - np.median(border, axis=0)).max(axis=2) > tolerance + 0.5 / 65535
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    if len(rows) == 0:
        return 0, tall, 0, wide
    return (
        max(0, int(rows[0]) - margin),
        min(tall, int(rows[-1]) + 1 + margin),
        max(0, int(columns[0]) - margin),
        min(wide, int(columns[-1]) + 1 + margin),
    )


def _is_fill(settings: dict[str, Any]) -> None:
    if settings["fill"] not in EDGES:
        _color(settings["fill"])


def _pad_settings(settings: dict[str, Any]) -> None:
    _is_fill(settings)
    sized = settings["width"] is not None or settings["height"] is not None
    if not (settings["by"] or settings["square"] or sized):
        raise ValueError("by: missing; give by, square=true, or width and height")
    if settings["square"] and sized:
        raise ValueError("square: would be ignored with a width or height")


@operation("geometry", "pad:by=16,fill=white", check=_pad_settings)
def pad(
    pixels: Pixels,
    max_pixels: int,
    *,
    by: Margin = 0,
    square: bool = False,
    width: Side | None = None,
    height: Side | None = None,
    fill: str = "edge",
) -> Moved:
    """Add a margin, or make the picture square or at least of a size, with it in the middle.

    Args:
        by: Pixels to add on every side.
        square: Make the shorter side as long as the longer one.
        width: Width to reach; a wider picture stays as wide.
        height: Height to reach; a higher picture stays as high.
        fill: What to add: edge (the outermost pixels), reflect, wrap, transparent, or a colour such
            as white, #f80 or #ff880080.
    """
    tall, wide = pixels.color.shape[:2]
    longest = max(tall, wide) if square else 0
    more = (max(longest, height or 0) - tall, max(longest, width or 0) - wide)
    amounts = [(max(0, room) // 2 + by, max(0, room) - max(0, room) // 2 + by) for room in more]
    check_size(wide + sum(amounts[1]), tall + sum(amounts[0]), max_pixels)
    (top, bottom), (left, right) = amounts

    def follow(labels: Labels) -> Labels:
        modes = {"edge": "edge", "reflect": "symmetric", "wrap": "wrap"}
        how: Any = {"mode": modes[fill]} if fill in modes else {}
        return np.pad(labels, amounts, **how)

    if fill in ("edge", "reflect", "wrap"):
        return each(pixels, lambda plane: np.stack([follow(c) for c in _layers(plane)], 2)), follow
    color, opacity = _fill(pixels, fill)
    canvas = np.empty((tall + top + bottom, wide + left + right, pixels.color.shape[2]), np.float32)
    canvas[:] = color
    inner = (slice(top, top + tall), slice(left, left + wide))
    canvas[inner] = pixels.color
    alpha = None
    if pixels.alpha is not None or opacity < 1:
        alpha = np.full((*canvas.shape[:2], 1), opacity, np.float32)
        alpha[inner] = 1 if pixels.alpha is None else pixels.alpha
    return Pixels(canvas, alpha, pixels.depth), follow


def _layers(plane: Any) -> list[Any]:
    return [plane[..., index] for index in range(plane.shape[2])]


def _color(text: str) -> tuple[int, int, int, int]:
    from PIL import ImageColor

    try:
        rgb = ImageColor.getrgb(text)
    except ValueError:
        raise ValueError(
            f"fill: expected {', '.join(EDGES)} or a colour such as white or #ff8800, got {text!r}"
        ) from None
    return (*rgb[:3], rgb[3] if len(rgb) == 4 else 255)


def _fill(pixels: Pixels, fill: str) -> tuple[Floats, float]:
    """Return a fill as the picture's channels and its opacity. Grey pictures take the luma."""
    if fill == "transparent":
        return np.zeros(pixels.color.shape[2], np.float32), 0.0
    *rgb, opacity = _color(fill)
    color = np.asarray(np.array(rgb) / 255, np.float32)
    grey = pixels.color.shape[2] == 1
    return np.atleast_1d(luminance(color)) if grey else color, opacity / 255


def _resize_settings(settings: dict[str, Any]) -> None:
    sized = settings["width"] is not None or settings["height"] is not None
    if sized == (settings["scale"] is not None):
        raise ValueError("scale: give either scale, or width or height or both")
    both = settings["width"] is not None and settings["height"] is not None
    if settings["fit"] != "stretch" and not both:
        raise ValueError("fit: would be ignored without both width and height")


@operation("geometry", "resize:width=512", check=_resize_settings)
def resize(
    pixels: Pixels,
    max_pixels: int,
    *,
    width: Side | None = None,
    height: Side | None = None,
    scale: Annotated[float, Field(gt=0, le=64)] | None = None,
    fit: Literal["stretch", "inside", "cover"] = "stretch",
    method: Literal["auto", "lanczos", "bicubic", "area", "nearest"] = "auto",
    space: Literal["auto", "linear", "srgb"] = "auto",
) -> Moved:
    """Change the size. With one side given, the other follows.

    What is made smaller is mixed in linear light, or fine detail would come out too dark; what is
    made larger in sRGB, where overshoots at edges are even. Both can be set.

    Args:
        width: New width in pixels.
        height: New height in pixels.
        scale: Factor on both sides, instead of width and height.
        fit: With both sides given: stretch to them, keep the proportions inside of them, or cover
            them and crop what stands out.
        method: lanczos (3 lobes), bicubic, area (mean of what a new pixel covers), nearest; auto is
            area when smaller and lanczos when larger.
        space: Where to mix: linear light, srgb, or auto.
    """
    tall, wide = pixels.color.shape[:2]
    new = _new_size(wide, tall, width, height, scale, fit)
    check_size(*new, max_pixels)
    smaller = new[0] * new[1] < wide * tall
    chosen = ("area" if smaller else "lanczos") if method == "auto" else method

    def nearest(plane: Any) -> Any:
        rows = ((np.arange(new[1]) + 0.5) * tall / new[1]).astype(np.intp)
        columns = ((np.arange(new[0]) + 0.5) * wide / new[0]).astype(np.intp)
        return plane[rows[:, None], columns]

    if new == (wide, tall):
        result = pixels
    elif chosen == "nearest":
        result = each(pixels, nearest)
    else:
        linear = space == "linear" or (space == "auto" and smaller)
        result = resampled(pixels, new, chosen, linear)
    follow: Callable[[Any], Any] = nearest
    if fit == "cover":
        assert width is not None
        assert height is not None
        left, top = (new[0] - width) // 2, (new[1] - height) // 2
        place = (slice(top, top + height), slice(left, left + width))
        result = each(result, lambda plane: plane[place])
        return result, lambda labels: nearest(labels)[place]
    return result, follow


def _new_size(
    wide: int, tall: int, width: int | None, height: int | None, scale: float | None, fit: str
) -> tuple[int, int]:
    if scale is not None:
        return max(1, round(wide * scale)), max(1, round(tall * scale))
    across = None if width is None else width / wide
    down = None if height is None else height / tall
    if across is None or down is None:
        factor = down if across is None else across
        assert factor is not None
        return width or max(1, round(wide * factor)), height or max(1, round(tall * factor))
    if fit == "stretch":
        return round(wide * across), round(tall * down)
    factor = min(across, down) if fit == "inside" else max(across, down)
    return max(1, round(wide * factor)), max(1, round(tall * factor))


def resampled(pixels: Pixels, size: tuple[int, int], method: str, linear: bool) -> Pixels:
    """Resize to (width, height) by lanczos, bicubic or area."""
    if linear:
        color = to_linear(pixels.color).astype(np.float32, copy=False)
        pixels = Pixels(color, pixels.alpha, pixels.depth)
    result = mixed(pixels, lambda plane: _resampled(plane, size, method))
    if linear:
        result.color = from_linear(result.color).astype(np.float32, copy=False)
    return result


def _resampled(plane: Floats, size: tuple[int, int], method: str) -> Floats:
    if method == "area":
        import cv2

        larger = size[0] > plane.shape[1] or size[1] > plane.shape[0]
        # OpenCV's area is bilinear where one side grows; Pillow's box covers that.
        if not larger:
            shrunk = cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)
            return np.asarray(shrunk, np.float32).reshape(size[1], size[0], -1)
    from PIL import Image

    filters = {
        "lanczos": Image.Resampling.LANCZOS,
        "bicubic": Image.Resampling.BICUBIC,
        "area": Image.Resampling.BOX,
    }
    # Not OpenCV's: its Lanczos takes 8 pixels also where many more become one, and aliases.
    layers = [
        np.asarray(Image.fromarray(np.ascontiguousarray(layer)).resize(size, filters[method]))
        for layer in _layers(plane)
    ]
    return np.stack(layers, axis=2)


@operation("geometry", "rotate:angle=12,fill=transparent", check=_is_fill)
def rotate(
    pixels: Pixels,
    max_pixels: int,
    *,
    angle: Annotated[float, Field(ge=-360, le=360)] = 90.0,
    expand: bool = True,
    fill: str = "edge",
) -> Moved:
    """Turn around the centre. By 90, 180 and 270 degrees nothing is lost.

    Other angles are interpolated by bicubic splines, in sRGB.

    Args:
        angle: Degrees clockwise.
        expand: Make room for the corners; else the picture keeps its size and they are cut off.
        fill: What comes into the corners: edge, reflect, wrap, transparent or a colour.
    """
    tall, wide = pixels.color.shape[:2]
    quarters = angle / 90
    if quarters == int(quarters) and (expand or int(quarters) % 2 == 0 or tall == wide):

        def turn(plane: Any) -> Any:
            return np.rot90(plane, -int(quarters))

        return each(pixels, turn), turn
    import cv2

    matrix = cv2.getRotationMatrix2D(((wide - 1) / 2, (tall - 1) / 2), -angle, 1)
    size = (wide, tall)
    if expand:
        cosine, sine = np.abs(matrix[0, :2])
        size = (
            max(1, round(wide * cosine + tall * sine)),
            max(1, round(wide * sine + tall * cosine)),
        )
        check_size(*size, max_pixels)
        matrix[0, 2] += (size[0] - wide) / 2
        matrix[1, 2] += (size[1] - tall) / 2
    borders = {
        "edge": cv2.BORDER_REPLICATE,
        "reflect": cv2.BORDER_REFLECT,
        "wrap": cv2.BORDER_WRAP,
    }

    def turned(plane: Any, smooth: bool, border: int) -> Any:
        how = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
        out = cv2.warpAffine(
            np.ascontiguousarray(plane), matrix, size, flags=how, borderMode=border
        )
        return np.asarray(out, np.float32).reshape(size[1], size[0], *plane.shape[2:])

    def follow(labels: Labels) -> Labels:
        # Exact: float32 holds every whole number up to 16 million.
        moved = turned(labels.astype(np.float32), False, borders.get(fill, cv2.BORDER_CONSTANT))
        return np.asarray(moved, np.int32)

    if fill in borders:
        return mixed(pixels, lambda plane: turned(plane, True, borders[fill])), follow
    alpha = np.ones((tall, wide, 1), np.float32) if pixels.alpha is None else pixels.alpha
    over = mixed(
        Pixels(pixels.color, alpha, pixels.depth),
        lambda plane: turned(plane, True, cv2.BORDER_CONSTANT),
    )
    assert over.alpha is not None
    color, opacity = _fill(pixels, fill)
    # Porter and Duff's "over", on the fill.
    whole = over.alpha + opacity * (1 - over.alpha)
    blended = over.color * over.alpha + color * opacity * (1 - over.alpha)
    result = np.divide(blended, whole, out=np.zeros_like(blended), where=whole > 0)
    solid = pixels.alpha is None and opacity == 1
    return Pixels(result, None if solid else whole, pixels.depth), follow


@operation("geometry", "flip:axis=vertical")
def flip(
    pixels: Pixels, *, axis: Literal["horizontal", "vertical", "both"] = "horizontal"
) -> Moved:
    """Mirror.

    Args:
        axis: horizontal swaps left and right, vertical swaps top and bottom, both is half a turn.
    """
    axes = {"horizontal": (1,), "vertical": (0,), "both": (0, 1)}[axis]

    def mirror(plane: Any) -> Any:
        return np.flip(plane, axes)

    return each(pixels, mirror), mirror
