"""What is done to each region of a label map, or with a region: fill, mean, outline, facts."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import Field

from imagegen.errors import UserError
from imagegen.images.pixels import Floats, Pixels
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.operations import are_colors, operation
from imagegen.post.partition import centers, nearest
from imagegen.post.region import Labels, Scene, lab, parse_color, visible


def _labels(pixels: Pixels, maps: dict[str, Labels], of: str | None) -> Labels:
    return Scene(pixels.color, pixels.alpha, maps).last() if of is None else maps[of]


@operation("color", "fill:color=#88aaff,region=background", check=are_colors("color"))
def fill(color: Floats, *, color_: str = "#ffffff") -> Floats:
    """Fill with one colour; of a grey picture with its luma.

    Args:
        color_: The colour, #RRGGBB or #RGB.
    """
    return np.broadcast_to(_like(parse_color(color_), color), color.shape)


@operation("alpha", "cut-out --op flatten:color=#ffffff", check=are_colors("color"))
def flatten(
    color: Floats, alpha: Floats | None, *, color_: str = "#ffffff"
) -> tuple[Floats, Floats | None]:
    """Lay over one colour: nothing is transparent any more. Mixes sRGB values, as browsers do.

    Args:
        color_: The colour, #RRGGBB or #RGB; of a grey picture its luma.
    """
    if alpha is None:
        return color, None
    return alpha * color + (1 - alpha) * _like(parse_color(color_), color), None


@operation("alpha", "cut-out --op hard-alpha:at=0.5")
def hard_alpha(
    color: Floats,
    alpha: Floats | None,
    *,
    at: Annotated[float, Field(gt=0, le=1)] = 0.5,
) -> tuple[Floats, Floats | None]:
    """Make each pixel either clear or opaque, as pixel art is.

    Args:
        at: Alpha from which a pixel is opaque.
    """
    return color, None if alpha is None else (alpha >= at).astype(np.float32)


@operation(
    "color",
    "replace-color:from=#e8c020,to=#2060e0,tolerance=30",
    check=are_colors("from", "to"),
)
def replace_color(
    color: Floats,
    *,
    from_: str = "#ffffff",
    to: str = "#000000",
    tolerance: Annotated[float, Field(gt=0, le=200)] = 20.0,
) -> Floats:
    """Replace a colour and its shades by another, by a shift in CIE Lab.

    The shift is whole up to half the tolerance (CIE76) and fades out from there, so that shades
    stay and edges do not tear. Colours that can't be shown are clipped.

    Args:
        from_: The colour to replace, #RRGGBB or #RGB.
        to: The colour to put in its place.
        tolerance: How far from it a colour may be, in CIE Lab; 2.3 is just noticeable.
    """
    import cv2

    values = lab(color)
    start, end = (lab(parse_color(text)[None, None])[0, 0] for text in (from_, to))
    away = np.linalg.norm(values - start, axis=2, keepdims=True)
    share = (2 - 2 * away / tolerance).clip(0, 1).astype(np.float32)
    moved = np.asarray(cv2.cvtColor(values + share * (end - start), cv2.COLOR_Lab2RGB), np.float32)
    moved = luminance(moved)[..., None] if color.shape[2] == 1 else moved
    return np.where(share > 0, moved, color)


@operation("color", "region-mean")
def region_mean(pixels: Pixels, maps: dict[str, Labels], *, of: str | None = None) -> Floats:
    """Give each region its mean colour, taken in linear light.

    Args:
        of: Name of a segment step; the last one if not given (GrabCut's subject if there is none).
    """
    labels = _labels(pixels, maps, of)
    linear = to_linear(pixels.color).astype(np.float64)
    # Weighed by alpha: a hidden colour must not come through.
    weight = np.ones(labels.shape) if pixels.alpha is None else pixels.alpha[..., 0].astype(float)
    total = np.bincount(labels.ravel(), weight.ravel())
    parts = [np.bincount(labels.ravel(), (p * weight).ravel()) for p in np.moveaxis(linear, 2, 0)]
    mean = np.stack(parts, axis=1) / np.maximum(total, 1e-9)[:, None]
    shown = (total > 0)[labels][..., None]
    return np.where(shown, from_linear(mean.astype(np.float32))[labels], pixels.color)


@operation("color", "region-palette:n=3")
def region_palette(
    pixels: Pixels,
    maps: dict[str, Labels],
    *,
    n: Annotated[int, Field(ge=1, le=64)] = 4,
    of: str | None = None,
) -> Floats:
    """Reduce each region to a few colours of its own, by k-means in CIE Lab.

    Args:
        n: How many colours each region gets.
        of: Name of a segment step; the last one if not given (GrabCut's subject if there is none).
    """
    labels = _labels(pixels, maps, of)
    values, seen = lab(pixels.color), visible(pixels.alpha, labels.shape)
    result = pixels.color.copy()
    for _, where in _each(labels):
        shown = seen[where]
        if not shown.any():
            continue
        points = values[where]
        place = nearest(points, centers(points[shown], n))
        for index in np.unique(place[shown]):
            one = place == index
            mean = to_linear(pixels.color[where][one & shown]).mean(axis=0)
            rows, columns = (axis[one] for axis in where)
            result[rows, columns] = from_linear(mean)
    return result


@operation("filter", "outline:color=#ff2060,width=2", check=are_colors("color"))
def outline(
    color: Floats,
    alpha: Floats | None,
    maps: dict[str, Labels],
    *,
    color_: str | None = None,
    width: Annotated[int, Field(ge=1, le=100)] = 1,
    of: str | None = None,
    alone: bool = False,
) -> Floats:
    """Draw the outlines of regions, half on each side of the edge.

    Args:
        color_: Colour of the line, #RRGGBB or #RGB; of a grey picture its luma. If not given,
            #ff2060, and on a grey picture white between two black lines of half the width.
        width: Pixels that the line is wide; an odd line is a pixel wider inside of later labels.
        of: Name of a segment step; the last one if not given (GrabCut's subject if there is none).
        alone: Draw on black instead of on the picture.
    """
    labels = _labels(Pixels(color, alpha), maps, of)
    edge = np.zeros(labels.shape, np.uint8)
    # Both sides of each edge count; a line of odd width leaves the side of the lower label.
    for here, there, one, other in (
        (labels[:, 1:], labels[:, :-1], edge[:, 1:], edge[:, :-1]),
        (labels[1:], labels[:-1], edge[1:], edge[:-1]),
    ):
        one[here > there] = 1
        other[there > here] = 1
        if width % 2 == 0:
            one[here != there] = 1
            other[here != there] = 1
    edge = _wider(edge, (width - 1) // 2)
    ground = np.zeros_like(color) if alone else color
    if color_ is None and color.shape[2] == 1:
        # No one tone stands out from all others.
        ground = np.where(_wider(edge, (width + 1) // 2)[..., None] > 0, np.float32(0), ground)
    line = parse_color(color_ or ("#ff2060" if color.shape[2] == 3 else "#ffffff"))
    return np.where(edge[..., None] > 0, _like(line, color), ground)


def _wider(edge: npt.NDArray[np.uint8], reach: int) -> npt.NDArray[np.uint8]:
    """Grow what is 1 by so many pixels on all sides, (H, W)."""
    import cv2

    if not reach:
        return edge
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(edge, disc), np.uint8)


@operation("report", "region-stats:file=regions.jsonl")
def region_stats(
    pixels: Pixels, maps: dict[str, Labels], inside: Floats, *, of: str | None = None
) -> dict[str, Any]:
    """Report size, place and colour of each region as JSON.

    For each: label, pixels, share of the picture, box (x, y, width, height), centre (x, y), mean
    colour (in linear light, as sRGB #RRGGBB), and mean and deviation of CIE L*, 0 to 100.

    Args:
        of: Name of a segment step; the last one if not given (GrabCut's subject if there is none).
    """
    labels = np.where(inside[..., 0] >= 0.5, _labels(pixels, maps, of), -1)
    seen = visible(pixels.alpha, labels.shape)
    light, linear = lab(pixels.color)[..., 0], to_linear(pixels.color)
    found = []
    for label, (rows, columns) in _each(labels):
        entry: dict[str, Any] = {
            "label": label,
            "pixels": len(rows),
            "share": round(len(rows) / labels.size, 6),
            "box": [
                int(columns.min()),
                int(rows.min()),
                int(np.ptp(columns)) + 1,
                int(np.ptp(rows)) + 1,
            ],
            "centre": [round(float(columns.mean()), 2), round(float(rows.mean()), 2)],
        }
        shown = rows[seen[rows, columns]], columns[seen[rows, columns]]
        if len(shown[0]):
            mean = from_linear(linear[shown].mean(axis=0))
            rgb = np.rint(np.broadcast_to(mean, 3) * 255).astype(np.uint8)
            tones = light[shown].astype(np.float64)
            entry["color"] = f"#{rgb.tobytes().hex()}"
            entry["lightness"] = round(float(tones.mean()), 2)
            entry["deviation"] = round(float(tones.std()), 2)
        found.append(entry)
    return {"regions": found}


@operation("report", "save-mask:region=subject")
def save_mask(inside: Floats, extras: dict[str, Any], *, name: str = "mask") -> dict[str, Any]:
    """Write a region as a grey picture beside the output, and report its share of the picture.

    The report has the end of the file's name; its beginning is that of the output.

    Args:
        name: What the file's name ends with, before .png.
    """
    file = _extra(extras, name)
    extras[file] = Image.fromarray(np.rint(inside[..., 0] * 255).astype(np.uint8))
    area = float(inside.sum())
    return {"mask": f"-{file}", "pixels": round(area), "share": round(area / inside.size, 6)}


@operation("report", "save-labels:name=regions")
def save_labels(
    pixels: Pixels,
    maps: dict[str, Labels],
    inside: Floats,
    extras: dict[str, Any],
    *,
    of: str | None = None,
    name: str = "labels",
) -> dict[str, Any]:
    """Write the label map as a 16-bit grey picture beside the output: 0 is the background.

    The report has the end of the file's name; its beginning is that of the output.

    Args:
        of: Name of a segment step; the last one if not given (GrabCut's subject if there is none).
        name: What the file's name ends with, before .png.
    """
    labels = np.where(inside[..., 0] >= 0.5, _labels(pixels, maps, of), 0)
    if labels.max() > 65535:
        raise UserError(f"{labels.max()} regions do not fit a 16-bit label map", "make fewer")
    file = _extra(extras, name)
    extras[file] = Image.fromarray(labels.astype(np.uint16))
    return {"labels": f"-{file}", "regions": len(np.unique(labels[labels > 0]))}


def _extra(extras: dict[str, Any], name: str) -> str:
    """Make a file's name that no earlier step has taken: mask.png, mask-2.png."""
    number = 1
    while (file := f"{name}{'' if number == 1 else f'-{number}'}.png") in extras:
        number += 1
    return file


def _each(labels: Labels) -> list[tuple[int, tuple[Any, Any]]]:
    """Return each label from 0 up, with the rows and columns of its pixels."""
    order = np.argsort(labels.ravel(), kind="stable")
    found, starts = np.unique(labels.ravel()[order], return_index=True)
    parts = np.split(order, starts[1:])
    width = labels.shape[1]
    return [
        (int(label), (part // width, part % width))
        for label, part in zip(found, parts, strict=True)
        if label >= 0
    ]


def _like(one: Floats, color: Floats) -> Floats:
    """Give one sRGB colour as many channels as a picture has."""
    return luminance(one)[None] if color.shape[2] == 1 else one
