"""What training asks of the processor, and which precision it takes there."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from imagegen import device
from imagegen.device import _mixed_speed, pick_precision
from imagegen.errors import SettingsError

CPU = torch.device("cpu")
FAULTS = """
import resource, sys, torch
from imagegen.device import prepare_processor
if sys.argv[1] == "prepared":
    prepare_processor()
for number in range(30):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(20_000_000)  # 80 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="what is freed is kept where glibc is asked to")
def test_what_a_step_frees_is_kept_for_the_next() -> None:
    assert faults("prepared") < faults("as it is") / 10


@pytest.mark.parametrize(
    ("setting", "factor", "name"),
    [
        ("auto", 1.5, "bfloat16"),
        ("auto", 1.2, "bfloat16"),
        ("auto", 1.1, "float32"),
        ("auto", 0.2, "float32"),
        ("bfloat16", 1.1, "bfloat16"),
        ("float32", 1.5, "float32"),
    ],
)
def test_mixed_precision_is_taken_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, setting: str, factor: float, name: str
) -> None:
    monkeypatch.setattr(device, "_mixed_speed", lambda: factor)
    precision = pick_precision(setting, CPU)
    assert precision.name == name
    assert precision.is_mixed == (name == "bfloat16")
    if setting != "float32":
        assert f"{factor} times as fast as float32 here" in precision.reason


def test_mixed_precision_is_refused_where_it_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_mixed_speed", lambda: 0.42)
    with pytest.raises(SettingsError, match=r"bfloat16 is 0\.42 times as fast as float32 here"):
        pick_precision("bfloat16", CPU)


def test_other_devices_have_it_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_mixed_speed", lambda: 1.5)  # of the CPU, which is not asked
    assert pick_precision("auto", torch.device("mps")).name == "float32"
    for has, name in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert pick_precision("auto", torch.device("cuda")).name == name
    with pytest.raises(SettingsError, match="this cuda device does not support bfloat16"):
        pick_precision("bfloat16", torch.device("cuda"))


def test_the_trial_leaves_the_random_numbers_as_they_were() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    _mixed_speed.cache_clear()
    assert _mixed_speed() > 0
    assert torch.equal(torch.rand(3), expected)
