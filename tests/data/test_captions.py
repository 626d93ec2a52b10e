"""Captions and labels from files beside pictures, tables and names."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen.data import captions
from imagegen.data.store import load_pictures
from imagegen.errors import UserError
from imagegen.family import Condition
from imagegen.sample import tell
from imagegen.settings import DataSettings

SETTINGS = DataSettings(size=16)
ALONE = (
    "there are no labels, as c is the only sub-folder: sort the pictures beside it into others, "
    "or label some by a table"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four pictures without labels: a, b, c/d, c/e."""
    for number, name in enumerate(("a", "b", "c/d", "c/e")):
        path = tmp_path / "set" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number * 40, 0, 0)).save(path)
    return tmp_path / "set"


def texts(folder: Path, **settings: str) -> tuple[str, ...] | None:
    return load_pictures(str(folder), SETTINGS.model_copy(update=settings)).texts


def test_texts_beside_pictures(folder: Path) -> None:
    assert texts(folder) is None
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfa red\r\n  ant\r\n")
    (folder / "c/e.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (folder / "b.txt").write_text("  \n")
    (folder / "nobody.txt").write_text("no picture")
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts == ("a red ant", "", "", "caf\u00e9")
    assert "2 of 4 pictures have no caption" in found.notes
    assert any("not UTF-8, such as c/e.txt" in note for note in found.notes)
    assert texts(folder, captions="none") is None
    chosen = found.part(np.array([True, False, False, True]))
    assert chosen.texts == ("a red ant", "caf\u00e9")


def test_captions_of_many_words_are_named(folder: Path) -> None:
    (folder / "a.txt").write_text("ant " * 32)
    (folder / "b.txt").write_text("bee " * 33)
    found = load_pictures(str(folder), SETTINGS)
    assert "1 caption has more than 32 words, such as that of b.png: the first 32 count" in (
        found.notes
    )
    assert found.texts is not None
    assert found.texts[1].count("bee") == 33  # the text itself is kept


def test_captions_without_a_word_are_none(folder: Path) -> None:
    (folder / "a.txt").write_text("\U0001f600")
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts is None
    assert "captions are not used: no word is in any" in found.notes
    (folder / "b.txt").write_text("ant")
    assert texts(folder) == ("\U0001f600", "ant", "", "")


def test_captions_are_part_of_the_fingerprint(folder: Path) -> None:
    before = load_pictures(str(folder), SETTINGS).fingerprint
    (folder / "a.txt").write_text("an ant")
    after = load_pictures(str(folder), SETTINGS)
    assert after.fingerprint != before
    without = SETTINGS.model_copy(update={"captions": "none"})
    assert load_pictures(str(folder), without).fingerprint == before


def test_labels_that_differ_in_capitals_only_are_named(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,label\na.png,Ant\nb.png,ant\nc/d.png,Dog\n")
    found = load_pictures(str(folder), SETTINGS)
    assert found.label_names == ("Ant", "Dog", "ant")
    assert "labels that differ in capitals only count apart: Ant, ant" in found.notes


def test_a_label_called_none_is_named(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,label\na.png,none\nb.png,ant\n")
    (note,) = (n for n in load_pictures(str(folder), SETTINGS).notes if "none" in n)
    assert note.startswith("a label is called none: --label none asks for it")


def test_one_folder_beside_loose_pictures_is_no_label_and_that_is_said(folder: Path) -> None:
    found = load_pictures(str(folder), SETTINGS)
    assert found.label_names == ()
    assert found.notes == (ALONE,)
    without = SETTINGS.model_copy(update={"labels": "none"})
    assert load_pictures(str(folder), without).notes == ()
    for path in (folder / "b.png", folder / "a.png"):
        path.unlink()
    assert load_pictures(str(folder), SETTINGS).label_names == ()
    assert load_pictures(str(folder), SETTINGS).notes == ()


def test_empty_captions_are_named(folder: Path) -> None:
    (folder / "a.txt").write_text("\n")
    note, alone = load_pictures(str(folder), SETTINGS).notes
    assert alone == ALONE
    assert note == "there are no captions: a.txt is empty, as all beside pictures"
    (folder / "b.txt").write_text("ant")
    note, alone = load_pictures(str(folder), SETTINGS).notes
    assert note == "3 of 4 pictures have no caption"


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_tables(folder: Path, kind: str, tmp_path: Path) -> None:
    rows = [
        {"file_name": "a.png", "text": 'an "ant", red', "label": "insect"},
        {"file_name": "c/d.png", "text": "a dog", "label": "pet"},
        {"file_name": "gone.png", "text": "nothing", "label": "pet"},
    ]
    if kind == "csv":
        lines = ["file_name,text,label"]
        lines += [
            '{},"{}",{}'.format(*(v.replace('"', '""') for v in row.values())) for row in rows
        ]
    else:
        lines = [json.dumps(row) for row in rows]
    (folder / f"about.{kind}").write_text("\n".join(lines))
    (folder / "c/e.txt").write_text("an elk")
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                target.write(path, path.relative_to(folder))
    for source in (folder, archive):
        found = load_pictures(str(source), SETTINGS)
        assert found.texts == ('an "ant", red', "", "a dog", "an elk")
        assert found.label_names == ("insect", "pet")
        assert found.labels is not None
        assert found.labels.tolist() == [0, -1, 1, -1]
        assert found.label_counts() == {"insect": 1, "pet": 1}
        assert "2 of 4 pictures have no label" in found.notes
        assert any("names 1 picture that is not there" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x.csv", b"file_name,text\nz.png,zebra\n", "names no picture that is there"),
        ("x.csv", "file_name,text\na.png,caf\u00e9\n".encode("latin-1"), "x.csv is not UTF-8"),
        ("x.jsonl", b'{"file_name": "a.png", "text": "ant"}\n{oops\n', "x.jsonl:2: not JSON"),
        ("x.jsonl", b'{"file_name": "a.png", "text": "ant"}\n[1]\n', "x.jsonl:2: expected an obj"),
        ("x.jsonl", b'[1]\n{"file_name": "a.png", "text": "ant"}', "x.jsonl:1: expected an obj"),
        ("x.jsonl", b'{"file_name": "a.png", "label": [NaN]}\n', "x.jsonl:1: a label should be"),
        ("x.jsonl", b'{"file_name": "a.png", "label": [null]}\n', "x.jsonl:1: a label should be"),
        ("x.jsonl", b'{"file_name": "a.png", "label": {"x": 1}}\n', "x.jsonl:1: a label should"),
        ("x.csv", b"file_name,text\na.png,a cat, red\n", r"x\.csv:2: 3 cells where the first .* 2"),
        ("x.csv", b'file_name,text\na.png,"a cat\nb.png,a dog\n', r"x\.csv:2: unexpected end"),
        ("x.csv", b"file_name,label\na.png,cat\na.png,dog\n", r"a\.png has two labels: x\.csv:3"),
        ("x.csv", b"\n\nfile_name,text\na.png,a cat, red\n", r"x\.csv:4: 3 cells"),
        ("x.jsonl", b'{"file_name": "a.png", "text": ["ant"]}\n', r"x\.jsonl:1: a caption should"),
        (
            "x.jsonl",
            b'{"file_name": "a.png"}\n{"file_name": "b.png"}\n{"text": "ant"}\n',
            "x.jsonl:3: no file_name",
        ),
    ],
)
def test_tables_that_can_not_be_read(
    folder: Path, name: str, content: bytes, expected: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=expected):
        load_pictures(str(folder), SETTINGS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "file_name;text\r\na.png;a cat, red\r\n".encode("utf-8-sig")),
        ("x.csv", b'\n\nFile_Name, Text\na.png, "a cat, red"\n'),
        ("X.CSV", "file_name\ttext\na.png\ta cat, red\n".encode("utf-16")),
        ("x.tsv", b"file_name\ttext\na.png\ta cat, red\n"),
        ("x.jsonl", b'{"file_name": "a.png", "text": "a\\u2028cat, \xe2\x80\xa8red"}\n'),
        ("a.TXT", b"a cat, red"),
        ("a.txt", "a cat, red".encode("utf-16")),
        ("a.txt", "a cat, red".encode("utf-16-le")),
        ("a.txt", "a cat, red".encode("utf-16-be")),
    ],
)
def test_texts_as_other_programs_write_them(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert texts(folder) == ("a cat, red", "", "", "")


@pytest.mark.parametrize(
    "content",
    [
        b"file_name,label,text\na.png,cat,x\na.png,dog,y\n",
        b"file_name,label,text\nz.png,cat,x\n",
        "file_name,label,text\na.png,caf\u00e9,x\n".encode("latin-1"),
        b'file_name,label,text\na.png,"cat\n',
    ],
)
def test_a_table_that_nobody_wants_is_not_read(folder: Path, content: bytes) -> None:
    (folder / "x.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.csv"):
        load_pictures(str(folder), SETTINGS)
    for rule in ("folders", "none"):
        settings = SETTINGS.model_copy(update={"captions": "none", "labels": rule})
        assert load_pictures(str(folder), settings).label_names == ()


def test_labels_that_nobody_wants_may_contradict(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,label,text\na.png,cat,x\na.png,dog,x\n")
    assert texts(folder, labels="none") == ("x", "", "", "")


def test_numbers_are_labels_in_json(folder: Path) -> None:
    rows = [{"file_name": name, "label": label} for name, label in (("a.png", 0), ("b.png", 1))]
    (folder / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load_pictures(str(folder), SETTINGS).label_counts() == {"0": 1, "1": 1}


def test_several_labels_in_another_order_are_the_same(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,label\na.png,red;small\na.png,small;red\n")
    found = load_pictures(str(folder), SETTINGS)
    assert [found.label_names[one] for one in found.labels_of(0)] == ["red", "small"]


@pytest.mark.parametrize("row", ["c\\d.png,ant", "c/d.png,ant", "./c/d.png,ant", ".\\c\\d.png,ant"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_names_as_other_systems_write_them(folder: Path, row: str, end: str) -> None:
    (folder / "x.csv").write_bytes(end.join(["file_name,text", row, ""]).encode())
    assert texts(folder) == ("", "", "ant", "")


def test_letters_taken_apart_name_the_same_file(folder: Path) -> None:
    composed, apart = "sch\u00f6n.png", "scho\u0308n.png"
    (folder / "a.png").rename(folder / composed)
    (folder / "x.csv").write_text(f"file_name,text\n{apart},beautiful\n")
    assert "beautiful" in (texts(folder) or ())


def test_an_empty_cell_hides_no_other_and_a_zero_is_no_caption(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,text,caption\na.png,,ant\n")
    (folder / "b.txt").write_bytes(b"  \0\n")
    assert texts(folder) == ("ant", "", "", "")


def test_a_picture_with_two_captions_is_named(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,text\na.png,ant\na.png,wasp\nb.png,bee\n")
    (folder / "b.txt").write_text("bumblebee")
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts == ("wasp", "bumblebee", "", "")
    (note,) = [note for note in found.notes if "more than one" in note]
    assert note.startswith("2 pictures have more than one caption, such as a.png")


def test_one_label_sets_pictures_apart_from_those_without(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,label\na.png,cat\nb.png,cat\n")
    found = load_pictures(str(folder), SETTINGS)
    assert found.label_names == ("cat",)
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, -1, -1]


def test_other_tables_are_no_business_of_ours(folder: Path) -> None:
    (folder / "prices.csv").write_text("what,price\ncat,3\n")
    (folder / "scores.csv").write_text("file,score\nkoala.jpg,5\n")
    # Nor is how they are written: quotes that no table has, and another encoding.
    (folder / "SOURCES.tsv").write_bytes(b'file\tby\na.png\t"Bolly", 2018\nb.png\tM\xfcller\n')
    (folder / "log.jsonl").write_text('{"event": "start"}\nnot json at all\n')
    (folder / "deep.jsonl").write_text("[" * 100_000)
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts is None
    for name in ("prices.csv", "scores.csv", "SOURCES.tsv", "log.jsonl", "deep.jsonl"):
        assert any(note.startswith(f"{name} is not used: it has no") for note in found.notes)
    (folder / "prices.csv").write_text("file_name,text\n")  # no rows, but the columns are there
    assert (
        "prices.csv is not used: it says nothing of any picture"
        in load_pictures(str(folder), SETTINGS).notes
    )


def test_two_sources_of_labels_that_disagree(folder: Path) -> None:
    (folder / "f").mkdir()
    (folder / "a.png").rename(folder / "f/a.png")
    (folder / "x.csv").write_text("file_name,label\nf/a.png,c\n")
    with pytest.raises(
        UserError, match=r"f/a\.png has two labels: its folder says f, x\.csv:2 says c"
    ):
        load_pictures(str(folder), SETTINGS)
    for source, counts in (("folders", {"c": 2, "f": 1}), ("tables", {"c": 1})):
        found = load_pictures(str(folder), SETTINGS.model_copy(update={"labels": source}))
        assert found.label_counts() == counts
    (folder / "x.csv").write_text("file_name,label\nf/a.png,f\nb.png,f\n")
    found = load_pictures(str(folder), SETTINGS)
    assert found.labels is not None
    assert [found.label_names[one] for one in found.labels] == ["f", "c", "c", "f"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_several_labels_of_a_picture(folder: Path, kind: str) -> None:
    if kind == "csv":
        (folder / "x.csv").write_text("file,label\na.png,red; small\nb.png,small\n")
    else:
        (folder / "x.jsonl").write_text(
            '{"file": "a.png", "label": ["red", "small"]}\n{"file": "b.png", "label": "small"}\n'
        )
    found = load_pictures(str(folder), SETTINGS)
    assert found.label_names == ("red", "small")
    assert [found.labels_of(row) for row in range(4)] == [(0, 1), (1,), (), ()]
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, -1, -1]
    assert found.label_counts() == {"red": 1, "small": 2}
    told = tell.of_pictures(found, Condition(("red", "small", "else")))
    assert told is not None
    assert told.labels.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert found.part(np.array([True, False, True, False])).several == ((0, 1), ())
    without = load_pictures(str(folder), SETTINGS.model_copy(update={"labels": "none"}))
    assert without.labels is None
    assert without.fingerprint != found.fingerprint


def test_labels_by_a_rule_for_names(folder: Path) -> None:
    rule = SETTINGS.model_copy(update={"labels": r"^c/(d)|/(e)"})
    found = load_pictures(str(folder), rule)
    assert found.label_names == ("d", "e")
    assert [found.labels_of(row) for row in range(4)] == [(), (), (0,), (1,)]
    several = SETTINGS.model_copy(update={"labels": r"(c)/(\w)"})
    assert load_pictures(str(folder), several).several == ((), (), (0, 1), (0, 2))
    with pytest.raises(UserError, match="finds no label in any name, such as a"):
        load_pictures(str(folder), SETTINGS.model_copy(update={"labels": "([0-9])"}))


@pytest.mark.parametrize(
    ("rule", "expected"), [("(", "regular expression: missing"), ("[a-z]+", "with a group")]
)
def test_rules_that_are_none(rule: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        DataSettings(labels=rule)


def test_tables_give_labels_also_without_captions(folder: Path) -> None:
    (folder / "x.csv").write_text("file,text,label\na.png,an ant,x\nb.png,a bee,y\n")
    found = load_pictures(str(folder), SETTINGS.model_copy(update={"captions": "none"}))
    assert found.texts is None
    assert found.label_names == ("x", "y")


def test_captions_from_names(folder: Path) -> None:
    assert texts(folder, captions="from-names") == ("a", "b", "c d", "c e")
    for name, expected in [
        ("food/red_apple_1f34e_noto.png", "food red apple noto"),
        ("IMG-0042.JPG", "IMG"),
        ("a/Big Cat (2).png", "a Big Cat"),
        ("face1.png", "face"),
        ("decade1990/bead01.jpg", "decade bead"),
        ("RedCircle01.png", "Red Circle"),
        ("a1b2c3d4.png", ""),
        ("3d_mp3.png", "3d mp3"),
    ]:
        assert captions.from_name(name) == expected


def test_captions_where_only_other_programs_look_are_named(folder: Path) -> None:
    (folder / "about.json").write_text("[]")
    assert any(
        note.startswith("about.json is not read: captions are in NAME.txt")
        for note in load_pictures(str(folder), SETTINGS).notes
    )
    (folder / "about.json").unlink()
    (folder / "a.png.txt").write_text("an ant")
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts is None
    assert any(note.startswith("a.png.txt is not read") for note in found.notes)
    (folder / "b.txt").write_text("a bee")
    assert not any("is not read" in note for note in load_pictures(str(folder), SETTINGS).notes)


def test_tables_are_asked_for_and_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match="labels=tables finds no table with labels"):
        load_pictures(str(folder), SETTINGS.model_copy(update={"labels": "tables"}))


def test_keys_of_json_may_be_written_large_and_nan_is_nothing(folder: Path) -> None:
    rows = [
        {"File_Name": "a.png", "Text": "an ant", "Label": 1},
        {"File_Name": "b.png", "Text": "a bee", "Label": 1.0},
        {"File_Name": "c/d.png", "Text": "a dog", "Label": float("nan")},
        {"File_Name": "c/e.png", "Text": float("nan")},
    ]
    (folder / "about.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts == ("an ant", "a bee", "a dog", "")
    assert found.label_names == ("1",)
    assert [found.labels_of(row) for row in range(4)] == [(0,), (0,), (), ()]


@pytest.mark.parametrize("label", [True, float("inf"), {"a": 1}])
def test_what_is_no_label_is_named(folder: Path, label: object) -> None:
    (folder / "about.jsonl").write_text(json.dumps({"file_name": "a.png", "label": label}))
    with pytest.raises(UserError, match="jsonl:1: a label should be text or a number") as no:
        load_pictures(str(folder), SETTINGS)
    assert "quotes" in no.value.hint


def test_lines_of_blanks_are_no_rows(folder: Path) -> None:
    (folder / "x.csv").write_text("  \nfile,text\n ,\na.png,an ant\n")
    found = load_pictures(str(folder), SETTINGS)
    assert found.texts == ("an ant", "", "", "")
    assert not any("not there" in note for note in found.notes)


def test_letters_with_marks_are_the_same_however_they_are_taken_apart(folder: Path) -> None:
    whole, apart = "caf\u00e9", "cafe\u0301"
    for name, other, pictures in ((whole, apart, "ab"), (apart, whole, "c")):
        (folder / name).mkdir()
        for one in pictures:
            number = ord(one)
            Image.new("RGB", (16, 16), (number, number, 0)).save(folder / name / f"{one}{name}.png")
        (folder / name / f"{pictures[0]}{other}.txt").write_text(f"a {other}")
    found = load_pictures(str(folder), SETTINGS)
    assert found.label_names == ("c", whole)
    assert found.label_counts()[whole] == 3
    assert found.texts is not None
    assert found.texts.count(f"a {whole}") == 2
    for name in (whole, apart):
        ruled = SETTINGS.model_copy(update={"labels": f"({name}|d|e)$"})
        assert load_pictures(str(folder), ruled).label_counts() == {whole: 3, "d": 1, "e": 1}
    (folder / "x.csv").write_text(f"file_name,label\n{apart}/a{whole}.png,{apart}\n")
    assert load_pictures(str(folder), SETTINGS).label_counts()[whole] == 3


def test_an_open_quote_is_named_where_it_is(folder: Path) -> None:
    rows = ["file_name,text", "a.png,ant", 'b.png,"bee', "c/d.png,dog", "c/e.png,elk"]
    (folder / "x.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match=r"x\.csv:3: ") as caught:
        load_pictures(str(folder), SETTINGS)
    assert caught.value.hint == "close the quote that is open in this row"
    rows[2] = 'b.png,"bee,\nfly"'
    (folder / "x.csv").write_text("\n".join([*rows, "c/e.png,elk,red"]))
    with pytest.raises(UserError, match=r"x\.csv:7: 3 cells"):
        load_pictures(str(folder), SETTINGS)


def test_columns_of_labels_and_two_of_a_name(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,labels\na.png,ant;bee\nb.png,bee\n")
    assert load_pictures(str(folder), SETTINGS).label_counts() == {"ant": 1, "bee": 2}
    for twice in ("label,label", "label,labels"):
        (folder / "x.csv").write_text(f"file_name,{twice}\na.png,ant,bee\n")
        with pytest.raises(UserError, match=r"x\.csv: two columns are called label"):
            load_pictures(str(folder), SETTINGS)


def test_tables_that_say_nothing_are_named(folder: Path) -> None:
    for rows in ("", "a.png,\nb.png,\n"):
        (folder / "x.csv").write_text(f"file_name,label\n{rows}")
        assert load_pictures(str(folder), SETTINGS).notes == (
            "x.csv is not used: it says nothing of any picture",
            ALONE,
        )
    no_labels = SETTINGS.model_copy(update={"labels": "none"})
    assert load_pictures(str(folder), no_labels).notes == ()


def test_a_picture_that_is_not_there_comes_with_the_nearest(folder: Path) -> None:
    (folder / "x.csv").write_text("file_name,label\na.PNG,ant\nb.png,bee\n")
    notes = load_pictures(str(folder), SETTINGS).notes
    assert any("such as x.csv:2: a.PNG; did you mean 'a.png'?" in note for note in notes)
    (folder / "x.csv").write_text("file_name,label\nc/f.png,ant\n")
    with pytest.raises(UserError, match=r"x\.csv:2: c/f\.png; did you mean 'c/"):
        load_pictures(str(folder), SETTINGS)


def test_of_two_tables_the_nearer_one_counts(folder: Path) -> None:
    (folder / "c/a.csv").write_text("file_name,text\nd.png,a dog\n")
    (folder / "z.csv").write_text("file_name,text\nc/d.png,something\n")
    assert texts(folder) == ("", "", "a dog", "")
