"""What is said of pictures: captions and labels, from files beside them, tables, and names.

A caption is the text of `NAME.txt` beside `NAME.png`, or a row of a table: a `.csv` or `.tsv` file
(commas, semicolons or tabs), or one of JSON lines, that names pictures in a column `file_name` and
has a column `text`, `label` or both. A table tells of the files in its folder and below. Several
labels of a picture are a list in JSON; in CSV there is a semicolon between them.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from imagegen.data.words import TOKENS, composed, split
from imagegen.errors import UserError, did_you_mean
from imagegen.images.reading import BadPictureError

Source = Literal["auto", "from-names", "none"]
"""Where captions come from."""

TABLES = (".csv", ".tsv", ".jsonl")
SEPARATORS = ",;\t"
NAMES = ("file_name", "filename", "file", "image")
TEXTS, LABELS = ("text", "caption"), ("label", "labels")
"""Names of a table's columns."""
LONGEST = 2_000
"""Letters of a caption that are kept."""

OTHERS = (".json", ".caption")
"""Where other programs look for captions, and we do not; beside NAME.png.txt."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBERED = re.compile(r"\b([^\W\d]{3,})\d+\b")
_CODE = re.compile(r"\b(?=\w*\d)[0-9a-f]{4,}\b|\b\d+\b", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """What is said of pictures.

    Attributes:
        texts: by picture; pictures without a caption are not in it.
        labels: by picture, one or more, from tables or by a rule for names.
        places: where a table says so, by picture.
        notes: what the user may want to know.
    """

    texts: Mapping[str, str]
    labels: Mapping[str, tuple[str, ...]]
    places: Mapping[str, str]
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
        UserError: if a table can't be read, or names no picture that is there, or no label is
            found where the rule says.
    """
    found = _Found()
    wanted: tuple[str, ...] = TEXTS if source == "auto" else ()
    wanted += LABELS if rule in ("auto", "tables") else ()
    tables = [name for name in others if wanted and name.lower().endswith(TABLES)]
    known = {_same(name): name for name in pictures}
    for name in sorted(tables, key=lambda name: (name.count("/"), name)):
        _take(name, others[name], wanted, known, found)
    if rule == "tables" and not found.labels:
        raise UserError(
            "data.labels=tables finds no table with labels",
            "a table is a .csv, .tsv or .jsonl file with columns file_name and label",
        )
    if rule not in ("auto", "tables", "folders", "none"):
        found.labels = _ruled(pictures, rule)
    if source == "from-names":
        found.texts = {name: from_name(name) for name in pictures}
    elif source == "auto":
        _take_beside(pictures, others, found)
    if found.texts and not any(map(split, found.texts.values())):
        found.notes.append("captions are not used: no word is in any")
        found.texts = {}
    if found.texts and len(found.texts) < len(pictures):
        found.notes.append(
            f"{len(pictures) - len(found.texts):,} of {len(pictures):,} pictures have no caption"
        )
    longer = [name for name, text in found.texts.items() if len(split(text)) > TOKENS]
    if longer:
        found.notes.append(
            f"{_many(longer, 'caption has', 'captions have')} more than {TOKENS} words, such as "
            f"that of {longer[0]}: the first {TOKENS} count"
        )
    return Said(found.texts, found.labels, found.places, tuple(found.notes))


def from_name(name: str) -> str:
    """Return the words of a picture's folders and name, without numbers and codes."""
    words = re.sub(r"[\W_]+", " ", str(PurePosixPath(name).with_suffix("")))
    words = _NUMBERED.sub(r"\1", _HUMP.sub(" ", words))
    return " ".join(_CODE.sub(" ", words).split())


@dataclass
class _Found:
    """What is found, file by file; attributes are those of `Said`.

    Attributes:
        twice: pictures that had another caption before.
    """

    texts: dict[str, str] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def say(self, picture: str, text: str) -> None:
        """Take over a picture's caption."""
        text = _one_line(text)
        if text:
            if self.texts.get(picture, text) != text:
                self.twice.append(picture)
            self.texts[picture] = text

    def label(self, picture: str, labels: tuple[str, ...], where: str) -> None:
        """Take over a picture's labels.

        Raises:
            UserError: if it has others.
        """
        if not labels:
            return
        before = self.places.setdefault(picture, where)
        if set(self.labels.setdefault(picture, labels)) != set(labels):
            raise UserError(
                f"{picture} has two labels: {where} says {'; '.join(labels)}, {before} says "
                f"{'; '.join(self.labels[picture])}",
                "take one of the rows out; several labels of a picture go into one row",
            )


