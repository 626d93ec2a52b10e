"""How likely are handwritten digits to a recurrent network, and how quick is its scan?

    python -m tests.bench.likelihood --minutes 60

Trains `--preset rnn-bits` with the real command on the 10,000 training digits there are, without
their labels, and prints the nats of a picture on the 10,000 test digits. Published models of
binarised digits, 79 to 87 nats, were trained on 50,000. The test digits are binarised at random,
once and for all. Then it prints the scan's speed beside that of `nn.GRU`, of the same width.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import zipfile
from pathlib import Path

import torch

from tests.bench.command import SETS, imagegen

STEPS, BATCH, WIDTH = 196, 16, 128


def binarised_test_digits() -> torch.Tensor:
    """Return the test digits in black and white, -1 and 1, (10000, 1, 28, 28)."""
    from imagegen.data.store import load_pictures, to_tensor
    from imagegen.settings import DataSettings

    settings = DataSettings(size=28, channels="grey")
    images = to_tensor(load_pictures(str(SETS / "mnist_test.zip"), settings).images)
    chances = torch.rand(images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return (images > chances) * 2.0 - 1


def without_labels(folder: Path) -> Path:
    """Unpack the training digits into one folder."""
    with zipfile.ZipFile(SETS / "mnist.zip") as archive:
        for number, name in enumerate(sorted(archive.namelist())):
            if name.endswith(".png"):
                (folder / f"{number}.png").write_bytes(archive.read(name))
    return folder


def nats(home: Path) -> tuple[float, float]:
    """Return the mean negative log-likelihood of a test digit, and its standard error."""
    os.environ["IMAGEGEN_HOME"] = str(home)
    from imagegen import registry
    from imagegen.families.rnn import Rnn

    family, _ = registry.load(registry.find("digits"))
    assert isinstance(family, Rnn)
    with torch.inference_mode():
        each = torch.cat([family.likelihood(part) for part in binarised_test_digits().split(100)])
    return each.mean().item(), (each.std() / len(each) ** 0.5).item()


def speeds() -> None:
    """Print how long each takes, forwards and backwards, on one thread and on two."""
    from imagegen.nn.mingru import MinGRU

    for threads in (1, 2):
        torch.set_num_threads(threads)
        taken = []
        for layer in (torch.nn.GRU(WIDTH, WIDTH), MinGRU(WIDTH)):
            x = torch.randn(STEPS, BATCH, WIDTH, requires_grad=True)
            times = []
            for _ in range(8):
                start = time.perf_counter()
                y = layer(x)
                (y[0] if isinstance(y, tuple) else y).sum().backward()
                times.append(time.perf_counter() - start)
            taken.append(min(times))
        gru, ours = (1000 * one for one in taken)
        print(f"| {threads} | {gru:.1f} ms | {ours:.1f} ms | {gru / ours:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--grid", default="digits.png")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "pictures").mkdir()
        words = ["train", without_labels(home / "pictures"), "--name", "digits"]
        words += ["--preset", "rnn-bits", "--budget", f"{given.minutes * 60:g}s"]
        words += ["--set", "data.size=28", "--set", "data.held_out=0.02"]
        for one in given.set:
            words += ["--set", one]
        start = time.monotonic()
        imagegen(home, *words)
        minutes = (time.monotonic() - start) / 60
        imagegen(home, "generate", "--seed", 1, "-n", 64, "-o", home / "out", "--grid", given.grid)
        mean, error = nats(home)
    print("| trained for | nats a test digit | standard error |\n|---|---|---|")
    print(f"| {minutes:.1f} min | {mean:.2f} | {error:.2f} |\n")
    print(f"width {WIDTH}, {STEPS} steps, {BATCH} pictures, forwards and backwards:\n")
    print("| threads | nn.GRU | minGRU | times as quick |\n|---|---|---|---|")
    speeds()


if __name__ == "__main__":
    main()
