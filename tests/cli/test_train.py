"""What `train` says of odd data and of mistakes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from imagegen import registry
from imagegen.data.words import Vocabulary
from imagegen.family import Condition
from imagegen.train import run
from tests.cli.conftest import SMALL, Call


def test_one_broken_picture_among_many(call: Call, pictures: Path) -> None:
    broken = pictures / "disc" / "disc0.png"
    broken.write_bytes(broken.read_bytes()[:50])
    before = broken.read_bytes()
    answer = call("train", pictures, "--steps", 2, *SMALL)
    assert "11 pictures" in answer.err
    assert "skipped disc/disc0.png: cut off" in answer.err
    assert broken.read_bytes() == before


def test_one_picture_and_a_batch_of_four(call: Call, pictures: Path) -> None:
    call("train", pictures / "disc", "--steps", 2, *SMALL, "--name", "few")
    for path in list((pictures / "disc").iterdir())[1:]:
        path.unlink()
    call("train", pictures / "disc", "--steps", 2, *SMALL, "--name", "one")


def test_dry_run_leaves_nothing_behind(call: Call, pictures: Path, home: Path) -> None:
    answer = call("train", pictures, "--dry-run", *SMALL)
    assert "12 pictures" in answer.err
    assert "would train a gan" in answer.err
    assert not (home / "models").exists()


def test_print_config_feeds_back(call: Call, pictures: Path) -> None:
    words = [*SMALL, "--seed", 3, "--steps", 2]
    printed = call("train", "--print-config", *words).out
    assert "# --seed" in printed
    Path("printed.yaml").write_text(printed)
    again = call("train", "--print-config", "--preset", "printed.yaml").out

    def values(text: str) -> list[str]:
        return [line.split("#")[0].rstrip() for line in text.splitlines()]

    assert values(again) == values(printed)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ("nix", 1, "no such folder: nix"),
        ("empty", 1, "empty is empty"),
        ("texts", 1, "texts holds 1 files but no pictures (.txt)"),
        ("broken", 1, "none of the 2 pictures in broken can be used"),
        ("sample:nix", 4, "no such sample: nix"),
        ("", 2, "nothing to train on"),
        ("good --preset nix", 4, "unknown preset 'nix'"),
        ("good --preset bad.yaml", 2, "bad.yaml:2: train.lrr: unknown key; did you mean 'lr'?"),
        ("good --set train.lr=fast", 2, "train.lr: should be a valid number"),
        ("good --set trian.lr=1", 2, "--set trian.lr: trian: unknown key; did you mean 'train'?"),
        ("good --set family=gam", 2, "unknown family 'gam'; did you mean 'gan'?"),
        ("good --set data.size=33", 2, "33"),
        (
            "good --set data.size=8",
            2,
            "data.size: should be a side of 16 to 1,024 pixels, or WIDTHx",
        ),
        ("good --set data.size=32x2048", 2, 'such as 48x32, got "32x2048"'),
        ("good --set data.size=32by16", 2, 'such as 48x32, got "32by16"'),
        ("good --set data.size=true", 2, "such as 48x32, got true"),
        ("good --set data.size=16.5", 2, "such as 48x32, got 16.5"),
        ("good --set device=tpu", 2, "device: 'tpu' is not there"),
        ("good --set device=meta", 2, "device: 'meta' is not there"),
        ("good --set train.betas=[0,2]", 2, "train.betas.1: should be less than 1, got 2"),
        ("good --budget soon", 2, "train.budget: should be a duration"),
        ("good --budget 1m --steps 3", 2, "--budget and --steps exclude each other"),
        ("good --name ../x", 2, "can't be the name of a model"),
        ("--resume nix", 4, "unknown model 'nix'"),
    ],
)
def test_mistakes(
    call: Call, pictures: Path, home: Path, words: str, code: int, expected: str
) -> None:
    pictures.rename("good")
    Path("empty").mkdir()
    for name in ("texts/a.txt", "broken/a.png", "broken/b.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("no picture")
    Path("bad.yaml").write_text("train:\n  lrr: 1\n")
    answer = call("train", *words.split(), code=code)
    lines = answer.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert expected in errors[0]
    assert lines[-1].startswith(" hint: ")
    assert not (home / "models").exists()


def test_what_has_broken_down_is_gone_back_on_three_times_and_not_saved(
    call: Call, pictures: Path, home: Path
) -> None:
    words = ["--set", "train.lr=1e30", "--set", "train.warmup=0", "--steps", 40]
    answer = call("train", pictures, *SMALL, *words, code=1)
    assert answer.err.count("back to step 0, and on at half the rate") == 3
    assert "error: training broke down at step" in answer.err
    assert "the 3 times halved rate" in answer.err
    assert "--set train.lr=" in answer.err
    assert not list((home / "models/shapes").glob("model.safetensors"))


def test_one_accident_is_survived(
    call: Call, pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen.families.gan import Gan

    real, seen = Gan.loss, []

    def loss(self, batch, phase):
        value, logs = real(self, batch, phase)
        if batch.step == 10 and phase == "generator":
            seen.append(batch.step)
            if len(seen) == 1:
                return value * float("nan"), logs
        return value, logs

    monkeypatch.setattr(Gan, "loss", loss)
    answer = call("train", pictures, *SMALL, "--steps", 24)
    assert "warning: step 12: discriminator is not a number any more: back to step 8" in answer.err
    assert "on at half the rate, 0.0005" in answer.err
    assert "all steps done: step 24" in answer.err
    assert len(seen) == 2


def test_short_memory_is_told_and_remembered(
    call: Call, pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen.families.gan import Gan

    real = Gan.loss

    def loss(self, batch, phase):
        if len(batch.images) > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(self, batch, phase)

    monkeypatch.setattr(Gan, "loss", loss)
    words = [*SMALL, "--set", "train.batch_size=16", "--steps", 8]
    answer = call("train", pictures, *words)
    assert answer.err.count("memory is short: batches are computed in 2 parts") == 1
    journal = (home / "models/shapes/state/journal.jsonl").read_text()
    assert '"decision": "split", "at": 0, "parts": 2' in journal


def test_a_model_is_made_anew_only_by_force(call: Call, pictures: Path, home: Path) -> None:
    call("train", pictures, *SMALL, "--steps", 4)
    before = (home / "models/shapes/model.safetensors").read_bytes()
    answer = call("train", pictures, *SMALL, "--steps", 4, "--seed", 5, code=1)
    assert "train.seed 0 then, 5 now" in answer.err
    assert "--force" in answer.err
    assert (home / "models/shapes/model.safetensors").read_bytes() == before
    call("train", pictures, *SMALL, "--steps", 4, "--seed", 5, "--force")
    assert (home / "models/shapes/model.safetensors").read_bytes() != before


def test_force_deletes_only_when_nothing_else_can_be_refused(
    call: Call, pictures: Path, home: Path
) -> None:
    call("train", pictures, *SMALL, "--steps", 4)
    before = (home / "models/shapes/model.safetensors").read_bytes()
    call("train", "nowhere", *SMALL, "--name", "shapes", "--steps", 4, "--force", code=1)
    words = ["--force", "--seed", 5, "--steps", 4]
    call("train", pictures, *SMALL, *words, "--dry-run")
    call("train", pictures, *SMALL, *words, "--set", "data.size=33", code=2)
    call("train", pictures, *words, "--from", "nobody", "--name", "shapes", code=4)
    assert (home / "models/shapes/model.safetensors").read_bytes() == before


def test_a_refused_start_leaves_the_name_free(
    call: Call, pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen import device

    monkeypatch.setattr(device, "_mixed_speed", lambda: 0.5)
    words = ["train", pictures, *SMALL, "--steps", 4]
    call(*words, "--set", "train.precision=bfloat16", code=2)
    assert not (home / "models/shapes").exists()
    call(*words)


def test_sampling_is_part_of_a_training(call: Call, pictures: Path) -> None:
    words = ["train", pictures, *SMALL, "--steps", 4]
    call(*words)
    answer = call(*words, "--set", "sample.truncation=0.5", code=1)
    assert "sample.truncation 1.0 then, 0.5 now" in answer.err
    answer = call(*words, "--set", "sample.truncation=0.5", "--dry-run", code=1)
    assert "was trained otherwise" in answer.err


def test_a_setting_that_is_newer_than_a_training_does_not_end_it(
    call: Call, home: Path, pictures: Path
) -> None:
    words = ["train", pictures, *SMALL, "--steps", 4]
    call(*words)
    config = home / "models/shapes/config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    older = [line for line in lines if "gamma_end:" not in line]
    assert len(older) == len(lines) - 1
    config.write_text("".join(older))
    assert "is finished" in call(*words).err
    assert "is finished" in call("train", "--resume", "shapes").err
    answer = call(*words, "--set", "model.gamma_end=0.1", code=1)
    assert "model.gamma_end 0.2 then, 0.1 now" in answer.err


def test_weights_that_are_no_numbers_are_never_saved(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is still fine when the last step before a state spoils the weights."""
    from imagegen.train.learner import Learner

    real, spoilt = Learner.step, []

    def step(self, order):
        logs = real(self, order)
        if order.step in (7, 11) and order.step not in spoilt:
            spoilt.append(order.step)
            next(self.average.generator.parameters()).data.fill_(float("nan"))
        return logs

    monkeypatch.setattr(Learner, "step", step)
    words = ["sample:smileys", *SMALL, "--steps", 12, "--set", "train.sample_every=50"]
    answer = call("train", *words, "--set", "train.watch_every=0")
    assert "warning: step 8: a weight is not a number any more: back to step 4" in answer.err
    assert "warning: step 12: a weight is not a number any more: back to step 8" in answer.err
    assert "all steps done: step 12" in answer.err
    weights = load_file(home / "models/smileys/model.safetensors")
    assert all(np.isfinite(value).all() for value in weights.values())


