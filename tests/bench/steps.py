"""How good is a flow in one, two, four, ten and twenty steps?

    python -m tests.bench.steps HOME MODEL... [--count 4000]

Evaluates each model, trained before, drawn in so many steps. Prints a table of RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.bench.command import imagegen

WAYS = [(20, "heun"), (10, "heun"), (10, "multistep"), (4, "multistep"), (4, "euler"), (4, "jump"),
        (2, "jump"), (1, "jump")]  # fmt: skip


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home", type=Path)
    words.add_argument("models", nargs="+")
    words.add_argument("--count", type=int, default=1000, help="Pictures to draw.")
    given = words.parse_args()
    print("| model | steps | solver | KID | coverage | of the first |")
    print("|---|---|---|---|---|---|")
    for model in given.models:
        first = 0.0
        for steps, solver in WAYS:
            sets = ["--set", f"sample.steps={steps}", "--set", f"sample.solver={solver}"]
            sets += ["-n", given.count]
            found = json.loads(imagegen(given.home, "evaluate", model, *sets, "--json"))
            low, high = found["kid_interval"]
            first = first or found["kid"]
            print(
                f"| {model} | {steps} | {solver} | {found['kid']:.3f} [{low:.3f}, {high:.3f}] "
                f"| {found['coverage']:.0%} | {found['kid'] / first:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
