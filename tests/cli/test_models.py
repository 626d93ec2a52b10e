"""What you have trained: list, show, copy, move in and out, remove."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from imagegen import registry
from tests.cli.conftest import Call
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("trained")


def test_ls_and_show(call: Call) -> None:
    row = json.loads(call("models", "ls", "--json").out)
    assert (row["name"], row["family"], row["shape"]) == ("smileys", "gan", [4, 16, 16])
    assert row["labels"] == ["3d", "flat"]
    assert row["words"] > 100
    assert row["step"] == 6
    assert "smileys" in call("models", "ls").out
    assert "# smileys" in call("models", "show", "smileys").out
    known = json.loads(call("models", "show", "smileys", "--json").out)
    assert known["data"]["pictures"] > 100
    assert known["config"]["train"]["steps"] == 6


def test_the_newest_is_the_default(call: Call, trained: Path) -> None:
    call("models", "cp", "smileys", "copy")
    assert call("generate", "--seed", 1, "-o", "a").out.startswith("a/smileys-1.png")
    (trained.parent / "copy" / "model.safetensors").touch()
    assert call("generate", "--seed", 1, "-o", "a").out.startswith("a/copy-1.png")


def test_cp_and_rm(call: Call, trained: Path) -> None:
    row = json.loads(call("models", "cp", "smileys", "other", "--json").out)
    assert Path(row["path"], "state").is_dir()
    assert "exists already" in call("models", "cp", "smileys", "other", code=1).err
    assert "add --yes" in call("models", "rm", "other", code=2).err
    call("models", "rm", "other", "--yes")
    assert [p.name for p in trained.parent.iterdir()] == ["smileys"]
    call("models", "rm", "other", "--yes", code=4)


def test_a_model_in_training_is_not_removed(call: Call, trained: Path) -> None:
    with registry.locked(registry.find("smileys")):
        answer = call("models", "rm", "smileys", "-y", code=1)
    assert "is being trained by another process" in answer.err
    call("models", "rm", "smileys", "smileys", "-y")
    assert not trained.exists()


def test_path(call: Call, trained: Path) -> None:
    assert call("models", "path", "smileys").out.strip() == str(trained)
    assert json.loads(call("models", "path", "--json").out)["path"] == str(trained.parent)


def test_export_and_import_through_a_pipe(call: Call, run: Run, trained: Path) -> None:
    archive = run("models", "export", "smileys", "-o", "-").stdout
    call("models", "export", "smileys", "-o", "x.tar")
    assert Path("x.tar").read_bytes() == archive
    run("models", "import", "-", "--name", "again", stdin=archive)
    call("generate", "-m", "smileys", "--seed", 1, "-o", "a.png")
    call("generate", "-m", "again", "--seed", 1, "-o", "b.png")
    from PIL import Image

    assert Image.open("a.png").tobytes() == Image.open("b.png").tobytes()
    again = trained.parent / "again"
    assert (again / "card.md").is_file()
    assert not (again / "state").exists()


def member(
    name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(data), kind
    return info, data


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([member("../evil/config.yaml")], "unexpected member"),
        ([member("/etc/passwd")], "unexpected member"),
        ([member("m/../../x")], "unexpected member"),
        ([member("m/state/000.safetensors")], "unexpected member"),
        ([member("m/config.yaml", kind=tarfile.SYMTYPE)], "unexpected member"),
        ([member(f"{m}/config.yaml") for m in "mno"], "unexpected member 'o/config.yaml'"),
        ([member("../config.yaml")], "model.safetensors is missing"),
        ([member("m/config.yaml", b"family: gan")], "model.safetensors is missing"),
        (
            [
                member("m/config.yaml", b"family: gan"),
                member("m/model.safetensors", b"abc"),
                member("m/model.safetensors.sha256", b"00  model.safetensors\n"),
            ],
            "is damaged",
        ),
    ],
)
def test_hostile_and_broken_archives(
    call: Call, trained: Path, members: list[tuple[tarfile.TarInfo, bytes]], expected: str
) -> None:
    with tarfile.open("bad.tar", "w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    assert expected in call("models", "import", "bad.tar", code=1).err
    assert [p.name for p in trained.parent.iterdir()] == ["smileys"]


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x00" * 2048])
def test_no_archive_at_all(call: Call, data: bytes) -> None:
    Path("bad.tar").write_bytes(data)
    assert "bad.tar is no imagegen archive" in call("models", "import", "bad.tar", code=1).err


def test_a_truncated_archive(call: Call, trained: Path) -> None:
    call("models", "export", "smileys", "-o", "x.tar")
    Path("x.tar").write_bytes(Path("x.tar").read_bytes()[:20_000])
    call("models", "import", "x.tar", "--name", "cut", code=1)
    assert not (trained.parent / "cut").exists()


@pytest.mark.parametrize("words", ["show nix", "cp nix x", "export nix", "path nix", "rm nix -y"])
def test_unknown_models(call: Call, words: str) -> None:
    assert "unknown model 'nix'" in call("models", *words.split(), code=4).err


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "con", "x" * 65, "a\nb", "-x"])
def test_names_that_are_refused(call: Call, trained: Path, name: str) -> None:
    answer = call("models", "cp", "--", "smileys", name, code=2)
    assert "can't be the name of a model" in answer.err
    assert [p.name for p in trained.parent.iterdir()] == ["smileys"]


def test_a_file_that_is_not_there(call: Call) -> None:
    assert (
        "error: No such file or directory: nix.tar"
        in call("models", "import", "nix.tar", code=1).err
    )


def test_an_empty_registry(call: Call, trained: Path) -> None:
    call("models", "rm", "smileys", "-y")
    assert "no models yet" in call("models", "ls").err
