"""What can be wrong with a generated picture, imitated: noise, blur, compression and the like.

`recipes.general.judge` trains a network to name the kind and the strength, so that its features
respond to such flaws.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Rng = np.random.Generator


def corrupt(image: Image, kind: str, strength: float, rng: Rng) -> Image:
    """Return a corrupted copy of a picture.

    Args:
        image: RGB, (H, W, 3).
        kind: a key of CORRUPTIONS.
        strength: in [0, 1], from hardly visible to severe.
        rng: draws what is random in it.
    """
    changed = CORRUPTIONS[kind](image.astype(np.float32), strength, rng)
    return changed.round().clip(0, 255).astype(np.uint8)


Floats = npt.NDArray[np.float32]


def _noise(x: Floats, strength: float, rng: Rng) -> Floats:
    sigma = 2 * 20**strength
    return x + rng.standard_normal(x.shape, np.float32) * np.float32(sigma)


def _blur(x: Floats, strength: float, rng: Rng) -> Floats:
    return cv2.GaussianBlur(x, (0, 0), 0.4 + 2 * strength)


def _jpeg(x: Floats, strength: float, rng: Rng) -> Floats:
    quality = round(95 - 80 * strength)
    _, file = cv2.imencode(".jpg", x.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(file, cv2.IMREAD_COLOR).astype(np.float32)


def _pixelate(x: Floats, strength: float, rng: Rng) -> Floats:
    height, width = x.shape[:2]
    factor = 1.25 + 3 * strength
    size = max(4, round(width / factor)), max(4, round(height / factor))
    small = cv2.resize(x, size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def _posterize(x: Floats, strength: float, rng: Rng) -> Floats:
    step = 255 / round(16 * 0.125**strength)
    return np.round(x / step) * np.float32(step)


def _sharpen(x: Floats, strength: float, rng: Rng) -> Floats:
    return x + (0.3 + 2.5 * strength) * (x - cv2.GaussianBlur(x, (0, 0), 1))


def _warp(x: Floats, strength: float, rng: Rng) -> Floats:
    """Shift parts of the picture against each other: bent outlines, deformed shapes."""
    height, width = x.shape[:2]
    coarse = rng.standard_normal((5, 5, 2), np.float32) * np.float32(0.5 + 3 * strength)
    flow = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    places = flow + np.stack([columns, rows], axis=2).astype(np.float32)
    # No interpolation: this is about shapes, and must not be recognised by its blur.
    return cv2.remap(x, places, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)


def _shuffle(x: Floats, strength: float, rng: Rng) -> Floats:
    """Exchange patches: locally right, wrong as a whole."""
    side = min(x.shape[:2]) // 4
    changed = x.copy()
    for _ in range(1 + round(5 * strength)):
        rows, columns = rng.integers(0, (x.shape[0] - side, x.shape[1] - side), (2, 2)).T
        (a, b), (c, d) = (slice(r, r + side) for r in rows), (slice(q, q + side) for q in columns)
        changed[a, c] = x[b, d]
    return changed


def _checkerboard(x: Floats, strength: float, rng: Rng) -> Floats:
    """Add the pattern of transposed convolutions (Odena et al. 2016, distill.pub)."""
    pattern = rng.uniform(-1, 1, (2, 2, 3)).astype(np.float32) * np.float32(3 * 8**strength)
    tiled = np.tile(pattern, (x.shape[0] // 2 + 1, x.shape[1] // 2 + 1, 1))
    return x + tiled[: x.shape[0], : x.shape[1]]


def _fade(x: Floats, strength: float, rng: Rng) -> Floats:
    """Reduce contrast towards the mean colour, as an undertrained model does."""
    return x + (x.mean((0, 1)) - x) * np.float32(0.1 + 0.6 * strength)


CORRUPTIONS: dict[str, Callable[[Floats, float, Rng], Floats]] = {
    "noise": _noise,
    "blur": _blur,
    "jpeg": _jpeg,
    "pixelate": _pixelate,
    "posterize": _posterize,
    "sharpen": _sharpen,
    "warp": _warp,
    "shuffle": _shuffle,
    "checkerboard": _checkerboard,
    "fade": _fade,
}
