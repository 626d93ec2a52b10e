"""The state that training needs to go on: saved whole, checked on loading, the last two kept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imagegen import durable
from imagegen.errors import UserError

KEEP = 2


@dataclass
class State:
    """Everything that changes while training.

    Attributes:
        step: optimiser steps done.
        seconds: time spent training so far, over all starts.
        spent: seconds of those that went into something else than steps, by what it was.
        family: every parameter and buffer of the networks, by name.
        average: the moving average of those that draw, by name.
        optimizers: for each phase, the state dict of its optimiser.
        start: the weights that the run started from, by name, if weight decay leads to them.
    """

    step: int
    seconds: float
    spent: dict[str, float]
    family: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizers: dict[str, dict[str, Any]]
    start: dict[str, Tensor] = field(default_factory=dict)


def save(folder: Path, state: State) -> Path:
    """Write `folder/STEP.safetensors`, then drop all but the last two.

    Raises:
        OSError: if the disk is full or can't be written; earlier states are untouched.
    """
    from safetensors.torch import save as pack

    tensors = {f"family.{k}": v for k, v in state.family.items()}
    tensors |= {f"average.{k}": v for k, v in state.average.items()}
    tensors |= {f"start.{k}": v for k, v in state.start.items()}
    for phase, optimizer in state.optimizers.items():
        for index, values in optimizer["state"].items():
            tensors |= {f"optimizer.{phase}.{index}.{k}": v for k, v in values.items()}
    header = json.dumps({"step": state.step, "seconds": state.seconds, "spent": state.spent})
    plain = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    path = _path(folder, state.step)
    durable.write_checked(path, pack(plain, {"imagegen": header}))
    for old in _states(folder)[:-KEEP]:
        durable.remove_checked(old)
    for sums in folder.glob("*.safetensors.sha256"):  # of a state that the disk had no room for
        if not sums.with_suffix("").exists():
            sums.unlink()
    return path


def load_newest(folder: Path) -> tuple[State | None, list[str]]:
    """Return the newest state that is whole, or None, and a line for each one that is not."""
    complaints: list[str] = []
    for path in reversed(_states(folder)):
        try:
            return _load(path), complaints
        except UserError as error:
            complaints.append(error.message)
    return None, complaints


def load(folder: Path, step: int) -> State:
    """Return the state of a step.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    return _load(_path(folder, step))


def steps(folder: Path) -> list[int]:
    """Return the steps of all states, in order."""
    return [int(path.stem) for path in _states(folder)]


def drop_after(folder: Path, step: int) -> None:
    """Remove the states of later steps, which are damaged: they come again."""
    for path in _states(folder):
        if int(path.stem) > step:
            durable.remove_checked(path)


def make_room(folder: Path) -> None:
    """Drop all states but the newest."""
    for old in _states(folder)[:-1]:
        durable.remove_checked(old)


def _path(folder: Path, step: int) -> Path:
    return folder / f"{step:09d}.safetensors"


def _states(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*.safetensors") if p.stem.isdigit())


def _load(path: Path) -> State:
    from safetensors.torch import load as parse

    data, _ = durable.read_checked(path)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["imagegen"])
    state = State(header["step"], header["seconds"], dict(header.get("spent", {})), {}, {}, {})
    for name, tensor in parse(data).items():
        part, _, key = name.partition(".")
        if part == "optimizer":
            phase, index, value = key.split(".")
            optimizer = state.optimizers.setdefault(phase, {"state": {}})
            optimizer["state"].setdefault(int(index), {})[value] = tensor
        else:
            getattr(state, part)[key] = tensor
    return state


def restore(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put the saved moments and counters back into an optimiser over the same parameters.

    Fused Adam walks through the memory of a parameter and its moments side by side, so the moments
    must lie in memory as the parameter does (channels_last), which files know nothing of.
    """
    groups = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        index: {
            key: torch.empty_like(parameters[index]).copy_(value) if value.ndim else value.clone()
            for key, value in values.items()
        }
        for index, values in saved["state"].items()
    }
    optimizer.load_state_dict({"state": state, "param_groups": groups})
