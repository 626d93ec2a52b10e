"""What is said of pictures: captions and labels, from files beside them, tables, and names.

A caption is the text of `NAME.txt` beside `NAME.png`, or a row of a table: a `.csv` file, or one of
JSON lines, that names pictures in a column `file_name` and has a column `text`, `label` or both. A
table tells of the files in its folder and below. Several labels of a picture are a list in JSON;
in CSV there is a semicolon between them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from imagegen.errors import UserError
from imagegen.images.reading import BadPictureError

Source = Literal["auto", "from-names", "none"]
"""Where captions come from."""

TABLES = (".csv", ".jsonl")
NAMES, TEXTS, LABELS = ("file_name", "filename", "file", "image"), ("text", "caption"), ("label",)
"""Names of a table's columns."""
LONGEST = 2_000
"""Letters of a caption that are kept."""

_CODE = re.compile(r"\b(?=\w*\d)[0-9a-f]{2,}\b|\b\d+\b", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """What is said of pictures.

    Attributes:
        texts: by picture; pictures without a caption are not in it.
        labels: by picture, one or more, from tables or by a rule for names.
        notes: what the user may want to know.
    """

    texts: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def read(
    pictures: Sequence[str],
    others: Mapping[str, Callable[[], bytes]],
    source: Source,
    rule: str,
) -> Said:
    """Find what is said of pictures.

    Args:
        pictures: their names in the data, with "/" between the parts.
        others: how to read the other files of the data, by name.
        source: where captions come from. `auto` takes files and tables.
        rule: where labels come from, see `DataSettings.labels`.

    Raises:
        UserError: if a table can't be read, or names no picture that is there.
    """
    texts: dict[str, str] = {}
    labels: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    odd: list[str] = []
    for name in sorted(others, key=lambda name: (name.count("/"), name)):
        if name.endswith(TABLES):
            _take(name, others[name], set(pictures), texts, labels, notes)
    if rule != "auto":
        labels = {} if rule == "none" else _ruled(pictures, rule)
    if source == "none":
        texts = {}
    elif source == "from-names":
        texts = {name: from_name(name) for name in pictures}
    else:
        for name in pictures:
            beside = str(PurePosixPath(name).with_suffix(".txt"))
            if beside in others:
                text, is_utf8 = _beside(beside, others[beside])
                odd += [] if is_utf8 else [beside]
                if text.strip():
                    texts[name] = " ".join(text.split())[:LONGEST]
        if odd:
            notes.append(f"{len(odd):,} captions are not UTF-8, such as {odd[0]}: read as Latin-1")
    if texts and len(texts) < len(pictures):
        notes.append(
            f"{len(pictures) - len(texts):,} of {len(pictures):,} pictures have no caption"
        )
    return Said(texts, labels, tuple(notes))


def from_name(name: str) -> str:
    """Return the words of a picture's folders and name, without numbers and codes."""
    words = re.sub(r"[\W_]+", " ", str(PurePosixPath(name).with_suffix("")))
    return " ".join(_CODE.sub(" ", words).split())


def _ruled(pictures: Sequence[str], rule: str) -> dict[str, tuple[str, ...]]:
    """Return the labels that a rule finds in pictures' names.

    Raises:
        UserError: if it finds none.
    """
    labels = {}
    for name in pictures:
        match = re.search(rule, str(PurePosixPath(name).with_suffix("")))
        found = dict.fromkeys(filter(None, match.groups())) if match else {}
        if found:
            labels[name] = tuple(found)
    if not labels:
        raise UserError(
            f"data.labels={rule} finds no label in any name, such as {pictures[0]}",
            "its groups, (...), should match a part of the names",
        )
    return labels


def _take(
    table: str,
    load: Callable[[], bytes],
    pictures: set[str],
    texts: dict[str, str],
    labels: dict[str, tuple[str, ...]],
    notes: list[str],
) -> None:
    """Take over what a table says; one without a column of file names is no business of ours."""
    folder = PurePosixPath(table).parent
    found, missing, example = 0, 0, ""
    for line, row in _rows(table, _decoded(table, load)):
        if _first(row, (*TEXTS, *LABELS)) is None:
            continue
        file = _first(row, NAMES)
        if file is None:
            if line <= 2:  # some other table
                return
            raise UserError(
                f"{table}:{line}: no file_name", "give every line one, or drop the line"
            )
        name = str(folder / str(file).strip())
        if name not in pictures:
            missing, example = missing + 1, example or f"{table}:{line}: {file}"
            continue
        found += 1
        text = str(_first(row, TEXTS) or "")
        if text.strip():
            texts[name] = " ".join(text.split())[:LONGEST]
        given = _first(row, LABELS)
        several = given if isinstance(given, list) else str(given or "").split(";")
        own = dict.fromkeys(" ".join(str(one).split())[:LONGEST] for one in several)
        if any(own):
            labels[name] = tuple(filter(None, own))
    if missing and not found:
        raise UserError(
            f"{table} names no picture that is there, such as {example}",
            "file_name is the path of a picture from the table's folder",
        )
    if missing:
        notes.append(f"{table} names {missing:,} files that are not there, such as {example}")


def _rows(table: str, text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Yield each row with its line in the file."""
    if table.endswith(".csv"):
        reader = csv.DictReader(io.StringIO(text))
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise UserError(f"{table}:{reader.line_num}: {error}", "mend this line") from None
        return
    for line, one in enumerate(text.splitlines(), start=1):
        if not one.strip():
            continue
        try:
            row = json.loads(one)
        except ValueError as error:
            raise UserError(f"{table}:{line}: not JSON: {error}", "mend this line") from None
        if not isinstance(row, dict):
            raise UserError(f"{table}:{line}: expected an object", 'such as {"file_name": "a.png"}')
        yield line, row


def _first(row: Mapping[str, object], columns: Sequence[str]) -> object:
    return next((row[column] for column in columns if row.get(column) is not None), None)


def _beside(name: str, load: Callable[[], bytes]) -> tuple[str, bool]:
    """Return the text of a caption's file, and whether it is UTF-8."""
    try:
        data = load()
    except BadPictureError as error:
        raise UserError(f"{name}: {error}") from None
    try:
        return data.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return data.decode("latin-1"), False


def _decoded(name: str, load: Callable[[], bytes]) -> str:
    try:
        return load().decode("utf-8-sig")
    except BadPictureError as error:
        raise UserError(f"{name}: {error}") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        ) from None
