import json
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from imagegen import registry
from imagegen.cli import compare
from imagegen.evaluate import comparison
from imagegen.evaluate.extractors import own
from imagegen.evaluate.measure import Evaluation
from imagegen.families.gan import Gan

SMALL = ("--set", "data.size=16", "--set", "model.width=16", "-n", 50)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, home, tmp_path) -> None:
    """Train networks of own features for a moment only; pages go where they are looked for."""
    monkeypatch.setattr(own, "STEPS", 4)
    monkeypatch.chdir(tmp_path)


def compared(call, *words):
    answer = call("compare", "sample:smileys", "--budget", "4s", *SMALL, *words, "--json")
    return json.loads(answer.out)


def test_families_are_trained_measured_and_shown(call, tmp_path):
    found = compared(call, "--families", "flow,gan", "--name", "s")
    rows = {row["preset"]: row for row in found["rows"]}
    assert rows.keys() == {"flow", "gan"}
    assert [row["kid"] for row in found["rows"]] == sorted(row["kid"] for row in rows.values())
    assert found["choice"] == found["rows"][0]["model"]
    assert found["choice"] in found["why"]
    # After four seconds they are either, by how many steps the machine takes.
    looks = ("far from the real pictures, with little of their variety", "nearly all alike")
    assert any(f", whose pictures are {one}: its KID of" in found["why"] for one in looks)
    assert found["rows"][0]["kid_behind_interval"] == [0, 0]
    assert {row["second"]["network"] for row in found["rows"]} == {"resnet"}
    assert {model.name for model in registry.models()} == {"s.flow", "s.gan"}
    for row in rows.values():
        assert row["seconds_a_picture"] > 0
        assert 0 <= row["text_fidelity"] <= 1
        assert row["bytes"] == registry.find(row["model"]).weights.stat().st_size
        assert registry.evaluation(registry.find(row["model"]))["kid"] == row["kid"]
    page = (tmp_path / "s-compare.html").read_text()
    assert page.count("data:image/png") == 32
    assert "http" not in page.replace("http-equiv", "")
    with Image.open(tmp_path / "s-compare.png") as sheet:
        assert sheet.width > 16 * 96
        assert sheet.height > 2 * 96

    again = compared(call, "--families", "flow,gan", "--name", "s")  # nothing is trained anew
    steps = {row["preset"]: row["step"] for row in again["rows"]}
    assert steps == {name: row["step"] for name, row in rows.items()}
    assert [row["kid"] for row in again["rows"]] == [row["kid"] for row in found["rows"]]
    words = ["--families", "flow,gan", "--name", "s", "--budget", "4s", "--set", "data.size=32"]
    other = call("compare", "sample:smileys", *words, code=1)
    assert "s.gan' was trained otherwise: data.size" in other.err.replace("model '", "")
    assert "none of these can be trained" in other.err


def test_one_that_fails_is_left_out_and_the_others_compared(call, tmp_path):
    call("train", "sample:smileys", "--preset", "gan", *SMALL[:4], "--steps", 2, "--name", "s.gan")
    words = ["--families", "gan,flow", "--name", "s", "--budget", "4s", *SMALL, "--json"]
    answer = call("compare", "sample:smileys", *words, code=3)
    found = json.loads(answer.out)
    assert [row["preset"] for row in found["rows"]] == ["flow"]
    assert "was trained otherwise" in found["left_out"]["gan"]
    assert "by another --name, or first: imagegen models rm s.gan" in answer.err
    assert (tmp_path / "s-compare.html").exists()


def test_one_that_breaks_down_is_left_out_too(call, monkeypatch):
    def full(self, batch, phase):
        raise RuntimeError("out of memory\nand much more")

    monkeypatch.setattr(Gan, "loss", full)
    answer = call(
        "compare", "sample:smileys", "--budget", "4s", *SMALL, "--families", "gan,flow",
        "--name", "s", "--json", code=3,
    )  # fmt: skip
    found = json.loads(answer.out)
    assert [row["preset"] for row in found["rows"]] == ["flow"]
    assert found["left_out"] == {"gan": "out of memory"}


