"""Build the training collection: `python -m recipes.general.collect OUT`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import multiprocessing
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from recipes.general import sources
from recipes.general.fetch import Packages
from recipes.general.kinds import KINDS, Origin
from recipes.general.library import Library
from recipes.general.rasters import is_empty, to_pixels

TOTAL = 150_000
"""Pictures in all, before those that are dropped."""
PER_ROUND = 7_500
"""Pictures after which the work can be resumed; each kind has a part of them."""
_ERRORS = (ValueError, OSError, IndexError, ArithmeticError)
"""What broken material raises: SVG that resvg refuses, fonts without a sign, and the like."""


@dataclass(frozen=True)
class Row:
    """What is noted of a picture beside its pixels."""

    file_name: str
    text: str
    label: str
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Drawn:
    """A picture that a worker made, or why there is none ("failed" or "empty")."""

    row: Row | None = None
    png: bytes = b""
    problem: str = ""


_library: Library | None = None  # workers inherit it by fork: it is too large to be sent


def _draw(kind: str, seed: int, index: int) -> Drawn:
    """Make one picture of a kind."""
    assert _library is not None
    rng = np.random.default_rng([seed, zlib.crc32(kind.encode()), index])
    try:
        picture = KINDS[kind][0](_library, index, rng)
    except _ERRORS:
        return Drawn(problem="failed")
    pixels = to_pixels(picture.raster)
    if is_empty(pixels):
        return Drawn(problem="empty")
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    slug = re.sub(r"[^a-z0-9]+", "-", picture.text.lower())[:40].strip("-")
    row = Row(f"{kind}/{index:06d}-{slug}.png", picture.text, picture.label, picture.origins)
    return Drawn(row, file.getvalue())


def _make(kind: str, numbers: range, seed: int, jobs: int, path: Path) -> None:
    """Make some pictures of a kind into an archive of their own, unless it is there."""
    if path.exists():
        return
    problems: Counter[str] = Counter()
    rows = []
    partial_path = path.with_suffix(".part")
    draw = partial(_draw, kind, seed)
    with (
        zipfile.ZipFile(partial_path, "w", zipfile.ZIP_STORED) as archive,
        multiprocessing.get_context("fork").Pool(jobs) as pool,
    ):
        for drawn in pool.imap(draw, numbers, chunksize=16):
            if drawn.row is None:
                problems[drawn.problem] += 1
                continue
            archive.writestr(_entry(drawn.row.file_name), drawn.png)
            rows.append(drawn.row)
    notes = {"rows": [vars(row) for row in rows], "problems": dict(problems)}
    path.with_suffix(".json").write_text(json.dumps(notes))
    partial_path.rename(path)
    typer.echo(f"{path.stem}: {len(rows):,} pictures, {dict(problems)}")


def rounds(counts: dict[str, int]) -> Iterator[tuple[str, range]]:
    """Divide the work so that all kinds are represented in their shares at any time."""
    parts = max(1, round(sum(counts.values()) / PER_ROUND))
    for number in range(parts):
        for kind, count in counts.items():
            yield kind, range(number * count // parts, (number + 1) * count // parts)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry with a fixed date, so that the same collection is the same file."""
    return zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))


def _join(out: Path) -> None:
    """Join the archives that are there into one, without exact duplicates, and sum up."""
    seen: set[bytes] = set()
    dropped: dict[str, Counter[str]] = {}
    rows: list[tuple[str, Row]] = []
    part = out / "collection.part"
    with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((out / "parts").glob("*.zip")):
            notes = json.loads(path.with_suffix(".json").read_text())
            kind = path.stem.partition("-")[0]
            why = dropped.setdefault(kind, Counter())
            why.update(notes["problems"])
            with zipfile.ZipFile(path) as source:
                for said in notes["rows"]:
                    png = source.read(said["file_name"])
                    digest = hashlib.sha256(png).digest()
                    if digest in seen:
                        why["duplicate"] += 1
                        continue
                    seen.add(digest)
                    archive.writestr(_entry(said["file_name"]), png)
                    rows.append((kind, Row(**said)))
        archive.writestr(_entry("metadata.csv"), _table([row for _, row in rows]))
    part.rename(out / "collection.zip")
    summary = _summary(rows) | {"dropped": {kind: dict(why) for kind, why in dropped.items()}}
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    with (out / "provenance.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "sets", "licences"])
        for _, row in rows:
            sets, licences = zip(*row.origins, strict=True)
            writer.writerow([row.file_name, ";".join(sets), ";".join(dict.fromkeys(licences))])
    typer.echo(f"{len(rows):,} pictures: {out / 'collection.zip'}")


def _table(rows: list[Row]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["file_name", "text", "label"])
    writer.writerows([row.file_name, row.text, row.label] for row in rows)
    return file.getvalue()


def _summary(rows: list[tuple[str, Row]]) -> dict[str, object]:
    """Count by kind, label, set and licence; a scene counts for each set that it is from."""
    kinds = Counter(kind for kind, _ in rows)
    labels = Counter(row.label for _, row in rows)
    sets = Counter(name for _, row in rows for name in {name for name, _ in row.origins})
    licences = Counter(one for _, row in rows for one in {licence for _, licence in row.origins})
    counts = {"kinds": kinds, "licences": licences, "sets": sets, "labels": labels}
    return {"pictures": len(rows)} | {what: dict(one.most_common()) for what, one in counts.items()}


def main(
    out: Annotated[Path, typer.Argument(help="Folder to build in")],
    kinds: Annotated[str, typer.Option(help="Comma-separated kinds")] = ",".join(KINDS),
    limit: Annotated[int, typer.Option(help="Pictures in all")] = TOTAL,
    with_benchmark_relatives: Annotated[
        bool, typer.Option(help="Also take sets related to the benchmark's test sets")
    ] = False,
    emoji: Annotated[
        bool, typer.Option(help="Take sets that draw the Unicode emoji, from any source")
    ] = True,
    join_only: Annotated[
        bool, typer.Option("--join-only", help="Join what is drawn by now, and draw no more")
    ] = False,
    jobs: Annotated[int, typer.Option(help="Worker processes")] = 2,
    seed: Annotated[int, typer.Option(help="Random seed of the collection")] = 0,
    packages: Annotated[
        Path | None, typer.Option(help="Folder for downloads (default: OUT/packages)")
    ] = None,
) -> None:
    """Download the packages and build OUT/collection.zip; run again to resume."""
    global _library
    if not join_only:
        listed = sources.load(with_benchmark_relatives, emoji)
        store = Packages(packages or out / "packages")
        (out / "parts").mkdir(parents=True, exist_ok=True)
        store.fetch(listed.every_package())
        counts = {kind: round(limit * KINDS[kind][1]) for kind in KINDS if kind in kinds.split(",")}
        _library = Library(listed, store, seed, counts.get("avatars", 0))
        for kind, numbers in rounds(counts):
            _library.load_for(kind)
            _make(kind, numbers, seed, jobs, out / "parts" / f"{kind}-{numbers.start:06d}.zip")
    _join(out)


if __name__ == "__main__":
    typer.run(main)
