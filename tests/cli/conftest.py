"""A model trained once for all tests, and a way to call the command in this process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagegen import cli

SMALL = [
    "--preset", "gan", "--set", "data.size=16", "--set", "model.width=8",
    "--set", "train.batch_size=4", "--set", "train.checkpoint_every=4",
    "--set", "train.sample_every=4", "--set", "train.precision=float32",
]  # fmt: skip
"""Settings of a network so small that a step takes milliseconds."""


@dataclass
class Answer:
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run the command in this process: quick, but its stdout is always a file."""

    def run(*words: object, code: int = 0) -> Answer:
        monkeypatch.setattr(sys, "argv", ["imagegen", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        answer = Answer(*capfd.readouterr())
        assert (end.value.code or 0) == code, answer
        assert "Traceback" not in answer.err
        return answer

    return run


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with one model, trained for six steps on the bundled pictures."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAGEGEN_HOME", str(home))
        words = ["imagegen", "train", "sample:smileys", "--steps", "6", *SMALL]
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert not end.value.code
    return home


@pytest.fixture
def trained(_trained: Path, home: Path) -> Path:
    """Put the trained model, `smileys`, into this test's home; return its folder."""
    shutil.copytree(_trained, home, dirs_exist_ok=True)
    return home / "models" / "smileys"
