"""Every test has a home of its own, one thread and no settings from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _slow_bfloat16() -> Iterator[None]:
    """Let no clock choose the precision of what is trained in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imagegen.device._mixed_speed", lambda: 0.5)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move imagegen's own folder and the working directory to a place of the test's own."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("IMAGEGEN_HOME", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("IMAGEGEN_SET", raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of twelve small pictures with two labels, discs and squares."""
    folder = tmp_path / "shapes"
    for index in range(6):
        for label in ("disc", "square"):
            (folder / label).mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", (40, 40), (20 * index, 60, 200))
            box = (6 + index, 6, 34, 34 - index)
            pen = ImageDraw.Draw(image)
            (pen.ellipse if label == "disc" else pen.rectangle)(
                box, fill=(250, 220 - 20 * index, 40)
            )
            image.save(folder / label / f"{label}{index}.png")
    return folder


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run() -> Run:
    """Run the real command in a process of its own."""

    def call(
        *words: object, stdin: bytes | None = None, code: int = 0
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [sys.executable, "-m", "imagegen", *map(str, words)],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=240,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr.decode())
        return done

    return call