def scripted(monkeypatch: pytest.MonkeyPatch, look) -> None:
    """Let looks find what `look(step)` says instead."""
    from imagegen.train import watch

    real = watch.Watcher.look

    def found(self, learner, order):
        return replace(real(self, learner, order), **look(order.step))

    monkeypatch.setattr(watch.Watcher, "look", found)


def kid(value: float) -> dict[str, float]:
    return {"kid": value, "kid_low": value - 0.01, "kid_high": value + 0.01}


def test_the_best_after_going_back_is_of_the_course_that_is_left(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen.families.gan import Gan

    real, seen, looked = Gan.loss, [], []

    def loss(self, batch, phase):
        value, logs = real(self, batch, phase)
        if batch.step == 14 and not seen:
            seen.append(batch.step)
            return value * float("nan"), logs
        return value, logs

    def look(step):
        looked.append(step)
        return kid({4: 0.5, 8: 1.5, 12: 0.2 if looked.count(12) == 1 else 1.5}.get(step, 1.5))

    monkeypatch.setattr(Gan, "loss", loss)
    scripted(monkeypatch, look)
    words = [*SMALL, "--set", "train.watch_every=4", "--set", "train.checkpoint_every=10"]
    answer = call("train", "sample:smileys", *words, "--steps", 20)
    assert "back to step 10" in answer.err
    assert looked == [4, 8, 12, 12, 16, 20]
    assert "the model is that of step 4, which was better" in answer.err
    assert registry.Model(home / "models/smileys").header()["step"] == 4


def test_a_verdict_survives_a_kill_before_it_is_written_down(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, lambda step: {"copies": 0.9, "copies_low": 0.8})
    words = ["sample:smileys", *SMALL, "--steps", 40, "--set", "train.watch_every=4"]
    call("train", *words)
    journal = home / "models/smileys/state/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert '"finished": 8' in lines[-1]
    journal.write_text("".join(lines[:-1]))
    answer = call("train", *words)
    assert "copying: 90% of the pictures are training pictures again: step 8" in answer.err


def test_a_new_model_from_an_old_ones_weights(
    call: Call, pictures: Path, home: Path, trained: Path
) -> None:
    words = ["--from", "smileys", "--steps", 4]
    answer = call("train", pictures, *words, "--name", "next")
    assert "generator: 26 of 28 tensors carried over; new: generator.last.weight" in answer.err
    assert "not carried over: optimisers, steps done" in answer.err
    known = json.loads((home / "models/next/data.json").read_text())
    assert known["continued_from"] == {"name": "smileys", "step": 6}
    assert "is finished" in call("train", pictures, *words, "--name", "next").err
    assert "its own beginning" in call("train", pictures, *words, "--name", "smileys", code=2).err
    assert call("train", *words, "--name", "same").err.count("tensors carried over\n") == 2
    shutil.rmtree(trained / "state")  # as one that was imported
    answer = call("train", *words, "--name", "third")
    assert "discriminator: 0 of 30 tensors carried over; new: discriminator.first" in answer.err
    assert "generator: 41 of 41 tensors carried over" in answer.err


def test_weights_cannot_decay_towards_a_start_from_scratch(call: Call, pictures: Path) -> None:
    words = ["--preset", "gan", *SMALL, "--steps", 2, "--set", "train.decay_towards=start"]
    answer = call("train", pictures, *words, code=2)
    assert "this run starts from scratch" in answer.err
    assert "--from MODEL" in answer.err


def test_from_scratch_is_what_happens_without_it(call: Call, pictures: Path) -> None:
    config = call("train", pictures, "--preset", "gan", "--print-config").out
    assert (
        call("train", pictures, "--preset", "gan", "--from", "scratch", "--print-config").out
        == config
    )
    answer = call("train", pictures, "--from", "nobody", code=4)
    assert "unknown model 'nobody'" in answer.err


def test_what_was_learnt_of_words_and_labels_goes_to_the_same_ones() -> None:
    then = Condition(("ant", "bee"), Vocabulary.of(["a red ant", "a red bee"]))
    now = Condition(("bee", "cat", "ant"), Vocabulary.of(["the cat", "the red cat", "red"]))
    assert then.vocabulary is not None
    assert now.vocabulary is not None
    labels, words = "net.conditioner.labels", "net.conditioner.reader.words.weight"
    known = {labels: torch.randn(2, 4), words: torch.randn(len(then.vocabulary), 4)}
    ours = {labels: torch.zeros(3, 4), words: torch.zeros(len(now.vocabulary), 4)}
    moved = run._by_name(known, ours, then, now)
    assert torch.equal(moved[labels][[0, 2]], known[labels][[1, 0]])
    assert (moved[labels][1] == 0).all()
    for word in ("red", "e", "x"):
        before, after = then.vocabulary.tokens(word), now.vocabulary.tokens(word)
        assert torch.equal(moved[words][after], known[words][before])
    (cat,) = now.vocabulary.tokens("cat")
    assert (moved[words][cat] == 0).all()
    assert torch.equal(moved[words][0], known[words][0])
    wider = {labels: torch.zeros(3, 8), words: torch.zeros(len(now.vocabulary), 8)}
    assert run._by_name(known, wider, then, now)[words] is known[words]


def test_it_looks_at_the_quality_and_says_so(call: Call, home: Path) -> None:
    words = ["sample:smileys", *SMALL, "--steps", 8, "--set", "train.watch_every=4"]
    lines = call("train", *words, "--json").out.splitlines()
    events = [json.loads(line) for line in lines]
    looks = [event for event in events if event["event"] == "watched"]
    assert [event["step"] for event in looks] == [4, 8]
    for event in looks:
        assert event["kid_low"] < event["kid"] < event["kid_high"]
        assert 0 <= event["coverage"] <= 1
        assert event["copies"] == 0
        assert event["spread"] > 0
        assert "gap" in event
    assert events[-1]["spent"].keys() == {"watching", "saving", "sheets"}
    metrics = (home / "models/smileys/metrics.jsonl").read_text()
    assert metrics.count('"kid"') == 2


def test_the_best_weights_are_the_model(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen.train import watch

    real, kids = watch.Watcher.look, iter([0.5, 0.1, 0.9])

    def look(self, learner, order):
        kid = next(kids)
        return replace(real(self, learner, order), kid=kid, kid_low=kid - 0.01, kid_high=kid + 0.01)

    monkeypatch.setattr(watch.Watcher, "look", look)
    words = ["sample:smileys", *SMALL, "--steps", 12, "--set", "train.watch_every=4"]
    answer = call("train", *words, "--name", "peak")
    assert "the model is that of step 8, which was better" in answer.err
    assert "step 12: KID 0.900" in answer.err
    assert "best so far: step 8" in answer.err
    header = registry.Model(home / "models/peak").header()
    assert header["step"] == 8
    call("train", *words[:-4], "--steps", 8, "--set", "train.watch_every=0", "--name", "short")
    ours, theirs = (load_file(home / "models" / n / "model.safetensors") for n in ("peak", "short"))
    assert ours.keys() == theirs.keys()


@pytest.mark.parametrize(
    ("spread", "copies", "expected"),
    [(0.1, 0.0, "collapse: 3 times"), (1.0, 0.9, "copying: 90% of the pictures")],
)
def test_it_stops_when_there_is_no_point_in_going_on(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch, spread, copies, expected
) -> None:
    from imagegen.train import watch

    real = watch.Watcher.look

    def look(self, learner, order):
        return replace(real(self, learner, order), spread=spread, copies=copies, copies_low=copies)

    monkeypatch.setattr(watch.Watcher, "look", look)
    words = ["sample:smileys", *SMALL, "--steps", 40, "--set", "train.watch_every=4"]
    answer = call("train", *words)
    assert expected in answer.err
    assert "is finished: " + expected in call("train", *words).err
    registry.load(registry.Model(home / "models/smileys"))


def test_a_plateau_ends_early_and_annealed(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen.train import watch

    real = watch.Watcher.look
    monkeypatch.setattr(
        watch.Watcher, "look", lambda self, *words: replace(real(self, *words), kid=0.5)
    )
    for module in ("judge", "loop"):
        monkeypatch.setattr(f"imagegen.train.{module}.PATIENCE", 3)
    words = ["sample:smileys", *SMALL, "--steps", 400, "--set", "train.watch_every=10"]
    answer = call("train", *words)
    assert "plan: 44 steps (plateau: no better for 3 looks" in answer.err
    assert "plateau: no better for 3 looks; the rate goes down now: step 44" in answer.err


def test_an_almost_full_disk_stops_it_with_everything_saved(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = iter([10**9, 10**9, 10**5, 10**5])
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=next(free)))
    words = ["sample:smileys", *SMALL, "--steps", 40, "--set", "train.watch_every=0"]
    answer = call("train", *words, code=1)
    assert "error: the disk is almost full: stopped, with everything saved" in answer.err
    states = sorted((home / "models/smileys/state").glob("0*.safetensors"))
    assert [state.name for state in states] == ["000000008.safetensors"]
    monkeypatch.undo()
    monkeypatch.setenv("IMAGEGEN_HOME", str(home))
    assert "going on from step 8" in call("train", *words).err


def test_what_is_not_set_is_chosen_and_kept(
    call: Call, pictures: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagegen.train import choose

    def estimate(layer, mixed=False):
        size, width = layer.get(("data", "size")), layer.get(("model", "width"))
        return choose.Estimate(0.1, 1e6 * 8 / width / size, 2e4 if size > 20 else 1e3, 10**9, 60)

    monkeypatch.setattr(choose, "estimate", estimate)
    small = ["--set", "model.width=8", "--set", "train.batch_size=4"]
    answer = call("train", pictures, *small, "--budget", "3s")
    assert "data.size=40: the pictures have about 40 px" in answer.err
    monkeypatch.setattr(choose, "NEEDED", 10**12)
    assert "is finished" in call("train", pictures, *small, "--budget", "3s").err


def test_json_says_what_would_be_done(call: Call, pictures: Path) -> None:
    lines = call("train", pictures, *SMALL, "--dry-run", "--json").out.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["data", "plan"]
    assert json.loads(call("train", *SMALL, "--print-config", "--json").out)["data"]["size"] == 16


def test_tensorboard_gets_the_same(call: Call, pictures: Path, home: Path) -> None:
    pytest.importorskip("tensorboard")
    call("train", pictures, *SMALL, "--steps", 4, "--tensorboard")
    (file,) = (home / "models/shapes/tensorboard").iterdir()
    assert file.stat().st_size > 1000


def test_resume_takes_no_settings(call: Call, trained: Path) -> None:
    answer = call("train", "--resume", "smileys", "--seed", 1, code=2)
    assert "--seed has no effect with --resume" in answer.err


def test_a_home_that_cannot_be_written(
    call: Call, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("taken").write_text("")
    monkeypatch.setenv("IMAGEGEN_HOME", "taken")
    answer = call("train", pictures, "--steps", 1, *SMALL, code=1)
    assert "error: Not a directory: taken" in answer.err


def test_grey_of_sixteen_bits_all_the_way(call: Call, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for number in range(12):
        smooth = np.kron(noise.integers(0, 65536, (4, 4)), np.ones((8, 8)))
        Image.fromarray(smooth.astype(np.uint16)).save(tmp_path / f"{number}.png")
    said = call("train", tmp_path, "--name", "deep", "--steps", 3, *SMALL).err
    assert "16-bit grey" in said
    out = call("generate", "-m", "deep", "-s", 1, "-n", 2, "-o", tmp_path / "out").out
    for line in out.split():
        with Image.open(line) as picture:
            assert picture.mode == "I;16"
            assert len(np.unique(np.asarray(picture) % 257)) > 20
    call("generate", "-m", "deep", "-s", 1, "-o", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == Path(out.split()[0]).read_bytes()
    call("evaluate", "deep", "-n", 16)


def test_a_training_goes_on_with_the_words_that_it_began_with(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["sample:smileys", *SMALL, "--steps", 8, "--set", "train.checkpoint_every=4"]
    call("train", *words)
    model = registry.find("smileys")
    before = model.header()["vocabulary"]
    assert before["words"]
    newest = max(model.state.glob("[0-9]*.safetensors"))
    for file in model.state.glob(f"{newest.name}*"):
        file.unlink()
    journal = model.state / "journal.jsonl"
    lines = [line for line in journal.read_text().splitlines(True) if "finished" not in line]
    journal.write_text("".join(lines))
    none = Condition(model.header()["labels"], Vocabulary.of(["as another version", "finds them"]))
    monkeypatch.setattr("imagegen.train.learner.condition_of", lambda *_: none)
    answer = call("train", *words)
    assert "does not fit" not in answer.err
    assert "step 4" in answer.err
    assert model.header()["vocabulary"] == before


def test_pixel_art_keeps_the_palette_of_its_pictures(call: Call, tmp_path: Path) -> None:
    colors = np.array([[0, 0, 0], [29, 43, 83], [255, 0, 77], [255, 241, 232]], np.uint8)
    art = tmp_path / "art"
    art.mkdir()
    noise = np.random.default_rng(0)
    for number in range(12):
        image = np.full((16, 16, 4), 255, np.uint8)
        image[..., :3] = colors[np.kron(noise.integers(0, 4, (4, 4)), np.ones((4, 4), int))]
        image[:4, :4] = 0
        Image.fromarray(image).save(art / f"{number}.png")
    small = ["--set", "data.size=16", "--set", "model.width=8", "--set", "train.batch_size=4"]
    said = call("train", art, "--name", "art", "--preset", "pixel-art", "--steps", 6, *small)
    assert "postprocess.palette=4 colours: all of the pictures'" in said.err
    call("generate", "-m", "art", "-s", 1, "-o", tmp_path / "a.png")
    drawn = np.asarray(Image.open(tmp_path / "a.png"))
    seen = {tuple(color) for color in drawn[drawn[..., 3] == 255][:, :3].tolist()}
    assert seen <= {tuple(color) for color in colors.tolist()}
    assert set(np.unique(drawn[..., 3])) <= {0, 255}
    call("train", "--resume", "art")
    from_it = ["--from", "art", "--force"]
    said = call("train", art, "--name", "child", *from_it)
    assert "postprocess.palette: the colours of art; its preset, if named again" in said.err
    said = call("train", art, "--name", "child", *from_it, "--preset", "pixel-art")
    assert "postprocess.palette=4 colours: all of the pictures'" in said.err
