"""Watching a training: everything comes from its files, whole or damaged, growing or cut back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from imagegen import durable, registry
from imagegen.cli import watch
from imagegen.train import history
from tests.cli.conftest import Call


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)


def losses(step: int, value: float = 0.5) -> dict[str, Any]:
    speed = {"step": step, "seconds": step / 10, "pictures_per_second": 99.5}
    return {**speed, "generator": value, "critic": -value}


def quality(step: int, **values: float) -> dict[str, Any]:
    known = {"kid": 0.05, "kid_low": 0.04, "kid_high": 0.06, "coverage": 0.8, "copies": 0.02}
    return {"step": step, "seconds": step / 10, **known, "spread": 0.9, "gap": 0.1, **values}


def put(path: Path, *records: dict[str, Any], end: str = "") -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + end)


DECIDED = {"decision": "steps", "at": 12, "total": 400, "reason": "0.1 seconds a step"}
GREW = {"decision": "batch_size", "at": 100, "reason": "the loss is noise"}
FINISHED = {"finished": 200, "reason": "budget used"}


@pytest.fixture
def files(trained: Path) -> Path:
    """Return the trained model's folder with longer, hand-made curves, and not finished."""
    some = [losses(step, 1 / step) for step in range(20, 201, 20)]
    put(trained / "metrics.jsonl", *some[:5], quality(100), *some[5:], quality(200, kid=0.03))
    put(trained / "state" / "journal.jsonl", DECIDED, GREW)
    return trained


@pytest.fixture
def in_training(files: Path) -> Iterator[Path]:
    with registry.locked(registry.Model(files)):
        yield files


def test_a_trained_model(call: Call, trained: Path) -> None:
    shown = call("models", "watch", "smileys").out
    assert "smileys  finished: all steps done" in shown
    assert "100%  step 6 of 6" in shown
    for name in json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1]):
        assert name in {"step", "seconds", "pictures_per_second"} or f" {name} " in shown
    assert "000000006.png" in shown.replace("\n", "")
    assert "step 0: 6 steps in all (train.steps)" in shown
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert call("models", "watch", "smileys", "--once").out == shown


def test_a_trained_model_as_json(call: Call, trained: Path) -> None:
    lines = call("models", "watch", "smileys", "--json").out.splitlines()
    *records, state = map(json.loads, lines)
    events = [record.pop("event") for record in records]
    assert events == ["decision", "decision", "progress", "finished"]  # steps, and the precision
    written = [*durable.lines(trained / "metrics.jsonl")]
    written += durable.lines(trained / "state" / "journal.jsonl")
    assert sorted(map(str, records)) == sorted(map(str, written))
    assert state == {
        "event": "state", "state": "finished", "step": 6, "total": 6, "reason": "all steps done",
    }  # fmt: skip


def test_quality_and_decisions(call: Call, files: Path) -> None:
    shown = call("models", "watch", "smileys").out
    assert "smileys  stopped: go on with: imagegen train --resume smileys" in shown
    assert "50%  step 200 of 400  0:20 used" in shown
    for words in ("kid 0.03 (0.04–0.06)", "coverage 80%", "copies 2%", "generator 0.005"):
        assert words in shown
    assert "step 100: batch size (the loss is noise)" in shown
    events = list(map(json.loads, call("models", "watch", "smileys", "--json").out.splitlines()))
    kinds = [event["event"] for event in events]
    assert kinds.count("watched") == 2
    assert kinds.count("decision") == 2
    assert {"event": "watched", **quality(100)} in events
    assert events[-1]["state"] == "stopped"


@pytest.mark.parametrize("height", [12, 24, 30, 41, 42, 50, 100])
@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_the_view_fits_the_terminal(files: Path, width: int, height: int) -> None:
    console = Console(
        force_terminal=True, width=width, height=height, color_system="truecolor", highlight=False
    )
    model = registry.Model(files)
    with console.capture() as captured:
        console.print(watch._view(model, history.read(model), console, height - 1))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()
    assert len(lines) < max(height, 16)
    assert max(map(len, lines)) <= width


HARMED = [
    '{"step": 220, "seco',
    "[1, 2]\n\x00\xff\n",
    '{"step": 220, "spread": 1}\n',
    '{"step": 220, "seconds": "x", "generator": null, "critic": NaN}\n',
    '{"step": "y", "seconds": 1, "generator": Infinity}\n',
    '{"step": 220, "seconds": 22, "spread": 1, "kid": 0.1, "kid_low": null}\n',
    '{"step": 220, "seconds": 22, "spread": 1, "coverage": 0.5}\n',
    '{"step": 220, "seconds": 22, "generator": 1e308, "critic": 1e-320}\n',
    '{"step": 220, "seconds": 22, "generator": 1' + 400 * "0" + "}\n",
    '{"step": 220, "seconds": 22, "\\u001b[31mred": 1, "decision": "\\u001b[31m"}\n',
    "{}\n",
]


