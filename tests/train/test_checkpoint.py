"""Saved states come back whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from imagegen.train import checkpoint


def state(step: int) -> tuple[checkpoint.State, torch.optim.Adam]:
    torch.manual_seed(step)
    net = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(net.parameters(), fused=True)
    net(torch.ones(1, 3)).sum().backward()
    adam.step()
    saved = checkpoint.State(
        step, 1.5 * step, {"saving": 0.5}, net.state_dict(), {}, {"net": adam.state_dict()}
    )
    return saved, adam


def test_round_trip(tmp_path: Path) -> None:
    saved, _ = state(7)
    checkpoint.save(tmp_path, saved)
    loaded, complaints = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert (loaded.step, loaded.seconds, loaded.spent, complaints) == (7, 10.5, {"saving": 0.5}, [])
    for name, value in saved.family.items():
        assert torch.equal(loaded.family[name], value)
    _, fresh = state(1)
    checkpoint.restore(fresh, loaded.optimizers["net"])
    before, after = saved.optimizers["net"], fresh.state_dict()
    for index, values in before["state"].items():
        for key, value in values.items():
            assert torch.equal(after["state"][index][key], value), key


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 30):
        checkpoint.save(tmp_path, state(step)[0])
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == [
        "000000002.safetensors",
        "000000030.safetensors",
    ]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("damage", ["flip", "truncate", "zero", "empty", "no sum"])
def test_a_damaged_state_is_noticed_and_the_one_before_used(tmp_path: Path, damage: str) -> None:
    checkpoint.save(tmp_path, state(1)[0])
    path = checkpoint.save(tmp_path, state(2)[0])
    data = bytearray(path.read_bytes())
    match damage:
        case "flip":
            data[-5] ^= 4
        case "truncate":
            del data[len(data) // 2 :]
        case "zero":
            data[100:140] = bytes(40)
        case "empty":
            data.clear()
        case "no sum":
            Path(f"{path}.sha256").unlink()
    path.write_bytes(data)
    loaded, complaints = checkpoint.load_newest(tmp_path)
    assert loaded is not None
    assert loaded.step == 1
    assert len(complaints) == 1
    assert "000000002.safetensors" in complaints[0]


def test_no_state_is_none(tmp_path: Path) -> None:
    assert checkpoint.load_newest(tmp_path) == (None, [])