def _take_beside(
    pictures: Sequence[str], others: Mapping[str, Callable[[], bytes]], found: _Found
) -> None:
    """Take over the texts beside pictures, and note what is odd about captions."""
    odd, empty = [], []
    beside = {_same(name[:-4]): name for name in others if name.lower().endswith(".txt")}
    for name in pictures:
        file = beside.get(_same(str(PurePosixPath(name).with_suffix(""))))
        if file is not None:
            text, is_utf = _beside(file, others[file])
            odd += [] if is_utf else [file]
            empty += [] if text.strip() else [file]
            found.say(name, text)
    if odd:
        found.notes.append(
            f"{_many(odd, 'caption is', 'captions are')} not UTF-8, such as {odd[0]}: read as "
            "Latin-1"
        )
    if found.twice:
        found.notes.append(
            f"{_many(found.twice, 'picture has', 'pictures have')} more than one caption, such as "
            f"{found.twice[0]}: a text beside the picture counts, or else the last row of a table"
        )
    if empty and not found.texts:
        found.notes.append(f"there are no captions: {empty[0]} is empty, as all beside pictures")
    elif not found.texts:
        unread = [name for name in others if name.lower().endswith(OTHERS)]
        unread += [beside[_same(name)] for name in pictures if _same(name) in beside]
        if unread:
            found.notes.append(
                f"{unread[0]} is not read: captions are in NAME.txt beside NAME.png, in a table "
                "(.csv, .tsv) or in JSON lines (.jsonl)"
            )


def _many(things: Sequence[object], one: str, several: str) -> str:
    return f"{len(things):,} {one if len(things) == 1 else several}"


def _ruled(pictures: Sequence[str], rule: str) -> dict[str, tuple[str, ...]]:
    """Return the labels that a rule finds in pictures' names.

    Raises:
        UserError: if it finds none.
    """
    labels = {}
    for name in pictures:
        match = re.search(composed(rule), _same(str(PurePosixPath(name).with_suffix(""))))
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
    wanted: tuple[str, ...],
    pictures: Mapping[str, str],
    found: _Found,
) -> None:
    """Take over what a table says; one without a column of file names is no business of ours.

    Args:
        table: its name in the data.
        load: reads it.
        wanted: the columns that count.
        pictures: the names of all, by what is the `_same` of them.
        found: gets the captions and labels, and what the user may want to know.
    """
    folder = str(PurePosixPath(table).parent)
    missing: list[str] = []
    names_some = False
    columns: set[str] = set()
    rows = _rows(table, _decoded(table, load))
    if rows is None:
        found.notes.append(f"{table} is not used: it has no columns file_name, and text or label")
        return
    for line, row in rows:
        columns |= row.keys()
        where = f"{table}:{line}"
        row = {column: cell for column, cell in row.items() if column in (*NAMES, *wanted)}
        if _first(row, wanted) is None:
            continue
        file = _first(row, NAMES)
        if file is None:
            raise UserError(f"{where}: no file_name", "give every line one, or drop the line")
        name = pictures.get(_same(folder, str(file).strip()))
        if name is None:
            near = "" if missing else did_you_mean(_same(folder, str(file)), pictures)
            missing.append(f"{where}: {file}{near}")
            continue
        names_some = True
        said = _first(row, TEXTS)
        if not isinstance(said, str | None):
            raise UserError(
                f"{where}: a caption should be text, got {json.dumps(said)[:60]}",
                'put it into quotes: "..."',
            )
        found.say(name, said or "")
        found.label(name, _labels(where, _first(row, LABELS)), where)
    if missing and not names_some:
        raise UserError(
            f"{table} names no picture that is there, such as {missing[0]}",
            "file_name is the path of a picture from the table's folder; to train without such "
            "tables: --captions none --set data.labels=folders",
        )
    if missing:
        found.notes.append(
            f"{table} names {_many(missing, 'picture that is', 'pictures that are')} not there, or "
            f"can't be used, such as {missing[0]}"
        )
    elif not names_some and (not columns or columns & set(wanted)):
        found.notes.append(f"{table} is not used: it says nothing of any picture")


def _same(*parts: str) -> str:
    """Return what is the same for the name of a file however a system or program writes it.

    macOS takes letters with marks apart, Windows has another stroke between folders.

    Args:
        parts: its folder and its name, or all in one.
    """
    path = PurePosixPath(*(part.replace("\\", "/") for part in parts))
    return composed(str(path))


def _labels(where: str, given: object) -> tuple[str, ...]:
    """Return the labels that a cell or a value of JSON holds, none or more."""
    if isinstance(given, str):
        given = given.split(";")
    if given is None:
        return ()
    labels = []
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, float) and one.is_integer():  # as tables of numbers are written
            one = int(one)
        number = isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)
        if not (number or isinstance(one, str)):
            raise UserError(
                f"{where}: a label should be text or a number, got {json.dumps(one)[:60]}",
                'put it into quotes: "..."; several are a list of such',
            )
        labels.append(_one_line(str(one)))
    return tuple(dict.fromkeys(filter(None, labels)))


