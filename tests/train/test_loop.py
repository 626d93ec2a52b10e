"""Training: it goes on where it stopped, whatever stopped it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from safetensors.numpy import load_file

from imagegen.families.gan import TARGET
from imagegen.images import metadata
from tests.cli.conftest import SMALL
from tests.conftest import Run

STEPS = 60


def command(data: Path | str, *words: object) -> list[str]:
    return ["train", str(data), *SMALL, "--set", "train.checkpoint_every=5", *map(str, words)]


def hear_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: to ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(words: list[str], home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "imagegen", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "IMAGEGEN_HOME": str(home)},
        preexec_fn=hear_interrupts,
    )


def wait_for(path: Path, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


def weights(home: Path, name: str) -> dict[str, bytes]:
    tensors = load_file(home / "models" / name / "model.safetensors")
    return {key: value.tobytes() for key, value in tensors.items()}


def state(home: Path, name: str) -> dict[str, bytes]:
    newest = max((home / "models" / name / "state").glob("*.safetensors"))
    return {key: value.tobytes() for key, value in load_file(newest).items()}


def test_killed_at_random_moments_it_ends_with_the_same_weights(
    pictures: Path, home: Path, run: Run
) -> None:
    run(*command(pictures, "--steps", STEPS, "--name", "whole"))
    killed = command(pictures, "--steps", STEPS, "--name", "killed")
    folder = home / "models" / "killed"
    moments = random.Random(0)
    kills = 0
    for after in (5, 15, 35):
        training = start(killed, home)
        wait_for(folder / "state" / f"{after:09d}.safetensors")
        time.sleep(moments.uniform(0, 0.05))
        training.send_signal(signal.SIGKILL)
        kills += training.wait() == -signal.SIGKILL
    assert kills >= 2
    done = run(*killed)
    assert b"going on from step" in done.stderr
    assert weights(home, "killed") == weights(home, "whole")
    assert state(home, "killed") == state(home, "whole")
    assert (folder / "model.safetensors").read_bytes() == (
        home / "models" / "whole" / "model.safetensors"
    ).read_bytes()
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").open()]
    assert steps == sorted(set(steps))


def test_what_looks_have_decided_is_decided_again(home: Path, run: Run) -> None:
    """The augmentation follows the gaps of the looks, also after a kill between two of them."""
    words = ["--set", "train.watch_every=8", "--steps", "36"]
    run(*command("sample:smileys", *words, "--name", "whole"))
    records = map(json.loads, (home / "models/whole/state/journal.jsonl").open())
    gaps = [record["gap"] for record in records if record.get("decision") == "watched"]
    assert len(gaps) == 5
    assert min(gaps[:3]) < TARGET  # so that it changes
    killed = command("sample:smileys", *words, "--name", "killed")
    training = start(killed, home)
    wait_for(home / "models/killed/state/000000020.safetensors")
    training.kill()
    training.wait()
    run(*killed)
    assert state(home, "killed") == state(home, "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    pictures: Path, home: Path, run: Run, number: signal.Signals
) -> None:
    words = command(pictures, "--steps", 5000, "--name", "stopped")
    training = start(words, home)
    folder = home / "models" / "stopped"
    wait_for(folder / "state" / "000000005.safetensors")
    training.send_signal(number)
    _, err = training.communicate()
    assert training.returncode == 130
    assert b"stopped and saved; go on with: imagegen train --resume stopped" in err
    assert b"Traceback" not in err
    saved = max((folder / "state").glob("*.safetensors"))
    again = start(["train", "--resume", "stopped"], home)
    time.sleep(0.1)
    wait_for(folder / "state" / f"{(int(saved.stem) // 5 + 2) * 5:09d}.safetensors")
    again.send_signal(signal.SIGINT)
    _, err = again.communicate()
    assert f"going on from step {int(saved.stem)}".encode() in err


def test_it_goes_on_when_nobody_listens(pictures: Path, home: Path) -> None:
    training = start(command(pictures, "--steps", 60, "--name", "alone"), home)
    assert training.stderr is not None
    training.stderr.readline()
    training.stderr.close()
    assert training.wait(timeout=200) == 0
    assert (home / "models" / "alone" / "model.safetensors").exists()


def test_a_finished_model_is_left_alone(pictures: Path, home: Path, run: Run) -> None:
    words = command(pictures, "--steps", 4, "--name", "done")
    run(*words)
    before = {p: p.stat().st_mtime_ns for p in (home / "models" / "done").rglob("*.safetensors")}
    assert b"done is finished: all steps done at step 4" in run(*words).stderr
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_other_settings_or_pictures_are_refused(pictures: Path, run: Run) -> None:
    run(*command(pictures, "--steps", 4, "--name", "m"))
    done = run(*command(pictures, "--steps", 4, "--name", "m", "--set", "train.lr=1"), code=1)
    assert b"error: model 'm' was trained otherwise: train.lr 0.001 then, 1.0 now" in done.stderr
    assert b"hint: start a new one with --name NAME" in done.stderr
    next(pictures.rglob("*.png")).unlink()
    done = run(*command(pictures, "--steps", 4, "--name", "m"), code=1)
    assert b"other pictures (12 then, 11 now)" in done.stderr


def test_two_trainings_of_one_name_are_refused(pictures: Path, home: Path, run: Run) -> None:
    words = command(pictures, "--steps", 5000, "--name", "one")
    first = start(words, home)
    wait_for(home / "models" / "one" / "state" / "000000005.safetensors")
    done = run(*words, code=1)
    assert b"is being trained by another process" in done.stderr
    first.terminate()
    first.communicate()


def test_a_budget_is_kept_in_steps_that_are_written_down(
    pictures: Path, home: Path, run: Run
) -> None:
    run("train", pictures, *SMALL, "--budget", "2s", "--name", "timed")
    journal = (home / "models" / "timed" / "state" / "journal.jsonl").read_text().splitlines()
    decided = [json.loads(line) for line in journal]
    assert [one["decision"] for one in decided[:2]] == ["precision", "steps"]
    assert decided[-1]["reason"] == "budget used"
    assert decided[-1]["finished"] == [d["total"] for d in decided if "total" in d][-1]


def test_what_training_leaves_behind(pictures: Path, home: Path, run: Run) -> None:
    run(*command(pictures, "--steps", 8))
    folder = home / "models" / "shapes"
    assert {p.name for p in folder.iterdir()} == {
        "card.md", "config.yaml", "data.json", "index.safetensors",
        "index.safetensors.sha256", "metrics.jsonl", "model.safetensors",
        "model.safetensors.sha256", "samples", "state",
    }  # fmt: skip
    sheets = sorted(p.name for p in (folder / "samples").iterdir())
    assert sheets == ["000000004.png", "000000008.png"]
    record = metadata.read(Image.open(folder / "samples" / sheets[1]))
    assert record is not None
    assert record["seeds"] == list(range(16))
    data = json.loads((folder / "data.json").read_text())
    assert (data["pictures"], data["labels"]) == (12, {"disc": 5, "square": 5})  # held out: 2
    assert "12 pictures" in (folder / "card.md").read_text()


def test_json_events(pictures: Path, run: Run) -> None:
    out = run(*command(pictures, "--steps", 4, "--json")).stdout
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["data", "progress", "sheet", "ended"]
    assert events[-1]["complete"] is True


def test_a_broken_state_is_passed_over(pictures: Path, home: Path, run: Run) -> None:
    run(*command(pictures, "--steps", 12, "--name", "whole"))
    training = start(command(pictures, "--steps", 5000, "--name", "hurt"), home)
    folder = home / "models" / "hurt" / "state"
    wait_for(folder / "000000015.safetensors")
    training.kill()
    training.communicate()
    newest = max(folder.glob("*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[-3] ^= 8
    newest.write_bytes(data)
    again = start(["train", "--resume", "hurt"], home)
    time.sleep(0.1)
    wait_for(folder / f"{int(newest.stem) + 10:09d}.safetensors")
    again.terminate()
    _, err = again.communicate()
    assert b"warning: " in err
    assert f"{newest.name} is damaged".encode() in err
    assert b"the state before it is used" in err
