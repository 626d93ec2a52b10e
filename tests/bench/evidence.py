"""Known answers for what `imagegen evaluate` measures, on real picture sets.

    python -m tests.bench.evidence [FOLDER OF THE SETS]

Prints the tables of tests/bench/RESULTS.md: the numbers get worse with noise, blur and compression;
collapse shows in variety; copies score perfectly and are caught; intervals cover the truth; the
index of a training set can't be turned back into pictures; and what all of it costs.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageChops, ImageEnhance

from imagegen.data import likeness
from imagegen.data.split import held_out
from imagegen.data.store import Images, Pictures, from_images, load_pictures, to_tensor
from imagegen.evaluate import copies, features, metrics
from imagegen.evaluate.measure import Generated, measure, split_for
from imagegen.sample.draw import to_pictures
from imagegen.settings import DataSettings

RANDOM = np.random.Generator(np.random.Philox(1))
CPU = torch.device("cpu")
SETS = {"emoji": 32, "dcss": 32, "mnist": 28, "textures": 32}
Change = Callable[[Image.Image], Image.Image]


def flat(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return page.convert("RGB")


def jpeg(quality: int) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        flat(picture).save(file, "JPEG", quality=quality)
        return Image.open(file)

    return change


def sixteen_colors(picture: Image.Image) -> Image.Image:
    return flat(picture).quantize(16, dither=Image.Dither.NONE).convert(picture.mode)


def shifted(picture: Image.Image) -> Image.Image:
    step = [(1, 0), (-1, 0), (0, 1), (0, -1)][RANDOM.integers(4)]
    return ImageChops.offset(picture, *step)


def mirrored(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def brighter(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(flat(picture)).enhance(1.1)


def everything(picture: Image.Image) -> Image.Image:
    return jpeg(85)(brighter(shifted(mirrored(picture))))


PLANTED: dict[str, Change] = {
    "mirrored": mirrored,
    "JPEG 85": jpeg(85),
    "shifted 1 px": shifted,
    "brighter 10 %": brighter,
    "all four": everything,
}


def changed(images: Images, change: Change) -> Images:
    """Change pictures as files: flattened ones come back opaque."""
    channels = images.shape[1]
    pictures = [change(picture) for picture in to_pictures(to_tensor(images))]
    if channels == 4:
        pictures = [picture.convert("RGBA") for picture in pictures]
    return from_images(pictures, channels)


def noisy(images: Images, sigma: float) -> Images:
    noise = RANDOM.normal(0, sigma, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def blurred(images: Images, sigma: float) -> Images:
    soft = [cv2.GaussianBlur(one.transpose(1, 2, 0), (0, 0), sigma) for one in images]
    return np.ascontiguousarray(
        np.stack([one.reshape(*one.shape[:2], -1) for one in soft]).transpose(0, 3, 1, 2)
    )


def load(folder: Path, name: str, **settings: object) -> Pictures:
    chosen = {"size": SETS[name], **settings}
    return load_pictures(str(folder / f"{name}.zip"), DataSettings.model_validate(chosen))


def part(pictures: Pictures, start: int, stop: int) -> Pictures:
    """Return a part of a set in a random order that is always the same."""
    order = np.random.Generator(np.random.Philox(7)).permutation(len(pictures))
    return pictures.part(np.isin(np.arange(len(pictures)), order[start:stop]))


def known_answers(folder: Path) -> None:
    judges = {"textures": "efficientnet", "emoji": "efficientnet", "mnist": "own"}
    pairs = [(name, judge) for name, first in judges.items() for judge in (first, "resnet")]
    for name, kind in pairs:
        pictures = load(folder, name, channels="grey" if name == "mnist" else "rgb")
        real, rest = part(pictures, 0, 1000), part(pictures, 1000, 2000)
        others = rest.images
        reference = split_for(real, None)
        extractor, _ = features.choose(kind, real.images, CPU)
        index = copies.build(real, real.part(np.zeros(len(real), bool)))
        rows = {"other real pictures": others}
        rows |= {f"noise {s}": noisy(others, s) for s in (2, 5, 10, 20)}
        rows |= {f"blur {s}": blurred(others, s) for s in (0.5, 1, 2)}
        rows |= {f"JPEG {q}": changed(others, jpeg(q)) for q in (95, 85, 60, 30)}
        rows["16 colours each"] = changed(others, sixteen_colors)
        rows["half of the classes"] = others[rest.labels % 2 == 0]
        rows["10 pictures, repeated"] = others[np.arange(len(others)) % 10]
        rows["copies of the real ones"] = real.images
        print(f"\n{name}: 1,000 real pictures, 1,000 others changed; {extractor.name}\n")
        print(
            "| set | KID | interval | Frechet | precision | recall | density | coverage | Vendi "
            "| copies |\n|---|---|---|---|---|---|---|---|---|---|"
        )
        for what, images in rows.items():
            generated = Generated(images, None, [{} for _ in images])
            r = measure(generated, reference, [extractor], index).record
            low, high = r["kid_interval"]
            print(
                f"| {what} | {r['kid']:.4f} | {low:.4f} to {high:.4f} | {r['frechet']:.4g} | "
                f"{r['precision']:.2f} | {r['recall']:.2f} | {r['density']:.2f} | "
                f"{r['coverage']:.2f} | {r['vendi']:.1f} | {r['copies']:.1%} |",
                flush=True,
            )
        low, high = r["floor_interval"]
        print(f"\nfloor (halves of the real ones): {r['floor']:.4f}, {low:.4f} to {high:.4f}")


def intervals(folder: Path) -> None:
    """Draw from real features as if they were all there is: then the truth is known exactly."""
    x = load(folder, "textures")
    extractor, _ = features.choose("efficientnet", x.images, CPU)
    world = extractor(x.images).astype(np.float64)
    other = extractor(blurred(x.images, 0.7)).astype(np.float64)
    k = metrics.kernels(world, other)
    truth = k.xx.mean() + k.yy.mean() - 2 * k.xy.mean()
    print("\n| draws of | pictures a side | truth | intervals that hold it |\n|---|---|---|---|")
    for what, source, true in [("the same world", world, 0.0), ("a blurred one", other, truth)]:
        for count in (50, 100, 300):
            hits = 0
            for _ in range(100):
                a = world[RANDOM.integers(0, len(world), count)]
                b = source[RANDOM.integers(0, len(source), count)]
                low, high = metrics.interval(metrics.kid_draws(metrics.kernels(a, b), 300))
                hits += low <= true <= high
            print(f"| {what} | {count} | {true:.4f} | {hits} of 100 |", flush=True)


def planted(folder: Path) -> None:
    """Training pictures, changed, are to be found; held-out real pictures are not."""
    print(f"\n| set | side | threshold | {' | '.join(PLANTED)} | false alarms | at random |")
    print("|---" * (5 + len(PLANTED)) + "|")
    for name, side in [*SETS.items(), ("emoji", 64)]:
        pictures = load(folder, name, size=side)
        held = held_out(pictures, 0.1)
        training = pictures.part(~held)
        index = copies.build(training, pictures.part(held))
        recalls = []
        for change in PLANTED.values():
            chosen = RANDOM.choice(len(training), 300, replace=False)
            distances, _ = index.nearest(changed(training.images[chosen], change))
            recalls.append(index.copies(distances).mean())
        distances, _ = index.nearest(pictures.images[held])
        alarms = index.copies(distances).mean()
        chosen = np.isin(np.arange(len(pictures)), RANDOM.choice(len(pictures), 300, replace=False))
        others = copies.build(pictures.part(~chosen), pictures.part(held & ~chosen))
        distances, _ = others.nearest(pictures.images[chosen])
        loose = (distances < index.threshold).mean()
        shares = " | ".join(f"{recall:.3f}" for recall in recalls)
        print(
            f"| {name} | {side} | {index.threshold:.3f} | {shares} | "
            f"{alarms:.4f} of {held.sum()} | {loose:.3f} of 300 |",
            flush=True,
        )


def network(given: np.ndarray, targets: np.ndarray, train: np.ndarray, test: np.ndarray):
    """Return what a neural network decodes, stopped when that helps the attack most."""
    torch.manual_seed(0)
    x, y = (torch.from_numpy(one).float() for one in (given, targets))
    width = 1024
    model = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], width),
        torch.nn.GELU(),
        torch.nn.Linear(width, width),
        torch.nn.GELU(),
        torch.nn.Linear(width, y.shape[1]),
    )
    torch.nn.init.zeros_(model[-1].weight)
    model[-1].bias.data = y[train].mean(0)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-4, weight_decay=1e-2)
    best, kept = np.inf, None
    for step in range(600):
        batch = torch.from_numpy(RANDOM.choice(train, 128))
        loss = (model(x[batch]) - y[batch]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                guess = model(x[test])
            if (error := (guess - y[test]).square().mean().item()) < best:
                best, kept = error, guess.numpy()
    return kept


def linear(given: np.ndarray, targets: np.ndarray, train: np.ndarray, test: np.ndarray):
    """Return what ridge regression decodes, with the penalty that helps the attack most."""
    mean, centre = targets[train].mean(0), given[train].mean(0)
    best, kept = np.inf, None
    a = given[train] - centre
    for strength in (1.0, 10.0, 100.0, 1e3, 1e4, 1e5):
        gram = a.T @ a + strength * np.eye(a.shape[1]) * np.mean(a**2)
        weights = np.linalg.solve(gram, a.T @ (targets[train] - mean))
        guess = mean + (given[test] - centre) @ weights
        if (error := ((guess - targets[test]) ** 2).mean()) < best:
            best, kept = error, guess
    return kept


def inversion(folder: Path) -> None:
    """Try to get pictures back from what an index keeps, with decoders trained on others."""
    emoji = load(folder, "emoji", channels="rgb").images
    targets = emoji.reshape(len(emoji), -1) / 255.0
    sides = likeness._flattened(emoji)
    described = likeness._describe(likeness._window(sides[0], likeness._REACH, 0, 0))
    bits = np.unpackbits(likeness.embed(emoji)[0], axis=1) * 2.0 - 1
    order = RANDOM.permutation(len(emoji))
    train, test = order[:-200], order[-200:]
    mean = targets[train].mean(0)
    shown = [emoji[test[:8]]]
    print("\n| what the decoder sees | decoded, PSNR | r^2 |\n|---|---|---|")
    attacks = {
        "nothing: the mean picture": None,
        "the description, linear decoder": (linear, described),
        "the index, linear decoder": (linear, bits),
        "the index, neural network": (network, bits),
    }
    for what, attack in attacks.items():
        decoded = np.repeat(mean[None], len(test), 0)
        if attack is not None:
            decode, given = attack
            decoded = decode(given, targets, train, test)
        error = ((decoded - targets[test]) ** 2).mean()
        left = error / ((targets[test] - mean) ** 2).mean()
        print(f"| {what} | {-10 * np.log10(error):.2f} dB | {1 - left:.3f} |", flush=True)
        shown.append((decoded[:8].clip(0, 1) * 255).astype(np.uint8).reshape(-1, *emoji.shape[1:]))
    for contrast in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        dull = (128 + (emoji - 128.0) * contrast).round().astype(np.uint8)
        bits = np.unpackbits(likeness.embed(dull)[0], axis=1) * 2.0 - 1
        decoded = linear(bits, targets, train, test)
        left = ((decoded - targets[test]) ** 2).mean() / ((targets[test] - mean) ** 2).mean()
        print(f"| the index, {contrast:.0%} of the contrast, linear decoder | | {1 - left:.3f} |")
    rows = [np.concatenate(list(row), axis=2) for row in shown]
    page = Image.fromarray(np.concatenate(rows, axis=1).transpose(1, 2, 0))
    path = Path(__file__).parent / "inversion.png"
    page.resize((page.width * 2, page.height * 2), Image.Resampling.NEAREST).save(path)
    print(f"\n{path.name}: rows of originals, then of what the table's lines decode")


def cost(folder: Path) -> None:
    """Compare a whole evaluation with the bare forward passes of its network."""
    pictures = load(folder, "mnist", size=32, channels="rgb")
    real, others = part(pictures, 0, 2000), part(pictures, 2000, 4000)
    extractor, _ = features.choose("efficientnet", real.images, CPU)
    both = np.concatenate([real.images, others.images])
    extractor(both[:64])
    start = time.perf_counter()
    extractor(both)
    bare = time.perf_counter() - start
    start = time.perf_counter()
    reference = split_for(real, None)
    index = copies.build(real, real.part(np.zeros(len(real), bool)))
    generated = Generated(others.images, None, [{} for _ in others.images])
    measure(generated, reference, [extractor], index)
    whole = time.perf_counter() - start
    print(f"\nevaluating {len(others)} pictures against {len(real)}: {whole / bare:.2f} times")
    print("the network's forward passes on them, nothing remembered from before")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / "shared/data"
    parts = {f.__name__: f for f in (known_answers, intervals, planted, inversion, cost)}
    with tempfile.TemporaryDirectory() as home:
        os.environ["IMAGEGEN_HOME"] = home
        for name in sys.argv[2:] or parts:
            print(f"\n### {name.replace('_', ' ')}")
            parts[name](folder)


if __name__ == "__main__":
    main()
