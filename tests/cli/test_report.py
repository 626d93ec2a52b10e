"""`imagegen report`: one page where it was asked for, and nothing of the user's lost."""

from __future__ import annotations

import html
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagegen import registry
from tests.cli.conftest import Call
from tests.conftest import Run
from tests.evaluate.conftest import evaluation

pytestmark = pytest.mark.usefixtures("trained")


def test_the_newest_model_by_default(call: Call) -> None:
    answer = call("report")
    assert answer.out == "smileys-report.html\n"
    assert "smileys is not measured; measure it: imagegen evaluate smileys" in answer.err
    page = Path("smileys-report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert '<meta name="generator" content="imagegen ' in page[:500]


def test_json_and_stdout(call: Call, run: Run, trained: Path) -> None:
    evaluation(trained)
    row = json.loads(call("report", "smileys", "--json", "-o", "new/x.html").out)
    assert row["path"] == "new/x.html"
    assert row["evaluation"] == "current"
    assert row["warnings"] == ["Only 21 pictures are held out."]
    assert row["weights"] in (trained / "model.safetensors.sha256").read_text()
    assert run("report", "smileys", "-o", "-").stdout == Path("new/x.html").read_bytes()
    call("report", "--json", "-o", "-", code=2)


def test_no_page_on_a_terminal() -> None:
    parent, child = pty.openpty()
    words = [sys.executable, "-m", "imagegen", "report", "-o", "-"]
    done = subprocess.run(words, stdout=child, stderr=subprocess.PIPE, text=True)
    os.close(child)
    os.close(parent)
    assert done.returncode == 2
    assert "not written to a terminal" in done.stderr


def test_a_report_replaces_a_report_and_nothing_else(call: Call) -> None:
    call("report", "-o", "x.html")
    before = Path("x.html").read_bytes()
    call("report", "-o", "x.html")
    assert Path("x.html").read_bytes() == before
    for name, content in {"mine.html": "<p>mine", "empty.html": ""}.items():
        Path(name).write_text(content)
        assert "not a report" in call("report", "-o", name, code=2).err
        assert Path(name).read_text() == content
    Path("folder.html").mkdir()
    assert "not a report" in call("report", "-o", "folder.html", code=2).err


def test_bad_places(call: Call) -> None:
    assert "end the name with .html" in call("report", "-o", "x.pdf", code=2).err
    Path("file").write_text("x")
    assert "can't write to file" in call("report", "-o", "file/x.html", code=1).err
    assert "can't write to /proc" in call("report", "-o", "/proc/none/x.html", code=1).err


def test_bad_models(call: Call, trained: Path) -> None:
    assert "did you mean 'smileys'" in call("report", "smiley", code=4).err
    assert "can't be the name" in call("report", "../x", code=2).err
    (trained / registry.EVALUATION).write_text("{")
    assert "warning: evaluation.json is damaged" in call("report").err
    (trained / registry.WEIGHTS).write_bytes(b"x" * 100)
    assert "damaged" in call("report", "smileys", code=1).err
    (trained / registry.WEIGHTS).unlink()
    assert "has no weights yet" in call("report", "smileys", code=1).err
    assert "imagegen train" in call("report", code=4).err


def test_training_pictures_only_when_asked(call: Call, trained: Path, pictures: Path) -> None:
    call("report", "-o", "without.html")
    assert "training picture 3d/" not in Path("without.html").read_text()
    assert "may be private" in Path("without.html").read_text()
    call("report", "-o", "with.html", "--training-pictures")
    assert "training picture 3d/" in Path("with.html").read_text()
    data = json.loads((trained / "data.json").read_text())
    (trained / "data.json").write_text(json.dumps(data | {"source": str(pictures)}))
    shutil.rmtree(pictures)
    answer = call("report", "-o", "gone.html", "--training-pictures")
    assert "warning: Training pictures can't be shown" in answer.err


def test_the_commands_on_the_page_do_what_they_say(call: Call) -> None:
    """The settings and the commands of the page train the same weights again."""
    weights = json.loads(call("report", "--json").out)["weights"]
    page = Path("smileys-report.html").read_text(encoding="utf-8")
    settings, train, *_ = re.findall(r'<pre tabindex="0">(.*?)</pre>', page, re.DOTALL)
    Path("settings.yaml").write_text(html.unescape(settings))
    call(*html.unescape(train).split()[1:])
    again = json.loads(call("report", "smileys-again", "--json").out)
    assert again["weights"] == weights
