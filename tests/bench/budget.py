"""Does training end on time, on a machine that is idle and on one that is not?

    python -m tests.bench.budget

Prints a table of tests/bench/RESULTS.md: whole commands on the bundled smileys, from their start to
their end, and what share of the time went into something else than training.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from imagegen.settings import seconds

RUNS = [("1m", 0), ("3m", 0), ("10m", 0), ("3m", 1)]
SETS = ["--preset", "gan", "--set", "data.size=32", "--set", "data.mirror=true"]
BUSY = "while True: pass"


@contextmanager
def busy(processes: int):
    """Keep some processors busy with something else."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()


def main() -> None:
    print("| budget | busy beside | ended at | steps | plans made | watching | saving | size |")
    print("|---|---|---|---|---|---|---|---|")
    for budget, others in RUNS:
        with tempfile.TemporaryDirectory() as home, busy(others):
            words = ["train", "sample:smileys", "--budget", budget, "--json", *SETS]
            start = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "imagegen", *words],
                env={**os.environ, "IMAGEGEN_HOME": home},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            took = time.monotonic() - start
            events = [json.loads(line) for line in done.stdout.splitlines()]
            end = events[-1]
            plans = sum(event["event"] == "planned" for event in events)
            config = next(Path(home).glob("models/*/config.yaml")).read_text()
            width = next(x.strip() for x in config.splitlines() if x.strip().startswith("width"))
            print(
                f"| {budget} | {others} cores | {took / seconds(budget):.3f} | {end['step']:,} | "
                f"{plans} | {end['spent']['watching']:.1%} | "
                f"{end['spent']['saving'] + end['spent']['sheets']:.1%} | {width} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
