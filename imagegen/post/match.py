"""Match the colours of a reference picture."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np

from imagegen.images import files
from imagegen.images.pixels import Floats
from imagegen.post.color import look_up, luminance, rgb
from imagegen.post.oklab import from_oklab, to_oklab
from imagegen.post.operations import operation
from imagegen.post.region import visible


def read_colors(path: str) -> Floats:
    """Return the visible colours of a picture file, (N, 1 or 3); raises ValueError."""
    pixels = files.load(path)
    return pixels.color[visible(pixels.alpha, pixels.color.shape[:2])]


def _has_reference(settings: dict[str, Any]) -> None:
    try:
        if len(_reference(settings["reference"])) == 0:
            raise ValueError(f"{settings['reference']}: nothing of it is visible")
    except ValueError as error:
        raise ValueError(f"reference: {error}") from None


@operation("color", "match:reference=sunset.png,method=reinhard", check=_has_reference)
def match(
    color: Floats,
    alpha: Floats | None,
    *,
    reference: str,
    method: Literal["histogram", "reinhard", "monge-kantorovich"] = "monge-kantorovich",
) -> Floats:
    """Give the picture the colours of another one.

    Of grey pictures and grey references only the luma is matched.

    Args:
        reference: The picture file to match.
        method: histogram makes each sRGB channel's histogram that of the reference; reinhard
            matches mean and spread of each axis of Oklab (Reinhard et al. 2001, who took another
            space); monge-kantorovich matches mean and covariance of sRGB with the least change of
            colours (Pitie and Kokaram 2007).
    """
    seen = color[visible(alpha, color.shape[:2])]
    if len(seen) == 0:
        return color
    channels = color.shape[2]
    if method == "histogram":
        tables = [
            _cdf_match(seen[:, c], *_quantiles(reference, channels, c)) for c in range(channels)
        ]
        matched = [look_up(color[..., c], table) for c, table in enumerate(tables)]
        return np.stack(matched, axis=2)
    if channels == 3 and method == "reinhard":
        mean, covariance = _moments(to_oklab(seen[None])[0])
        goal, spread = _reference_moments(reference, channels, oklab=True)
        ratio = np.sqrt(np.diag(spread) / np.maximum(np.diag(covariance), 1e-9))
        return from_oklab(_moved(to_oklab(color), mean, np.diag(ratio), goal))
    mean, covariance = _moments(seen)
    goal, spread = _reference_moments(reference, channels, oklab=False)
    return _moved(color, mean, _transport(covariance, spread), goal)


@lru_cache(maxsize=4)
def _reference(path: str) -> Floats:
    return read_colors(path)


def _channels(path: str, channels: int) -> Floats:
    colors = _reference(path)
    return np.asarray(luminance(colors)[:, None] if channels == 1 else rgb(colors[None])[0])


@lru_cache(maxsize=12)
def _quantiles(path: str, channels: int, channel: int) -> tuple[Any, Any]:
    return _levels(_channels(path, channels)[:, channel])


@lru_cache(maxsize=8)
def _reference_moments(path: str, channels: int, *, oklab: bool) -> tuple[Any, Any]:
    colors = _channels(path, channels)
    return _moments(to_oklab(colors[None])[0] if oklab else colors)


def _levels(values: Floats) -> tuple[Any, Any]:
    """Return the levels of 16 bit that occur, and how much of the values each is not below."""
    counts = np.bincount(np.rint(values * np.float32(65535)).astype(np.intp), minlength=65536)
    levels = np.flatnonzero(counts)
    return levels, counts[levels].cumsum() / len(values)


def _cdf_match(values: Floats, goals: Any, shares: Any) -> Any:
    levels, own = _levels(values)
    return np.interp(np.arange(65536), levels, np.interp(own, shares, goals)) / 65535


def _moments(colors: Floats) -> tuple[Any, Any]:
    """Return mean and covariance."""
    mean = np.array([channel.mean(dtype=np.float64) for channel in colors.T])
    away = colors - mean.astype(np.float32)
    return mean, (away.T @ away).astype(np.float64) / len(colors)


def _transport(covariance: Any, goal: Any) -> Any:
    """Return the linear map between two covariances that moves colours least (eq. 7)."""
    # A flat picture has no spread that could be stretched; a level of 8 bit is the least.
    covariance = covariance + np.eye(len(covariance)) * (1 / 255) ** 2 / 12
    root = _root(covariance)
    back = np.linalg.inv(root)
    return back @ _root(root @ goal @ root) @ back


def _root(matrix: Any) -> Any:
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(values.clip(0)) @ vectors.T


def _moved(color: Floats, mean: Any, matrix: Any, goal: Any) -> Floats:
    """Apply the linear map, about the mean, and move that to the goal."""
    import cv2

    both = np.column_stack([matrix, goal - matrix @ mean]).astype(np.float32)
    moved = cv2.transform(np.ascontiguousarray(color), both)
    return np.asarray(moved, np.float32).reshape(color.shape)
