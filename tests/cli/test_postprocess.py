"""Pictures in, finished pictures out: files, folders, streams, and what bad input gets."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from imagegen.images import files, metadata, png
from imagegen.images.pixels import to_integers
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
    exif[0x0112], exif[0x010F] = 6, "Maker"
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
    assert dict(out.getexif()) == {0x0112: 1, 0x010F: "Maker"}


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


# --- many pictures, names, places ---------------------------------------------------------------


def test_order_is_kept_whatever_the_jobs(call: Call) -> None:
    Path("in").mkdir()
    for index in range(9):  # large ones first, so that later ones are done sooner
        Image.new("RGB", (400 - 40 * index, 300), (20 * index, 0, 0)).save(f"in/{index}.png")
    for jobs in (1, 4):
        answer = call("postprocess", "in", "--op", "median", "-o", f"o{jobs}", "--jobs", jobs)
        assert answer.out.split() == [f"o{jobs}/{index}.png" for index in range(9)]
    for index in range(9):
        assert Path(f"o1/{index}.png").read_bytes() == Path(f"o4/{index}.png").read_bytes()


def test_names_by_template(call: Call, photo: Path) -> None:
    Image.open(photo).resize((8, 6)).save("small.png")
    template = "out/{name}/{index:03d}-{width}x{height}.png"
    call("postprocess", photo, "small.png", "--op", "median", "-o", template)
    assert names("out") == ["photo/001-32x24.png", "small/002-8x6.png"]
    answer = call("postprocess", photo, "--op", "median", "-o", "{seed}.png", code=1)
    assert "photo.png: does not say its seed" in answer.err


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("o/{nam}.png", "unknown field 'nam'; did you mean 'name'?"),
        ("o/{name.png", "not a template"),
        ("o/{name:d}.png", "not a template"),
        ("o/{name.x}.png", "not a template"),
        ("o/{name.__class__}.png", "not a template"),
        ("o/{index:99999999d}.png", "not a template"),
        ("o/{}.png", "not a template"),
        ("o/{name}.jpg", "pictures are written as PNG"),
    ],
)
def test_bad_templates(call: Call, photo: Path, template: str, expected: str) -> None:
    answer = call("postprocess", photo, "--op", "median", "-o", template, code=2)
    assert expected in answer.err
    assert names(".") == ["photo.png"]


def test_in_place_only_when_told(call: Call, photo: Path) -> None:
    photo.chmod(0o640)
    Path("link.png").symlink_to(photo)
    call("postprocess", "link.png", "--op", "levels:black=60", "--in-place")
    assert Image.open(photo).getpixel((0, 0)) == (0, 0, 0)
    assert Path("link.png").is_symlink()
    assert photo.stat().st_mode & 0o777 == 0o640
    Image.open(photo).save("photo.jpg")
    for words, expected in [
        ("photo.png -o x --in-place", "two places"),
        ("photo.jpg --in-place", "written as PNG"),
    ]:
        answer = call("postprocess", *words.split(), "--op", "median", code=2)
        assert expected in answer.err


def test_a_broken_picture_stays_in_its_place(call: Call, photo: Path) -> None:
    Path("broken.png").write_bytes(photo.read_bytes()[:60])
    call("postprocess", ".", "--op", "median", "--in-place", code=3)
    assert Path("broken.png").stat().st_size == 60
    assert names(".") == ["broken.png", "photo.png"]


def test_extra_files_overwrite_nothing(call: Call, photo: Path, found: None) -> None:
    Path("photo-grey.png").write_bytes(b"mine")
    call("postprocess", photo, "--op", "test-size", "--in-place")
    assert Path("photo-grey.png").read_bytes() == b"mine"
    assert "photo-grey-1.png" in names(".")
    answer = call("postprocess", photo, "--op", "test-size:file=photo.png", code=2)
    assert "test-size: file: expected a name that ends with .jsonl" in answer.err


def test_debug_folder(call: Call, photo: Path) -> None:
    steps = ["segment:method=threshold,as=it", "levels:out_white=0,region=it,feather=1"]
    words = [word for step in steps for word in ("--op", step)]
    call("postprocess", photo, *words, "-o", "o", "--debug-dir", "d")
    assert names("d") == [
        "photo/00-input.png",
        "photo/01-segment-labels-it.png",
        "photo/01-segment.png",
        "photo/02-levels-mask.png",
        "photo/02-levels.png",
    ]
    last, out = (np.asarray(Image.open(p)) for p in ("d/photo/02-levels.png", "o/photo.png"))
    assert (last == out).all()
    labels = np.asarray(Image.open("d/photo/01-segment-labels-it.png"))
    assert (labels.dtype, labels[12, 16], labels[0, 0]) == (np.uint16, 1, 0)
    mask = np.asarray(Image.open("d/photo/02-levels-mask.png"))
    assert 0 < mask[12, 9] < mask[12, 10] < 255


# --- streams, depths, profiles ------------------------------------------------------------------


def test_pam_and_tar_in_and_out(run: Run, photo: Path) -> None:
    words = ("postprocess", "--op", "levels:black=60", "-o", "-")
    png = run(*words, stdin=photo.read_bytes() * 2).stdout
    pam = run(*words, "--format", "pam", stdin=photo.read_bytes() * 2).stdout
    tar = run(*words, "--format", "tar", stdin=photo.read_bytes() * 2).stdout
    assert png.startswith(b"\x89PNG")
    assert pam.startswith(b"P7\nWIDTH 32\nHEIGHT 24\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\n")
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert archive.getnames() == ["0001.png", "0002.png"]
    same = ("postprocess", "--op", "median:strength=0")
    expected = np.asarray(Image.open(io.BytesIO(png)))
    for index, stream in enumerate((png, pam, tar)):
        run(*same, "-o", f"o{index}", stdin=stream)
        assert names(f"o{index}") == ["0001.png", "0002.png"]
        for name in names(f"o{index}"):
            assert (np.asarray(Image.open(f"o{index}/{name}")) == expected).all()
    assert b"picture 2 is cut off" in run(*same, "-o", "cut", stdin=pam[:-5], code=3).stderr
    assert b"error: stdin" in run(*same, "-o", "cut", stdin=tar[:600], code=1).stderr


def test_sixteen_bit_color_is_kept(call: Call) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (5, 7, 4)).astype(np.uint16)
    for channels, name in [(2, "la"), (3, "rgb"), (4, "rgba")]:
        Path(f"{name}.png").write_bytes(png.encode(values[..., :channels]))
    call("postprocess", ".", "--op", "gaussian:strength=0", "-o", "o")
    for channels, name in [(2, "la"), (3, "rgb"), (4, "rgba")]:
        out = to_integers(files.read(Path(f"o/{name}.png").read_bytes()).pixels)
        assert (out == values[..., :channels]).all()


def test_color_profiles_are_kept_or_converted(call: Call) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.new("RGBA", (4, 4), (100, 150, 200, 90))
    picture.save("own.png", icc_profile=srgb)
    picture.save("bad.png", icc_profile=profile[:16] + b"RGB " + profile[20:100])
    same = ("--op", "median:strength=0")
    call("postprocess", "own.png", "bad.png", *same, "-o", "kept")
    assert Image.open("kept/own.png").info["icc_profile"] == srgb
    answer = call("postprocess", ".", *same, "-o", "o", "--icc", "srgb", code=3)
    assert "bad.png: its colour profile is damaged" in answer.err
    converted = Image.open("o/own.png")
    assert "icc_profile" not in converted.info
    assert converted.getpixel((0, 0)) == (100, 150, 200, 90)


# --- bad input ----------------------------------------------------------------------------------


def test_each_broken_picture_has_its_own_hint(call: Call, photo: Path) -> None:
    whole = photo.read_bytes()
    Path("a.png").write_bytes(b"")
    Path("b.png").write_bytes(b"hello, I am a text")
    Path("c.png").write_bytes(whole[:60])
    Image.new("L", (9000, 8000)).save("d.png")
    answer = call("postprocess", ".", "--op", "median", "-o", "o", code=3)
    for line in (
        "a.png: empty file",
        "b.png: not a picture of a known format",
        "c.png: cut off",
        "d.png: too large: 72 megapixels, and the limit is 64",
        "--max-megapixels 72",
        "4 of 5 pictures failed: ./a.png, ./b.png, ./c.png, ./d.png",
    ):
        assert line in answer.err
    assert answer.err.count("hint:") == 4
    record = json.loads(
        call("postprocess", "a.png", "--op", "median", "-o", "o", "--json", code=1).out
    )
    assert record == {"input": "a.png", "error": "empty file"}


def test_a_wide_picture_and_a_raised_limit(call: Call) -> None:
    Image.new("L", (30_000, 70)).save("wide.png")
    call("postprocess", "wide.png", "--op", "gaussian", "-o", "o", "--max-megapixels", 3)
    assert Image.open("o/wide.png").size == (30_000, 70)
    answer = call(
        "postprocess", "wide.png", "--op", "median", "-o", "o", "--max-megapixels", 2, code=1
    )
    assert "limit is 2" in answer.err
    steps = ("--op", "pad:square=true", "-o", "o")
    answer = call("postprocess", "wide.png", *steps, "--max-megapixels", 9, code=1)
    assert "pad: the result would be 30000x30000, which is too large: 900 megapixels" in answer.err
    assert "--max-megapixels 900" in answer.err


def test_the_comment_of_a_picture_is_kept(call: Call) -> None:
    picture = Image.new("RGB", (4, 3))
    picture.save("plain.jpg", comment="taken on Monday")
    picture.save("french.gif", comment="pris \u00e0 midi".encode("latin-1"))
    turned = picture.getexif()
    turned[0x0112] = 6
    picture.save("turned.jpg", comment="\u65e5\u672c\0".encode(), exif=turned)
    call("postprocess", ".", "--op", "median", "-o", "o")
    call("postprocess", "o/plain.png", "--op", "median", "-o", "again")
    for name, expected in (
        ("o/plain", "taken on Monday"),
        ("again/plain", "taken on Monday"),
        ("o/french", "pris \u00e0 midi"),
        ("o/turned", "\u65e5\u672c"),
    ):
        assert Image.open(f"{name}.png").info["Comment"] == expected


def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(call: Call) -> None:
    frames = [Image.new("RGB", (6, 5), (90 * index, 0, 0)) for index in range(3)]
    frames[0].save("anim.gif", save_all=True, append_images=frames[1:])
    frames[0].save("anim.png", save_all=True, append_images=frames[1:])
    answer = call("postprocess", ".", "--op", "median", "-o", "o")
    assert "./anim.gif: the first of 3 frames is taken" in answer.err
    assert "./anim.png: the first of 3 frames is taken" in answer.err
    assert Image.open("o/anim.png").getpixel((0, 0)) == (0, 0, 0)


# --- ops ----------------------------------------------------------------------------------------


def test_ops_as_json(call: Call) -> None:
    records = [json.loads(line) for line in call("ops", "--json").out.splitlines()]
    assert {record["name"] for record in records} == set(OPERATIONS)
    assert all({"name", "kind", "settings"} <= record.keys() for record in records)


def test_a_preview(call: Call, photo: Path) -> None:
    out = call("ops", "gaussian", "--preview").out.strip()
    assert out == "outputs/gaussian-preview.png"
    assert Image.open(out).width > 2 * 256
    call("ops", "gaussian", "--preview", "--picture", photo, "-o", "p.png")
    assert Image.open("p.png").width > 2 * 32
    assert "goes with --preview" in call("ops", "gaussian", "-o", "p.png", code=2).err
    Path("bad.png").write_bytes(b"no")
    answer = call("ops", "gaussian", "--preview", "--picture", "bad.png", code=1)
    assert "bad.png: not a picture" in answer.err
