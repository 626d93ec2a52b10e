"""How much of a picture comes back, beside a plain picture of as many numbers?

    python -m tests.bench.autoencoders HOME [--minutes 10] [--sets textures dcss] [--kinds kl fsq]

Trains an autoencoder of each kind at 32 pixels and sends the held-out pictures through it: peak
signal-to-noise ratio in dB, beside that of the same pictures made small and large again (bicubic,
antialiased) at as many numbers; of kind fsq, also how much of its codebook the set uses. HOME keeps
the models. Prints a table of tests/bench/RESULTS.md, and writes HOME/SET-KIND.png: held-out
pictures, and what came back.
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

import torch
import torch.nn.functional as F

from imagegen import presets, registry
from imagegen.data.store import load_pictures, to_tensor
from imagegen.evaluate import copies
from imagegen.families.autoencoder import Autoencoder
from imagegen.images.grid import sheet
from imagegen.sample.draw import to_pictures
from tests.bench.command import SETS, imagegen

KINDS = {"kl": "autoencoder-faithful", "fsq": "tokenizer", "fsq-1000": "autoencoder"}
"""Presets by what the models are called. The last has four numbers a cell, the tokenizer two."""


def decibels(x: torch.Tensor, y: torch.Tensor) -> float:
    return float(10 * torch.log10(4 / (x.clamp(-1, 1) - y).square().mean()))


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home", type=Path)
    words.add_argument("--minutes", type=float, default=10)
    words.add_argument("--sets", nargs="+", default=["textures", "dcss"])
    words.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    given = words.parse_args()
    os.environ["IMAGEGEN_HOME"] = str(given.home)
    print("| set | kind | numbers | dB, held out | bicubic of as many | better by | codes used |")
    print("|---|---|---|---|---|---|---|")
    for name in given.sets:
        for kind in given.kinds:
            model = registry.Model(registry.models_folder() / f"{name}-{kind}")
            imagegen(
                given.home, "train", SETS / f"{name}.zip", "--name", model.name,
                "--preset", KINDS[kind], "--budget", f"{given.minutes * 60:g}s",
                "--set", "data.size=32", "--set", f"model.kind={kind.split('-')[0]}",
            )  # fmt: skip
            family, _ = registry.load(model)
            assert isinstance(family, Autoencoder)
            pictures = load_pictures(
                str(SETS / f"{name}.zip"), presets.check(model.settings()).data
            )
            held = to_tensor(pictures.images[copies.of(model).held(pictures)])
            again = family.decode(family.encode(held))
            numbers = math.prod(family.latent_shape)
            side = round(math.sqrt(numbers / held.shape[1]))
            small = F.interpolate(held, (side, side), mode="bicubic", antialias=True)
            plain = F.interpolate(small, held.shape[2:], mode="bicubic")
            used = ""
            if family.model.kind == "fsq":
                tokens = family.tokens(torch.from_numpy(family.describe(pictures.images)))
                used = f"{len(tokens.unique()) / family.codes:.1%} of {family.codes}"
            ours, theirs = decibels(again, held), decibels(plain, held)
            print(
                f"| {name} | {kind} | {numbers} | {ours:.2f} | {theirs:.2f} ({side}x{side}) "
                f"| {ours - theirs:+.2f} | {used} |",
                flush=True,
            )
            pairs = torch.stack([held[:64:2], again[:64:2]], dim=1).flatten(0, 1)
            sheet(to_pictures(pairs)).save(given.home / f"{name}-{kind}.png")


if __name__ == "__main__":
    main()
