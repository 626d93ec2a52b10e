"""How often does a model draw the digit that it was told to?

    python -m tests.bench.labels HOME MODEL...

A classifier that recognises 98 % of real test digits and more looks at 1,000 pictures of each
model, which was trained before on mnist with its labels: 100 of each digit. Prints a table of
tests/bench/RESULTS.md.
"""

from __future__ import annotations

import os
import sys

import numpy as np

from tests.bench.command import SETS

EACH = 100


def main() -> None:
    home, *models = sys.argv[1:]
    os.environ["IMAGEGEN_HOME"] = home
    from imagegen import registry
    from imagegen.data.store import from_images
    from imagegen.presets import check_section
    from imagegen.sample.draw import draw
    from tests.bench.digits import digit_classifier

    classify = digit_classifier(SETS)
    print("| model | right | the worst digit |\n|---|---|---|")
    for name in models:
        found = registry.find(name)
        family, _ = registry.load(found)
        options = check_section(family.Sampling, "sample", found.settings())
        shares = []
        for digit in map(str, range(10)):
            seeds = range(int(digit) * EACH, (int(digit) + 1) * EACH)
            pictures = [one for _, one in draw(family, seeds, options, digit)]
            small = from_images([one.resize((28, 28)).convert("L") for one in pictures], 1)
            shares.append(float(np.mean(classify(small) == int(digit))))
        worst = int(np.argmin(shares))
        print(f"| {name} | {np.mean(shares):.1%} | {worst}: {shares[worst]:.0%} |", flush=True)


if __name__ == "__main__":
    main()
