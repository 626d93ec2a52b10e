"""Reconstruct benchmark sets by a universal codec, and say how much of them comes back.

    python -m tests.bench.codec CODEC SETS [--most 1000] [--sheet FILE.png]

CODEC is a model's name, such as builtin:codec; SETS a folder of zips (tests.bench.sets). Prints a
line for each set: PSNR, hue error, and the codec's own share of KID by both judges; appends them to
tests/bench/results/codec.jsonl.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imagegen import registry
from imagegen.data.store import Images, load_pictures, to_tensor
from imagegen.settings import DataSettings
from tests.bench import judge, results

COLUMNS = 16
"""Pictures in a row of the sheet; below each row is what came back."""
BATCH = 32


def reconstructed(name: str, images: Images) -> Images:
    """Return pictures, uint8 (N, C, H, W), as a codec of this name gives them back."""
    family, _ = registry.load(registry.find(name), images.shape[1:])
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            decoded = family.again(to_tensor(images[start : start + BATCH]))
            parts.append(((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().numpy())
    return np.concatenate(parts)


def row(images: Images) -> np.ndarray:
    """Return pictures side by side on grey, (H, W, 3)."""
    rgb = np.broadcast_to(images[:, :3], (len(images), 3, *images.shape[2:])).astype(np.int64)
    if images.shape[1] == 4:
        rgb = rgb + (255 - images[:, 3:].astype(np.int64)) * 200 // 255
    return np.concatenate(list(rgb.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("codec")
    parser.add_argument("sets", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--most", type=int, default=1_000)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    _, weights = registry.load(registry.find(arguments.codec))
    rows = []
    for path in sorted(arguments.sets.glob("*.zip")):
        if arguments.only and path.stem not in arguments.only:
            continue
        images = load_pictures(str(path), DataSettings(size=64)).images
        images = judge.some(images, arguments.most)
        back = reconstructed(arguments.codec, images)
        rows += [row(images[:COLUMNS]), row(back[:COLUMNS])]
        found = judge.compare_reconstructions(images, back, arguments.most)
        print(judge.codec_table({path.stem: found}), flush=True)
        results.append("codec", [{"set": path.stem, "weights": weights, **asdict(found)}])
    if arguments.sheet:
        Image.fromarray(np.concatenate(rows)).save(arguments.sheet)


if __name__ == "__main__":
    main()
