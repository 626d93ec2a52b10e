import os
import tarfile
import zipfile

import pytest
from PIL import Image

from imagegen.data.scan import BadPictureError, samples, scan
from imagegen.errors import NotFoundError, UserError


def put(path, color="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 16), color).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    for name in ("cat/b.PNG", "cat/a.jpg", "dog/deep/c.webp", ".hidden.png", "__MACOSX/d.png"):
        put(root / name)
    for name in ("cat/Thumbs.db", "cat/e.jpg.part", "notes.txt", ".git/f.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(source):
    with scan(str(source)) as found:
        return [entry.name for entry in found.entries], {entry.label for entry in found.entries}


def test_finds_pictures_and_labels_and_nothing_else(folder):
    assert names(folder) == (["cat/a.jpg", "cat/b.PNG", "dog/deep/c.webp"], {"cat", "dog"})


@pytest.mark.parametrize("wrap", ["", "set/"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_hold_what_the_folder_holds(folder, tmp_path, kind, wrap):
    archive = tmp_path / f"x.{kind}"
    files = sorted((path for path in folder.rglob("*") if path.is_file()), reverse=True)
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as out:
            for path in files:
                out.write(path, wrap + path.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as out:
            for path in files:
                out.add(path, wrap + path.relative_to(folder).as_posix())
    with scan(str(folder)) as plain, scan(str(archive)) as packed:
        assert [wrap + entry.name for entry in plain.entries] == [e.name for e in packed.entries]
        assert [e.read() for e in plain.entries] == [e.read() for e in packed.entries]
        assert [e.label for e in packed.entries] == [e.label for e in plain.entries]


def test_pictures_outside_of_the_sub_folders_have_no_label(folder):
    put(folder / "stray.png")
    with scan(str(folder)) as found:
        assert {entry.label for entry in found.entries} == {"", "cat", "dog"}
        assert [entry.label for entry in found.entries if entry.name == "stray.png"] == [""]


def test_links(folder, tmp_path):
    put(tmp_path / "outside.png")
    (folder / "cat/in.png").symlink_to(folder / "cat/a.jpg")
    (folder / "cat/out.png").symlink_to(tmp_path / "outside.png")
    (folder / "cat/gone.png").symlink_to(folder / "nothing.png")
    (folder / "dog/circle").symlink_to(folder)
    os.mkfifo(folder / "cat/pipe.png")
    with scan(str(folder)) as found:
        assert "cat/in.png" in [entry.name for entry in found.entries]
        assert found.problems == (
            ("cat/gone.png", "a link to nothing"),
            ("cat/out.png", "a link that leads out of the folder"),
            ("cat/pipe.png", "not a regular file"),
            ("dog/circle/", "a link to a folder"),
        )


def test_unsupported_pictures_are_reported(folder):
    (folder / "cat/phone.HEIC").write_bytes(b"x")
    with scan(str(folder)) as found:
        assert found.problems == (("cat/phone.HEIC", "HEIC cannot be opened: save it as PNG"),)


def test_damaged_member_is_one_bad_picture(folder, tmp_path):
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("a.png", b"0123456789")
    archive.write_bytes(archive.read_bytes().replace(b"0123456789", b"0123456780"))
    with (
        scan(str(archive)) as found,
        pytest.raises(BadPictureError, match="damaged in the archive"),
    ):
        found.entries[0].read()


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_damaged_archive(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(UserError, match="damaged"):
        names(tmp_path / name)


def test_mistakes(folder, tmp_path):
    with pytest.raises(UserError, match=r"no such folder: .*sett; did you mean 'set'"):
        names(tmp_path / "sett")
    with pytest.raises(UserError) as caught:
        names(folder / "cat/a.jpg")
    assert str(folder / "cat") in caught.value.hint
    with pytest.raises(NotFoundError) as missing:
        names("sample:smiley")
    assert "sample:smileys" in missing.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is empty"):
        names(tmp_path / "empty")
    (tmp_path / "empty/a.pdf").write_bytes(b"")
    with pytest.raises(UserError, match=r"holds 1 files but no pictures \(.pdf\)"):
        names(tmp_path / "empty")


def test_bundled_set():
    assert "smileys" in samples()
    found, labels = names("sample:smileys")
    assert len(found) == 207
    assert labels == {"3d", "flat"}
