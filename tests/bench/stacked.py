"""How many of a thousand modes the GAN draws: three handwritten digits, one a colour channel.

    make bench-stacked

The test of Metz et al. 2017 (arXiv 1611.02163), with 10,000 digits of MNIST, stacked to
60,000 pictures. A classifier names the three digits of each picture that a model draws; a mode is
found if one shows it. "KL" is how far the counts of modes are from equal shares, in nats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from imagegen import presets
from imagegen.data.store import Images, Pictures
from imagegen.evaluate import drawn, extractor
from imagegen.families.gan import Gan
from imagegen.train.learner import Learner, build
from imagegen.train.parallel import Order
from tests.bench.command import SETS
from tests.bench.digits import digit_classifier, digits

MODES = 1000


def stacks(images: Images, count: int) -> Pictures:
    """Return so many pictures of three digits each, drawn at random, always the same."""
    chosen = np.random.Generator(np.random.Philox(0)).integers(0, len(images), (count, 3))
    names = tuple(map(str, range(count)))
    digests = np.zeros((count, 8), np.uint8)
    return Pictures(images[chosen, 0], None, (), names, (), (), digests, "stacked")


def modes(made: Images, classify: Callable[[Images], np.ndarray]) -> tuple[int, float]:
    """Return how many modes uint8 (N, 3, 28, 28) show, and the KL divergence to equal shares."""
    hundreds, tens, ones = (classify(made[:, channel : channel + 1]) for channel in range(3))
    counts = np.bincount(100 * hundreds + 10 * tens + ones, minlength=MODES)
    shares = counts[counts > 0] / counts.sum()
    return int((counts > 0).sum()), float((shares * np.log(shares * MODES)).sum())


def train(pictures: Pictures, model: Gan.Model, steps: int, batch_size: int) -> Gan:
    """Return the averaged GAN after so many steps, without augmentation: stacks are many."""
    sets = ["data.size=28", f"train.batch_size={batch_size}"]
    config = presets.check(presets.resolve(["gan"], sets))
    learner = Learner(build(Gan, model, config, pictures), pictures, config)
    for step in range(steps):
        logs = learner.step(Order(step, step / steps))
        if step % 200 == 0:
            print(step, {name: round(value.item(), 3) for name, value in logs.items()}, flush=True)
    assert isinstance(learner.average, Gan)
    return learner.average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=Path, default=SETS)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--samples", type=int, default=10_000)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    classify = digit_classifier(options.sets)
    images, _ = digits(options.sets / "mnist.zip")
    pictures = stacks(images, 60_000)
    real = modes(pictures.images[: options.samples], classify)
    print(f"{options.samples:,} samples; {options.steps:,} steps of {options.batch_size} pictures")
    print("| pictures | modes | KL |\n|---|---|---|")
    print(f"| real stacks | {real[0]} | {real[1]:.3f} |", flush=True)
    for name, settings in {"R1 + R2": {}, "without": {"gamma": 0.0}}.items():
        gan = train(pictures, Gan.Model(**settings), options.steps, options.batch_size)
        made = drawn.sample(gan, Gan.Sampling(), range(options.samples), {}, extractor.silent)
        found, divergence = modes(made.images, classify)
        print(f"| {name} | {found} | {divergence:.3f} |", flush=True)


if __name__ == "__main__":
    main()
