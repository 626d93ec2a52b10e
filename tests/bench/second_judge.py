"""Known answers for two judges at 64 px: do they rank what was done to real pictures alike?

    python -m tests.bench.second_judge FOLDER [--sets emoji dcss textures] [--count 500]

FOLDER is what `tests.bench.sets` made. Real pictures of each set are compared with others that were
damaged in known ways, by EfficientNet-Lite0 and by layers of InceptionV3. Rank correlations over
what was done to the pictures say how far the judges agree; their intervals come from resampling the
pictures. Prints tables, and appends all values to results/second_judge.jsonl.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.stats import rankdata

from imagegen.data.store import Images, Pictures, load_pictures
from imagegen.evaluate import features, metrics
from imagegen.settings import DataSettings
from tests.bench import inception, results
from tests.bench.evidence import blurred, changed, jpeg
from tests.bench.judge import decibels

FIRST = "EfficientNet-Lite0"
PSNR = "PSNR"
UNDAMAGED = "other real pictures"
PIXELS = ("noise", "JPEG", "blur")
"""What E0 asks of: damage done to every pixel, in steps from hardly visible to plain."""


@dataclass(frozen=True)
class Known:
    """Pictures of which it is known what was done to them.

    Attributes:
        images: uint8 (N, 3, H, W).
        psnr: beside the same pictures undamaged, in dB; None where other pictures were taken.
    """

    images: Images
    psnr: float | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What one judge says of one damage."""

    set: str
    judge: str
    what: str
    kid: float
    interval: metrics.Interval
    coverage: float
    psnr: float | None
    draws: metrics.Array


