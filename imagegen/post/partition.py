"""Ways to part a picture into regions. Each numbers its regions from 0, in any order.

All distances are in CIE Lab (CIE76, where 2.3 is just noticeable).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from imagegen.images.pixels import Floats
from imagegen.post import clusters
from imagegen.post.color import luminance
from imagegen.post.region import Labels, Mask, lab

SUPERPIXELS = 400
"""How many SLIC makes for `merge` to join."""
SMALLEST = 0.001
"""Share of the picture below which a region is a speck, and joined to a neighbour."""


def otsu(color: Floats, shown: Mask, n: int) -> Labels:
    """Part tones into `n` classes of least variance (Otsu 1979; Liao et al. 2001)."""
    from skimage.filters import threshold_multiotsu, threshold_otsu

    luma = luminance(color)
    low, high = luma[shown].min(), luma[shown].max()
    # In whole steps: of floats it gives the middle of a histogram's bin, with pixels on both sides.
    steps = np.rint((luma - low) / max(high - low, 1e-6) * 255).clip(0, 255).astype(np.uint8)
    seen = steps[shown]
    n = min(n, len(np.unique(seen)))
    if n < 2:
        return np.zeros(luma.shape, np.int32)
    levels = [threshold_otsu(seen)] if n == 2 else threshold_multiotsu(seen, classes=n)  # type: ignore[no-untyped-call]
    return np.asarray(np.searchsorted(levels, steps, side="left"), np.int32)


def local(color: Floats, size: int) -> Labels:
    """Part pixels brighter than their surroundings from darker ones: 1 and 0."""
    import cv2

    luma = np.ascontiguousarray(luminance(color))
    around = cv2.GaussianBlur(luma, (0, 0), size / 6, borderType=cv2.BORDER_REFLECT)
    # Flat ground is neither, and noise must not decide.
    return (luma > around + 2 / 255).astype(np.int32)


def kmeans(color: Floats, shown: Mask, n: int) -> Labels:
    """Sort colours into `n` clusters."""
    values = lab(color)
    return nearest(values, centers(values[shown], n))


def superpixels(small: Floats, n: int, compactness: float) -> Labels:
    """Part into about `n` compact regions (SLIC; Achanta et al. 2012)."""
    from skimage.segmentation import slic

    # By default (0.5) it joins so many small ones to others that of 20 asked for 7 were left.
    regions = slic(small, n_segments=n, compactness=compactness, min_size_factor=0.2, start_label=0)
    return np.asarray(regions, np.int32)


def felzenszwalb(small: Floats, scale: float) -> Labels:
    """Join pixels that differ less than their regions do within (Felzenszwalb et al. 2004)."""
    from skimage.segmentation import felzenszwalb as graph_based

    regions = graph_based(small, scale=scale, sigma=0.8, min_size=_least(small))
    return np.asarray(regions, np.int32)


def watershed(small: Floats, tolerance: float) -> Labels:
    """Flood the gradient from its minima that are at least `tolerance` deep."""
    import cv2
    from scipy.ndimage import label
    from skimage.morphology import local_minima, reconstruction
    from skimage.segmentation import watershed as flood

    smooth = np.asarray(cv2.GaussianBlur(lab(small), (0, 0), 1.2), np.float32)
    slopes = [cv2.Scharr(smooth, cv2.CV_32F, *axis) / 16 for axis in ((1, 0), (0, 1))]
    steep = np.sqrt(sum((slope**2).sum(axis=2) for slope in slopes))
    # Basins that are less deep fill up to their rim.
    filled = reconstruction(steep + np.float32(tolerance), steep, method="erosion")  # type: ignore[no-untyped-call]
    seeds, _ = label(local_minima(filled))  # type: ignore[no-untyped-call]
    regions = np.asarray(flood(filled, seeds), np.int32) - 1  # type: ignore[no-untyped-call]
    return without_specks(regions.clip(0), smooth)


def mean_shift(small: Floats, tolerance: float) -> Labels:
    """Move colours to where they are dense (Comaniciu and Meer 2002), then join equal ones."""
    import cv2

    # OpenCV knows 8 bit alone: L is stretched by 2.55, as are a and b here.
    values = (lab(small) + np.array([0, 50, 50], np.float32)) * 2.55
    moved = cv2.pyrMeanShiftFiltering(
        np.rint(values).clip(0, 255).astype(np.uint8),
        max(2, max(small.shape) // 50),
        tolerance * 2.55,
    )
    moved = moved.astype(np.float32) / 2.55
    return without_specks(pieces(moved, tolerance / 2), moved)


def merged(small: Floats, tolerance: float) -> Labels:
    """Join neighbouring superpixels until all differ by `tolerance` in mean colour."""
    from skimage.graph import merge_hierarchical, rag_mean_color

    values = lab(small)
    regions = superpixels(small, SUPERPIXELS, 10)
    if regions.max() == 0:
        return regions
    graph = rag_mean_color(values, regions)  # type: ignore[no-untyped-call]

    def weight(graph: Any, here: int, there: int, neighbor: int) -> dict[str, float]:
        away = graph.nodes[there]["mean color"] - graph.nodes[neighbor]["mean color"]
        return {"weight": float(np.linalg.norm(away))}

    def join(graph: Any, here: int, there: int) -> None:
        for key in ("total color", "pixel count"):
            graph.nodes[there][key] += graph.nodes[here][key]
        node = graph.nodes[there]
        node["mean color"] = node["total color"] / node["pixel count"]

    joined = merge_hierarchical(  # type: ignore[no-untyped-call]
        regions,
        graph,
        tolerance,
        rag_copy=False,
        in_place_merge=True,
        merge_func=join,
        weight_func=weight,
    )
    return without_specks(np.asarray(joined, np.int32), values)


def components(color: Floats, shown: Mask, tolerance: float) -> Labels:
    """Number the connected pieces of what is not the ground: 0 is the ground, if there is one.

    The ground is what can't be seen or, in an opaque picture, what is at most `tolerance` away from
    the median colour of the border.
    """
    from scipy.ndimage import label

    if shown.all():
        values = lab(color)
        edge = [values[0], values[-1], values[:, 0], values[:, -1]]
        ground = np.median(np.concatenate(edge), axis=0)
        shown = np.linalg.norm(values - ground, axis=2) > tolerance
    found, _ = label(shown, np.ones((3, 3)))
    return np.asarray(found, np.int32)


def by_features(small: Floats, alpha: Floats | None, model: str, n: int) -> Labels:
    """Sort what an autoencoder or codec sees into `n` clusters, by the distances of latents."""
    import cv2

    from imagegen.post.learned import latents

    cells, factor = latents(model, small, alpha)
    size = (cells.shape[1] * factor, cells.shape[0] * factor)
    fine = [
        cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) for part in np.moveaxis(cells, 2, 0)
    ]
    wide = nearest(np.stack(fine, axis=2), centers(cells.reshape(-1, cells.shape[2]), n))
    return wide[: small.shape[0], : small.shape[1]]


def pieces(values: Floats, tolerance: float) -> Labels:
    """Number the connected pieces whose neighbouring pixels differ at most by `tolerance`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    height, width = values.shape[:2]
    place = np.arange(height * width).reshape(height, width)
    right = np.linalg.norm(values[:, 1:] - values[:, :-1], axis=2) <= tolerance
    down = np.linalg.norm(values[1:] - values[:-1], axis=2) <= tolerance
    start = np.concatenate([place[:, :-1][right], place[:-1][down]])
    end = np.concatenate([place[:, 1:][right], place[1:][down]])
    links = coo_array((np.ones(len(start), bool), (start, end)), (place.size, place.size))
    _, found = connected_components(links, directed=False)
    return np.asarray(found, np.int32).reshape(height, width)


def without_specks(regions: Labels, values: Floats) -> Labels:
    """Give the pixels of regions that are too small to the nearest pixel that is not."""
    from scipy.ndimage import distance_transform_edt

    area = np.bincount(regions.ravel())
    small = (area < _least(values))[regions]
    if not small.any() or small.all():
        return regions
    _, (rows, columns) = distance_transform_edt(small, return_indices=True)
    return np.asarray(regions[rows, columns], np.int32)


def centers(points: Floats, n: int) -> Floats:
    """Find `n` centres in CIE Lab."""
    return clusters.centers(points, n, sample=20_000, movement=1e-3, attempts=3)


def nearest(points: Floats, centers: Floats) -> Labels:
    """Give each point the index of its centre."""
    best = np.zeros(points.shape[:-1], dtype=np.int32)
    least = np.full(points.shape[:-1], np.inf, dtype=np.float32)
    for index, center in enumerate(centers):
        distance = ((points - center) ** 2).sum(axis=-1)
        best[distance < least] = index
        least = np.minimum(least, distance)
    return best


def _least(picture: npt.NDArray[Any]) -> int:
    return max(4, round(SMALLEST * float(picture.shape[0] * picture.shape[1])))
