"""Seeds in, pictures out: the promises of `generate`, and what bad input gets."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save

from imagegen import durable
from imagegen.images import metadata
from imagegen.images.stream import split
from tests.cli.conftest import Call
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("trained")


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_a_picture_depends_on_its_seed_alone(call: Call) -> None:
    call("generate", "--seed", 42, "-n", 16, "-o", "a")
    call("generate", "--seed", 42, "-n", 16, "-o", "b", "--batch-size", 5)
    call("generate", "--seed", 47, "-n", 1, "-o", "c")
    a, b, c = files("a"), files("b"), files("c")
    assert a == b
    assert list(a) != []
    assert len(a) == len(set(a.values())) == 16
    assert c == {"smileys-47.png": a["smileys-47.png"]}


def test_the_same_command_in_another_process_gives_the_same_bytes(call: Call, run: Run) -> None:
    call("generate", "--seed", 3, "-n", 2, "-o", "a")
    run("generate", "--seed", 3, "-n", 2, "-o", "b")
    assert files("a") == files("b")


def test_a_picture_says_how_to_make_it_again(call: Call, trained: Path) -> None:
    call(
        "generate", "--seed", 9, "--label", "flat", "--set", "sample.truncation=0.5", "-o", "a.png"
    )
    picture = Image.open("a.png")
    record = metadata.read(picture)
    assert record is not None
    assert (record["seed"], record["model"], record["label"]) == (9, "smileys", "flat")
    assert record["sample"] == {"truncation": 0.5}
    assert record["weights"] in (trained / "model.safetensors.sha256").read_text()
    assert (picture.mode, picture.size) == ("RGBA", (16, 16))


def test_labels_and_truncation_change_the_picture(call: Call) -> None:
    pixels = []
    for index, more in enumerate(("flat", "3d", "none", "3d --set sample.truncation=0.1")):
        call("generate", "--seed", 1, "--label", *more.split(), "-o", f"{index}.png")
        pixels.append(Image.open(f"{index}.png").tobytes())
    assert len(set(pixels)) == 4


def test_a_pipe_gets_the_files_back_to_back(call: Call, run: Run) -> None:
    call("generate", "--seed", 5, "-n", 3, "-o", "a")
    done = run("generate", "--seed", 5, "-n", 3)
    assert list(split(io.BytesIO(done.stdout))) == list(files("a").values())


def test_a_sheet_shows_them_all_and_says_which(call: Call) -> None:
    call("generate", "--seed", 5, "-n", 4, "-o", "a", "--grid", "sheets/sheet.png")
    sheet = Image.open("sheets/sheet.png")
    record = metadata.read(sheet)
    assert record is not None
    assert record["seeds"] == [5, 8]
    assert sheet.width == sheet.height > 2 * 80


def test_json_has_an_object_a_picture(call: Call) -> None:
    lines = call("generate", "--seed", 5, "-n", 2, "-o", "a", "--json").out.splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["seed"] for record in records] == [5, 6]
    assert all(Path(record["path"]).is_file() for record in records)


def test_another_picture_of_that_name_is_kept(call: Call) -> None:
    call("generate", "--seed", 5, "-o", "a")
    call("generate", "--seed", 5, "-o", "a", "--set", "sample.truncation=0.2")
    again = call("generate", "--seed", 5, "-o", "a", "--set", "sample.truncation=0.2")
    assert sorted(files("a")) == ["smileys-5-1.png", "smileys-5.png"]
    assert again.out.strip() == "a/smileys-5-1.png"


def test_operations_of_a_preset_are_applied_and_recorded(call: Call) -> None:
    call("generate", "--seed", 5, "-o", "a.png", "--preset", "post/clean")
    record = metadata.read(Image.open("a.png"))
    assert record is not None
    assert [step["op"] for step in record["postprocess"]] == ["auto-contrast", "sharpen"]


def test_print_config_feeds_back(call: Call) -> None:
    printed = call("generate", "--set", "sample.truncation=0.3", "--print-config").out
    Path("printed.yaml").write_text(printed)
    call("generate", "--seed", 1, "--set", "sample.truncation=0.3", "-o", "a.png")
    call("generate", "--seed", 1, "--preset", "printed.yaml", "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_a_reader_that_goes_away_is_no_error(trained: Path) -> None:
    generator = subprocess.Popen(
        [sys.executable, "-m", "imagegen", "generate", "-n", "2000", "--seed", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert generator.stdout is not None
    assert generator.stderr is not None
    generator.stdout.read(100)
    generator.stdout.close()
    assert generator.stderr.read() == b""
    assert generator.wait() == 141


def test_closed_streams_are_not_taken_for_files(trained: Path) -> None:
    command = [sys.executable, "-m", "imagegen", "generate", "--seed", "1", "-o", "out"]
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&- <&-', "sh", *command])
    assert done.returncode == 0
    assert list(files("out")) == ["smileys-1.png"]


def test_a_picture_that_imagegen_did_not_make_is_kept(call: Call) -> None:
    Image.new("L", (3, 3)).save("mine.png")
    for flags in (["-o", "mine.png"], ["-o", "a", "--grid", "mine.png"]):
        answer = call("generate", *flags, code=2)
        assert "mine.png: exists, and is not of imagegen's making" in answer.err
    call("generate", "--seed", 1, "-o", "ours.png")
    call("generate", "--seed", 2, "-o", "ours.png")
    record = metadata.read(Image.open("ours.png"))
    assert record is not None
    assert record["seed"] == 2


def test_no_binary_to_a_terminal(trained: Path) -> None:
    parent, child = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "imagegen", "generate", "--seed", "1", "-o", "-"],
        stdout=child,
        stderr=subprocess.PIPE,
    )
    os.close(child)
    os.close(parent)
    assert done.returncode == 2
    assert b"error: pictures are not written to a terminal\n hint: use -o DIR" in done.stderr


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_ffmpeg_reads_the_stream(run: Run) -> None:
    stream = run("generate", "-n", 4, "--seed", 1).stdout
    command = "ffmpeg -loglevel error -f image2pipe -i - x.gif"
    subprocess.run(command.split(), input=stream, check=True)
    assert Image.open("x.gif").n_frames == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("-m nix", 4, "unknown model 'nix'"),
        ("-m smiley", 4, "unknown model 'smiley'; did you mean 'smileys'?"),
        ("-m ../smileys", 2, "'../smileys' can't be the name of a model"),
        ("-m /etc", 2, "'/etc' can't be the name of a model"),
        ("--label fat", 2, "--label fat: unknown label 'fat'; did you mean 'flat'?"),
        ("--set sample.trunc=1", 2, "unknown key; did you mean 'truncation'?"),
        ("--set sample.truncation=2", 2, "should be less than or equal to 1, got 2"),
        ("--set sample.truncation=low", 2, "should be a valid number"),
        ("--set train.lr=1", 2, "has no effect in this command"),
        ("--preset nix", 4, "unknown preset 'nix'"),
        ("-n 0", 2, "Invalid value for '--count'"),
        ("--seed -1", 2, "Invalid value for '--seed'"),
        ("-n 2 -o x.png", 2, "more than one picture for one file"),
        ("-o x.jpg", 2, "pictures are written as PNG"),
        ("-n 2", 2, "many pictures in one redirected file"),
        ("-o - --json", 2, "--json and -o - both want stdout"),
        ("--grid x.gif -o a", 2, "--grid x.gif: pictures are written as PNG"),
        ("-o /proc/nix", 1, "can't write to /proc/nix"),
        ("!?", 2, "no word of the text is known: !?"),
        ("--label flat:0.7,3d:0.7", 2, "expected weights over 0 that sum up to 1"),
        ("--label flat:0.7,fat:0.3", 2, "unknown label 'fat'; did you mean 'flat'?"),
        ("--label flat:x,3d:0.3", 2, "expected weights over 0 that sum up to 1"),
        ("--label flat --label flat", 2, "'flat' is in it twice"),
        ("--guidance 2", 2, "--guidance 2: smileys is of family gan, which has none"),
        ("--nix", 2, "No such option: --nix"),
    ],
)
def test_mistakes(call: Call, words: str, code: int, expected: str) -> None:
    answer = call("generate", *words.split(), code=code)
    assert expected in answer.err.splitlines()[0]
    assert answer.err.startswith("error: ")
    assert "\n hint: " in answer.err
    assert answer.out == ""
    assert not list(Path().iterdir())


def test_words_that_it_does_not_know_are_named(call: Call, trained: Path) -> None:
    answer = call("generate", "a smilling face, qwx", "--seed", 3, "-o", "a.png")
    assert "warning: 'smilling' is not a word it knows: read in pieces; known are smiling" in (
        answer.err
    )
    assert "'face'" not in answer.err
    strange = call(
        "generate", "face \u0441\u043e\u0431\u0430\u043a\u0430 " + 10_000 * "z", "-o", "d.png"
    ).err
    assert "it knows: left out, for it knows no letter of it" in strange
    assert len(strange) < 1_000
    again = call("generate", "a smilling face, qwx", "--seed", 3, "-o", "b.png")
    other = call("generate", "a crying face", "--seed", 3, "-o", "c.png")
    assert "warning" in again.err
    assert "warning" not in other.err
    first, second, third = (Image.open(f"{name}.png") for name in "abc")
    assert first.tobytes() == second.tobytes() != third.tobytes()
    assert metadata.read(first)["prompt"] == "a smilling face, qwx"  # type: ignore[index]


def test_ten_thousand_letters(call: Call, trained: Path) -> None:
    text = " ".join(f"word{number}" for number in range(1300))
    answer = call("generate", text, "-o", "a.png")
    assert len(text) > 10_000
    assert len(answer.err.splitlines()) < 12
    assert "nor are 1,295 others" in answer.err
    assert "only its first 32 words and pieces count" in answer.err
    assert Path("a.png").exists()


def test_no_model_at_all(call: Call, trained: Path) -> None:
    shutil.rmtree(trained)
    assert "imagegen train sample:smileys" in call("generate", code=4).err


@pytest.mark.parametrize("damage", ["flip", "truncate", "zero", "empty", "remove", "no sum"])
def test_damaged_weights_are_noticed(call: Call, trained: Path, damage: str) -> None:
    path = trained / "model.safetensors"
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[-9] ^= 1
        case "truncate":
            del data[-100:]
        case "zero":
            data[:64] = bytes(64)
        case "empty":
            data.clear()
        case "no sum":
            Path(f"{path}.sha256").unlink()
    path.write_bytes(data)
    if damage == "remove":
        path.unlink()
    answer = call("generate", "-m", "smileys", "-o", "a", code=1)
    assert "smileys" in answer.err
    assert len(answer.err.splitlines()) == 2
    assert not Path("a").exists()


def test_weights_of_other_networks_are_refused(call: Call, trained: Path) -> None:
    path = trained / "model.safetensors"
    with safe_open(path, "pt") as file:
        header = file.metadata()
    weights = load_file(path)
    name = next(iter(weights))
    weights[name] = weights[name].new_zeros(*weights[name].shape, 2)
    durable.write_checked(path, save(weights, header))
    answer = call("generate", "-m", "smileys", "-o", "a", code=1)
    assert "model smileys: its weights do not fit this version of imagegen" in answer.err
    assert not Path("a").exists()


def test_a_folder_that_cannot_be_written(call: Call) -> None:
    Path("taken").write_text("a file")
    answer = call("generate", "-o", "taken", code=1)
    assert "can't write to taken" in answer.err
    assert Path("taken").read_text() == "a file"


def test_a_label_that_the_seed_has_drawn_is_told(call: Call) -> None:
    call("generate", "--seed", 5, "-n", 8, "-o", "a")
    records = [metadata.read(Image.open(path)) or {} for path in sorted(Path("a").iterdir())]
    assert {record["label"] for record in records} == {"3d", "flat"}
    one = records[0]
    words = ["--seed", one["seed"], "--label", one["label"]]
    call("generate", *words, "-o", "b.png")
    assert Path("b.png").read_bytes() == Path(f"a/smileys-{one['seed']}.png").read_bytes()


def test_two_labels_are_two_halves(call: Call) -> None:
    call("generate", "--seed", 5, "--label", "flat", "--label", "3d", "-o", "a.png")
    call("generate", "--seed", 5, "--label", "flat:0.5,3d:0.5", "-o", "b.png")
    one, other = Image.open("a.png"), Image.open("b.png")
    assert one.tobytes() == other.tobytes()
    assert (metadata.read(one) or {})["label"] == "flat,3d"


def test_words_need_no_quotes(call: Call) -> None:
    call("generate", "worried", "face,", "flat", "--seed", 5, "-o", "a.png")
    call("generate", "worried face, flat", "--seed", 5, "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_guidance_without_anything_to_be_told_is_refused(call: Call) -> None:
    untold = ["data.labels=none", "data.captions=none", "data.size=16", "model.width=8"]
    untold.append("data.turned=0.5")  # which nobody can ask for
    sets = [word for setting in untold for word in ("--set", setting)]
    call("train", "sample:smileys", "--name", "plain", "--preset", "flow", "--steps", 2, *sets)
    answer = call("generate", "-m", "plain", "--guidance", 2, code=2)
    assert "--guidance 2: plain was trained without labels and text" in answer.err
    assert json.loads(call("models", "show", "plain", "--json").out)["words"] == 0
    card = call("models", "show", "plain").out
    assert "no captions" in card
    assert "WORDS" not in card
    answer = call("generate", "-m", "plain", "--label", "none", code=2)
    assert "trained without labels" in answer.err
    call("generate", "-m", "plain", "--set", "sample.steps=2", "-o", "a.png")