def random(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def noisy(images: Images, sigma: float) -> Images:
    noise = random(1).normal(0, sigma, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def few_colors(picture: Image.Image) -> Image.Image:
    return picture.convert("RGB").quantize(8, dither=Image.Dither.NONE).convert("RGB")


def hue_shifted(images: Images, degrees: int = 30) -> Images:
    turned = []
    for one in images:
        hsv = cv2.cvtColor(np.ascontiguousarray(one.transpose(1, 2, 0)), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + degrees // 2) % 180
        turned.append(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).transpose(2, 0, 1))
    return np.ascontiguousarray(turned)


def shuffled_patches(images: Images, side: int = 8) -> Images:
    count, channels, height, width = images.shape
    rows, columns = height // side, width // side
    patches = images.reshape(count, channels, rows, side, columns, side)
    patches = patches.transpose(0, 2, 4, 1, 3, 5).reshape(
        count, rows * columns, channels, side, side
    )
    order = random(2)
    mixed = np.stack([one[order.permutation(len(one))] for one in patches])
    mixed = mixed.reshape(count, rows, columns, channels, side, side).transpose(0, 3, 1, 4, 2, 5)
    return np.ascontiguousarray(mixed.reshape(images.shape))


def damages(others: Images) -> dict[str, Known]:
    """Return pictures damaged in every known way."""
    changes: dict[str, Callable[[], Images]] = {
        "noise 2": lambda: noisy(others, 2),
        "noise 8": lambda: noisy(others, 8),
        "JPEG 95": lambda: changed(others, jpeg(95)),
        "JPEG 85": lambda: changed(others, jpeg(85)),
        "JPEG 50": lambda: changed(others, jpeg(50)),
        "blur 0.5 px": lambda: blurred(others, 0.5),
        "blur 1 px": lambda: blurred(others, 1),
        "blur 2 px": lambda: blurred(others, 2),
        "8 colours": lambda: changed(others, few_colors),
        "hue + 30°": lambda: hue_shifted(others),
        "shuffled patches": lambda: shuffled_patches(others),
    }
    known = {}
    for what, change in changes.items():
        images = change()
        error = ((images.astype(np.float32) - others) ** 2).mean()
        known[what] = Known(images, decibels(float(error)))
    return known


def known_pictures(pictures: Pictures, count: int) -> tuple[Images, dict[str, Known]]:
    """Return real pictures, (N, 3, H, W), and others of which it is known what they are."""
    order = random(7).permutation(len(pictures))
    count = min(count, len(pictures) // 2)
    real, rest = pictures.images[order[:count]], order[count:]
    others = pictures.images[rest[:count]]
    assert pictures.labels is not None
    labels = pictures.labels[rest]
    kept = random(3).permutation(len(pictures.label_names))[::2]
    half = rest[np.isin(labels, kept)][:count]
    few = rest[: max(1, count // 10)]
    known = {UNDAMAGED: Known(others), **damages(others)}
    known["half of the classes"] = Known(pictures.images[half])
    known["a tenth, repeated"] = Known(pictures.images[few[np.arange(count) % len(few)]])
    return np.ascontiguousarray(real), known


Features = dict[str, metrics.Array]


def look(images: Images, network: inception.Inception, fed: int) -> Features:
    """Return what each judge sees of pictures: the features, (N, D), by its name."""
    lite, _ = features.choose("efficientnet", images[:1], torch.device("cpu"))
    seen: Features = {FIRST: lite(images).astype(np.float64)}
    parts = [network(batch) for batch in inception.prepared(images, fed).split(32)]
    for layer in parts[0]:
        means = torch.cat([part[layer] for part in parts])
        seen[f"Inception {layer}"] = means.numpy().astype(np.float64)
    return seen


def answers(name: str, pictures: Pictures, count: int, fed: int) -> list[Answer]:
    """Return what every judge says of every damage done to a set."""
    real, known = known_pictures(pictures, count)
    network = inception.load()
    found = []
    with torch.inference_mode():
        x = look(real, network, fed)
        for what, one in known.items():
            y = look(one.images, network, fed)
            for judge in x:
                kernels = metrics.kernels(x[judge], y[judge])
                draws = metrics.kid_draws(kernels)
                found.append(
                    Answer(
                        set=name,
                        judge=judge,
                        what=what,
                        kid=metrics.kid(kernels),
                        interval=metrics.interval(draws),
                        coverage=metrics.overlap(x[judge], y[judge]).coverage,
                        psnr=one.psnr,
                        draws=draws,
                    )
                )
    return found


def spearman(a: metrics.Array, b: metrics.Array) -> float:
    """Return the rank correlation of two rows of numbers, (K,) each."""
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def table(found: Sequence[Answer]) -> str:
    """Return a table of the KID and coverage that each judge gives each damage of a set."""
    names = list(dict.fromkeys(one.judge for one in found))
    lines = [
        f"| {found[0].set} | PSNR | "
        + " | ".join(f"{name}: KID | coverage" for name in names)
        + " |",
        "|---|---|" + "---|---|" * len(names),
    ]
    for what in dict.fromkeys(one.what for one in found):
        row = [one for one in found if one.what == what]
        psnr = "" if row[0].psnr is None else f"{row[0].psnr:.1f} dB"
        cells = [
            f"{one.kid:.4f} [{one.interval[0]:.4f}, {one.interval[1]:.4f}] | {one.coverage:.2f}"
            for one in row
        ]
        lines.append(f"| {what} | {psnr} | {' | '.join(cells)} |")
    return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Scores:
    """Numbers that rank what was done to pictures: values (K,), and resampled ones (D, K)."""

    values: metrics.Array
    draws: metrics.Array

    def agreement(self, other: Scores) -> tuple[float, metrics.Interval]:
        draws = [spearman(*pair) for pair in zip(self.draws, other.draws, strict=True)]
        return spearman(self.values, other.values), metrics.interval(np.array(draws))


def scores(found: Sequence[Answer]) -> dict[str, Scores]:
    """Return the numbers of each judge, and the lost decibels if all of the damages have them."""
    ranked = {}
    for judge in dict.fromkeys(one.judge for one in found):
        own = [one for one in found if one.judge == judge]
        ranked[judge] = Scores(np.array([o.kid for o in own]), np.stack([o.draws for o in own], 1))
    if all(one.psnr is not None for one in found):
        lost = np.array([-one.psnr for one in own if one.psnr is not None])
        ranked[PSNR] = Scores(lost, np.tile(lost, (len(own[0].draws), 1)))
    return ranked


def correlations(found: Sequence[Answer]) -> list[dict[str, Any]]:
    """Return how alike judges rank what was done: beside EfficientNet-Lite0, and beside PSNR."""
    everything = [one for one in found if one.what != UNDAMAGED]
    pixels = [one for one in everything if one.what.startswith(PIXELS)]
    records = []
    for over, chosen in {"noise, JPEG and blur": pixels, "everything": everything}.items():
        ranked = scores(chosen)
        for beside in {FIRST, PSNR} & ranked.keys():
            for judge in ranked.keys() - {beside, PSNR}:
                value, interval = ranked[judge].agreement(ranked[beside])
                records.append(
                    {
                        "set": found[0].set,
                        "over": over,
                        "judge": judge,
                        "beside": beside,
                        "spearman": value,
                        "interval": interval,
                    }
                )
    return sorted(records, key=lambda one: (one["over"], one["beside"], one["judge"]))


def grain(pictures: Pictures, count: int) -> list[dict[str, Any]]:
    """Return what EfficientNet-Lite0 says of faint noise, on white grounds and elsewhere."""
    real, known = known_pictures(pictures, count)
    others = known[UNDAMAGED].images
    white = (others == 255).all(1, keepdims=True)
    noise = noisy(others, 2)
    cleaned = np.where((noise >= 248).all(1, keepdims=True), np.uint8(255), noise)
    rows = {
        "none": others,
        "0.5": noisy(others, 0.5),
        "1": noisy(others, 1),
        "2": noise,
        "2, where not white": np.where(white, others, noise),
        "2, where white": np.where(white, noise, others),
        "2, then 248 and above white": cleaned,
    }
    lite, _ = features.choose("efficientnet", real[:1], torch.device("cpu"))
    x = lite(real).astype(np.float64)
    found = []
    for what, images in rows.items():
        kid = metrics.kid(metrics.kernels(x, lite(images).astype(np.float64)))
        print(f"noise {what}: {kid:.4f}", flush=True)
        found.append({"grain": what, "judge": FIRST, "pictures": len(real), "kid": kid})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.second_judge")
    parser.add_argument("folder", type=Path, help="zips made by tests.bench.sets")
    parser.add_argument("--sets", nargs="+", default=["emoji", "dcss", "textures"])
    parser.add_argument("--count", type=int, default=500, help="pictures a side (default: 500)")
    parser.add_argument("--fed", type=int, default=inception.FED, help="side Inception is fed")
    parser.add_argument("--grain", action="store_true", help="only faint noise, by Lite0")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.sets:
        settings = DataSettings(size=64, channels="rgb")
        pictures = load_pictures(str(given.folder / f"{name}.zip"), settings)
        if given.grain:
            faint = grain(pictures, given.count)
            results.append("second_judge", [{"set": name, **one} for one in faint])
            continue
        found = answers(name, pictures, given.count, given.fed)
        print(f"\n{table(found)}\n", flush=True)
        agreeing = correlations(found)
        for one in agreeing:
            low, high = one["interval"]
            print(
                f"{one['over']}, {one['judge']} beside {one['beside']}: "
                f"{one['spearman']:.2f} [{low:.2f}, {high:.2f}]"
            )
        records = [
            {
                "set": one.set,
                "judge": one.judge,
                "fed": given.fed,
                "pictures": given.count,
                "what": one.what,
                "kid": one.kid,
                "kid_interval": one.interval,
                "coverage": one.coverage,
                "psnr": one.psnr,
            }
            for one in found
        ]
        results.append("second_judge", [*records, *agreeing])


if __name__ == "__main__":
    main()