@pytest.mark.parametrize("tail", HARMED)
def test_damaged_lines_break_nothing(call: Call, files: Path, tail: str) -> None:
    for path in (files / "metrics.jsonl", files / "state" / "journal.jsonl"):
        path.write_text(path.read_text() + tail, encoding="latin-1")
    shown = call("models", "watch", "smileys").out
    assert "generator" in shown
    assert "\x1b" not in shown
    json.loads(call("models", "watch", "smileys", "--json").out.splitlines()[-1])
    put(files / "metrics.jsonl", end=tail)
    assert "smileys" in call("models", "watch", "smileys").out


def test_a_model_of_which_little_is_known(call: Call, trained: Path) -> None:
    call("models", "export", "smileys", "-o", "x.tar")
    call("models", "import", "x.tar", "--name", "other")
    shown = call("models", "watch", "other").out
    assert "other  imported: it was trained elsewhere\nstep 6" in shown
    assert "losses" in shown
    (trained.parent / "other" / "metrics.jsonl").unlink()
    (trained.parent / "other" / "samples" / "000000006.png").write_bytes(b"no picture")
    shown = call("models", "watch", "other").out
    assert "no curves: training has not written a number yet" in shown
    assert "unknown model 'nix'" in call("models", "watch", "nix", code=4).err


def test_asking_does_not_disturb_a_training(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = registry.Model(trained)
    assert not registry.is_training(model)
    with registry.locked(model):
        assert registry.is_training(model)
        assert registry.is_training(model)
    assert not registry.is_training(model)
    (trained / "state" / "lock").unlink()
    assert not registry.is_training(model)

    (trained / "state" / "lock").touch()
    with (trained / "state" / "lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)  # somebody asks at the very moment training begins
        monkeypatch.setattr("time.sleep", lambda _: fcntl.flock(asking, fcntl.LOCK_UN))
        with registry.locked(model):
            pass


def test_following_until_it_ends(call: Call, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, journal = files / "metrics.jsonl", files / "state" / "journal.jsonl"
    put(metrics, losses(20), losses(40), losses(60))
    put(journal, DECIDED)
    lock = registry.locked(registry.Model(files))
    lock.__enter__()
    happens: list[Callable[[], object]] = [
        lambda: put(metrics, losses(20), losses(40), losses(60), end='{"step": 8'),
        lambda: put(metrics, losses(20)),  # it was killed, and goes on from step 20
        lambda: put(metrics, losses(20), losses(40, 2.0), quality(20)),
        lambda: (put(journal, DECIDED, FINISHED), lock.__exit__(None, None, None)),
    ]
    monkeypatch.setattr(watch, "_wait", lambda _: happens.pop(0)() is True)
    lines = call("models", "watch", "smileys", "--json").out.splitlines()
    events = [(e["event"], e.get("step"), e.get("generator")) for e in map(json.loads, lines)]
    assert events == [
        ("decision", None, None),
        ("progress", 20, 0.5),
        ("progress", 40, 0.5),
        ("progress", 60, 0.5),
        ("watched", 20, None),
        ("progress", 40, 2.0),
        ("finished", None, None),
        ("state", 200, None),
    ]


def test_once_does_not_follow(call: Call, in_training: Path) -> None:
    shown = call("models", "watch", "smileys").out
    assert "smileys  running: step 100: batch size" in shown
    assert "about 0:20 left" in shown
    last = call("models", "watch", "smileys", "--once", "--json").out.splitlines()[-1]
    assert json.loads(last)["state"] == "running"


def test_ctrl_c_is_a_clean_end(
    call: Call, in_training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(asked: threading.Event) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return asked.wait(60)

    monkeypatch.setattr(watch, "_wait", interrupted)
    answer = call("models", "watch", "smileys", "--json")
    assert json.loads(answer.out.splitlines()[-1])["state"] == "running"
    assert answer.err == ""
    with pytest.raises(KeyboardInterrupt):  # as it was before
        signal.raise_signal(signal.SIGINT)


def on_a_terminal(interrupt: bool = False) -> str:
    """Run the command on a terminal of 80x50; return what it wrote there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    words = [sys.executable, "-m", "imagegen", "models", "watch", "smileys"]
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    process = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
        if interrupt and b"batch size (the loss is noise)" in shown:
            process.send_signal(signal.SIGINT)
            interrupt = False
    os.close(ours)
    assert process.wait(60) == 0, shown
    return shown.decode(errors="replace")  # it may be cut within a letter


def test_on_a_terminal_it_ends_with_the_training(files: Path) -> None:
    shown = on_a_terminal()
    assert "▀" in shown
    assert "\x1b[38;5;" in shown
    assert "samples of step 6" in shown
    assert "Traceback" not in shown


def test_on_a_terminal_without_colours(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    shown = on_a_terminal()
    assert not re.search(r"\x1b\[[0-9;]*[34]8;", shown)
    assert "▀" not in shown
    assert "x critic" in shown


def test_leaving_a_running_training(in_training: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in in_training.rglob("*"))
    shown = on_a_terminal(interrupt=True)
    assert "running" in shown
    assert "Traceback" not in shown
    assert sorted((path, path.stat().st_mtime_ns) for path in in_training.rglob("*")) == before


def test_torch_is_not_imported(files: Path) -> None:
    code = (
        "import sys, imagegen.cli\n"
        "try: imagegen.cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    words = [sys.executable, "-c", code, "models", "watch", "smileys"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
