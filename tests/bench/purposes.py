"""What do the presets by purpose draw?

    python -m tests.bench.purposes HOME HEAD [--only PRESET...] [--sheet FILE.png]

Trains each on real pictures and draws with it: seeds 42 and on, none picked. HEAD is the folder
that `tests.bench.slices` made. HOME keeps the models; what it has is not done again, and a training
that was broken off goes on. Prints a table of tests/bench/RESULTS.md; the sheet is
docs/purposes.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from imagegen.images.grid import TILE, lines
from imagegen.post.chain import build_chain
from tests.bench.command import SETS, imagegen
from tests.bench.words import PROMPTS

PURPOSES = {
    "pixel-art": "dcss.zip",
    "icons": "emoji.zip",
    "texture": "textures.zip",
    "digits": "mnist.zip",
    "photo-small": "textures.zip",
    "medical-grey": "head",
    "abstract": "emoji.zip",
}
"""Presets, and the pictures that each is for."""
MINUTES = {"icons": 60, "digits": 30}
"""Others have ten. Words take longer to learn than looks, and digits are counted elsewhere too."""
SHOWN = 12


def measured(home: Path, preset: str, source: Path, minutes: int) -> dict[str, object]:
    """Train and evaluate one model, or read what was found of it before."""
    path = home / f"{preset}.json"
    if not path.exists():
        words = ["--name", preset, "--preset", preset, "--budget", f"{minutes}m"]
        imagegen(home, "train", source, *words)
        path.write_text(imagegen(home, "evaluate", preset, "--json"))
    return json.loads(path.read_text())


def drawn(home: Path, preset: str) -> list[Image.Image]:
    """Return pictures as the command writes them, as large as they are shown."""
    out = home / "pictures" / preset
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for number in range(SHOWN):
        file = out / f"{number:02}.png"
        text = [PROMPTS[number]] if preset == "icons" else []
        seed = 42 if preset == "icons" else 42 + number
        imagegen(home, "generate", *text, "-m", preset, "--seed", seed, "-n", 1, "-o", file)
        picture = Image.open(file)
        if preset == "texture":  # laid side by side, as it is meant to be
            picture = build_chain(["tile"])(picture)
        pictures.append(picture.resize((TILE, TILE)) if picture.width > TILE else picture)
    return pictures


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home", type=Path)
    words.add_argument("head", type=Path)
    words.add_argument("--only", nargs="+", default=list(PURPOSES))
    words.add_argument("--sheet", type=Path)
    given = words.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    print("| preset | pictures | minutes | KID | floor | coverage | copies | steps |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for preset in given.only:
        name = PURPOSES[preset]
        source = given.head if name == "head" else SETS / name
        minutes = MINUTES.get(preset, 10)
        found = measured(given.home, preset, source, minutes)
        (low, high), floor = found["kid_interval"], found["floor"]
        print(
            f"| {preset} | {name} | {minutes} | {found['kid']:.3f} [{low:.3f}, {high:.3f}] "
            f"| {'-' if floor is None else f'{floor:.3f}'} | {found['coverage']:.1%} "
            f"| {found['copies']:.1%} | {found['step']:,} |",
            flush=True,
        )
        title = f"imagegen train {name} --preset {preset} --budget {minutes}m"
        rows.append((title, drawn(given.home, preset)))
        if given.sheet:
            lines(rows).save(given.sheet)


if __name__ == "__main__":
    main()