def test_ctrl_c_in_a_training_ends_it(call, monkeypatch):
    step = Gan.loss

    def interrupted(self, batch, phase):
        if batch.step == 9 and phase == "generator":  # the first few are for timing
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, phase)

    monkeypatch.setattr(Gan, "loss", interrupted)
    words = ["--budget", "9s", "--families", "gan,flow", "--name", "s", *SMALL]
    answer = call("compare", "sample:smileys", *words, code=130)
    assert "stopped and saved; go on with: imagegen train --resume s.gan" in answer.err
    assert "or with the others: the same `imagegen compare` again" in answer.err
    assert "left out" not in answer.err
    assert [model.name for model in registry.models()] == ["s.gan"]


def test_a_full_disk_ends_it(call, home, monkeypatch):
    free = iter([10**9, 10**5, 10**5])
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=next(free, 10**9)))
    every = "train.checkpoint_every=1"
    words = ["--budget", "4s", "--families", "gan,flow", "--name", "s", *SMALL, "--set", every]
    answer = call("compare", "sample:smileys", *words, code=1)
    assert "the disk is almost full" in answer.err
    assert "the same `imagegen compare` again" in answer.err
    assert [model.name for model in registry.models()] == ["s.gan"]


def test_presets_of_different_sizes_are_compared_at_one(call, tmp_path):
    (tmp_path / "tiny.yaml").write_text("extends: flow\ndata: {size: 16}\nmodel: {width: 16}\n")
    words = ["--families", "tiny.yaml,gan", "--name", "s", "--budget", "4s", "-n", 50, "--json"]
    call("compare", "sample:smileys", *words)
    sizes = {model.name: model.settings().get(("data", "size")) for model in registry.models()}
    assert sizes == {"s.tiny": 16, "s.gan": 16}


def test_too_few_pictures_are_refused_before_anything_is_trained(call, pictures, tmp_path):
    (tmp_path / "few").mkdir()
    for path in sorted(pictures.rglob("*.png"))[:9]:
        path.rename(tmp_path / "few" / path.name)
    answer = call("compare", tmp_path / "few", code=1)
    assert "only 9 pictures" in answer.err
    assert not list(registry.models())


def test_what_train_has_made_is_in_nobodys_way(call):
    tiny = ["--set", "model.width=16", "--set", "data.size=16", "--name", "s"]
    call("train", "sample:smileys", "--preset", "latent-flow", *tiny, "--steps", 4)
    found = compared(call, "--families", "autoencoder", "--name", "s")
    assert [row["model"] for row in found["rows"]] == ["s.autoencoder"]


def test_what_a_family_can_not_do_is_said_and_the_others_compared(call):
    found = compared(call, "--families", "gan,rnn", "--set", "model.tile=true")
    assert [row["preset"] for row in found["rows"]] == ["gan"]
    assert "tile" in found["left_out"]["rnn"]


def test_presets_for_other_pictures_are_left_out(call):
    found = compared(call, "--families", "gan,digits")
    assert [row["preset"] for row in found["rows"]] == ["gan"]
    assert found["left_out"] == {
        "digits": "its data.fit is pad, that of gan crop; --set data.fit=crop would have both alike"
    }
    assert [model.name for model in registry.models()] == ["smileys.gan"]


def test_two_presets_of_one_name_are_refused(call, tmp_path):
    (tmp_path / "gan.yaml").write_text("extends: gan\n")
    answer = call("compare", "sample:smileys", "--families", "gan,./gan.yaml", code=2)
    assert "two are alike" in answer.err
    assert not list(registry.models())


def test_a_mistyped_family_ends_it_before_anything_is_trained(call):
    answer = call("compare", "sample:smileys", "--families", "gan,flwo", code=4)
    assert "flwo" in answer.err
    assert not list(registry.models())


def test_nothing_is_overwritten(call, tmp_path):
    for name in ("mine.html", "mine.png"):
        (tmp_path / name).write_bytes(b"precious")
        answer = call("compare", "sample:smileys", "-o", tmp_path / "mine.html", code=2)
        assert name in answer.err
        assert (tmp_path / name).read_bytes() == b"precious"
        (tmp_path / name).unlink()


def test_the_sheet_does_not_become_a_training_picture(call, pictures, monkeypatch):
    monkeypatch.chdir(pictures)
    for words in ([], ["-o", pictures / "x.html"]):
        answer = call("compare", ".", *words, code=2)
        assert "would lie among the pictures of ." in answer.err
        assert f"-o {pictures.parent}" in answer.err
    assert not list(registry.models())
    assert not list(pictures.glob("*compare*"))


