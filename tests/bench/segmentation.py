"""How well segmentation finds what is known to be there.

    python -m tests.bench.segmentation [--sheet FILE.png]

Tables for tests/bench/RESULTS.md, in mean intersection over union with the truth:
- synthetic scenes: seven shapes of different colours, with shade and noise, anti-aliased, at 200
  and at 600 pixels; each true region against the found one that overlaps it most;
- emoji laid at random places and sizes over random photographs: GrabCut's subject, with a box
  around the emoji and without one, against the true alpha; then cut out by that box and laid over
  white and black, against the emoji itself there: mean difference of levels within 3 pixels of its
  outline, of a hard cut and with the edge made anew.
"""

from __future__ import annotations

import argparse
import io
import time
import zipfile
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from imagegen.images.pixels import to_pixels
from imagegen.post.chain import build_chain
from imagegen.post.operations import OPERATIONS
from imagegen.post.segment import segment
from tests.bench.command import SETS

SCENES = 12
COMPOSITES = 60
HELD_OUT = 1_000
"""Seed of composites on which nothing was chosen."""
METHODS = {
    "kmeans": {"n": 8},
    "watershed": {},
    "merge": {},
    "mean-shift": {},
    "felzenszwalb": {},
    "grabcut, box": {},
}
Scene = tuple[Image.Image, np.ndarray]


