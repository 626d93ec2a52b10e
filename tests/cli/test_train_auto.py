"""`imagegen train` without a preset."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen import registry
from imagegen.train import auto
from tests.cli.conftest import Call

TINY = ["--set", "data.size=16", "--set", "model.width=8", "--set", "train.batch_size=4"]


def test_nobody_says_and_it_says_why(
    call: Call, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = auto.Compared("shapes", 12, "rgb", 10, {"gan": 0.1, "flow": 0.2})
    monkeypatch.setattr(auto, "COMPARED", (gan,))
    said = call("train", pictures, *TINY, "--steps", 3).err
    assert "preset=gan: KID 0.1 where flow had 0.2" in said
    model = registry.find("shapes")
    assert model.settings().get(("family",)) == "gan"
    # A model begun goes on as it is, whatever a newer table says.
    flow = auto.Compared("shapes", 12, "rgb", 10, {"flow": 0.1, "gan": 0.2})
    monkeypatch.setattr(auto, "COMPARED", (flow,))
    again = call("train", pictures, *TINY, "--steps", 3).err
    assert "shapes is finished" in again
    assert "preset" not in again
    call("train", pictures, *TINY, "--steps", 3, "--force")
    assert registry.find("shapes").settings().get(("family",)) == "flow"
    printed = call("train", pictures, "--print-config", "--name", "other")
    assert "family: flow" in printed.out
    assert "preset=flow: " in printed.err


def test_a_preset_or_a_family_that_is_named_is_taken(call: Call, pictures: Path) -> None:
    for words in (["--preset", "rnn-bits"], ["--set", "family=rnn"]):
        printed = call("train", pictures, *words, "--print-config")
        assert "family: rnn" in printed.out
        assert not printed.err
    assert "family: auto" in call("train", "--print-config").out
