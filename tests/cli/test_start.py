"""Starting up: quick, without torch, helpful."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.conftest import Run

HELPS = ["", "train", "generate", "postprocess", "report", "models", "models ls", "models watch",
         "presets", "ops"]  # fmt: skip
WITHOUT_TORCH = [
    *(f"{words} --help" for words in HELPS),
    "--version",
    "ops",
    "ops sharpen",
    "presets ls",
    "models ls",
    "postprocess {photo} --op segment:method=slic,as=x --op gaussian:region=x -o out.png",
    "postprocess {photo} --preset post/clean -o out2.png",
]


@pytest.mark.parametrize("words", WITHOUT_TORCH)
def test_torch_is_not_imported(words: str, pictures: object) -> None:
    photo = next(pictures.rglob("*.png"))  # type: ignore[attr-defined]
    code = (
        "import sys, imagegen.cli\n"
        "try: imagegen.cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    argv = words.format(photo=photo).split()
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", ["images.stream", "images.metadata", "presets", "settings",
                                    "registry", "post.chain", "data.scan"])  # fmt: skip
def test_light_modules_stay_light(module: str) -> None:
    heavy = {"torch", "cv2", "skimage"}
    code = f"import sys, imagegen.{module}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("words", HELPS)
def test_help(call: Call, words: str) -> None:
    assert "Usage: imagegen" in call(*words.split(), "--help").out


def test_ops(call: Call) -> None:
    listing = call("ops").out
    for name in ("gaussian", "median", "sharpen", "segment", "white-balance", "levels"):
        assert f"  {name} " in listing
    shown = call("ops", "levels").out
    assert "black (a number" in shown
    assert "example: imagegen postprocess" in shown
    rows = [json.loads(line) for line in call("ops", "--json").out.splitlines()]
    assert {"name", "kind", "settings"} <= rows[0].keys()
    assert "unknown operation 'nix'" in call("ops", "nix", code=2).err


def test_examples_of_ops_run(call: Call, pictures: object) -> None:
    next(pictures.rglob("*.png")).rename("photo.png")  # type: ignore[attr-defined]
    files = Path(__file__).parents[1] / "post" / "files"
    shutil.copy(files / "warm.cube", "film.cube")
    shutil.copy(files / "sunset.png", "sunset.png")
    from imagegen.post.operations import OPERATIONS

    shutil.copy(files / "bright.onnx", "matting.onnx")
    small = ["--steps", 1, "--set", "data.size=16", "--set", "model.width=8"]
    coder = ["--name", "sprites", *small, "--set", "model.prior_width=8"]
    call("train", pictures, "--preset", "autoencoder", *coder)
    call("train", pictures, "--preset", "flow", "--name", "sprites-flow", *small)
    for operation in OPERATIONS.values():
        words = shlex.split(operation.example)
        assert words[0] == "imagegen"
        call(*words[1:])


def test_presets(call: Call) -> None:
    assert "gan " in call("presets", "ls").out
    names = [json.loads(line)["name"] for line in call("presets", "ls", "--json").out.splitlines()]
    assert {"base", "gan", "post/clean"} <= set(names)
    assert "lr: 0.001" in call("presets", "show", "gan").out
    assert json.loads(call("presets", "show", "gan", "--json").out)["family"] == "gan"
    assert "unknown preset 'gun'" in call("presets", "show", "gun", code=4).err


def test_unknown_command_and_bare_call(call: Call) -> None:
    assert "No such command 'nix'" in call("nix", code=2).err
    assert "Usage: imagegen" in call(code=2).out


def test_debug_shows_where(run: Run) -> None:
    done = run("train", "nix", "--debug", code=1)
    assert b"Traceback" in done.stderr
    assert b"error: no such folder: nix" in done.stderr