def scene(seed: int, side: int, shapes: int = 7) -> Scene:
    """Draw discs and boxes that do not touch, in colours far apart; labels from 0, the ground."""
    random = np.random.default_rng(seed)
    cells = random.permutation(9)[:shapes]
    hues = np.linspace(0, 1, shapes + 1)[:-1] + random.uniform(0, 1)
    ground = np.full(3, random.choice([0.12, 0.9]))
    fine = 2 * side
    rows, columns = np.mgrid[:fine, :fine] / fine
    truth = np.zeros((fine, fine), np.int32)
    colors = [ground]
    for label, (cell, hue) in enumerate(zip(cells, hues, strict=True), start=1):
        middle = (np.array(divmod(cell, 3)) + 0.5) / 3 + random.uniform(-0.02, 0.02, 2)
        radius = random.uniform(0.08, 0.13)
        away = np.abs(rows - middle[0]), np.abs(columns - middle[1])
        inside = np.hypot(*away) < radius if random.random() < 0.5 else np.maximum(*away) < radius
        truth[inside] = label
        wave = 0.5 + 0.35 * np.cos(2 * np.pi * (hue + np.array([0, 1 / 3, 2 / 3])))
        colors.append(wave)
    color = np.array(colors)[truth] * (0.92 + 0.16 * columns[..., None])  # a soft light from a side
    color = color.reshape(side, 2, side, 2, 3).mean((1, 3)) + random.normal(
        0, 0.02, (side, side, 3)
    )
    return Image.fromarray(np.rint(color.clip(0, 1) * 255).astype(np.uint8)), truth[::2, ::2]


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean over true regions of the best intersection over union with a found one."""
    scores = []
    for label in range(truth.max() + 1):
        inside = truth == label
        rivals = np.unique(found[inside])
        scores.append(max(iou(found == rival, inside) for rival in rivals))
    return float(np.mean(scores))


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found & truth).sum() / max((found | truth).sum(), 1))


def labels(image: Image.Image, **settings: object) -> np.ndarray:
    pixels = to_pixels(image)
    values = OPERATIONS["segment"].check({"as": "it", **settings})  # fills in what is not given
    del values["as"]
    return segment(pixels.color, pixels.alpha, **values)


def box_of(inside: np.ndarray, margin: int) -> str:
    rows, columns = np.nonzero(inside)
    top, left = max(rows.min() - margin, 0), max(columns.min() - margin, 0)
    height, width = rows.max() + 1 + margin - top, columns.max() + 1 + margin - left
    return f"{left}:{top}:{width}:{height}"


def try_method(name: str, image: Image.Image, truth: np.ndarray) -> float:
    method = name.partition(",")[0]
    if method != "grabcut":
        return overlap(labels(image, method=method, **METHODS[name]), truth)
    scores = []
    for label in range(1, truth.max() + 1):
        box = box_of(truth == label, max(truth.shape) // 50)
        scores.append(iou(labels(image, method="grabcut", box=box) == 1, truth == label))
    return float(np.mean(scores))


def read(name: str, choose: Callable[[str], bool], count: int, seed: int) -> list[Image.Image]:
    """Read `count` random pictures of a set."""
    with zipfile.ZipFile(SETS / f"{name}.zip") as archive:
        names = sorted(n for n in archive.namelist() if n.endswith(".png") and choose(n))
        chosen = np.random.default_rng(seed).choice(names, count, replace=False)
        return [Image.open(io.BytesIO(archive.read(n))).convert("RGBA") for n in chosen]


def composites(count: int, seed: int = 0) -> list[tuple[Image.Image, Image.Image]]:
    """Lay emoji over photographs, 160 pixels a side; the truth is the layer of the emoji."""
    random = np.random.default_rng(seed + 5)
    photographs = read("textures", lambda name: True, count, seed + 1)
    emoji = read("emoji", lambda name: not name.startswith("flags"), count, seed + 2)
    made = []
    for ground, thing in zip(photographs, emoji, strict=True):
        page = ground.resize((160, 160), Image.Resampling.BICUBIC)
        side = int(random.integers(70, 131))
        place = tuple(int(x) for x in random.integers(8, 153 - side, 2))
        layer = Image.new("RGBA", page.size)
        layer.paste(thing.resize((side, side), Image.Resampling.BICUBIC), place)
        made.append((Image.alpha_composite(page, layer).convert("RGB"), layer))
    return made


def soft_iou(found: np.ndarray, alpha: np.ndarray) -> float:
    """Compare with an alpha between 0 and 1: minimum over maximum."""
    return float(np.minimum(found, alpha).sum() / np.maximum(found, alpha).sum())


def opacity(layer: Image.Image) -> np.ndarray:
    return np.asarray(layer.getchannel("A")) / 255


def cut(image: Image.Image, layer: Image.Image, edge: int) -> tuple[float, float]:
    """Cut an emoji out, given its box; return overlap of alpha, and error beside its outline."""
    alpha = opacity(layer)
    steps = [f"segment:method=grabcut,as=it,box={box_of(alpha > 0.5, 4)}", f"cut-out:edge={edge}"]
    found = build_chain(steps)(image).convert("RGBA")
    near = binary_dilation(alpha > 0.02, iterations=3) & ~binary_erosion(alpha > 0.98, iterations=3)
    off = []
    for tone in ("white", "black"):
        pages = [Image.new("RGBA", image.size, tone) for _ in range(2)]
        for page, one in zip(pages, (layer, found), strict=True):
            page.alpha_composite(one)
        one, other = (np.asarray(page.convert("RGB")).astype(float) for page in pages)
        off.append(np.abs(one - other)[near].mean())
    return soft_iou(opacity(found), alpha), float(np.mean(off))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sheet", help="where to draw the composites with what was found")
    sheet = parser.parse_args().sheet
    print("| synthetic scenes | 200 px | 600 px | ms at 600 |\n|---|---|---|---|")
    for name in METHODS:
        cells, spent = [], 0.0
        for side in (200, 600):
            count = SCENES if side == 200 else SCENES // 3
            made = [scene(seed, side) for seed in range(count)]
            start = time.perf_counter()
            cells.append(np.mean([try_method(name, *one) for one in made]))
            spent = (time.perf_counter() - start) / count
        print(f"| {name} | {cells[0]:.3f} | {cells[1]:.3f} | {spent * 1000:.0f} |", flush=True)
    made = composites(COMPOSITES)
    print("\n| emoji over photographs | mean | median | under 0.5 |\n|---|---|---|---|")
    rows = []
    held_out = composites(COMPOSITES, HELD_OUT)
    for name in ("grabcut, box", "grabcut", "grabcut, held out"):
        scores = []
        for image, layer in held_out if "held out" in name else made:
            alpha = opacity(layer)
            box = {"box": box_of(alpha > 0.5, 4)} if "box" in name else {}
            found = labels(image, method=name.partition(",")[0], **box) >= 1
            scores.append(soft_iou(found, alpha))
            if "held out" not in name:
                rows.append((image, found, scores[-1]))
        print(
            f"| {name} | {np.mean(scores):.3f} | {np.median(scores):.3f} | "
            f"{np.mean(np.array(scores) < 0.5):.0%} |",
            flush=True,
        )
    print("\n| cut out, over white and black | alpha | levels off |\n|---|---|---|")
    for edge in (0, 3):
        scores, off = zip(*(cut(image, layer, edge) for image, layer in made), strict=True)
        print(f"| edge={edge} | {np.mean(scores):.3f} | {np.mean(off):.1f} |", flush=True)
    if sheet:
        draw(rows, len(made), sheet)


def draw(rows: list[tuple[Image.Image, np.ndarray, float]], count: int, path: str) -> None:
    """Draw each composite, and under it what each way has found."""
    page = Image.new("RGB", (160 * count, 160 * (1 + len(rows) // count)), "white")
    for index, (image, found, _) in enumerate(rows):
        column, row = index % count, index // count
        page.paste(image, (160 * column, 0))
        page.paste(image, (160 * column, 160 * (row + 1)), Image.fromarray(found))
    page.save(path)


if __name__ == "__main__":
    main()
