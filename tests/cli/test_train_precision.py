"""What a training computes in: decided once, whatever a clock would say when it is continued."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from imagegen import registry
from imagegen.errors import UserError
from imagegen.settings import Config
from imagegen.train import run
from imagegen.train.journal import FILE, PRECISION, Journal
from imagegen.train.learner import Learner
from imagegen.train.parallel import Order
from tests.cli.conftest import SMALL, Call

WORDS = [*SMALL, "--set", "train.precision=auto", "--steps", 8]

Speed = Callable[[float], None]


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Speed:
    """Return a function that sets how many times as fast bfloat16 is."""
    return lambda factor: monkeypatch.setattr("imagegen.device._mixed_speed", lambda: factor)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Order]:
    """Return the orders of all steps of a test, whose first training is broken off at step 5."""
    taken: list[Order] = []
    step = Learner.step

    def take(self: Learner, order: Order) -> dict[str, torch.Tensor]:
        taken.append(order)
        if [one.step for one in taken] == [0, 1, 2, 3, 4, 5]:
            raise UserError("the power went out")
        return step(self, order)

    monkeypatch.setattr(Learner, "step", take)
    return taken


def journal(home: Path, name: str) -> Path:
    return home / "models" / name / "state" / "journal.jsonl"


def recorded(home: Path, name: str) -> list[tuple[str, int]]:
    records = map(json.loads, journal(home, name).open())
    return [(one["name"], one["at"]) for one in records if one.get("decision") == "precision"]


@pytest.mark.parametrize(
    ("factor", "later", "name"), [(1.5, 0.5, "bfloat16"), (0.5, 1.5, "float32")]
)
def test_a_training_goes_on_in_the_precision_it_began_in(
    call: Call,
    home: Path,
    pictures: Path,
    speed: Speed,
    orders: list[Order],
    factor: float,
    later: float,
    name: str,
) -> None:
    speed(factor)
    answer = call("train", pictures, *WORDS, "--name", "broken", code=1)
    faster = f"{factor} times as fast as float32 here"
    assert f"train.precision={name}: " in answer.err
    assert faster in answer.err
    assert recorded(home, "broken") == [(name, 0)]
    speed(later)
    answer = call("train", "--resume", "broken")
    assert f"train.precision={name}: as this training began" in answer.err
    assert recorded(home, "broken") == [(name, 0)]
    assert [order.step for order in orders] == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7]
    assert {order.mixed for order in orders} == {name == "bfloat16"}
    speed(factor)
    call("train", pictures, *WORDS, "--name", "whole")
    one, other = (home / "models" / which / "model.safetensors" for which in ("whole", "broken"))
    assert one.read_bytes() == other.read_bytes()


def test_a_training_that_began_without_a_decision_stays_in_float32(
    call: Call, home: Path, pictures: Path, speed: Speed, orders: list[Order]
) -> None:
    """As all did on a CPU before there was one."""
    speed(0.5)
    call("train", pictures, *WORDS, "--name", "old", code=1)
    path = journal(home, "old")
    kept = [line for line in path.read_text().splitlines() if "precision" not in line]
    path.write_text("".join(f"{line}\n" for line in kept))
    speed(1.5)
    call("train", "--resume", "old")
    assert recorded(home, "old") == [("float32", 0)]
    assert not any(order.mixed for order in orders)


def test_a_decision_holds_even_before_the_first_state(tmp_path: Path, speed: Speed) -> None:
    model = registry.Model(tmp_path)
    model.state.mkdir()
    Journal(model.state / FILE).add(PRECISION, 0, name="bfloat16", reason="faster")
    speed(0.5)
    assert run.precision_of(Config(family="gan"), model).is_mixed
    assert not run.precision_of(Config(family="gan"), None).is_mixed


@pytest.mark.usefixtures("orders")
def test_a_device_without_bfloat16_cannot_go_on_with_it(
    call: Call, pictures: Path, speed: Speed, monkeypatch: pytest.MonkeyPatch
) -> None:
    speed(1.5)
    call("train", pictures, *WORDS, "--name", "broken", code=1)
    monkeypatch.setattr(run, "pick_device", lambda name: torch.device("mps"))
    answer = call("train", "--resume", "broken", code=2)
    assert "model 'broken' is trained in bfloat16, which this mps device does not" in answer.err
    assert "--set device=cpu" in answer.err


def test_a_dry_run_names_the_precision_and_times_it(
    call: Call, pictures: Path, speed: Speed, orders: list[Order]
) -> None:
    speed(1.6)
    answer = call("train", pictures, *WORDS, "--dry-run")
    assert "train.precision=bfloat16: 1.6 times as fast as float32 here" in answer.err
    assert orders
    assert all(order.mixed for order in orders)
