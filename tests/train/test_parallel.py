"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.train.test_loop import wait_for

SETTINGS = [
    "--set", "data.size=16", "--set", "model.width=8",
    "--set", "train.batch_size=16", "--set", "train.checkpoint_every=20",
    "--set", "train.watch_every=0",
]  # fmt: skip
GAN = ["--preset", "gan"]


def torchrun(*words: object) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*launcher, "-m", "imagegen", "train", *map(str, words), *SETTINGS]


def curve(home: Path, name: str) -> list[dict[str, float]]:
    records = [json.loads(x) for x in (home / "models" / name / "metrics.jsonl").open()]
    for record in records:
        del record["seconds"], record["pictures_per_second"]
    return records


@pytest.mark.parametrize(
    ("preset", "optimizer", "steps"),
    [("gan", "adam", [20, 40, 60]), ("gan", "muon", [20]), ("flow", "muon", [20, 40, 60])],
)
def test_two_processes_give_the_curve_of_one(
    home: Path, run: Run, preset: str, optimizer: str, steps: list[int]
) -> None:
    # With this seed no score of the GAN is near zero, where a share of it would say nothing. With
    # Muon its contest makes rounding grow: by step 40 scores differ by 2e-3.
    words = ["sample:smileys", "--preset", preset, "--steps", steps[-1], "--seed", 6]
    words += ["--set", f"train.optimizer={optimizer}"]
    run("train", *words, *SETTINGS, "--name", "one")
    done = subprocess.run(torchrun(*words, "--name", "two"), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    one, two = curve(home, "one"), curve(home, "two")
    assert [record["step"] for record in two] == steps
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4)
    assert done.stderr.count(b"all steps done") == 1  # only the first one speaks
    again = subprocess.run(torchrun(*words, "--name", "two"), capture_output=True, timeout=300)
    assert again.returncode == 0, again.stderr.decode()
    assert again.stderr.count(b"two is finished") == 1


def test_a_process_that_dies_ends_all_and_another_number_goes_on(home: Path, run: Run) -> None:
    words = ["sample:smileys", *GAN, "--name", "hurt"]
    training = subprocess.Popen(
        torchrun(*words, "--steps", 5000), stderr=subprocess.PIPE, text=True
    )
    wait_for(home / "models/hurt/state/000000040.safetensors")
    children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[1]), signal.SIGKILL)
    _, err = training.communicate(timeout=120)
    assert training.returncode != 0
    assert "another process of this training has ended" in err
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    alone = subprocess.Popen(
        [sys.executable, "-m", "imagegen", "train", "--resume", "hurt"],
        stderr=subprocess.PIPE,
        text=True,
    )
    state = max((home / "models/hurt/state").glob("0*.safetensors"))
    wait_for(state.with_name(f"{int(state.stem) // 20 * 20 + 20:09d}.safetensors"))
    time.sleep(0.1)
    alone.terminate()
    _, err = alone.communicate(timeout=120)
    assert "going on from step" in err


def test_a_batch_that_cannot_be_shared_is_an_error(home: Path) -> None:
    done = subprocess.run(
        [*torchrun("sample:smileys", *GAN, "--steps", 4), "--set", "train.batch_size=6"],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert b"error: train.batch_size: 6 pictures can't be shared by 2 processes" in done.stderr
