"""What `train` says of odd data and of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL, Call


def test_one_broken_picture_among_many(call: Call, pictures: Path) -> None:
    broken = pictures / "disc" / "disc0.png"
    broken.write_bytes(broken.read_bytes()[:50])
    before = broken.read_bytes()
    answer = call("train", pictures, "--steps", 2, *SMALL)
    assert "11 pictures" in answer.err
    assert "skipped disc/disc0.png: cut off" in answer.err
    assert broken.read_bytes() == before


def test_one_picture_and_a_batch_of_four(call: Call, pictures: Path) -> None:
    call("train", pictures / "disc", "--steps", 2, *SMALL, "--name", "few")
    for path in list((pictures / "disc").iterdir())[1:]:
        path.unlink()
    call("train", pictures / "disc", "--steps", 2, *SMALL, "--name", "one")


def test_dry_run_leaves_nothing_behind(call: Call, pictures: Path, home: Path) -> None:
    answer = call("train", pictures, "--dry-run", *SMALL)
    assert "12 pictures" in answer.err
    assert "would train a gan" in answer.err
    assert not (home / "models").exists()


def test_print_config_feeds_back(call: Call, pictures: Path) -> None:
    words = [*SMALL, "--seed", 3, "--steps", 2]
    printed = call("train", "--print-config", *words).out
    assert "# --seed" in printed
    Path("printed.yaml").write_text(printed)
    again = call("train", "--print-config", "--preset", "printed.yaml").out

    def values(text: str) -> list[str]:
        return [line.split("#")[0].rstrip() for line in text.splitlines()]

    assert values(again) == values(printed)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("nix", 1, "no such folder: nix"),
        ("empty", 1, "empty is empty"),
        ("texts", 1, "texts holds 1 files but no pictures (.txt)"),
        ("broken", 1, "none of the 2 pictures in broken can be used"),
        ("sample:nix", 4, "no such sample: nix"),
        ("", 2, "nothing to train on"),
        ("good --preset nix", 4, "unknown preset 'nix'"),
        ("good --preset bad.yaml", 2, "bad.yaml:2: train.lrr: unknown key; did you mean 'lr'?"),
        ("good --set train.lr=fast", 2, "train.lr: should be a valid number"),
        ("good --set trian.lr=1", 2, "trian: unknown key; did you mean 'train'?"),
        ("good --set family=gam", 2, "unknown family 'gam'; did you mean 'gan'?"),
        ("good --set data.size=33", 2, "33"),
        ("good --set device=tpu", 2, "device: 'tpu' is not there"),
        ("good --set device=meta", 2, "device: 'meta' is not there"),
        ("good --set train.betas=[0,2]", 2, "train.betas.1: should be less than 1, got 2"),
        ("good --budget soon", 2, "train.budget: should be a duration"),
        ("good --budget 1m --steps 3", 2, "--budget and --steps exclude each other"),
        ("good --name ../x", 2, "can't be the name of a model"),
        ("--resume nix", 4, "unknown model 'nix'"),
    ],
)
def test_mistakes(
    call: Call, pictures: Path, home: Path, words: str, code: int, expected: str
) -> None:
    pictures.rename("good")
    Path("empty").mkdir()
    for name in ("texts/a.txt", "broken/a.png", "broken/b.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("no picture")
    Path("bad.yaml").write_text("train:\n  lrr: 1\n")
    answer = call("train", *words.split(), code=code)
    lines = answer.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert lines[-1].startswith(" hint: ")
    assert not (home / "models").exists()


def test_what_has_broken_down_is_not_saved(call: Call, pictures: Path, home: Path) -> None:
    words = ["--set", "train.lr=1e30", "--set", "train.warmup=0", "--steps", 40]
    answer = call("train", pictures, *SMALL, *words, code=1)
    assert "training broke down at step" in answer.err
    assert "try a lower rate" in answer.err
    assert not list((home / "models/shapes").glob("model.safetensors"))


def test_json_says_what_would_be_done(call: Call, pictures: Path) -> None:
    lines = call("train", pictures, *SMALL, "--dry-run", "--json").out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["data", "plan"]
    assert json.loads(call("train", *SMALL, "--print-config", "--json").out)["data"]["size"] == 16


def test_resume_takes_no_settings(call: Call, trained: Path) -> None:
    answer = call("train", "--resume", "smileys", "--seed", 1, code=2)
    assert "--seed has no effect with --resume" in answer.err


def test_a_home_that_cannot_be_written(
    call: Call, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("taken").write_text("")
    monkeypatch.setenv("IMAGEGEN_HOME", "taken")
    answer = call("train", pictures, "--steps", 1, *SMALL, code=1)
    assert "error: Not a directory: taken" in answer.err
