"""Does training see what goes wrong? On trainings made to go wrong.

    python -m tests.bench.watching

A GAN without its penalties, without augmentation and without comparing neighbours (in batches of 15
there are none) is to end as a collapse; twenty pictures, trained long without augmentation, as
copying. Prints what `imagegen train` says of each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from imagegen.data.store import load_pictures, to_tensor
from imagegen.sample.draw import to_pictures
from imagegen.settings import DataSettings

TINY = "--preset gan --set data.size=16 --set model.augment=[]"
CASES = {
    "without penalties: 207 pictures": (
        207,
        "--steps 6000 --set model.gamma=0 --set model.gamma_end=0 --set model.width=16 "
        "--set train.batch_size=15 --set train.lr=1e-2 --set train.betas=[0.5,0.9] "
        "--set train.watch_every=250",
    ),
    "twenty pictures, long": (
        20,
        "--steps 12000 --set model.width=48 --set train.lr=1e-3 --set train.watch_every=1000",
    ),
}


def main() -> None:
    smileys = load_pictures("sample:smileys", DataSettings(size=32)).images
    for what, (count, words) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            pictures = Path(folder) / "pictures"
            pictures.mkdir()
            chosen = to_pictures(to_tensor(smileys[:: len(smileys) // count][:count]))
            for number, picture in enumerate(chosen):
                picture.save(pictures / f"{number}.png")
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "imagegen",
                    "train",
                    str(pictures),
                    *f"{TINY} {words}".split(),
                ],
                env={**os.environ, "IMAGEGEN_HOME": folder},
                stderr=subprocess.PIPE,
                text=True,
                check=True,
            )
            told = ("KID", "warning", "collapse", "copying", "model is that", "done")
            lines = [line for line in done.stderr.splitlines() if any(x in line for x in told)]
            print(f"\n{what}\n", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    main()