def row(
    name: str,
    kid: float,
    copies: float,
    low: float,
    behind: tuple[float, float] = (0, 0),
    second: float | None = None,
    second_behind: tuple[float, float] = (0, 0),
):
    record = {"model": name, "kid": kid, "copies": copies, "copies_interval": [low, 0.9]}
    record |= {"second": {"network": "resnet", "kid": kid if second is None else second}}
    unknown = {"copies_among_real": 0.0, "floor_interval": None}
    evaluation = Evaluation({**record, **unknown}, (np.zeros(2), np.zeros(2)))
    subject = SimpleNamespace(evaluation=evaluation, seconds=1.0)
    return comparison.Row("gan", subject, 1, behind, second_behind)  # type: ignore[arg-type]


def test_copies_are_spoken_of_only_where_there_are_some():
    assert comparison.why([row("a", 0.5, 0, 1e-17)]) == "use a: its KID of 0.500 is the lowest"
    assert "10% of its pictures are copies" in comparison.why([row("a", 0.5, 0.1, 0.05)])


def test_the_best_of_those_that_do_not_copy_is_named():
    rows = [row("a", 0.5, 0, 0), row("b", 0.7, 0, 0, (0.1, 0.3)), row("c", 0.1, 0.8, 0.7, (-1, 0))]
    assert [one.is_copying for one in rows] == [False, False, True]
    assert sorted(reversed(rows), key=lambda one: comparison.rank(one.record)) == rows
    assert comparison.why(rows) == (
        "use a: its KID of 0.500 is the lowest of those that do not copy, and that of the next, b, "
        "is 0.100 to 0.300 higher; c has 0.100, but 80% of its pictures are copies of training "
        "pictures"
    )
    assert comparison.why(rows[2:]) == (
        "use c: its KID of 0.100 is the lowest; 80% of its pictures are copies of training "
        "pictures: look at them"
    )


def test_it_is_said_if_the_second_network_prefers_another_model():
    best = row("a", 0.2, 0, 0, second=0.5)
    sure = row("b", 0.3, 0, 0, (0.05, 0.15), second=0.4, second_behind=(-0.15, -0.05))
    told = comparison.why([best, sure])
    assert "the second network (resnet) disagrees: by its features b is better, with a KID of" in (
        told
    )
    assert "0.400 against 0.500" in told
    assert "too near to tell" not in told
    unsure = row("b", 0.3, 0, 0, (0.05, 0.15), second=0.4, second_behind=(-0.2, 0.1))
    assert comparison.why([best, unsure]).endswith("though too near to tell them apart")
    worse = row("b", 0.3, 0, 0, (0.05, 0.15), second=0.6)
    assert "second network" not in comparison.why([best, worse])


def test_stopped_while_it_measures_it_says_what_goes_on(call, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "measure", interrupt)
    words = ["--families", "gan", "--name", "s", "--budget", "4s", *SMALL]
    answer = call("compare", "sample:smileys", *words, code=130)
    assert "all is trained, and to measure it: the same `imagegen compare` again" in answer.err
    assert [model.name for model in registry.models()] == ["s.gan"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--budget 5x", "--budget: train.budget: should be a duration"),
        ("--set train.steps=3", "--set train.steps=3: families are compared after the same time"),
        ("--set data.sise=16", "unknown key; did you mean 'size'?"),
        ("--families ,", "none is named"),
        ("--set model.nix=1 --budget 4s", "none of these can be trained"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(call, words, expected):
    answer = call("compare", "sample:smileys", "--families", "gan", *words.split(), code=2)
    assert expected in answer.err
    assert not list(registry.models())


def test_one_that_was_broken_off_keeps_the_size_of_its_autoencoder(call):
    words = ["--preset", "autoencoder", "--steps", 2, "--set", "data.size=16x24"]
    call("train", "sample:smileys", *words, "--name", "s.latent-flow-autoencoder")
    found = compare._size("sample:smileys", {"latent-flow": "s.latent-flow"}, "4s", [])
    assert found == ["data.size=16x24"]
