"""Segmentation: which pixels belong together, and which of them are the background."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import luminance
from imagegen.post.operations import operation
from imagegen.post.region import Labels, Mask, visible

WORK_SIZE = 256
"""Longest side that SLIC sees, in pixels: at 1024 it takes 4 s, at 256 a sixteenth of that."""

METHOD_DEFAULTS: dict[str, dict[str, float]] = {
    "n": {"slic": 200, "kmeans": 4},
    "compactness": {"slic": 10.0},
}


def _settings_of_method(settings: dict[str, Any]) -> None:
    """Fill in what depends on the method; refuse what it would ignore."""
    method = settings["method"]
    for name, defaults in METHOD_DEFAULTS.items():
        if settings[name] is None:
            settings[name] = defaults.get(method)
        elif method not in defaults:
            raise ValueError(f"{name}: would be ignored by method={method}")


@operation(
    "segment",
    "segment:as=subject --op 'gaussian:sigma=4,region=!subject'",
    check=_settings_of_method,
)
def segment(
    color: Floats,
    alpha: Floats | None,
    *,
    method: Literal["slic", "kmeans", "threshold"] = "slic",
    n: Annotated[int, Field(ge=2, le=1000)] | None = None,
    compactness: Annotated[float, Field(gt=0, le=1000)] | None = None,
) -> Labels:
    """Part the picture into regions by colour, for the `region` of later steps.

    It sees colours, not things: the subject is what is not coloured like the border. That fits
    sprites, icons and products on a plain ground, and few photographs.

    Label 0 is the background: the transparent pixels where there are any, else the region that
    holds most of the border. The other regions are numbered from 1, biggest first.

    Args:
        method: slic finds superpixels (Achanta et al. 2012) and takes those coloured like the
            border for background; kmeans sorts colours in CIE Lab; threshold parts dark from
            bright (Otsu 1979).
        n: About how many superpixels (slic, 200 if not given) or how many colours (kmeans, 4).
        compactness: How square superpixels are, against how true to colours (slic, 10 if not
            given); 1 follows every edge, 100 is nearly a grid.
    """
    shown = visible(alpha, color.shape[:2])
    seen = color[shown]
    if len(seen) == 0 or (seen == seen[0]).all():
        # Nothing to tell apart: all that is visible is subject on a transparent ground, else ground
        return (shown & (not shown.all())).astype(np.int32)
    if not shown.all():
        color = np.where(shown[..., None], color, seen.mean(axis=0))
    if method == "threshold":
        regions = _threshold(color, shown)
        background = regions == _at_border(regions)
    elif method == "kmeans":
        assert n is not None
        regions = _nearest(_lab(color), _kmeans(_lab(color)[shown], n))
        background = regions == _at_border(regions)
    else:
        assert n is not None
        assert compactness is not None
        regions, background = _superpixels(color, n, compactness)
    return _number(regions, background if shown.all() else ~shown)


def _threshold(color: Floats, shown: Mask) -> Labels:
    from skimage.filters import threshold_otsu

    luma = luminance(color)
    low, high = luma[shown].min(), luma[shown].max()
    # In whole steps: of floats it gives the middle of a histogram's bin, with pixels on both sides.
    steps = np.rint((luma - low) / max(high - low, 1e-6) * 255).clip(0, 255).astype(np.uint8)
    level = threshold_otsu(steps[shown])  # type: ignore[no-untyped-call]
    return np.asarray(steps > level, np.int32)


def _superpixels(color: Floats, n: int, compactness: float) -> tuple[Labels, Mask]:
    """Return superpixels, and those of them whose colour is that of the border."""
    import cv2
    from skimage.segmentation import slic

    height, width = color.shape[:2]
    shrink = min(1, WORK_SIZE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    small = np.asarray(cv2.resize(color, size, interpolation=cv2.INTER_AREA), np.float32)
    small = small.reshape(size[1], size[0], -1)
    rgb = np.broadcast_to(small, (*small.shape[:2], 3))
    regions = slic(rgb, n_segments=n, compactness=compactness, start_label=0)
    count = np.bincount(regions.ravel())
    sums = [np.bincount(regions.ravel(), part.ravel()) for part in np.moveaxis(_lab(small), 2, 0)]
    means = (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)
    side = _nearest(means, _kmeans(means, 2))[regions]
    background = side == _at_border(side)

    def enlarge(values: Any) -> Any:
        return cv2.resize(
            values.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
        )

    return enlarge(regions), enlarge(background) > 0


def _lab(color: Floats) -> Floats:
    """Convert to CIE Lab, where distance is close to seen difference: L 0..100."""
    import cv2

    rgb = np.ascontiguousarray(np.broadcast_to(color, (*color.shape[:2], 3)), dtype=np.float32)
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), np.float32)


def _kmeans(points: Floats, n: int) -> Floats:
    """Find `n` centres, or as many as there are different points. The same on every call."""
    import cv2

    # 20,000 points fix a few centres as well as millions do.
    points = points[:: max(1, len(points) // 20_000)]
    different = len(np.unique(points, axis=0))
    if different == 1:
        return points[:1]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-3)
    points, start = np.ascontiguousarray(points), np.zeros((0, 1), np.int32)
    _, _, centers = cv2.kmeans(points, min(n, different), start, stop, 3, cv2.KMEANS_PP_CENTERS)
    return np.asarray(centers, np.float32)


def _nearest(points: Floats, centers: Floats) -> Labels:
    """Give each point the index of its centre."""
    best = np.zeros(points.shape[:-1], dtype=np.int32)
    least = np.full(points.shape[:-1], np.inf, dtype=np.float32)
    for index, center in enumerate(centers):
        distance = ((points - center) ** 2).sum(axis=-1)
        best[distance < least] = index
        least = np.minimum(least, distance)
    return best


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
