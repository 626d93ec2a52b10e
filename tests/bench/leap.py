"""Train one latent flow on one set for some minutes, in process, and judge what it generates.

    python -m tests.bench.leap SET.zip --codec builtin:codec --minutes 10 --seed 0 \
        [--set model.embedding=true ...] [--from MODEL] [--snapshots] --output FOLDER

Everything but the clock is the library's own: data, networks, optimiser, averages, sampling. The
minutes are those of training steps alone. `--snapshots` keeps the averaged weights of an eighth and
a quarter of the training, for autoguidance (Karras et al. 2024, arXiv 2406.02507). Writes
FOLDER/result.json, generated.npy (uint8 (N, C, H, W)), sheet.png and the weights.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imagegen import presets, registry
from imagegen.data.split import held_out
from imagegen.data.store import load_pictures
from imagegen.evaluate import drawn, features
from imagegen.family import Family
from imagegen.images import grid
from imagegen.train import foundation, run
from imagegen.train.learner import Learner, build
from imagegen.train.parallel import Order
from tests.bench import judge

SNAPSHOTS = (0.125, 0.25)
"""Shares of the training after which averaged weights are kept."""


def prepared(arguments: argparse.Namespace) -> tuple[Learner, presets.Layer, object]:
    """Return a learner at its start, its settings, and the pictures of both sides."""
    sets = [f"autoencoder.name={arguments.codec}", f"train.seed={arguments.seed}"]
    layer = presets.resolve([arguments.preset], [*sets, *arguments.set], {})
    foundation.follow(layer)
    config = presets.check(layer)
    pictures = load_pictures(arguments.source, config.data)
    held = held_out(pictures, config.data.held_out)
    training = pictures.part(~held)
    kind = run.FAMILIES[config.family]
    codec = foundation.build(config.autoencoder, pictures.shape)
    family = build(kind, presets.check_section(kind.Model, "model", layer), config, pictures, codec)
    if arguments.parent:
        for line in run.carry_over(registry.find(arguments.parent), family, config):
            print(line)
    return Learner(family, training, config), layer, (training, pictures.part(held))


def trained(
    learner: Learner, minutes: float, count: int | None, keep: Path | None
) -> tuple[int, float]:
    """Train for some minutes, or `count` steps; return the steps and the seconds."""
    steps, start, wanted = 0, time.monotonic(), list(SNAPSHOTS)
    while True:
        spent = time.monotonic() - start
        progress = steps / count if count else spent / (60 * minutes)
        if progress >= 1:
            return steps, spent
        if keep is not None and wanted and progress >= wanted[0]:
            torch.save(learner.average.drawn(), keep / f"snapshot-{wanted.pop(0)}.pt")
        logs = learner.step(Order(steps, progress))
        steps += 1
        if steps % 100 == 0:
            shown = {name: round(float(value), 4) for name, value in logs.items()}
            print(f"step {steps} {spent:.0f}s {shown}", flush=True)


def generated(family: Family, layer: presets.Layer, count: int, training: object) -> np.ndarray:
    """Return pictures as `evaluate` has them: the labels or captions of the training set."""
    options = presets.check_section(type(family).Sampling, "sample", layer)
    counts = training.label_counts()
    seeds = range(1000, 1000 + count)
    return drawn.sample(family, options, seeds, counts, features.silent, training).images


def sheet(images: np.ndarray) -> Image.Image:
    """Return 64 pictures, laid on grey."""
    pages = []
    for one in images[:: max(1, len(images) // 64)][:64]:
        rgb = one[:3].astype(np.int64)
        if len(one) == 4:
            rgb = rgb + (255 - one[3:].astype(np.int64)) * 200 // 255
        rgb = np.broadcast_to(rgb, (3, *one.shape[1:])).astype(np.uint8)
        pages.append(Image.fromarray(rgb.transpose(1, 2, 0)))
    return grid.sheet(pages)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--preset", default="latent-flow")
    parser.add_argument("--codec", default="builtin:codec")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int, help="instead of minutes: for machines that are busy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--from", dest="parent")
    parser.add_argument("--snapshots", action="store_true")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--guidances", type=float, nargs="*", default=[])
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    learner, layer, (training, held) = prepared(arguments)
    keep = arguments.output if arguments.snapshots else None
    steps, seconds = trained(learner, arguments.minutes, arguments.steps, keep)
    family = learner.average
    registry.save_weights(
        arguments.output / "model.safetensors", family, presets.check(layer), steps
    )
    real = np.concatenate([held.images, training.images])
    record = {
        "source": Path(arguments.source).stem,
        "settings": arguments.set,
        "parent": arguments.parent,
        "seed": arguments.seed,
        "steps": steps,
        "seconds": round(seconds),
        "pictures": steps * presets.check(layer).train.batch_size,
    }
    with (arguments.output / "result.jsonl").open("a") as file:
        for guidance in arguments.guidances or [None]:
            if guidance is not None:
                layer.put(("sample", "guidance"), guidance, "--guidances")
            images = generated(family, layer, arguments.count, training)
            name = "generated" if guidance is None else f"generated-{guidance:g}"
            np.save(arguments.output / f"{name}.npy", images)
            sheet(images).save(arguments.output / f"{name}.png")
            found = judge.compare(real, images, training.images)
            line = {**record, "guidance": guidance, **asdict(found)}
            file.write(json.dumps(line) + "\n")
            file.flush()
            shown = {one.network[:9]: round(one.kid, 4) for one in found.verdicts}
            print(guidance, shown, f"copies {found.copies:.1%}", flush=True)


if __name__ == "__main__":
    main()
