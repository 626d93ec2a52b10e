"""Compare generated pictures with real ones, as two unlike networks see them.

    python -m tests.bench.judge REAL GENERATED [GENERATED ...] [--size 64] [--json]
    python -m tests.bench.judge ORIGINALS RECONSTRUCTED --reconstructions

REAL and GENERATED are whatever `imagegen train` reads (folders, zips) or .npy files of uint8
(N, C, H, W), RGBA with the colours multiplied by alpha. From scripts: `compare` and
`compare_reconstructions` take such arrays.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from imagegen.data import likeness
from imagegen.data.store import KINDS, Images, load_pictures
from imagegen.evaluate import features, metrics
from imagegen.evaluate.copies import Index
from imagegen.evaluate.extractor import Extractor, Floats
from imagegen.settings import DataSettings
from tests.bench import inception

MOST = 1_000
"""Pictures a side that are compared by default."""
ASKED = 500
"""Real pictures whose likeness to the others sets the threshold for copies."""
GROUNDS = ((255, 255, 255), (0, 0, 0), (0, 160, 0), (200, 0, 200))
"""Colours that transparent pictures are laid on before pixels are compared."""
SATURATED = 64
"""Difference of the largest and smallest channel from which on a pixel has a hue."""
COLORLESS = 4
"""The same below which a pixel has lost its hue: that counts as 90 degrees, as chance would."""


@dataclass(frozen=True)
class Verdict:
    """How far generated pictures are from real ones, by one network."""

    network: str
    kid: float
    kid_interval: metrics.Interval
    coverage: float


@dataclass(frozen=True)
class Comparison:
    """What all networks say of generated pictures, and how many of those are copies."""

    n_real: int
    n_generated: int
    verdicts: tuple[Verdict, ...]
    copies: float
    copies_interval: metrics.Interval
    copies_among_real: float


@dataclass(frozen=True)
class CodecVerdict:
    """What a codec adds to the distance of two halves of a set, by one network.

    Attributes:
        network: which one.
        kid_real: of one half and the other, both real.
        kid_reconstructed: of one half and the reconstructions of the other.
        share: their difference: the codec's own.
        share_interval: of the difference, by resampling both with the same draws.
    """

    network: str
    kid_real: float
    kid_reconstructed: float
    share: float
    share_interval: metrics.Interval


@dataclass(frozen=True)
class Reconstruction:
    """How much of pictures comes back from a codec.

    Attributes:
        n: pictures.
        psnr: of all pixels together on all GROUNDS, in dB.
        psnr_worst: the same of the picture at the lowest twentieth.
        hue_error: mean difference of hue over saturated pixels, in degrees; None if there are none.
        saturated: share of the pixels that are.
        verdicts: by network.
    """

    n: int
    psnr: float
    psnr_worst: float
    hue_error: float | None
    saturated: float
    verdicts: tuple[CodecVerdict, ...]


@cache
def judges(side: int = 64) -> tuple[Extractor, ...]:
    """Return both networks for pictures of a side."""
    template = np.zeros((1, 3, side, side), np.uint8)
    first, _ = features.choose("efficientnet", template, torch.device("cpu"))
    return first, inception.extractor()


def compare(
    real: Images,
    generated: Images,
    training: Images | None = None,
    most: int = MOST,
    networks: Sequence[Extractor] | None = None,
) -> Comparison:
    """Compare generated pictures with real ones.

    Args:
        real: uint8 (N, C, H, W), RGBA with the colours multiplied by alpha.
        generated: the same, (M, C, H, W).
        training: pictures that may have been copied; `real` if they are not given.
        most: how many of each are compared at most; copies are looked for in all of `training`.
        networks: which to ask; both if not given.
    """
    index = index_of(real if training is None else training)
    real, generated = some(real, most), some(generated, most)
    verdicts = tuple(
        verdict(one, one.cached(real), one(generated))
        for one in networks or judges(max(real.shape[2:]))
    )
    copied = index.copies(index.nearest(generated)[0])
    return Comparison(
        n_real=len(real),
        n_generated=len(generated),
        verdicts=verdicts,
        copies=float(copied.mean()),
        copies_interval=metrics.share_interval(int(copied.sum()), len(copied)),
        copies_among_real=float(index.copies(index.held_distances).mean()),
    )


def verdict(network: Extractor, real: Floats, generated: Floats) -> Verdict:
    """Return what a network says, of its features of both sets, (N, D) and (M, D)."""
    x, y = real.astype(np.float64), generated.astype(np.float64)
    kernels = metrics.kernels(x, y)
    draws = metrics.kid_draws(kernels)
    return Verdict(
        network=network.name,
        kid=metrics.kid(kernels),
        kid_interval=metrics.interval(draws),
        coverage=metrics.overlap(x, y).coverage,
    )


def index_of(images: Images) -> Index:
    """Return an index to find copies of pictures with.

    None of them is held out, so the nearest other picture of some of them sets its threshold.
    """
    images = shuffled(images)
    bits = likeness.embed(images)
    distances, _ = likeness.nearest(images[:ASKED], bits, skip_same=True)
    digests = np.array([list(sha256(one).digest()[:8]) for one in images], np.uint8)
    return Index(bits, digests, digests[:0], distances, images.shape[1:])


def compare_reconstructions(
    originals: Images,
    reconstructed: Images,
    most: int = 2 * MOST,
    networks: Sequence[Extractor] | None = None,
) -> Reconstruction:
    """Compare pictures with what a codec made of them, in the same order.

    Args:
        originals: uint8 (N, C, H, W), RGBA with the colours multiplied by alpha.
        reconstructed: the same.
        most: how many are compared at most.
        networks: which to ask; both if not given.
    """
    if originals.shape != reconstructed.shape:
        raise ValueError(f"{originals.shape} originals, {reconstructed.shape} reconstructed")
    originals, reconstructed = some(originals, most), some(reconstructed, most)
    errors = squared_errors(originals, reconstructed)
    hue, saturated = hue_error(originals, reconstructed)
    return Reconstruction(
        n=len(originals),
        psnr=decibels(float(errors.mean())),
        psnr_worst=decibels(float(np.quantile(errors, 0.95))),
        hue_error=hue,
        saturated=saturated,
        verdicts=tuple(
            codec_verdict(one, one.cached(originals), one(reconstructed))
            for one in networks or judges(max(originals.shape[2:]))
        ),
    )


def codec_verdict(network: Extractor, originals: Floats, reconstructed: Floats) -> CodecVerdict:
    half = len(originals) // 2
    x, plain = originals[:half].astype(np.float64), originals[half:].astype(np.float64)
    coded = reconstructed[half:].astype(np.float64)
    before, after = metrics.kernels(x, plain), metrics.kernels(x, coded)
    # The same seed draws the same pictures on both sides, so the two can be subtracted.
    draws = metrics.kid_draws(after) - metrics.kid_draws(before)
    kid_real, kid_reconstructed = metrics.kid(before), metrics.kid(after)
    return CodecVerdict(
        network=network.name,
        kid_real=kid_real,
        kid_reconstructed=kid_reconstructed,
        share=kid_reconstructed - kid_real,
        share_interval=metrics.interval(draws),
    )


def squared_errors(originals: Images, reconstructed: Images) -> np.ndarray:
    """Return the mean squared error of each picture on all grounds, (N,)."""
    pairs = zip(on_grounds(originals), on_grounds(reconstructed), strict=True)
    return np.mean([((a - b) ** 2).mean((1, 2, 3)) for a, b in pairs], axis=0)


def on_grounds(images: Images) -> list[np.ndarray]:
    """Return pictures laid on each ground, float32 (N, 3, H, W); opaque ones just as they are."""
    pixels = images.astype(np.float32)
    if images.shape[1] < 4:
        return [pixels]
    clear = 1 - pixels[:, 3:] / 255
    grounds = (np.array(one, np.float32)[:, None, None] for one in GROUNDS)
    return [pixels[:, :3] + clear * ground for ground in grounds]


def decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def hue_error(originals: Images, reconstructed: Images) -> tuple[float | None, float]:
    """Return the mean difference of hue over saturated pixels, in degrees, and their share."""
    if originals.shape[1] < 3:
        return None, 0.0
    a, b = on_grounds(originals)[0], on_grounds(reconstructed)[0]
    opaque = originals[:, 3] >= 250 if originals.shape[1] == 4 else True
    saturated = (np.ptp(a, axis=1) >= SATURATED) & opaque
    if not saturated.any():
        return None, 0.0
    a, b = (one.transpose(0, 2, 3, 1)[saturated] for one in (a, b))
    apart = np.abs((hue(a) - hue(b) + 180) % 360 - 180)
    apart[np.ptp(b, axis=1) < COLORLESS] = 90
    return float(apart.mean()), float(saturated.mean())


def hue(pixels: np.ndarray) -> np.ndarray:
    """Return the hue of pixels, (N, 3), in degrees: their angle around the grey axis."""
    red, green, blue = pixels.T
    return np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))


def shuffled(images: Images) -> Images:
    """Return pictures in another order, always the same."""
    return images[np.random.Generator(np.random.Philox(key=7)).permutation(len(images))]


def some(images: Images, most: int) -> Images:
    """Return no more than so many pictures, in an order of chance that is always the same."""
    return np.ascontiguousarray(shuffled(images)[:most])


def read(source: str, size: int, channels: int | None = None) -> Images:
    """Read pictures from a folder, a zip or a .npy file, (N, C, H, W); with so many channels."""
    if Path(source).suffix == ".npy":
        return np.load(source)
    kind = "auto" if channels is None else KINDS[channels]
    return load_pictures(source, DataSettings(size=size, channels=kind, fit="pad")).images


def table(named: dict[str, Comparison]) -> str:
    lines = [
        "| pictures | n | network | KID | interval | coverage | copies | by chance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, found in named.items():
        for one in found.verdicts:
            low, high = one.kid_interval
            lines.append(
                f"| {name} | {found.n_generated} | {one.network} | {one.kid:.4f} "
                f"| {low:.4f} to {high:.4f} | {one.coverage:.3f} | {found.copies:.1%} "
                f"| {found.copies_among_real:.1%} |"
            )
    return "\n".join(lines)


def codec_table(named: dict[str, Reconstruction]) -> str:
    lines = [
        "| codec | n | PSNR | worst 5 % | hue error | network | KID real | KID reconstructed "
        "| codec's share | interval |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in named.items():
        hue = "-" if found.hue_error is None else f"{found.hue_error:.1f}°"
        for one in found.verdicts:
            low, high = one.share_interval
            lines.append(
                f"| {name} | {found.n} | {found.psnr:.2f} dB | {found.psnr_worst:.2f} dB | {hue} "
                f"| {one.network} | {one.kid_real:.4f} | {one.kid_reconstructed:.4f} "
                f"| {one.share:.4f} | {low:.4f} to {high:.4f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.judge")
    parser.add_argument("real", help="real pictures, or originals")
    parser.add_argument("generated", nargs="+", help="generated pictures, or reconstructions")
    parser.add_argument("--training", help="pictures that may have been copied (default: REAL)")
    parser.add_argument("--size", type=int, default=64, help="side in pixels (default: 64)")
    parser.add_argument("--most", type=int, default=MOST, help="pictures a side (default: 1000)")
    parser.add_argument("--reconstructions", action="store_true", help="judge a codec instead")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    real = read(given.real, given.size)
    channels = real.shape[1]
    others = {name: read(name, given.size, channels) for name in given.generated}
    if given.reconstructions:
        found = {
            name: compare_reconstructions(real, images, 2 * given.most)
            for name, images in others.items()
        }
        text = codec_table(found)
    else:
        training = read(given.training, given.size, channels) if given.training else None
        found = {
            name: compare(real, images, training, given.most) for name, images in others.items()
        }
        text = table(found)
    if given.json:
        text = json.dumps({name: asdict(one) for name, one in found.items()}, indent=1)
    print(text)


if __name__ == "__main__":
    main()
