"""How often does a model draw the digit that it was told to?

    python -m tests.bench.labels HOME MODEL...

A classifier that recognises 98 % of real test digits and more looks at 1,000 pictures of each
model, which was trained before on mnist with its labels: 100 of each digit. Prints a table of
tests/bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from tests.bench.command import SETS

COUNT = 1_000


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home")
    words.add_argument("models", nargs="+")
    given = words.parse_args()
    os.environ["IMAGEGEN_HOME"] = given.home
    from imagegen import registry
    from imagegen.data.store import from_images, to_tensor
    from imagegen.evaluate import drawn, extractor
    from imagegen.presets import check_section
    from imagegen.sample.draw import to_pictures
    from tests.bench.digits import digit_classifier

    classify = digit_classifier(SETS)
    print("| model | right | the worst digit |\n|---|---|---|")
    for name in given.models:
        found = registry.find(name)
        family, _ = registry.load(found)
        options = check_section(family.Sampling, "sample", found.settings())
        made = drawn.sample(family, options, range(COUNT), {}, extractor.silent)
        pictures = to_pictures(to_tensor(made.images))
        right = classify(from_images([one.resize((28, 28)) for one in pictures], 1)) == made.labels
        shares = [right[made.labels == digit].mean() for digit in range(10)]
        worst = int(np.argmin(shares))
        print(f"| {name} | {np.mean(right):.1%} | {worst}: {shares[worst]:.0%} |", flush=True)


if __name__ == "__main__":
    main()
