"""A model and the autoencoder that it stands on: trained, found, refused, in one command."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen import durable, presets, registry
from imagegen.images import metadata
from imagegen.settings import seconds
from imagegen.train import foundation
from tests.cli.conftest import Answer, Call, call  # noqa: F401
from tests.conftest import Run
from tests.train.test_loop import hear_interrupts, wait_for

TINY = """
extends: tokenizer
model: {width: 8, blocks: 1, prior_width: 8, levels: [3, 3]}
train: {batch_size: 4, checkpoint_every: 4, sample_every: 1000, watch_every: 0}
"""
SETTINGS = [
    "--preset", "rnn", "--set", "autoencoder.preset=tiny", "--set", "data.size=16",
    "--set", "model.width=8", "--set", "model.layers=1", "--set", "train.batch_size=4",
    "--set", "train.checkpoint_every=4", "--set", "train.watch_every=0",
]  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(home: Path) -> None:
    """Put a preset of a tokenizer so small that a step takes milliseconds into the home."""
    (home / "presets").mkdir()
    (home / "presets/tiny.yaml").write_text(TINY)


def train(call: Call, *words: object, code: int = 0) -> Answer:  # noqa: F811
    return call("train", "sample:smileys", *SETTINGS, *words, code=code)


def steps(name: str) -> int:
    return int(registry.find(name).header()["step"])


def test_force_does_not_delete_what_the_new_one_stands_on(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 10)
    call("models", "rm", "tall", "--yes")
    stands = ["--set", "autoencoder.name=tall-autoencoder"]
    answer = train(call, "--name", "tall-autoencoder", "--steps", 4, *stands, "--force", code=2)
    assert "--force would delete tall-autoencoder, which the new model is to stand on" in answer.err
    assert steps("tall-autoencoder") == 4


def test_one_command_trains_both(call: Call, home: Path) -> None:  # noqa: F811
    plan = train(call, "--name", "tall", "--steps", 10, "--dry-run")
    assert "rnn" in plan.err
    assert not (home / "models/tall").exists()
    assert not (home / "models/tall-autoencoder").exists()
    answer = train(call, "--name", "tall", "--steps", 10)
    assert "first the autoencoder" in answer.err
    assert (steps("tall-autoencoder"), steps("tall")) == (4, 6)
    call("generate", "-m", "tall", "--seed", 1, "-o", "a.png")
    again = train(call, "--name", "tall", "--steps", 10)
    assert "tall is finished" in again.err
    assert "tall-autoencoder is finished" in again.err
    assert "tall is finished" in call("train", "--resume", "tall").err
    assert "seed" in train(call, "--name", "tall", "--steps", 10, "--seed", 5, code=1).err
    before = registry.find("tall").weights.read_bytes()
    train(call, "--name", "tall", "--steps", 10, "--seed", 5, "--force")
    assert registry.find("tall").weights.read_bytes() != before
    call("generate", "-m", "tall", "--seed", 1, "-o", "a.png")


def test_how_often_to_save_and_look_holds_for_both(call: Call) -> None:  # noqa: F811
    train(call, "--name", "two", "--steps", 6, "--set", "train.sample_every=2")
    for name in ("two", "two-autoencoder"):
        config = presets.check(registry.find(name).settings())
        assert config.train.sample_every == 2
        assert config.train.checkpoint_every == 4
    below = presets.check(registry.find("two-autoencoder").settings())
    assert below.model["prior_share"] == foundation.LITTLE


def test_pictures_are_turned_for_what_stands_on_it_alone(call: Call) -> None:  # noqa: F811
    train(call, "--name", "two", "--steps", 6, "--set", "data.turned=0.5", "--set", "data.fit=pad")
    above, below = (presets.check(registry.find(n).settings()) for n in ("two", "two-autoencoder"))
    assert (above.data.turned, below.data.turned) == (0.5, 0)
    assert above.data.fit == below.data.fit == "pad"
    family, _ = registry.load(registry.find("two"))
    assert family.condition.turned


def test_one_that_is_there_can_be_stood_on(call: Call) -> None:  # noqa: F811
    train(call, "--name", "one", "--steps", 10)
    named = ["--set", "autoencoder.name=one-autoencoder", "--steps", 3]
    train(call, "--name", "two", *named)
    assert not (registry.models_folder() / "two-autoencoder").exists()
    call("generate", "-m", "two", "--seed", 1, "-o", "a.png")
    assert "two" in call("models", "rm", "one-autoencoder", "--yes", code=1).err
    for words, expected in (
        (["autoencoder.name=nope"], "nope"),
        (["autoencoder.name=two"], "is no autoencoder"),
        (["autoencoder.name=one-autoencoder", "data.size=32"], "16x16"),
    ):
        sets = [word for one in words for word in ("--set", one)]
        refused = train(call, "--name", "three", *sets, "--steps", 3, code=2)
        assert expected in refused.err
        assert not (registry.models_folder() / "three").exists()


def test_pictures_are_as_a_named_one_knows_them(call: Call) -> None:  # noqa: F811
    train(call, "--name", "one", "--steps", 10, "--set", "data.channels=rgb")
    words = ["sample:smileys", "--preset", "rnn", "--name", "two", "--budget", "1m"]
    sets = ["autoencoder.name=one-autoencoder", "model.width=8", "model.layers=1"]
    options = [*words, *(word for one in sets for word in ("--set", one))]
    said = call("train", *options, "--dry-run").err  # its steps are timed with such pictures
    assert "16x16 RGB," in said


def test_both_travel_together(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    call("generate", "-m", "tall", "--seed", 1, "-o", "a.png")
    call("models", "cp", "tall", "other")
    call("models", "export", "tall", "-o", "tall.tar")
    call("models", "rm", "tall", "--yes")
    call("models", "rm", "other", "--yes")
    call("models", "rm", "tall-autoencoder", "--yes")
    call("models", "import", "tall.tar")
    call("generate", "-m", "tall", "--seed", 1, "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


@pytest.mark.parametrize("stage", ["both-autoencoder", "both"])
@pytest.mark.parametrize("how", ["again", "--resume"])
def test_an_interrupted_command_goes_on_in_either_stage(
    home: Path, run: Run, how: str, stage: str
) -> None:
    words = ["train", "sample:smileys", *SETTINGS, "--steps", 120, "--name"]
    training = subprocess.Popen(
        [sys.executable, "-m", "imagegen", *map(str, words), "both"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )
    wait_for(home / f"models/{stage}/state/000000008.safetensors")
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=120)
    assert training.returncode == 130, err
    assert "go on with: imagegen train --resume both\n" in err
    done = run(*(["train", how, "both"] if how == "--resume" else [*words, "both"])).stderr.decode()
    assert "going on from step" in done
    run(*words, "whole")
    for suffix in ("", "-autoencoder"):
        one, other = (registry.find(f"{name}{suffix}") for name in ("both", "whole"))
        assert one.header()["step"] == other.header()["step"]
        assert one.weights.read_bytes()[-1000:] == other.weights.read_bytes()[-1000:]


def test_damaged_or_gone_foundations_are_named(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    below = registry.find("tall-autoencoder")
    content = bytearray(below.weights.read_bytes())
    content[-1] ^= 1
    below.weights.write_bytes(content)
    assert "tall-autoencoder" in call("generate", "-m", "tall", "-o", "a.png", code=1).err
    shutil.rmtree(below.path)
    gone = call("generate", "-m", "tall", "-o", "a.png", code=1).err
    assert "is not there" in gone


def test_two_processes_train_both(home: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    words = ["-m", "imagegen", "train", "sample:smileys", *SETTINGS, "--steps", "10"]
    batches = ["--set", "train.batch_size=32", "--name", "shared"]
    (home / "presets/tiny.yaml").write_text(TINY.replace("batch_size: 4", "batch_size: 32"))
    done = subprocess.run([*launcher, *words, *batches], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    curve = (home / "models/shared/metrics.jsonl").read_text().splitlines()
    assert json.loads(curve[-1])["step"] == 6


def test_one_that_is_stood_on_shows_what_comes_back_until_it_draws(
    call: Call,  # noqa: F811
) -> None:
    often = ("--set", "train.watch_every=10", "--set", "train.sample_every=10")
    train(call, "--name", "tall", "--steps", 50, *often)
    below = registry.find("tall-autoencoder")
    looks = [one for one in durable.lines(below.path / "metrics.jsonl") if "psnr" in one]
    # It has 20 steps, of which its flow learns in the last two: it draws at the end alone.
    assert [(one["step"], "copies" in one) for one in looks] == [(10, False), (20, True)]
    sheets = [Image.open(path) for path in sorted(below.samples.glob("*.png"))]
    records = [metadata.read(sheet) or {} for sheet in sheets]
    assert [record["step"] for record in records] == [10, 20]
    assert ["seeds" in record for record in records] == [False, True]
    assert [record["pictures"] for record in records] == [16, 16]
    call("models", "watch", "tall-autoencoder", "--once")


def test_a_name_that_is_taken_is_refused_before_the_first_stage(
    call: Call,  # noqa: F811
) -> None:
    train(call, "--name", "tall", "--steps", 5)
    shutil.rmtree(registry.find("tall-autoencoder").path)
    refused = train(call, "--name", "tall", "--steps", 5, "--set", "model.width=16", code=1)
    assert "model.width 8 then, 16 now" in refused.err
    assert not (registry.models_folder() / "tall-autoencoder").exists()


def test_force_deletes_nothing_where_another_stands_on_the_autoencoder(
    call: Call,  # noqa: F811
) -> None:
    train(call, "--name", "one", "--steps", 5)
    train(call, "--name", "two", "--set", "autoencoder.name=one-autoencoder", "--steps", 3)
    refused = train(call, "--name", "one", "--steps", 5, "--force", code=1)
    assert "model two stands on one-autoencoder" in refused.err
    call("generate", "-m", "one", "--seed", 1, "-o", "a.png")


def test_what_waits_for_its_autoencoder_is_forgotten_when_it_begins(
    call: Call,  # noqa: F811
) -> None:
    train(call, "--name", "tall", "--steps", 5)
    assert foundation.remembered("tall") is None
    call("models", "rm", "tall", "--yes")
    assert "unknown model 'tall'" in call("train", "--resume", "tall", code=4).err
    asked = {"family": "rnn", "autoencoder": {"preset": "mine.yaml"}}
    foundation.remember("tall", presets.Layer(asked), "parent")
    found = foundation.remembered("tall")
    assert found is not None
    assert found[1] == "parent"
    assert found[0].origin(("family",)) == "asked for tall"
    assert found[0].get(foundation.PRESET) == str(Path.cwd() / "mine.yaml")
    call("models", "cp", "tall-autoencoder", "other-autoencoder")
    assert foundation.remembered("other") is None
    path = registry.models_folder() / "tall-autoencoder" / foundation.ABOVE
    for damaged in ("{", "[]", "null", '{"name": "tall", "settings": 1}'):
        path.write_text(damaged)
        assert foundation.remembered("tall") is None


def test_an_autoencoder_of_an_older_version_draws_as_it_did(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    path = registry.find("tall-autoencoder").path / "config.yaml"
    now = path.read_text()
    before = re.sub(r"  (shift|guidance): .*\n", "", now)
    before = re.sub(r"steps: 10\n", "steps: 20\n", before).replace("multistep", "midpoint")
    assert before.count("\n") == now.count("\n") - 2
    path.write_text(before)
    sample = registry.find("tall-autoencoder").settings().get(("sample",))
    assert sample == {"steps": 20, "solver": "midpoint", "shift": 1, "guidance": 1}
    again = train(call, "--name", "tall", "--steps", 5)
    assert "tall-autoencoder is finished" in again.err
    changed = ["--set", "sample.temperature=0.5"]
    assert "sample.temperature" in train(call, "--name", "tall", *changed, code=1).err


def test_an_import_mends_a_damaged_foundation(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    call("generate", "-m", "tall", "--seed", 1, "-o", "a.png")
    call("models", "export", "tall", "-o", "tall.tar")
    below = registry.find("tall-autoencoder")
    below.weights.write_bytes(below.weights.read_bytes()[:-1])
    call("generate", "-m", "tall", "--seed", 1, "-o", "b.png", code=1)
    call("models", "import", "tall.tar", "--name", "other")
    assert [model.name for model in registry.models()] == ["other", "tall", "tall-autoencoder"]
    call("generate", "-m", "tall", "--seed", 1, "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_an_import_can_have_the_name_of_what_it_stands_on(
    call: Call,  # noqa: F811
) -> None:
    train(call, "--name", "tall", "--steps", 5)
    call("models", "export", "tall", "-o", "tall.tar")
    for name in ("tall", "tall-autoencoder"):
        call("models", "rm", name, "--yes")
    call("models", "import", "tall.tar", "--name", "tall-autoencoder")
    names = [model.name for model in registry.models()]
    assert names == ["tall-autoencoder", "tall-autoencoder-2"]
    call("generate", "-m", "tall-autoencoder", "--seed", 1, "-o", "a.png")


def test_a_part_of_16_bits_stays_as_it_is(call: Call, tmp_path: Path) -> None:  # noqa: F811
    random = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for number in range(12):
        values = random.integers(0, 65536, (16, 16), np.uint16)
        Image.fromarray(values).save(tmp_path / f"scans/{number}.png")
    call("train", tmp_path / "scans", "--name", "deep", *SETTINGS, "--steps", 5)
    known = values[:8]
    Image.fromarray(known).save("part.png")
    call("generate", "-m", "deep", "--complete", "part.png", "--seed", 1, "-o", "a.png")
    made = np.asarray(Image.open("a.png"))
    assert made.dtype == np.uint16
    assert np.array_equal(made[:8], known)


def test_a_family_that_stands_on_none_takes_none(call: Call) -> None:  # noqa: F811
    for family in ("gan", "autoencoder"):
        words = ["--preset", family, "--set", "autoencoder.share=0.5", "--name", "tall"]
        refused = call("train", "sample:smileys", *words, "--steps", 2, code=2)
        assert f"a model of family {family} stands on none" in refused.err


def test_pictures_of_another_kind_are_told_what_to_set(call: Call) -> None:  # noqa: F811
    train(call, "--name", "one", "--steps", 5)
    words = ["--set", "autoencoder.name=one-autoencoder", "--set", "data.channels=grey"]
    refused = train(call, "--name", "two", *words, "--steps", 3, code=2)
    assert "is for 16x16 rgba, and the pictures are 16x16 grey" in refused.err
    assert "--set data.channels=rgba" in refused.err


def test_what_stands_on_an_oblong_one_is_as_oblong(call: Call) -> None:  # noqa: F811
    train(call, "--name", "wide", "--steps", 10, "--set", "data.size=32x16")
    words = ["--preset", "rnn", "--set", "autoencoder.name=wide-autoencoder"]
    small = [*SETTINGS[6:]]
    call("train", "sample:smileys", *words, *small, "--name", "more", "--steps", 4)
    assert registry.find("more").header()["shape"] == [4, 16, 32]
    call("generate", "-m", "more", "--seed", 1, "-o", "wide.png")
    assert Image.open("wide.png").size == (32, 16)
    square = call(
        "train", "sample:smileys", *words, *small, "--set", "data.size=32", "--name", "no", code=2
    )
    assert "is for 32x16 rgba, and the pictures are 32x32 rgba" in square.err
    assert "--set data.size=32x16" in square.err


def test_a_broken_off_command_takes_the_size_it_had(
    call: Call,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [word for word in SETTINGS if not word.startswith("data.size")]
    words = [*words[:4], *words[5:]]  # without its --set
    wide = ["--set", "data.size=32x16"]
    call("train", "sample:smileys", *words, *wide, "--name", "off", "--steps", 5)
    shutil.rmtree(registry.find("off").path)
    assert foundation.begun_size(presets.resolve(["rnn"]), "off") == "32x16"
    assert foundation.begun_size(presets.resolve(["gan"]), "off") is None
    said = call("train", "sample:smileys", *words, "--name", "off", "--steps", 5).err
    assert "32x16" in said
    assert registry.find("off").header()["shape"] == [4, 16, 32]


def test_another_that_is_named_to_go_on_with_is_the_one(call: Call) -> None:  # noqa: F811
    train(call, "--name", "one", "--steps", 5)
    train(call, "--name", "two", "--steps", 5, "--seed", 3)
    named = ["--set", "autoencoder.name=two-autoencoder"]
    call("train", "--from", "one", "--name", "three", "--steps", 2, *named)
    config = presets.check(registry.find("three").settings()).autoencoder
    assert config is not None
    assert config.weights == registry.read_weights(registry.find("two-autoencoder"))[1]


def test_one_without_its_sum_is_still_stood_on(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    below = registry.find("tall-autoencoder")
    below.weights.with_name(f"{below.weights.name}.sha256").unlink()
    assert "tall" in call("models", "rm", below.name, "--yes", code=1).err
    assert "tall-autoencoder" in call("generate", "-m", "tall", "-o", "a.png", code=1).err


def test_a_whole_copy_is_stood_on_before_a_damaged_one(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    below = registry.find("tall-autoencoder")
    call("models", "cp", below.name, "copy")
    content = bytearray(below.weights.read_bytes())
    content[-1] ^= 1
    below.weights.write_bytes(content)
    call("generate", "-m", "tall", "--seed", 1, "-o", "a.png")
    assert "tall stands on copy" in call("models", "rm", "copy", "--yes", code=1).err
    call("models", "rm", below.name, "--yes")
    call("generate", "-m", "tall", "--seed", 1, "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_several_are_deleted_together_or_not_at_all(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    call("models", "cp", "tall", "other")
    call("models", "rm", "tall", "tall-autoencoder", "--yes", code=1)
    assert {one.name for one in registry.models()} == {"tall", "other", "tall-autoencoder"}
    call("models", "rm", "tall-autoencoder", "tall", "other", "--yes")
    assert not list(registry.models())


def test_of_a_damaged_archive_nothing_stays(call: Call) -> None:  # noqa: F811
    train(call, "--name", "tall", "--steps", 5)
    call("models", "export", "tall", "-o", "tall.tar")
    call("models", "rm", "tall", "tall-autoencoder", "--yes")
    whole = Path("tall.tar").read_bytes()
    place = whole.rindex(b"model.safetensors\0") + 512 + 3000
    Path("tall.tar").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    call("models", "import", "tall.tar", code=1)
    assert not list(registry.models())


def test_days_are_shared_out_too(call: Call) -> None:  # noqa: F811
    layer = presets.resolve(["latent-flow"], ["train.budget=30d"])
    below = foundation.plan(layer, "long")
    budgets = [presets.check(one).train.budget for one in (below, layer)]
    assert sum(map(seconds, budgets)) == 30 * 24 * 3600
    short = presets.resolve(["latent-flow"], ["train.budget=10m"])
    assert presets.check(foundation.plan(short, "short")).train.budget == "240s"
