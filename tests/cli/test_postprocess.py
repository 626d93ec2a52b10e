"""Pictures in, finished pictures out: files, folders, streams, and what bad input gets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen.images import metadata
from imagegen.post.operations import OPERATIONS, operation
from tests.cli.conftest import Call
from tests.conftest import Run


@pytest.fixture
def photo() -> Path:
    """Return a small picture with a bright square on a dark ground."""
    pixels = np.full((24, 32, 3), 60, np.uint8)
    pixels[8:16, 10:22] = (220, 180, 40)
    path = Path("photo.png")
    Image.fromarray(pixels).save(path)
    return path


def names(folder: str) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


def test_a_file_to_a_file(call: Call, photo: Path) -> None:
    before = photo.read_bytes()
    call("postprocess", photo, "--op", "levels:black=60", "-o", "out.png")
    assert photo.read_bytes() == before
    out = Image.open("out.png")
    assert out.getpixel((0, 0)) == (0, 0, 0)
    record = metadata.read(out)
    assert record is not None
    assert (record["postprocess"][0]["op"], record["postprocess"][0]["black"]) == ("levels", 60)


def test_a_region_limits_an_operation(call: Call, photo: Path) -> None:
    steps = ["--op", "segment:method=threshold,as=it", "--op", "levels:out_white=0,region=it"]
    call("postprocess", photo, *steps, "-o", "out.png")
    before, after = np.asarray(Image.open(photo)), np.asarray(Image.open("out.png"))
    inside = np.zeros((24, 32), bool)
    inside[8:16, 10:22] = True
    assert (after[inside] == 0).all()
    assert (after[~inside] == before[~inside]).all()


def test_a_folder_keeps_its_shape(call: Call, pictures: Path) -> None:
    call("postprocess", pictures, "--op", "gaussian", "-o", "out")
    assert names("out") == names(str(pictures))


def test_files_of_one_name_do_not_overwrite_each_other(call: Call, photo: Path) -> None:
    Image.open(photo).rotate(180).save("photo.jpg")
    call("postprocess", "photo.png", "photo.jpg", "--op", "median", "-o", "out")
    assert names("out") == ["photo-1.png", "photo.png"]


def test_a_chain_of_pipes(run: Run, trained: Path) -> None:
    stream = run("generate", "--seed", 5, "-n", 4).stdout
    sharp = run("postprocess", "--op", "sharpen", stdin=stream).stdout
    run("postprocess", "--op", "levels:black=10", "-o", "out", stdin=sharp)
    assert names("out") == [f"smileys-{seed}.png" for seed in range(5, 9)]
    for seed in range(5, 9):
        record = metadata.read(Image.open(f"out/smileys-{seed}.png"))
        assert record is not None
        assert (record["seed"], record["model"]) == (seed, "smileys")
        assert [step["op"] for step in record["postprocess"]] == ["sharpen", "levels"]


def test_a_stream_without_names_is_numbered(run: Run, photo: Path) -> None:
    run("postprocess", "--op", "median", "-o", "out", stdin=photo.read_bytes() * 2)
    assert names("out") == ["0001.png", "0002.png"]


def test_another_format_on_stdin(run: Run, photo: Path) -> None:
    file = io.BytesIO()
    Image.open(photo).save(file, "JPEG")
    done = run("postprocess", "-", "--op", "median", stdin=file.getvalue())
    assert Image.open(io.BytesIO(done.stdout)).size == (32, 24)


def test_sixteen_bits_alpha_and_orientation_are_kept(call: Call) -> None:
    ramp = np.linspace(0, 65535, 12, dtype=np.uint16).reshape(3, 4)
    Image.fromarray(ramp).save("deep.png")
    Image.new("RGBA", (4, 3), (9, 8, 7, 100)).save("alpha.png")
    turned = Image.new("RGB", (4, 3))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save("turned.jpg", exif=exif)
    call(
        "postprocess",
        "deep.png",
        "alpha.png",
        "turned.jpg",
        "--op",
        "gaussian:strength=0",
        "-o",
        "o",
    )
    assert (np.asarray(Image.open("o/deep.png")) == ramp).all()
    assert Image.open("o/alpha.png").getpixel((0, 0)) == (9, 8, 7, 100)
    out = Image.open("o/turned.png")
    assert out.size == (3, 4)
    assert out.getexif().get(0x0112, 1) == 1


def test_json(call: Call, photo: Path) -> None:
    record = json.loads(call("postprocess", photo, "--op", "median", "-o", "o", "--json").out)
    assert record["path"] == "o/photo.png"
    assert record["steps"][0]["op"] == "median"


def test_presets_and_operations_add_up(call: Call, photo: Path) -> None:
    Path("mine.yaml").write_text("postprocess: [median]")
    record = json.loads(
        call("postprocess", photo, "-p", "mine.yaml", "--op", "sharpen", "-o", "o", "--json").out
    )
    assert [step["op"] for step in record["steps"]] == ["median", "sharpen"]
    printed = call(
        "postprocess", "-p", "mine.yaml", "--op", "sharpen:amount=2", "--print-config"
    ).out
    Path("printed.yaml").write_text(printed)
    call("postprocess", photo, "-p", "printed.yaml", "-o", "a.png")
    call("postprocess", photo, "-p", "mine.yaml", "--op", "sharpen:amount=2", "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_a_broken_picture_among_many_is_reported(call: Call, photo: Path) -> None:
    Path("broken.png").write_bytes(photo.read_bytes()[:60])
    answer = call("postprocess", "broken.png", photo, "--op", "median", "-o", "out", code=3)
    assert "error: broken.png: cut off" in answer.err
    assert "1 of 2 pictures failed" in answer.err
    assert names("out") == ["photo.png"]
    call("postprocess", "broken.png", "--op", "median", "-o", "out2", code=1)
    assert names("out2") == []


def test_a_cut_stream(run: Run, photo: Path) -> None:
    stream = photo.read_bytes() + photo.read_bytes()[:-20]
    done = run("postprocess", "--op", "median", "-o", "out", stdin=stream, code=3)
    assert b"error: stdin: picture 2 is cut off" in done.stderr
    assert b"1 of 2 pictures failed" in done.stderr
    assert names("out") == ["0001.png"]


def test_one_picture_of_a_stream_to_a_file(run: Run, photo: Path) -> None:
    run("postprocess", "--op", "median", "-o", "one.png", stdin=photo.read_bytes())
    assert Image.open("one.png").size == (32, 24)
    done = run(
        "postprocess", "--op", "median", "-o", "two.png", stdin=photo.read_bytes() * 2, code=2
    )
    assert b"error: -o two.png: more than one picture for one file" in done.stderr


def test_a_file_that_imagegen_did_not_make_is_kept(call: Call, photo: Path) -> None:
    Image.new("L", (3, 3)).save("mine.png")
    before = Path("mine.png").read_bytes()
    answer = call("postprocess", photo, "--op", "median", "-o", "mine.png", code=2)
    assert "-o mine.png: exists, and is not of imagegen's making" in answer.err
    assert Path("mine.png").read_bytes() == before
    call("postprocess", photo, "--op", "median", "-o", "ours.png")
    call("postprocess", photo, "--op", "gaussian", "-o", "ours.png")


def test_what_a_picture_says_is_kept(call: Call) -> None:
    info = PngInfo()
    info.add_itxt("Title", "Grüße")
    info.add_text("Copyright", "© me")
    Image.new("RGB", (4, 4)).save("said.png", pnginfo=info, dpi=(300, 300))
    Image.new("CMYK", (4, 4)).save("print.jpg", icc_profile=b"\0" * 16 + b"CMYK" + b"\0" * 108)
    call("postprocess", "said.png", "print.jpg", "--op", "median", "-o", "out")
    said = Image.open("out/said.png")
    assert (said.info["Title"], said.info["Copyright"]) == ("Grüße", "© me")
    assert round(said.info["dpi"][0]) == 300
    assert "icc_profile" not in Image.open("out/print.jpg".replace("jpg", "png")).info


def test_a_folder_may_have_a_dot_in_its_name(call: Call, photo: Path) -> None:
    call("postprocess", photo, "--op", "median", "-o", "out.v2")
    assert names("out.v2") == ["photo.png"]


def test_a_folder_with_something_that_is_no_picture(call: Call, pictures: Path) -> None:
    (pictures / "dangling.png").symlink_to("nowhere")
    answer = call("postprocess", pictures, "--op", "median", "-o", "out")
    assert "skipped" in answer.err
    assert "error" not in answer.err


def test_an_input_is_never_overwritten(call: Call, photo: Path) -> None:
    before = photo.read_bytes()
    answer = call("postprocess", photo, "--op", "median", "-o", photo, code=2)
    assert "-o photo.png is one of the inputs" in answer.err
    call("postprocess", photo, "--op", "levels:black=20", "-o", ".")
    assert photo.read_bytes() == before
    assert names(".") == ["photo-1.png", "photo.png"]


@pytest.fixture
def found() -> Iterator[None]:
    @operation("report", "test-size")
    def test_size(color: np.ndarray, extras: dict[str, Image.Image | bytes]) -> dict[str, int]:
        """Tell the size."""
        extras["note.txt"] = b"hello"
        extras["grey.png"] = Image.new("L", (2, 2))
        return {"width": color.shape[1]}

    yield
    del OPERATIONS["test-size"]


@pytest.mark.usefixtures("found")
def test_reports_and_extra_files(call: Call, photo: Path) -> None:
    answer = call("postprocess", photo, "--op", "test-size:file=r.jsonl", "-o", "o")
    path, *extras, report = answer.out.splitlines()
    assert (path, extras) == ("o/photo.png", ["o/photo-note.txt", "o/photo-grey.png"])
    assert names("o") == ["photo-grey.png", "photo-note.txt", "photo.png"]
    expected = {"input": "photo.png", "op": "test-size", "width": 32}
    assert json.loads(report) == json.loads(Path("r.jsonl").read_text()) == expected
    record = json.loads(call("postprocess", photo, "--op", "test-size", "-o", "p", "--json").out)
    assert record["reports"] == [{"op": "test-size", "width": 32}]
    assert record["extras"] == ["p/photo-note.txt", "p/photo-grey.png"]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("nix.png --op median", 1, "no such file or folder: nix.png"),
        ("photo.png", 2, "nothing to do"),
        ("photo.png --op", 2, "Option '--op' requires an argument"),
        ("photo.png --op medain", 2, "unknown operation 'medain'; did you mean 'median'?"),
        ("photo.png --op median:siz=3", 2, "median: unknown setting 'siz'; did you mean 'size'?"),
        ("photo.png --op median:size=big", 2, "median"),
        ("photo.png --op levels:black=300", 2, "levels"),
        ("photo.png --op levels:black=200,white=100", 2, "levels"),
        ("photo.png --op median:region=sky", 2, "sky"),
        ("photo.png --op segment:method=magic,as=x", 2, "magic"),
        ("photo.png --op gaussian:strength=2", 2, "strength"),
        ("photo.png --op median --preset post/nix", 4, "unknown preset 'post/nix'"),
        ("photo.png --op median --set sample.truncation=1", 2, "has no effect"),
        ("photo.png --op median -o x.jpg", 2, "pictures are written as PNG"),
        ("photo.png . --op median -o x.png", 2, "more than one picture for one file"),
        ("photo.png --op median -o /proc/x", 1, "can't write to /proc/x"),
    ],
)
def test_mistakes(call: Call, photo: Path, words: str, code: int, expected: str) -> None:
    answer = call("postprocess", *words.split(), code=code)
    assert expected in answer.err.splitlines()[0]
    assert answer.err.startswith("error: ")
    assert names(".") == ["photo.png"]


def test_the_chain_is_checked_before_any_picture_is_read(call: Call) -> None:
    answer = call("postprocess", "nix.png", "--op", "median", "--op", "nix", code=2)
    assert "unknown operation 'nix'" in answer.err


def test_empty_stdin(run: Run) -> None:
    done = run("postprocess", "--op", "median", "-o", "out", stdin=b"", code=1)
    assert b"error: no pictures came in on stdin" in done.stderr
    done = run("postprocess", "--op", "median", "-o", "out", code=2)
    assert b"error: no pictures" in done.stderr
