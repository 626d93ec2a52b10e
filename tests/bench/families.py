"""How good is each family, for the time it was given, on the same pictures?

    python -m tests.bench.families HOME [--minutes 10] [--sets mnist textures dcss]
        [--families gan flow autoencoder rnn latent-flow] [--set KEY=VALUE ...]

Trains by the presets of those names, one after the other on a machine that should do nothing else,
and evaluates each model against the pictures of its set: 1,000 pictures, KID with its interval, and
the floor, what held-out pictures score. The set "smileys" is the bundled one. HOME keeps the
models; what it has is not done again, and a training that was broken off goes on. Prints a table of
tests/bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.command import SETS, imagegen

SEEDS = 64


def measured(
    home: Path, family: str, kind: str, minutes: float, sets: Sequence[str]
) -> dict[str, object]:
    """Train and evaluate one model, or read what was found of it before."""
    name = f"{kind}-{family}-{minutes:g}m"
    path = home / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    source = "sample:smileys" if kind == "smileys" else SETS / f"{kind}.zip"
    more = [word for one in ("data.size=32", *sets) for word in ("--set", one)]
    start = time.monotonic()
    imagegen(
        home, "train", source, "--name", name, "--preset", family,
        "--budget", f"{minutes * 60:g}s", *more,
    )  # fmt: skip
    took = time.monotonic() - start
    found = json.loads(imagegen(home, "evaluate", name, "--json"))
    sheet = home / f"{name}.png"
    imagegen(
        home, "generate", "-m", name, "--seed", 42, "-n", SEEDS, "--grid", sheet,
        "-o", home / "pictures" / name,
    )  # fmt: skip
    found |= {"took": took / (60 * minutes)}
    path.write_text(json.dumps(found))
    return found


def line(kind: str, family: str, minutes: float, found: dict[str, object]) -> str:
    low, high = found["kid_interval"]
    _, top = found["floor_interval"]
    seen = found["fidelity"]["generated"] if found["fidelity"] else None
    return (
        f"| {kind} | {family} | {minutes:g} | {found['kid']:.3f} [{low:.3f}, {high:.3f}] "
        f"| {found['floor']:.3f} (to {top:.3f}) | {found['coverage']:.0%} "
        f"| {found['copies']:.1%} | {'-' if seen is None else f'{seen:.1%}'} | {found['step']:,} "
        f"| {found['took']:.2f} |"
    )


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home", type=Path)
    words.add_argument("--minutes", type=float, nargs="+", default=[10])
    words.add_argument("--sets", nargs="+", default=["mnist", "textures", "dcss"])
    words.add_argument(
        "--families", nargs="+", default=["gan", "flow", "autoencoder", "rnn", "latent-flow"]
    )
    words.add_argument("--set", nargs="+", default=[], dest="settings")
    given = words.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    print(
        "| set | preset | minutes | KID | floor | coverage | copies | label seen | step "
        "| of its time |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for minutes in given.minutes:
        for kind in given.sets:
            for family in given.families:
                found = measured(given.home, family, kind, minutes, given.settings)
                print(line(kind, family, minutes, found), flush=True)


if __name__ == "__main__":
    main()
