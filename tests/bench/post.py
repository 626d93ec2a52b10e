"""Post-processing against ImageMagick and others: the same chain on the same pictures.

    python -m tests.bench.post [COUNT]     COUNT pictures of 1024 px, 200 unless said otherwise

Prints Markdown tables of times and ratios. All write 8-bit PNG by zlib level 1, filter "up" and
run lengths (where they let that be set), may use two threads, and start from nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 1024
THREADS = 2
SMALL = 1000
SMALL_SIDE = 64

PNG = ["-define", "png:compression-level=1", "-define", "png:compression-filter=2",
       "-define", "png:compression-strategy=3"]  # fmt: skip

# Name: our steps, ImageMagick's words, GraphicsMagick's.
CHAINS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "blur + sharpen + levels + resize": (
        [
            "gaussian:sigma=2",
            "sharpen:amount=1,radius=1",
            "levels:black=16,white=235",
            "resize:width=512,method=lanczos,space=srgb",
        ],
        ["-gaussian-blur", "0x2", "-unsharp", "0x1+1+0", "-level", "6.27%,92.2%",
         "-filter", "lanczos", "-resize", "512x512"],
        ["-gaussian", "0x2", "-unsharp", "0x1+1+0", "-level", "6.27%,1,92.2%",
         "-filter", "lanczos", "-resize", "512x512"],
    ),
    "the same, two one-dimensional blurs": (
        [],
        ["-blur", "0x2", "-unsharp", "0x1+1+0", "-level", "6.27%,92.2%",
         "-filter", "lanczos", "-resize", "512x512"],
        [],
    ),
    "median 5x5": (["median:size=5"], ["-statistic", "median", "5x5"], ["-median", "2"]),
    "CLAHE": (["clahe:tiles=8,clip=3"], ["-clahe", "12.5x12.5%+256+3"], []),
}  # fmt: skip


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in"
        source.mkdir()
        for index in range(count):
            photo(index, SIDE).save(source / f"{index:04d}.png", compress_level=1)
        print(f"{count} pictures of {SIDE}x{SIDE}, {THREADS} threads, seconds:\n")
        print("| chain | imagegen | ImageMagick | ratio | GraphicsMagick | ratio |")
        print("|---|---|---|---|---|---|")
        ours = 0.0
        for title, (steps, magick, graphics) in CHAINS.items():
            if steps:
                ours = imagegen(source, folder / "ours", steps)
            theirs = convert(source, folder / "im", magick)
            others = convert(source, folder / "gm", graphics, ["gm", "mogrify"])
            row = [f"{ours:.1f}", shown(theirs), ratio(ours, theirs)]
            print(f"| {title} | {' | '.join([*row, shown(others), ratio(ours, others)])} |")
        print()
        clahe_alone()
        streaming(folder)


def photo(seed: int, side: int) -> Image.Image:
    """Return a picture with the spectrum of photographs (1/f) and a little noise."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) + 1 / side
    layers = []
    for _ in range(3):
        spectrum = np.fft.rfft2(random.normal(size=(side, side))) / frequency**1.2
        layer = np.fft.irfft2(spectrum, s=(side, side))
        layers.append((layer - layer.mean()) / layer.std() * 45 + 120)
    picture = np.stack(layers, axis=2) + random.normal(0, 2, (side, side, 1))
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def imagegen(source: Path, target: Path, steps: list[str]) -> float:
    words = [sys.executable, "-m", "imagegen", "postprocess", str(source), "-o", str(target)]
    for step in steps:
        words += ["--op", step]
    return timed(target, lambda: run([*words, "--jobs", str(THREADS)]))


def convert(
    source: Path, target: Path, words: list[str], program: list[str] | None = None
) -> float | None:
    """Return the better of one process with two threads and two processes with one."""
    program = program or (["magick", "mogrify"] if shutil.which("magick") else ["mogrify"])
    if not words or not shutil.which(program[0]):
        return None
    if "-clahe" in words and not knows_clahe(program):
        return None
    files = sorted(map(str, source.iterdir()))

    def together() -> None:
        run([*program, "-path", str(target), *words, *PNG, *files], threads=THREADS)

    def apart() -> None:
        parts = [files[index::THREADS] for index in range(THREADS)]
        started = [
            subprocess.Popen(
                [*program, "-path", str(target), *words, *PNG, *part], env=environment(1)
            )
            for part in parts
            if part
        ]
        if any([process.wait() for process in started]):
            raise SystemExit(f"{program[0]} failed")

    return min(timed(target, together), timed(target, apart))


def knows_clahe(program: list[str]) -> bool:
    """ImageMagick 6 has no CLAHE."""
    listed = subprocess.run([*program, "-help"], capture_output=True, text=True, check=False)
    return "-clahe" in listed.stdout


def timed(target: Path, work: Callable[[], None]) -> float:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(words: list[str], threads: int = THREADS) -> None:
    subprocess.run(words, check=True, env=environment(threads), stdout=subprocess.DEVNULL)


def environment(threads: int) -> dict[str, str]:
    names = ("MAGICK_THREAD_LIMIT", "OMP_NUM_THREADS", "VIPS_CONCURRENCY")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f}"


def ratio(ours: float, theirs: float | None) -> str:
    return "-" if theirs is None else f"{ours / theirs:.2f}"


def clahe_alone() -> None:
    """Print what CLAHE of one picture costs beside scikit-image's, which every machine here has."""
    from skimage.exposure import equalize_adapthist

    from imagegen.images.pixels import to_pixels
    from imagegen.post.chain import build_chain

    pixels, chain = to_pixels(photo(0, SIDE)), build_chain(["clahe:tiles=8,clip=3"])
    times = []
    for work in (lambda: chain.run(pixels), lambda: equalize_adapthist(pixels.color)):
        work()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(f"CLAHE in memory: {times[0]:.2f} s, scikit-image {times[1]:.2f} s, ", end="")
    print(f"ratio {times[0] / times[1]:.2f}\n")


def streaming(folder: Path) -> None:
    """Print what a stream of small pictures costs beside the bare work on each."""
    from imagegen.images import files, metadata
    from imagegen.images.pixels import to_integers
    from imagegen.post.chain import build_chain

    steps = ["gaussian:sigma=1", "sharpen:amount=1", "levels:black=16,white=235"]
    data = []
    for index in range(SMALL):
        path = folder / "small.png"
        photo(index, SMALL_SIDE).save(path)
        data.append(path.read_bytes())
    chain = build_chain(steps)

    def work() -> None:
        for one in data:
            opened = files.read(one)
            record = metadata.with_steps(opened.header, chain.records)
            metadata.encode(to_integers(chain.run(opened.pixels).pixels), record, opened.header)

    work()  # imports
    start = time.perf_counter()
    work()
    bare = time.perf_counter() - start
    words = [sys.executable, "-m", "imagegen", "postprocess", "-o", "-", "--jobs", "1"]
    for step in steps:
        words += ["--op", step]
    taken = []
    for stream in (data[0], b"".join(data)):
        start = time.perf_counter()
        subprocess.run(words, input=stream, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    print(f"{SMALL} pictures of {SMALL_SIDE}x{SMALL_SIDE} streamed, one thread, seconds:\n")
    print("| decode, steps and encode alone | one picture, start included | stream | ratio |")
    print("|---|---|---|---|")
    extra = (taken[1] - taken[0]) / bare
    print(f"| {bare:.2f} | {taken[0]:.2f} | {taken[1]:.2f} | {extra:.2f} without the start |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
