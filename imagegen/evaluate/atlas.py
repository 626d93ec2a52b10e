"""A set of pictures as a map: each in a cell of its own, and like by like."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.optimize import linear_sum_assignment
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from imagegen.data.store import Images, to_tensor
from imagegen.images import grid
from imagegen.sample.draw import to_pictures

Floats = npt.NDArray[np.float32]

MOST = 1_024
"""Pictures on a map; of more, every second, third or so is taken."""
DIMENSIONS = 50
"""Principal components that neighbours are found by."""
LEAST = 5
"""Pictures below which there is nothing to lay out."""


def draw(images: Images, features: Floats) -> Image.Image:
    """Lay pictures (N, C, H, W) out by their features (N, D).

    The plane is that of t-SNE (van der Maaten and Hinton 2008); each picture then gets a cell of
    a square, the nearest ones in all, so that none hides another.
    """
    every = math.ceil(len(images) / MOST)
    images, features = images[::every], features[::every]
    pictures = to_pictures(to_tensor(images))
    return grid.sheet([pictures[place] for place in _order(features)])


def _order(features: Floats) -> list[int]:
    """Return which picture comes where, row by row."""
    count = len(features)
    if count < LEAST:
        return list(range(count))
    known = PCA(min(DIMENSIONS, *features.shape), random_state=0).fit_transform(features)
    plane = TSNE(perplexity=min(30, (count - 1) / 3), init="pca", random_state=0).fit_transform(
        known
    )
    span = np.ptp(plane, axis=0)
    plane = (plane - plane.min(axis=0)) / np.where(span > 0, span, 1)
    side = math.ceil(math.sqrt(count))
    cells = np.stack(np.divmod(np.arange(count), side), axis=1) / max(1, side - 1)
    distances = ((cells[:, None] - plane[None, :, ::-1]) ** 2).sum(2)
    order: list[int] = linear_sum_assignment(distances)[1].tolist()
    return order
