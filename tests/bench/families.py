"""How good is each family, for the time it was given, on the same pictures?

    python -m tests.bench.families HOME [--minutes 10] [--sets mnist textures dcss]
        [--families gan flow autoencoder rnn latent-flow] [--set KEY=VALUE ...]
        [--sheet FILE.png [--peer FOLDER...]]

Trains by the presets of those names, one after the other on a machine that should do nothing else,
and evaluates each model against the pictures of its set: 1,000 pictures, KID with its interval, and
the floor, what held-out pictures score. The set "smileys" is the bundled one. HOME keeps the
models; what it has is not done again, and a training that was broken off goes on. Prints a table of
tests/bench/RESULTS.md. The sheet has a line a family, seeds 42 and on, none picked, for the last of
the minutes, and one for those of another trainer, a folder a set. (Real ones may not all be shown.)
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from imagegen.images.grid import lines
from tests.bench.command import SETS, imagegen

SEEDS = 64
SHOWN, SIDE, GAP = 6, 64, 8
"""Pictures of each set in a line of the sheet, their pixels a side, and those between sets."""


def source(kind: str) -> str:
    return "sample:smileys" if kind == "smileys" else str(SETS / f"{kind}.zip")


def name_of(kind: str, family: str, minutes: float) -> str:
    return f"{kind}-{family}-{minutes:g}m"


def measured(
    home: Path, family: str, kind: str, minutes: float, sets: Sequence[str]
) -> dict[str, object]:
    """Train and evaluate one model, or read what was found of it before."""
    name = name_of(kind, family, minutes)
    path = home / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    more = [word for one in ("data.size=32", *sets) for word in ("--set", one)]
    start = time.monotonic()
    imagegen(
        home, "train", source(kind), "--name", name, "--preset", family,
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


def strip(folder: Path) -> Image.Image:
    """Lay the first pictures of a folder, by the numbers of their names, side by side on white."""
    page = Image.new("RGBA", (SHOWN * SIDE + GAP, SIDE), "white")
    numbered = sorted(folder.glob("*.png"), key=lambda path: (len(path.name), path.name))
    for index, path in enumerate(numbered[:SHOWN]):
        tile = Image.open(path).convert("RGBA").resize((SIDE, SIDE), Image.Resampling.NEAREST)
        page.alpha_composite(tile, (index * SIDE, 0))
    return page


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home", type=Path)
    words.add_argument("--minutes", type=float, nargs="+", default=[10])
    words.add_argument("--sets", nargs="+", default=["mnist", "textures", "dcss"])
    words.add_argument(
        "--families", nargs="+", default=["gan", "flow", "autoencoder", "rnn", "latent-flow"]
    )
    words.add_argument("--set", nargs="+", default=[], dest="settings")
    words.add_argument("--sheet", type=Path)
    words.add_argument("--peer", nargs="+", default=[], type=Path)
    given = words.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    print(
        "| set | preset | minutes | KID | floor | coverage | copies | label seen | step "
        "| of its time |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    kids = {}
    for minutes in given.minutes:
        for kind in given.sets:
            for family in given.families:
                found = measured(given.home, family, kind, minutes, given.settings)
                kids[name_of(kind, family, minutes)] = found["kid"]
                print(line(kind, family, minutes, found), flush=True)
    if given.sheet:
        rows = []
        for family in given.families:
            names = [name_of(kind, family, given.minutes[-1]) for kind in given.sets]
            title = f"{family}: KID {', '.join(f'{kids[name]:.3f}' for name in names)}"
            rows.append((title, [strip(given.home / "pictures" / name) for name in names]))
        if given.peer:
            rows.append(("another trainer", [strip(folder) for folder in given.peer]))
        lines(rows).save(given.sheet)


if __name__ == "__main__":
    main()
