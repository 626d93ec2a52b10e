"""How alike two pictures are, through all that copying does to them, from a few bytes of each.

A picture is described by its coarse luma and its coarser colour, so that JPEG hardly changes the
description; contrast is divided out, so that brightening does not; and two descriptions are
compared over mirroring and shifts of a few pixels. What is kept of a picture is not even that
description, but a universal quantised embedding of it (Boufounos and Rane 2011, "Secure binary
embeddings for privacy preserving nearest neighbors"): each bit says whether a random projection
falls into an even or an odd interval. Bits of like pictures agree, those of others are coin tosses,
so from the bits alone nothing of the picture can be seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]

ALIKE = 0.155
"""Distance up to which two pictures are the same one. Measured (tests/bench/RESULTS.md): 95 of 100
pictures that were mirrored, shifted, brightened by a tenth and saved as JPEG 85, all at once, stay
below it; the nearest other picture of most sets does not."""
SAME = ALIKE / 2
"""Distance that one change alone, such as JPEG 85, keeps a copy below: nearer is never chance."""
FAR = 0.3
"""Distances are known up to about this one; all that is farther looks alike from the bits."""

BITS = 512
_LUMA, _COLOR = 12, 4  # coarse grids: this many cosines a side
_FLAT = 40.0  # the contrast, in weighted levels, below which descriptions get shorter
_PLAIN = 2.0  # the contrast below which there is only noise: such pictures are one plain colour
_SHORTEST = 0.65  # what is shorter stays inside one interval, and could be read out of its bits
_INTERVAL = 0.5  # chosen so that at ALIKE a quarter of the bits differ
_WHITE, _BRIGHTER = 250, 1.1  # brightening what has white in it changes its contrasts: undo it
_REACH = 2  # shifts to either side, in units of a 32nd of the side
_BACKGROUNDS = (255, 0)  # what transparent pictures are flattened on before they are copied
_CHUNK = 1 << 24  # comparisons at once


def embed(images: Images) -> Bits:
    """Return what may be kept of pictures: uint8 (B, N, BITS / 8).

    Args:
        images: uint8 (N, C, H, W), C of 1, 3, or 4 with the colours multiplied by alpha. Pictures
            with alpha are embedded B = 2 times, on white and on black, all others once.
    """
    margin = _unit(images) * _REACH
    sides = _flattened(images)
    alone = _chance(images)
    return np.stack([_bits(_describe(_window(side, margin, 0, 0)), alone) for side in sides])


def nearest(
    images: Images, kept: Bits, skip_same: bool = False, shifts: bool = True
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return for each picture the distance, (N,), and the index, (N,), of the most alike kept one.

    Args:
        images: as for `embed`; with or without alpha, whatever the kept ones have.
        kept: (B, M, BITS / 8) from `embed`, of pictures of the same size.
        skip_same: do not compare picture i with kept one i.
        shifts: also compare over shifts, not only over mirroring.

    Returns:
        Distances lie in [0, 0.5]; above FAR they mean no more than "not alike".
    """
    differing, indices = np.ones(len(images), np.float32), np.zeros(len(images), np.int64)
    for start, agree in _agreements(images, kept, shifts):
        rows = slice(start, start + len(agree))
        if skip_same:
            np.fill_diagonal(agree[:, start:], -1)
        best = agree.argmax(1)
        indices[rows], differing[rows] = best, (1 - agree.max(1)) / 2
    return _distance(differing), indices


def groups(images: Images, kept: Bits) -> npt.NDArray[np.int64]:
    """Return a number for each picture, (N,): the same for pictures that are alike, in chains.

    All pairs are compared, so only over mirroring and brightening, not over shifts.
    """
    parents = np.arange(len(images))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = int(parents[index])
        return index

    enough = 1 - 2 * _differing(np.array([ALIKE]))[0]
    for start, agree in _agreements(images, kept, shifts=False):
        for first, second in np.argwhere(agree >= enough):
            one, other = root(int(first) + start), root(int(second))
            parents[max(one, other)] = min(one, other)
    return np.array([root(index) for index in range(len(images))])


