"""The benchmark sets at 64 px, as zips that `imagegen train` and `evaluate` read.

    python -m tests.bench.sets OUT [--sets FOLDER] [--only emoji dcss textures digits stamps]

`emoji` is copied, `dcss` and `digits` are doubled, `textures` has the same squares of the same
photographs as the 32 px set, and `stamps` is Tux Paint's clip art. Photographs and stamps come from
Debian packages, which apt downloads into OUT/packages; their licences keep them out of the
repository. The same packages and Pillow give the same bytes every time.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from PIL import Image

from tests.bench.command import SETS

SIDE = 64
File = tuple[str, bytes]
Resampling = Image.Resampling

STAMPS = "tuxpaint-stamps-default=2022.06.04-1"
SQUARES = Path(__file__).parent / "textures.tsv"
"""Where in its photograph each texture lies: name, left, top, side; found by template matching.
Nearly all agree with the 32 px set to 2.5 of 255 levels, the others lie a few pixels beside."""
WRAPPED = {"sea2.webp": ("clickgame.rcc", 122918), "sea3.webp": ("clickgame.rcc", 14934)}
"""Photographs that lie inside of another file, at an offset."""


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def opened(data: bytes, mode: str) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert(mode)


def pack(path: Path, files: Iterator[File]) -> int:
    """Write a zip that depends on nothing but its files; return how many pictures it holds."""
    found = sorted(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in found:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return sum(name.endswith(".png") for name, _ in found)


def unpacked(path: Path) -> Iterator[File]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


def debian(package: str, folder: Path) -> Path:
    """Return the unpacked files of a Debian package, NAME=VERSION, downloaded if need be."""
    target = folder / package.partition("=")[0]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "--quiet", package], cwd=folder, check=True)
        [archive] = folder.glob(f"{target.name}_*.deb")
        subprocess.run(["dpkg-deb", "--extract", archive.name, target.name], cwd=folder, check=True)
        archive.unlink()
    return target


def emoji(sets: Path, packages: Path) -> Iterator[File]:
    """Return them as they are: 64 px already."""
    yield from unpacked(sets / "emoji.zip")


def dcss(sets: Path, packages: Path) -> Iterator[File]:
    """Double pixel art as games do: every pixel becomes four."""
    for name, data in unpacked(sets / "dcss.zip"):
        if name.endswith(".png"):
            data = png(opened(data, "RGBA").resize((SIDE, SIDE), Resampling.NEAREST))
        yield name, data


def textures(sets: Path, packages: Path) -> Iterator[File]:
    """Cut the squares of the 32 px textures from their photographs again, at twice the size."""
    captions = {name: data for name, data in unpacked(sets / "textures.zip") if ".txt" in name}
    squares = [line.split("\t") for line in SQUARES.read_text().splitlines()]
    with zipfile.ZipFile(sets / "textures.zip") as archive:
        origins = archive.read("ATTRIBUTION.tsv")
    yield "ATTRIBUTION.tsv", origins
    table = io.StringIO(origins.decode())
    for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE):
        photo = photograph(row["package"].replace(" ", "="), row["file"], packages)
        for name, *numbers in squares:
            if PurePosixPath(name).name.rpartition("_")[0] == row["key"]:
                left, top, side = map(int, numbers)
                square = photo.crop((left, top, left + side, top + side))
                yield f"{name}.png", png(square.resize((SIDE, SIDE), Resampling.LANCZOS))
                yield f"{name}.txt", captions[f"{name}.txt"]


def photograph(package: str, file: str, packages: Path) -> Image.Image:
    root = debian(package, packages)
    inside, offset = WRAPPED.get(PurePosixPath(file).name, (file, 0))
    [path] = root.rglob(inside)
    return opened(path.read_bytes()[offset:], "RGB")


def digits(sets: Path, packages: Path) -> Iterator[File]:
    """Double digits smoothly, as a scan of them would look, and pad them with black."""
    for name, data in unpacked(sets / "mnist.zip"):
        if name.endswith(".png"):
            large = opened(data, "L").resize((56, 56), Resampling.BICUBIC)
            data = png(padded(large))
        yield name, data


def stamps(sets: Path, packages: Path) -> Iterator[File]:
    """Fit Tux Paint's stamps into squares; folders are labels, captions are the English ones."""
    root = debian(STAMPS, packages) / "usr/share/tuxpaint/stamps"
    for path in root.rglob("*.png"):
        inside = path.relative_to(root)
        name = f"{inside.parts[0]}/{'_'.join(inside.with_suffix('').parts[1:])}"
        yield f"{name}.png", png(padded(fitted(Image.open(path).convert("RGBA"))))
        if caption := english(path):
            yield f"{name}.txt", caption.encode()


def english(path: Path) -> str:
    """Return the caption of a stamp; stamps drawn mirrored share that of the plain ones."""
    said = path.with_name(f"{path.stem.removesuffix('_mirror')}.txt")
    return said.read_text().partition("\n")[0].strip() if said.exists() else ""


def fitted(picture: Image.Image) -> Image.Image:
    """Scale a picture down into the square; small ones stay as they are."""
    scale = min(1.0, SIDE / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    # Premultiplied, or the hidden colours of clear pixels would bleed into the edges.
    return picture.convert("RGBa").resize(size, Resampling.LANCZOS).convert("RGBA")


def padded(picture: Image.Image) -> Image.Image:
    """Centre a picture on a clear (RGBA) or black square."""
    square = Image.new(picture.mode, (SIDE, SIDE))
    square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return square


MAKERS: dict[str, Callable[[Path, Path], Iterator[File]]] = {
    one.__name__: one for one in (emoji, dcss, textures, digits, stamps)
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sets")
    parser.add_argument("out", type=Path, help="folder for the zips")
    parser.add_argument("--sets", type=Path, default=SETS, help="folder of the sets to start from")
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name in given.only:
        path = given.out / f"{name}.zip"
        count = pack(path, MAKERS[name](given.sets, given.out / "packages"))
        print(f"{path}: {count:,} pictures")


if __name__ == "__main__":
    main()
