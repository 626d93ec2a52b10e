"""How good is a flow in one, two, four, ten and twenty steps?

    python -m tests.bench.steps HOME MODEL...

Evaluates each model, trained before, drawn in so many steps. Prints a table of RESULTS.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.command import imagegen

WAYS = [(1, "jump"), (2, "jump"), (4, "jump"), (4, "euler"), (4, "multistep"), (10, "multistep"),
        (10, "heun"), (20, "heun")]  # fmt: skip


def main() -> None:
    home, *models = sys.argv[1:]
    print("| model | steps | solver | KID | coverage |")
    print("|---|---|---|---|---|")
    for model in models:
        for steps, solver in WAYS:
            sets = ["--set", f"sample.steps={steps}", "--set", f"sample.solver={solver}"]
            found = json.loads(imagegen(Path(home), "evaluate", model, *sets, "--json"))
            low, high = found["kid_interval"]
            print(
                f"| {model} | {steps} | {solver} | {found['kid']:.3f} [{low:.3f}, {high:.3f}] "
                f"| {found['coverage']:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
