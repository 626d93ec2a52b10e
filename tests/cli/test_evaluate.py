import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from imagegen import registry
from imagegen.data.split import held_out
from imagegen.data.store import load_pictures, to_tensor
from imagegen.evaluate import copies
from imagegen.evaluate.extractors import EXTRACTORS, own
from imagegen.sample import tell
from imagegen.sample.draw import to_pictures
from imagegen.settings import DataSettings

PROMISED = {
    "kid", "kid_interval", "floor", "floor_interval", "frechet", "precision", "recall", "density",
    "coverage", "vendi", "copies", "copies_interval", "features", "n_generated", "n_real",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks of own features for a moment only."""
    monkeypatch.setattr(own, "STEPS", 4)


@pytest.fixture(scope="session")
def smileys():
    return load_pictures("sample:smileys", DataSettings(size=32))


@pytest.fixture
def folder(tmp_path, smileys):
    """Return a function that writes pictures of the bundled set, changed, into a folder."""

    def write(name, chosen, change=lambda picture: picture, by_label=False):
        for index in chosen:
            (picture,) = to_pictures(to_tensor(smileys.images[index : index + 1]))
            place = tmp_path / name
            if by_label:
                place = place / smileys.label_names[smileys.labels[index]]
            place.mkdir(parents=True, exist_ok=True)
            change(picture).save(place / f"{index}.png")
        return tmp_path / name

    return write


def measured(call, *words):
    answer = call("evaluate", *words, "--features", "own", "--json")
    assert answer.err == ""
    return json.loads(answer.out)


def test_a_model_is_measured_and_the_numbers_kept(trained, call, tmp_path):
    record = measured(call, "smileys", "-n", 60)
    assert record.keys() >= PROMISED
    assert record["n_generated"] == 60
    assert record["n_real"] + record["n_held_out"] == 207
    low, high = record["kid_interval"]
    assert low < record["kid"] < high
    assert record["floor"] < record["kid"]
    assert record["copies_interval"][0] <= record["copies"] <= record["copies_interval"][1]
    assert record["labels"].keys() == {"3d", "flat"}
    assert record["labels"]["3d"]["n_generated"] + record["labels"]["flat"]["n_generated"] == 60
    assert record["weights"] == registry.load(registry.Model(trained))[1]
    assert json.loads((trained / "evaluation.json").read_text()) == record
    second = record["second"]
    assert (record["network"], second["network"]) == ("own", "resnet")
    assert second["kid_interval"][0] < second["kid"] < second["kid_interval"][1]
    assert second["floor"] < second["kid"]
    assert 0 <= second["coverage"] <= 1
    assert "| kernel distance (KID), lower is better |" in (trained / "card.md").read_text()


def test_the_same_command_gives_the_same_numbers(trained, call):
    first = measured(call, "smileys", "-n", 20)
    assert measured(call, "smileys", "-n", 20) == first
    assert measured(call, "smileys", "-n", 20, "--seed", 5)["kid"] != first["kid"]


def test_words_for_people(trained, call, tmp_path):
    answer = call("evaluate", "-n", 20, "--features", "own", "--pairs", tmp_path / "pairs.png")
    for part in ("KID (lower is better)", "floor", "coverage", "copies of real pictures", "3d"):
        assert part in answer.out
    assert "second network: ResNet" in answer.out
    assert "warning: only 20 generated pictures" in answer.out
    assert "not to be compared with numbers from elsewhere" in answer.out
    assert "imagegen report smileys" in answer.err
    assert Image.open(tmp_path / "pairs.png").width > 300


def test_two_models_are_compared(trained, call):
    shutil.copytree(trained, trained.parent / "twin")
    record = measured(call, "smileys", "--against", "twin", "-n", 30)
    assert record["against"]["model"] == "twin"
    assert record["kid_difference"] == 0
    assert record["kid_difference_interval"] == [0, 0]
    assert record["second_kid_difference_interval"] == [0, 0]
    answer = call("evaluate", "smileys", "--against", "twin", "-n", 30, "--features", "own")
    assert "too near to tell" in answer.out
    assert "the second network agrees" in answer.out


def test_a_model_that_knows_likelihoods_says_that_of_held_out_pictures(call):
    settings = ["--set", "data.size=16", "--set", "model.width=8", "--set", "train.batch_size=4"]
    call("train", "sample:smileys", "--preset", "rnn-bits", "--steps", 4, *settings, "--name", "it")
    found = measured(call, "it", "-n", 10)["likelihood"]
    family, _ = registry.load(registry.find("it"))
    whole = load_pictures("sample:smileys", DataSettings(size=16, channels="grey"))
    pictures = whole.part(held_out(whole, DataSettings().held_out))
    with torch.inference_mode():
        told = tell.of_pictures(pictures, family.condition)
        nats = family.likelihood(to_tensor(pictures.images), told).numpy()
    assert found["n"] == len(nats) > 0
    assert found["nats"] == pytest.approx(nats.mean(), rel=1e-5)
    assert found["nats_error"] == pytest.approx(nats.std(ddof=1) / len(nats) ** 0.5, rel=1e-4)
    assert found["bits_per_dim"] == pytest.approx(nats.mean() / np.log(2) / 256, rel=1e-5)
    assert "negative log-likelihood" in call("evaluate", "it", "-n", 10).out


def test_settings_of_sampling(trained, call):
    record = measured(call, "smileys", "-n", 20, "--set", "sample.truncation=0.5")
    assert record["sample"] == {"truncation": 0.5}
    assert "no effect" in call("evaluate", "--set", "train.steps=5", code=2).err


def test_real_pictures_against_real_ones_lie_at_the_floor(folder, call):
    record = measured(
        call, "--pictures", folder("a", range(0, 207, 2)), folder("b", range(1, 207, 2))
    )
    low, high = record["floor_interval"]
    assert low < record["kid"] < high
    assert record["n_generated"] == 104
    assert record["n_real"] == 103


def test_labels_are_matched_by_name_not_by_position(folder, call, smileys):
    flat = smileys.labels == smileys.label_names.index("flat")
    ours = folder("ours", [*np.flatnonzero(flat)[:40], *np.flatnonzero(~flat)[:20]], by_label=True)
    (ours / "3d").rename(ours / "unknown")
    record = measured(call, "--pictures", ours, folder("real", range(207), by_label=True))
    assert record["labels"]["flat"]["n_generated"] == 40
    assert record["labels"]["3d"]["n_generated"] == 0


def test_copies_are_perfect_and_caught(folder, call):
    same = folder("same", range(100))
    record = measured(call, "--pictures", same, folder("real", range(100)))
    assert record["kid"] < 0
    assert record["recall"] == record["coverage"] == 1
    assert record["copies"] == 1
    assert record["warnings"][-1].startswith("100% of the generated pictures are copies")
    assert record["pairs"][0]["picture"] in {path.name for path in same.iterdir()}
    assert record["pairs"][0]["distance"] == 0


def test_planted_copies_are_caught_and_others_are_not(folder, call):
    real = folder("real", range(120))
    made = folder("made", range(120, 200))
    folder("made", range(8), lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    record = measured(call, "--pictures", made, real)
    assert record["copies"] == pytest.approx(8 / 88, abs=0.03)
    assert {pair["picture"] for pair in record["pairs"]} == {f"{i}.png" for i in range(8)}


def test_blurred_pictures_score_worse(folder, call):
    real = folder("real", range(0, 207, 2))
    plain = measured(call, "--pictures", folder("plain", range(1, 207, 2)), real)
    blurred = folder("soft", range(1, 207, 2), lambda p: p.filter(ImageFilter.GaussianBlur(1)))
    soft = measured(call, "--pictures", blurred, real)
    assert soft["kid"] > plain["kid"]
    assert soft["frechet"] > plain["frechet"]
    assert soft["precision"] < plain["precision"]


def test_labels_of_folders(folder, call):
    real = folder("real", range(0, 207, 2), by_label=True)
    made = folder("made", range(1, 207, 2), by_label=True)
    record = measured(call, "--pictures", made, real)
    assert record["labels"].keys() == {"3d", "flat"}
    assert record["fidelity"]["chance"] == pytest.approx(0.5, abs=0.1)
    (made / "flat").rename(made / "zzz")
    (made / "3d").rename(made / "yyy")
    record = measured(call, "--pictures", made, real)
    assert record["fidelity"] is None
    assert record["labels"] == {}
    (made / "yyy").rename(made / "3d")
    assert measured(call, "--pictures", made, real)["labels"]["flat"]["n_generated"] == 0


def test_labels_of_a_model_go_by_name(trained, folder, call, smileys):
    """Its "flat" is its second label, and the first one of a set that has no "3d"."""
    real = folder("real", range(0, 207, 2), by_label=True)
    (real / "3d").rename(real / "zzz")
    labels = measured(call, "smileys", real, "-n", 30)["labels"]
    share = smileys.label_counts()["flat"] / len(smileys)
    assert labels["flat"]["n_generated"] == pytest.approx(30 * share, abs=1)
    assert labels["zzz"]["n_generated"] == 0


def test_sizes_and_kinds_that_differ_are_said(folder, call):
    real = folder("real", range(0, 207, 2), lambda p: p.convert("RGB"))
    small = folder("small", range(1, 207, 2), lambda p: p.convert("L").resize((20, 20)))
    warnings = measured(call, "--pictures", small, real)["warnings"]
    assert any(
        "mostly 20 px and the real ones 32 px: both are compared at 20" in w for w in warnings
    )
    assert any("grey and the real ones coloured" in w for w in warnings)


def test_too_few_pictures(folder, call, tmp_path):
    real, few = folder("real", range(60)), folder("few", range(60, 90))
    (few / "broken.png").write_bytes(b"no picture")
    warnings = measured(call, "--pictures", few, real)["warnings"]
    assert any("1 files of" in w and "broken.png: not a picture" in w for w in warnings)
    assert any("only 30 generated pictures: KID may be anything from" in w for w in warnings)
    answer = call("evaluate", "--pictures", folder("five", range(5)), real, code=1)
    assert "only 5 generated pictures" in answer.err
    assert "fewer than 10" in answer.err
    (tmp_path / "none").mkdir()
    assert "is empty" in call("evaluate", "--pictures", tmp_path / "none", real, code=1).err
    assert "no such folder" in call("evaluate", "--pictures", few, tmp_path / "x", code=1).err


def test_pictures_that_are_gone(trained, call, tmp_path):
    values = json.loads((trained / "data.json").read_text())
    (trained / "data.json").write_text(json.dumps({**values, "source": str(tmp_path / "gone")}))
    answer = call("evaluate", "smileys", code=1)
    assert "the real pictures can't be read: no such folder" in answer.err
    assert "imagegen evaluate smileys DATA" in answer.err


def test_other_real_pictures_than_those_of_training(trained, call, pictures):
    for i in range(10):
        Image.new("RGB", (40, 40), (25 * i, 100, 50)).save(pictures / "disc" / f"more{i}.png")
    warnings = measured(call, "smileys", pictures, "-n", 20)["warnings"]
    assert any("none of these pictures was trained on" in w for w in warnings)
    assert any("not kept with the model" in w for w in warnings)
    assert not (trained / "evaluation.json").exists()


def test_a_model_from_before_there_were_indices(trained, call):
    (trained / "index.safetensors").unlink()
    record = measured(call, "smileys", "-n", 20)
    assert any("has no index of its training pictures" in w for w in record["warnings"])
    answer = call("generate", "--reject-copies", code=1)
    assert "has no index of its training pictures" in answer.err
    assert "train it again" in answer.err


def test_training_makes_a_damaged_index_again(trained, call):
    before = (trained / "index.safetensors").read_bytes()
    (trained / "index.safetensors").write_bytes(b"x")
    call("train", "--resume", "smileys")
    assert (trained / "index.safetensors").read_bytes() == before


def test_a_damaged_index(trained, call):
    (trained / "index.safetensors").write_bytes(b"x")
    assert "is damaged" in call("evaluate", "smileys", code=1).err


def test_the_help_names_every_feature_network(call):
    for name in EXTRACTORS:
        assert name in call("evaluate", "--help").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--features", "inception"], "choose auto, efficientnet, own or resnet"),
        (["--pictures", "a"], "no real pictures"),
        (["--pictures", "a", "b", "c"], "takes DATA alone"),
        (["--pictures", "a", "b", "--against", "c"], "--against has no effect"),
        (["-n", "0"], "-n"),
        (["--pairs", "x.jpg"], "end the name with .png"),
    ],
)
def test_words_that_do_not_fit(call, words, said):
    assert said in call("evaluate", *words, code=2).err


def test_unknown_models(trained, call):
    assert (
        "unknown model 'smiley'; did you mean 'smileys'?" in call("evaluate", "smiley", code=4).err
    )
    assert "unknown model 'x'" in call("evaluate", "smileys", "--against", "x", code=4).err


def test_copies_are_left_out_and_later_seeds_step_in(trained, call, tmp_path):
    """Make seeds 1 and 3 copies: put what they draw into the index as if it had been trained on."""
    call("generate", "--seed", 0, "-n", 6, "-o", tmp_path / "all")
    drawn = load_pictures(str(tmp_path / "all"), DataSettings(size=16, channels="rgba"))
    model = registry.Model(trained)
    index = copies.of(model)
    chosen = np.isin(np.arange(6), (1, 3))
    near = np.full(60, 0.004, np.float32)  # all that an untrained model draws is much alike
    replace(copies.build(drawn.part(chosen), drawn.part(chosen)), held_distances=near).save(
        model.index
    )
    answer = call("generate", "--seed", 0, "-n", 4, "--reject-copies", "-o", tmp_path / "new")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"smileys-{seed}.png" for seed in (0, 2, 4, 5)]
    assert "2 copies of training pictures left out: seed 1, 3" in answer.err
    for name in names:
        assert (tmp_path / "new" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert index.shape == (4, 16, 16)


def test_a_model_that_only_copies_is_given_up(trained, call, tmp_path):
    call("generate", "--seed", 0, "-n", 60, "-o", tmp_path / "all")
    drawn = load_pictures(str(tmp_path / "all"), DataSettings(size=16, channels="rgba"))
    copies.build(drawn, drawn.part(np.zeros(60, bool))).save(registry.Model(trained).index)
    answer = call("generate", "--seed", 0, "-n", 2, "--reject-copies", "-o", tmp_path, code=1)
    assert "draws little but copies" in answer.err


def test_an_exported_model_takes_its_index_along(trained, call, tmp_path):
    measured(call, "smileys", "-n", 20)
    call("models", "export", "smileys", "-o", tmp_path / "it.tar")
    call("models", "import", tmp_path / "it.tar", "--name", "new")
    there = trained.parent / "new"
    for name in ("index.safetensors", "evaluation.json"):
        assert (there / name).read_bytes() == (trained / name).read_bytes()
    assert Path(there / "index.safetensors.sha256").exists()
