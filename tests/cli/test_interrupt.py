"""Ctrl-C, sent as a real signal to a real process: exit code 130, and no trace at any moment."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import SMALL


def start(*argv: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *map(str, argv)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # What a shell starts in the background ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def interrupt(process: subprocess.Popen[bytes]) -> tuple[int, str, float]:
    """Return the exit code, what was said and how many seconds it took."""
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err.decode(), time.monotonic() - begun


def line_of(stream: IO[bytes] | None) -> str:
    assert stream is not None
    return stream.readline().decode().strip()


@pytest.mark.parametrize("words", [["ops"], ["train", "sample:smileys", *SMALL]])
def test_while_modules_are_imported(words: list[str]) -> None:
    """From Python's own start on there is nothing that we could do."""
    code = "import imagegen.cli; print('here', flush=True); imagegen.cli.main()"
    early = 0
    for delay in (0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8):
        process = start("-c", code, *words)
        assert line_of(process.stdout) == "here"
        time.sleep(delay)
        returned, err, _ = interrupt(process)
        assert "Traceback" not in err
        assert "Error" not in err
        assert returned in (0, 130)
        early += returned == 130
    assert early >= 2


@pytest.fixture
def photos() -> Path:
    """Return a folder of pictures, of which the first is quick to filter and the others slow."""
    folder = Path("photos")
    folder.mkdir()
    random = np.random.default_rng(3)
    for index, side in enumerate([16, 2000, 2000, 2000]):
        values = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(values).save(folder / f"{index}.png", compress_level=0)
    return folder


def test_what_an_import_makes_of_it() -> None:
    """As torch does, if it is hit while it is half imported and under load."""
    code = """
import time
from imagegen.cli import app

def importing(**_):
    print("here", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise RecursionError("maximum recursion depth exceeded") from None

app.app = importing
app.run()
"""
    process = start("-c", code)
    assert process.stdout is not None
    assert line_of(process.stdout) == "here"
    assert interrupt(process)[:2] == (130, "")


def test_postprocess_says_what_is_done_and_does_not_wait(photos: Path) -> None:
    slow = ["--op", "non-local-means", "--jobs", "2"]
    process = start("-m", "imagegen", "postprocess", photos, *slow, "-o", "out")
    assert line_of(process.stdout) == "out/0.png"
    time.sleep(0.3)
    code, err, seconds = interrupt(process)
    assert code == 130
    assert err == (
        "interrupted: 1 of 4 pictures are written, the rest not; no file is half written\n"
    )
    assert seconds < 2
    assert [path.name for path in Path("out").iterdir()] == ["0.png"]
    assert Image.open("out/0.png").convert("RGB").size == (16, 16)


def test_a_stream_that_is_interrupted(photos: Path) -> None:
    slow = ["--op", "non-local-means", "--jobs", "2", "-o", "-"]
    process = start("-m", "imagegen", "postprocess", photos / "0.png", photos / "1.png", *slow)
    assert process.stdout is not None
    assert process.stdout.read(8) == b"\x89PNG\r\n\x1a\n"
    time.sleep(0.3)
    code, err, seconds = interrupt(process)
    assert (code, seconds < 2) == (130, True)
    assert "interrupted: 1 of 2 pictures are written" in err
    assert "the stream may end within one" in err