def _agreements(images: Images, kept: Bits, shifts: bool) -> Iterator[tuple[int, Floats]]:
    """Yield (start, agreement) for a few pictures at a time, (n, M).

    Agreement is the mean product of two pictures' bits as +1 and -1, in [-1, 1], at its greatest
    over mirroring, shifts and backgrounds.
    """
    signs = [_signs(one).T for one in kept]
    unit = _unit(images)
    steps = range(-_REACH, _REACH + 1) if shifts else range(1)
    views = [(dy * unit, dx * unit) for dy in steps for dx in steps]
    size = max(1, _CHUNK // max(1, kept.shape[1]) // 8)
    for start in range(0, len(images), size):
        part = images[start : start + size]
        best = np.full((len(part), kept.shape[1]), -1, np.float32)
        flat, alone = _flattened(part), _chance(part)
        for index, known in enumerate(signs):
            side = flat[min(index, len(flat) - 1)]
            dimmed = np.where(side < _WHITE, side / _BRIGHTER, side)
            for view in (side, side[..., ::-1], dimmed, dimmed[..., ::-1]):
                for dy, dx in views:
                    mine = _describe(_window(view, unit * _REACH, dy, dx))
                    np.maximum(best, _signs(_bits(mine, alone)) @ known, out=best)
        best /= BITS
        yield start, best


def _unit(images: Images) -> int:
    """Return the pixels of one shift."""
    side: int = min(images.shape[2:])
    return max(1, round(side / 128))


def _flattened(images: Images) -> list[Floats]:
    """Return pictures as float32 (N, 3, H, W) in [0, 255]; with alpha, once on each background."""
    pixels = images.astype(np.float32)
    if images.shape[1] == 4:
        clear = 255 - pixels[:, 3:]
        return [pixels[:, :3] + clear * np.float32(one / 255) for one in _BACKGROUNDS]
    return [np.repeat(pixels, 3, axis=1) if images.shape[1] == 1 else pixels]


def _window(pixels: Floats, margin: int, dy: int, dx: int) -> Floats:
    """Cut a margin off, after a shift: what comes into view at an edge is never compared."""
    height, width = pixels.shape[2:]
    return pixels[:, :, margin + dy : height - margin + dy, margin + dx : width - margin + dx]


def _describe(pixels: Floats) -> Floats:
    """Return coarse luma and coarser colour, (N, D), of a length in [0, 1).

    Cosines are weighted by the root of their frequency, halfway to a flat spectrum, without the
    mean. Pictures with much contrast have length 1 whatever it is; those with little are shorter,
    or the noise of their compression would decide; plain ones have length 0.
    """
    red, green, blue = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    parts = [_cosines(luma, _LUMA)]
    parts += [_cosines(0.6 * (color - luma), _COLOR) for color in (red, blue)]
    vectors = np.concatenate(parts, axis=1)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = np.maximum(length / np.sqrt(length**2 + _FLAT**2), _SHORTEST) * (length > _PLAIN)
    described: Floats = vectors * (kept / np.maximum(length, _PLAIN))
    return described


def _cosines(plane: Floats, count: int) -> Floats:
    rows, columns = (_basis(side, min(count, side)) for side in plane.shape[1:])
    ys, xs = np.ogrid[: len(rows), : len(columns)]
    weights = np.sqrt(np.hypot(ys, xs))
    weighed = (rows @ plane @ columns.T * weights).astype(np.float32)
    return weighed.reshape(len(plane), -1)


@lru_cache(maxsize=8)
def _basis(side: int, count: int) -> Floats:
    """Return the first cosines of the DCT-II, (count, side), scaled so that sums become means."""
    angles = np.pi * np.arange(count)[:, None] * (np.arange(side) + 0.5) / side
    scales = np.where(np.arange(count) > 0, 2**0.5, 1)[:, None] / side
    return (np.cos(angles) * scales).astype(np.float32)


def _bits(vectors: Floats, alone: Bits) -> Bits:
    """Return the bits of descriptions, (N, D); those of plain pictures are `alone`, (N, bytes)."""
    projection, dither = _projection(vectors.shape[1])
    intervals = np.floor((vectors @ projection + dither) / _INTERVAL).astype(np.int64)
    bits = np.packbits((intervals & 1).astype(np.uint8), axis=1)
    plain = ~vectors.any(1)
    bits[plain] = alone[plain]
    return bits


def _chance(images: Images) -> Bits:
    """Return bits by chance for each picture, the same for the same pixels only.

    A plain picture says nothing but its colour; a black drawing is plain on black. Such pictures
    are like nothing but themselves.
    """
    sums = [hashlib.blake2b(one.tobytes(), digest_size=BITS // 8) for one in images]
    return np.stack([np.frombuffer(one.digest(), np.uint8) for one in sums])


@lru_cache(maxsize=4)
def _projection(dimensions: int) -> tuple[Floats, Floats]:
    """Return the one random projection, (D, BITS), and dither, (BITS,), that everybody uses."""
    random = np.random.Generator(np.random.Philox(key=20110711))
    projection = random.standard_normal((dimensions, BITS), np.float32)
    return projection, random.uniform(0, 2 * _INTERVAL, BITS).astype(np.float32)


def _signs(bits: Bits) -> Floats:
    return np.unpackbits(bits, axis=1).astype(np.float32) * 2 - 1


def _differing(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the share of bits that differ at a distance (Boufounos and Rane 2011, eq. 9)."""
    odd = 2 * np.arange(64) + 1
    decay = np.exp(-((np.pi * odd * distance[:, None] / _INTERVAL) ** 2) / 2)
    share: npt.NDArray[np.float64] = 0.5 - 4 * (decay / (np.pi * odd) ** 2).sum(1)
    return share


def _distance(differing: Floats) -> Floats:
    """Return the distance at which a share of bits differs."""
    distances = np.linspace(0, 0.5, 501)
    return np.interp(differing, _differing(distances), distances).astype(np.float32)
