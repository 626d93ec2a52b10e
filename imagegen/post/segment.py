"""Segmentation: which pixels belong together, and which of them are the background."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.images.reading import BadPictureError
from imagegen.post import partition
from imagegen.post.grabcut import Box, grabcut
from imagegen.post.operations import operation, settle
from imagegen.post.refine import enlarge, shrink
from imagegen.post.region import Labels, Mask, visible

Method = Literal[
    "slic",
    "kmeans",
    "threshold",
    "local",
    "felzenszwalb",
    "watershed",
    "mean-shift",
    "merge",
    "components",
    "grabcut",
    "alpha",
    "features",
]

METHOD_DEFAULTS: dict[str, dict[str, Any]] = {
    "n": {"slic": 200, "kmeans": 4, "threshold": 2, "features": 6},
    "compactness": {"slic": 20.0},
    "scale": {"felzenszwalb": 100.0},
    "tolerance": {"watershed": 4.0, "mean-shift": 10.0, "merge": 12.0, "components": 12.0},
    "size": {"local": 51},
    "box": {"grabcut": None},
    "features": {"features": "builtin:codec"},
}


def _settings_of_method(settings: dict[str, Any]) -> None:
    from imagegen.post.learned import CODECS, check_model

    if settings["method"] is None:
        settings["method"] = "features" if settings["features"] else "grabcut"
    settle(settings, METHOD_DEFAULTS)
    method = settings["method"]
    if method == "threshold" and settings["n"] > 5:
        raise ValueError(f"n: expected up to 5 for method=threshold, got {settings['n']}")
    if settings["box"] is not None:
        parse_box(settings["box"])
    if method == "features":
        check_model("features", settings["features"], CODECS)


@operation(
    "segment",
    "segment:as=subject --op 'gaussian:sigma=4,region=!subject'",
    check=_settings_of_method,
)
def segment(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Method | None = None,
    n: Annotated[int, Field(ge=2, le=1000)] | None = None,
    compactness: Annotated[float, Field(gt=0, le=1000)] | None = None,
    scale: Annotated[float, Field(gt=0, le=100_000)] | None = None,
    tolerance: Annotated[float, Field(gt=0, le=200)] | None = None,
    size: Annotated[int, Field(ge=3, le=10_000)] | None = None,
    box: str | None = None,
    features: str | None = None,
) -> Labels:
    """Part the picture into regions, for the `region` of later steps.

    It sees colours, not things: the subject is what is not coloured like the border. That fits
    sprites, icons and products, on plain ground best. Label 0 is the background: the transparent
    pixels where there are any, else what holds most of the border (slic has none then). The other
    regions are numbered from 1, biggest first.

    Args:
        method: grabcut finds the subject; slic parts all of the picture into superpixels of about
            one size, none of them background; kmeans sorts colours; threshold parts tones (Otsu),
            local those brighter than their surroundings; felzenszwalb, watershed, mean-shift and
            merge (of superpixels) find regions alike in colour; components finds connected pieces,
            alpha what is opaque; features sorts by what an autoencoder sees. grabcut if not given,
            unless features is.
        n: About how many superpixels (slic, 200 if not given), how many colours (kmeans, 4), tones
            (threshold, 2, up to 5) or groups (features, 6).
        compactness: How square superpixels are, against how true to colours (slic, 20 if not
            given); 1 follows every edge, 100 is nearly a grid.
        scale: How large regions are (felzenszwalb, 100 if not given).
        tolerance: Difference in CIE Lab that is overlooked: between neighbours (mean-shift, 10 if
            not given), regions (merge, 12), from the border's colour (components, 12), or the least
            depth of a basin between edges (watershed, 4).
        size: Side of the surroundings in pixels (local, 51 if not given).
        box: X:Y:W:H in pixels, around all of the subject (grabcut); what of it lies outside of the
            picture is cut off. Without it, it is guessed.
        features: An autoencoder whose latents are clustered (features, builtin:codec if not given);
            train your own with imagegen train DATA --preset autoencoder.
    """
    settings = {
        "n": n,
        "compactness": compactness,
        "scale": scale,
        "tolerance": tolerance,
        "size": size,
        "box": None if box is None else _within(box, color),
        "features": features,
    }
    assert method is not None  # as the check leaves it
    shown = visible(alpha, color.shape[:2])
    if method == "alpha":
        return shown.astype(np.int32)
    seen = color[shown]
    if len(seen) == 0 or (method != "slic" and (seen == seen[0]).all()):
        # Nothing to tell apart: all that is visible is subject on a transparent ground, else ground
        return (shown & (not shown.all())).astype(np.int32)
    if not shown.all():
        color = np.where(shown[..., None], color, seen.mean(axis=0))
    regions, background = _part(color, alpha, shown, method, settings)
    return _number(regions, background if shown.all() else ~shown)


def by_default(color: Floats, alpha: Floats | None) -> Labels:
    """Segment for a region that asks for the subject when no step has looked for it."""
    return segment(color, alpha, method="grabcut")


def parse_box(text: str) -> tuple[int, int, int, int]:
    """Read X:Y:W:H; raises ValueError."""
    found = re.fullmatch(r"(\d{1,6}):(\d{1,6}):([1-9]\d{0,5}):([1-9]\d{0,5})", text)
    if found is None:
        raise ValueError(f"box: expected X:Y:W:H in pixels, such as 10:20:64:48, got {text!r}")
    x, y, width, height = map(int, found.groups())
    return x, y, width, height


def _within(text: str, color: Floats) -> Box:
    """Cut a box off at the edges of the picture.

    Raises:
        BadPictureError: if nothing of it is left.
    """
    x, y, width, height = parse_box(text)
    tall, wide = color.shape[:2]
    if x >= wide or y >= tall:
        raise BadPictureError(
            f"box={text} lies outside of the picture, which is {wide}x{tall} at this step",
            f"give X:Y:W:H with X under {wide} and Y under {tall}",
        )
    return x, y, min(width, wide - x), min(height, tall - y)


def _part(
    color: Floats, alpha: Floats | None, shown: Mask, method: str, settings: dict[str, Any]
) -> tuple[Labels, Mask]:
    """Return regions, and which pixels are background in an opaque picture."""
    tolerance = settings["tolerance"]
    if method == "components":
        regions = partition.components(color, shown, tolerance)
        return regions, regions == 0
    if method == "grabcut":
        regions = grabcut(color, settings["box"])
        return regions, regions == 0
    if method == "slic":
        regions = _superpixels(color, shown, settings["n"], settings["compactness"])
        return enlarge(regions, color), np.zeros_like(shown)
    if method == "threshold":
        regions = partition.otsu(color, shown, settings["n"])
    elif method == "local":
        regions = partition.local(color, settings["size"])
    elif method == "kmeans":
        regions = partition.kmeans(color, shown, settings["n"])
    elif method == "felzenszwalb":
        regions = enlarge(partition.felzenszwalb(shrink(color), settings["scale"]), color)
    elif method == "watershed":
        regions = enlarge(partition.watershed(shrink(color), tolerance), color)
    elif method == "mean-shift":
        regions = enlarge(partition.mean_shift(shrink(color), tolerance), color)
    elif method == "merge":
        regions = enlarge(partition.merged(shrink(color), tolerance), color)
    else:
        opacity = None if alpha is None else shrink(alpha)[..., :1]
        regions = partition.by_features(shrink(color), opacity, settings["features"], settings["n"])
        regions = enlarge(regions, color)
    return regions, regions == _at_border(regions)


def _superpixels(color: Floats, shown: Mask, n: int, compactness: float) -> Labels:
    """Part a small copy into superpixels, about `n` of what can be seen; all else is one region."""
    regions = partition.superpixels(shrink(color), round(n / shown.mean()), compactness)
    seen = shrink(shown[..., None].astype(np.float32))[..., 0] > 0
    regions = np.where(np.isin(regions, regions[seen]), regions, -1)
    _, numbered = np.unique(regions, return_inverse=True)
    return np.asarray(numbered.reshape(regions.shape), np.int32)


def _at_border(regions: Labels) -> int:
    """Find the region with most of the border; of equals, the bigger."""
    edge = [regions[0], regions[-1], regions[:, 0], regions[:, -1]]
    count = regions.max() + 1
    touching = np.bincount(np.concatenate(edge), minlength=count)
    area = np.bincount(regions.ravel(), minlength=count)
    return int(np.lexsort((area, touching))[-1])


def _number(regions: Labels, background: Mask) -> Labels:
    """Make the background 0 and number the rest from 1, biggest first."""
    area = np.bincount(regions[~background], minlength=regions.max() + 1)
    order = np.argsort(-area, kind="stable")
    labels = np.empty(len(area), dtype=np.int32)
    labels[order] = np.arange(1, len(area) + 1)
    return np.where(background, 0, labels[regions]).astype(np.int32)
