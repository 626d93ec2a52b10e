"""What another trainer makes of the same pictures in some minutes: denoising-diffusion-pytorch.

    python tests/bench/peer.py FOLDER OUT --minutes 10 60 -n 500

Runs without imagegen, in an environment of its own: pip install denoising-diffusion-pytorch==2.3.4.
Its README's U-Net (dim 64, 1, 2, 4, 8) and batch of 32, 25 steps of DDIM; it is trained on the
pictures of FOLDER. After each of the minutes it draws into a folder of OUT; drawing does not count.
Score what it drew with: imagegen evaluate --pictures OUT/60m DATA. `make bench-peer` does all of
it for mnist.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from denoising_diffusion_pytorch import GaussianDiffusion, Unet
from PIL import Image


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("folder", type=Path)
    words.add_argument("out", type=Path)
    words.add_argument("--minutes", type=float, nargs="+", default=[10])
    words.add_argument("-n", type=int, default=500)
    words.add_argument("--size", type=int, default=32)
    words.add_argument("--threads", type=int, default=2)
    given = words.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(given.threads)
    paths = sorted(given.folder.rglob("*.png"))
    size = (given.size, given.size)
    loaded = [np.asarray(Image.open(path).convert("RGB").resize(size)) for path in paths]
    grey = all(Image.open(path).mode == "L" for path in paths)
    pictures = torch.from_numpy(np.stack(loaded)).permute(0, 3, 1, 2)
    network = Unet(dim=64, dim_mults=(1, 2, 4, 8))
    diffusion = GaussianDiffusion(
        network, image_size=given.size, timesteps=1000, sampling_timesteps=25
    )
    optimizer = torch.optim.Adam(diffusion.parameters(), lr=8e-5)
    spent, seen = 0.0, 0
    for minutes in sorted(given.minutes):
        while spent < minutes * 60:
            start = time.monotonic()
            chosen = pictures[torch.randint(len(pictures), (32,))].float() / 255
            loss = diffusion(chosen)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
            optimizer.step()
            seen += 32
            spent += time.monotonic() - start
        print(f"{minutes:g} minutes: {seen} pictures seen, loss {loss.item():.4f}", flush=True)
        out = given.out / f"{minutes:g}m"
        out.mkdir(parents=True, exist_ok=True)
        for first in range(0, given.n, 50):
            drawn = diffusion.sample(batch_size=min(50, given.n - first))
            images = (drawn.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
            for number, image in enumerate(images, first):
                picture = Image.fromarray(image)
                (picture.convert("L") if grey else picture).save(out / f"{number}.png")


if __name__ == "__main__":
    main()