def _one_line(text: str) -> str:
    return " ".join(composed(_CONTROL.sub(" ", text)).split())[:LONGEST]


def _rows(table: str, text: str) -> Iterator[tuple[int, Mapping[str, object]]] | None:
    """Return each row of a table with its line in the file; None if it says nothing of files."""
    if table.lower().endswith(".jsonl"):
        return _of_json(table, text)
    found = _columns(text)
    return None if found is None else _of_csv(table, text, *found)


def _of_json(table: str, text: str) -> Iterator[tuple[int, Mapping[str, object]]] | None:
    rows: list[tuple[int, object]] = []
    wrong: dict[int, str] = {}
    for line, one in enumerate(text.split("\n"), start=1):  # JSON may hold other line ends
        if one.strip():
            try:
                row = json.loads(one)
                if isinstance(row, dict):
                    row = {column.casefold(): value for column, value in row.items()}
                rows.append((line, row))
            except (ValueError, RecursionError) as error:
                wrong[line] = f"not JSON: {error}"
    objects = [(line, row) for line, row in rows if isinstance(row, dict)]
    columns = {column for _, row in objects for column in row}
    if not (columns & set(NAMES) and columns & {*TEXTS, *LABELS}):
        return None
    wrong |= {line: "expected an object" for line, row in rows if not isinstance(row, dict)}
    if wrong:
        line = min(wrong)
        raise UserError(
            f"{table}:{line}: {wrong[line]}", 'lines are such as {"file_name": "a.png"}'
        )
    return iter(objects)


def _of_csv(
    table: str, text: str, separator: str, columns: list[str]
) -> Iterator[tuple[int, Mapping[str, object]]]:
    ours = [LABELS[0] if column in LABELS else column for column in columns]
    ours = [column for column in ours if column in (*NAMES, *TEXTS, *LABELS)]
    for column in ours:
        if ours.count(column) > 1:
            raise UserError(
                f"{table}: two columns are called {column}",
                "take one out; several labels of a picture go into one cell: a;b",
            )
    reader = csv.reader(
        io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True, strict=True
    )
    is_head = True
    while True:
        line = reader.line_num + 1  # where the row begins: a cell may have several lines
        try:
            cells = next(reader, None)
        except csv.Error as error:
            is_open = "unexpected end" in str(error)
            hint = "close the quote that is open in this row" if is_open else "mend this row"
            raise UserError(f"{table}:{line}: {error}", hint) from None
        if cells is None:
            return
        if not any(map(str.strip, cells)):
            continue
        if len(cells) > len(columns):
            raise UserError(
                f"{table}:{line}: {len(cells)} cells where the first line has {len(columns)}",
                f'put a text with "{separator}" in it into quotes: "..."',
            )
        if not is_head:
            yield line, dict(zip(columns, cells, strict=False))
        is_head = False


def _columns(text: str) -> tuple[str, list[str]] | None:
    """Return what separates the columns of a table, and their names in its first line.

    None if it does not name files, or says nothing of them that is for us.
    """
    head, *_ = text.lstrip().splitlines() or [""]
    for separator in SEPARATORS:
        columns = [one.strip(' \t\r"').casefold() for one in head.split(separator)]
        if set(columns) & set(NAMES) and set(columns) & {*TEXTS, *LABELS}:
            return separator, columns
    return None


def _first(row: Mapping[str, object], columns: Sequence[str]) -> object:
    """Return the first of these columns that says something; JSON of others has NaN for nothing."""
    values = (row.get(column) for column in columns)
    return next((one for one in values if one == one and one not in (None, "")), None)


def _beside(name: str, load: Callable[[], bytes]) -> tuple[str, bool]:
    """Return the text of a caption's file, and whether it is Unicode."""
    try:
        data = load()
    except BadPictureError as error:
        raise UserError(f"{name}: {error}") from None
    try:
        return data.decode(_encoding(data)), True
    except UnicodeDecodeError:
        return data.decode("latin-1"), False


def _decoded(name: str, load: Callable[[], bytes]) -> str:
    try:
        data = load()
        return data.decode(_encoding(data))
    except BadPictureError as error:
        raise UserError(f"{name}: {error}") from None
    except UnicodeDecodeError as error:
        legible = data.decode("latin-1")
        if not name.lower().endswith(".jsonl") and _columns(legible) is None:
            return legible  # it is no business of ours
        raise UserError(
            f"{name} is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        ) from None


def _encoding(data: bytes) -> str:
    """Return UTF-16 for text with its mark, or with the zeros of its letters, and UTF-8 else."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in data[:2]:
        return "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    return "utf-8-sig"
