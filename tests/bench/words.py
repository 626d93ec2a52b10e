"""How well does a model draw what it is told in words?

    python -m tests.bench.words HOME MODEL... [--guidance 1 1.5 2 4] [--sheet FILE.png]

For models that were trained on emoji with their captions. Judges that learned the nine groups and
the two styles from real training pictures look at pictures that were drawn from the captions of
held-out ones, with no label told: for groups one with features of ImageNet, for styles, to which
those are half blind, a small network of its own. Flags are nearly the same in both styles, so the
style is also counted without them. Real ones are judged too, as they are and as they come back
from the autoencoder that a model stands on, which no model on it can be expected to surpass. Prints
tables of tests/bench/RESULTS.md: fidelity, and with it the variety (Vendi score) and the KID, for
each guidance, if the family has one. The sheet shows what the first model draws for each of
PROMPTS, seed 42, at the first guidance; none is picked.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import numpy as np
import torch

COUNT = 500
SUBJECTS = (
    "grinning face", "crying face", "cat face", "black cat", "dog", "bird", "fish", "tree",
    "red heart", "blue circle", "apple", "slice of pizza", "guitar", "sailboat", "house", "sun",
)  # fmt: skip
STYLES = ("flat gradient", "3d")
PROMPTS = tuple(f"{subject}, in {style} style" for style in STYLES for subject in SUBJECTS)
ROW = 8
"""Pictures in a line of the sheet."""


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home")
    words.add_argument("models", nargs="+")
    words.add_argument("--guidance", type=float, nargs="+", default=[1.5])
    words.add_argument("--sheet")
    given = words.parse_args()
    os.environ["IMAGEGEN_HOME"] = given.home
    from imagegen import presets, registry
    from imagegen.data.store import as_drawn, from_images, load_pictures, to_tensor
    from imagegen.device import pick_device
    from imagegen.evaluate import copies, features, metrics
    from imagegen.evaluate.judge import Judge
    from imagegen.families.autoencoder import Autoencoder
    from imagegen.images.grid import lines
    from imagegen.sample.draw import draw, to_pictures
    from imagegen.sample.tell import Ask
    from tests.bench.classifier import classifier

    print(
        "| model | guidance | right group | right style | without flags | Vendi | KID |\n"
        "|---|---|---|---|---|---|---|"
    )
    for name in given.models:
        found = registry.find(name)
        family, _ = registry.load(found)
        config = presets.check(found.settings())
        source = str(registry.data(found)["source"])
        pictures = load_pictures(source, as_drawn(config.data, family.shape[0]))
        known = copies.of(found).trained(pictures)
        extract, _ = features.choose("auto", pictures.images, pick_device("cpu"))
        x = extract.cached(pictures.images).astype(np.float32)
        groups = pictures.labels
        styles = np.array(["3d" in text.lower() for text in pictures.texts]).astype(np.int64)
        group_of = Judge(x[known], groups[known], int(groups.max()) + 1)
        style_of = classifier(pictures.images[known], styles[known])
        held = np.flatnonzero(~known)
        no_flags = groups != pictures.label_names.index("flags")
        real = {"held-out real ones": (pictures.images[held], x[held])}
        if isinstance(family.autoencoder, Autoencoder):
            with torch.inference_mode():
                again = family.autoencoder.again(to_tensor(pictures.images[held]))
            back = from_images(to_pictures(again), family.shape[0])
            real["as they come back"] = (back, extract(back).astype(np.float32))
        for what, (images, vectors) in real.items():
            seen = style_of(images) == styles[held]
            print(
                f"| {what} | | {np.mean(group_of(vectors) == groups[held]):.1%} | "
                f"{seen.mean():.1%} | {seen[no_flags[held]].mean():.1%} | | |"
            )
        chance = [np.bincount(one).max() / len(one) for one in (groups[held], styles[held])]
        least = np.bincount(styles[held][no_flags[held]]).max() / no_flags[held].sum()
        print(f"| the commonest | | {chance[0]:.1%} | {chance[1]:.1%} | {least:.1%} | | |")
        rows = np.resize(held, COUNT)
        asks = [Ask(text=pictures.texts[row]) for row in rows]
        guides: list[float | None] = [None]
        if "guidance" in family.Sampling.model_fields:
            guides = given.guidance
        for guidance in guides:
            layer = found.settings()
            if guidance is not None:
                layer.put(("sample", "guidance"), guidance, "--guidance")
            options = presets.check_section(family.Sampling, "sample", layer)
            if given.sheet and name == given.models[0] and guidance == guides[0]:
                told = [Ask(text=text) for text in PROMPTS]
                shown = [one for _, one in draw(family, [42] * len(told), options, told)]
                parts = [slice(start, start + ROW) for start in range(0, len(told), ROW)]
                lines([(line(PROMPTS[p]), shown[p]) for p in parts]).save(given.sheet)
            drawn = [picture for _, picture in draw(family, range(COUNT), options, asks)]
            made = from_images(drawn, family.shape[0])
            y = extract(made).astype(np.float32)
            group = np.mean(group_of(y) == groups[rows])
            style = style_of(made) == styles[rows]
            vendi = metrics.vendi(y.astype(np.float64), x[known].mean(0).astype(np.float64))
            kid = metrics.kid(metrics.kernels(x[known].astype(np.float64), y.astype(np.float64)))
            shown_as = "" if guidance is None else f"{guidance:g}"
            print(
                f"| {name} | {shown_as} | {group:.1%} | {style.mean():.1%} | "
                f"{style[no_flags[rows]].mean():.1%} | {vendi:.1f} | {kid:.3f} |",
                flush=True,
            )


def line(prompts: Sequence[str]) -> str:
    """Return what stands above pictures of these prompts, which have a style in common."""
    subjects, (style, *_) = zip(*(prompt.split(", ") for prompt in prompts), strict=True)
    return f"{style}: {', '.join(subjects)}"


if __name__ == "__main__":
    main()
