"""Several processes train as one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from imagegen.train import checkpoint
from imagegen.train.parallel import Order, World
from tests import double
from tests.train.test_loop import wait_for

SETTINGS = [
    "--set", "data.size=16", "--set", "model.width=8",
    "--set", "train.batch_size=16", "--set", "train.checkpoint_every=20",
    "--set", "train.watch_every=0", "--set", "train.precision=float32",
]  # fmt: skip
GAN = ["--preset", "gan"]
IMAGEGEN = ["-m", "imagegen"]
FLOAT64 = [str(Path(double.__file__))]


def torchrun(*words: object, program: Sequence[str] = IMAGEGEN) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return [*launcher, *program, "train", *map(str, words), *SETTINGS]


def run_in_float64(words: Sequence[object]) -> None:
    """Train in one process as `one`, and in two as `two`."""
    alone = [sys.executable, *FLOAT64, "train", *map(str, words), *SETTINGS, "--name", "one"]
    for command in (alone, torchrun(*words, "--name", "two", program=FLOAT64)):
        done = subprocess.run(command, capture_output=True, timeout=300)
        assert done.returncode == 0, done.stderr.decode()


def curve(home: Path, name: str) -> list[dict[str, float]]:
    records = [json.loads(x) for x in (home / "models" / name / "metrics.jsonl").open()]
    for record in records:
        del record["seconds"], record["pictures_per_second"]
    return records


@pytest.mark.parametrize("preset", ["gan", "flow"])
def test_two_processes_give_the_gradients_of_one(home: Path, preset: str) -> None:
    words = ["sample:smileys", "--preset", preset, "--steps", 1, "--seed", 6]
    run_in_float64([*words, "--set", "train.optimizer=adam", "--set", "train.betas=[0, 0.99]"])
    one, two = (checkpoint.load(home / "models" / name / "state", 1) for name in ("one", "two"))
    for phase, optimizer in one.optimizers.items():
        for number, moments in optimizer["state"].items():
            ours = moments["exp_avg"]  # with a first decay rate of 0, the gradient itself
            theirs = two.optimizers[phase]["state"][number]["exp_avg"]
            assert ours.dtype == torch.float64
            assert (theirs - ours).abs().max() <= 1e-10 * ours.abs().max(), (phase, number)


@pytest.mark.parametrize(
    ("preset", "optimizer"), [("gan", "adam"), ("gan", "muon"), ("flow", "muon")]
)
def test_two_processes_give_the_curve_of_one(home: Path, preset: str, optimizer: str) -> None:
    words = ["sample:smileys", "--preset", preset, "--steps", 60, "--seed", 6]
    run_in_float64([*words, "--set", f"train.optimizer={optimizer}"])
    one, two = curve(home, "one"), curve(home, "two")
    assert [record["step"] for record in two] == [20, 40, 60]
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-5)  # they are written with six digits


def test_only_the_first_process_speaks(home: Path) -> None:
    command = torchrun("sample:smileys", *GAN, "--steps", 4, "--name", "two")
    done = subprocess.run(command, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.count(b"all steps done") == 1
    again = subprocess.run(command, capture_output=True, timeout=300)
    assert again.returncode == 0, again.stderr.decode()
    assert again.stderr.count(b"two is finished") == 1


def test_a_process_that_dies_ends_all_and_another_number_goes_on(home: Path) -> None:
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


def test_orders_are_heard_as_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[torch.Tensor] = []

    def broadcast(message: torch.Tensor, source: int) -> None:
        message.copy_(sent.pop()) if sent else sent.append(message.clone())

    monkeypatch.setattr(torch.distributed, "broadcast", broadcast)
    order = Order(7, 0.25, 0.5, caution=2, strength=0.75, load=3, mixed=True)
    World(0, 2).tell(order)
    assert World(1, 2).hear() == order


def test_a_batch_that_cannot_be_shared_is_an_error(home: Path) -> None:
    done = subprocess.run(
        [*torchrun("sample:smileys", *GAN, "--steps", 4), "--set", "train.batch_size=6"],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert b"error: train.batch_size: 6 pictures can't be shared by 2 processes" in done.stderr
