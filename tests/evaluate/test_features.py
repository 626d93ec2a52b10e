import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from imagegen.data.store import load_pictures
from imagegen.errors import SettingsError, UserError
from imagegen.evaluate import extractor as extractors
from imagegen.evaluate import features
from imagegen.evaluate.extractors import EXTRACTORS, own, resnet
from imagegen.evaluate.judge import Judge
from imagegen.nn import efficientnet
from imagegen.settings import DataSettings

CPU = torch.device("cpu")
INSTALLED = efficientnet.installed()
needs_weights = pytest.mark.skipif(not INSTALLED, reason="needs imagegen[eval]")


@pytest.fixture(scope="module")
def smileys():
    return load_pictures("sample:smileys", DataSettings(size=32))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(own, "STEPS", 4)


@pytest.fixture
def missing(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == efficientnet.PACKAGE else real(n)
    )


@needs_weights
def test_the_network_is_the_published_one():
    """A photograph of an espresso is one to its own last layer: class 967 of ImageNet."""
    from skimage import data

    photo = torch.from_numpy(data.coffee()[:, 100:500].copy()).permute(2, 0, 1)[None].float()
    x = torch.nn.functional.interpolate(photo, (224, 224), mode="bicubic", antialias=True)
    spec = importlib.util.find_spec(efficientnet.PACKAGE)
    file = next((Path(spec.origin).parent / "models").glob("*.pth"))
    state = torch.load(file, weights_only=True)
    with torch.inference_mode():
        scores = efficientnet.load()(x) @ state["_fc.weight"].T + state["_fc.bias"]
    assert scores.argmax() == 967
    assert scores.softmax(1).max() > 0.8


@pytest.mark.parametrize("shape", [(1, 24, 24), (3, 24, 24), (4, 24, 24), (4, 20, 90), (3, 8, 8)])
@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_every_network_takes_pictures_of_every_kind_and_size(name, shape, quick):
    if name == "efficientnet" and not INSTALLED:
        pytest.skip("needs imagegen[eval]")
    images = np.random.Generator(np.random.Philox(1)).integers(0, 256, (12, *shape), np.uint8)
    images[:, :3] = np.minimum(images[:, :3], images[:, -1:])  # colours never exceed their alpha
    extractor, note = features.choose(name, images, CPU)
    found = extractor(images)
    assert found.shape[0] == 12
    assert np.isfinite(found).all()
    assert note == ""
    assert extractor.network_name == name
    assert len(extractor.name) > 10
    assert np.allclose(extractor(images[1:2]), found[1:2], atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "side"), [((3, 16, 16), 64), ((3, 80, 20), 80), ((1, 9, 500), 128)]
)
def test_the_resnet_is_fed_at_64_to_128_pixels(shape, side):
    images = np.random.Generator(np.random.Philox(1)).integers(0, 256, (12, *shape), np.uint8)
    extractor, _ = features.choose("resnet", images, CPU)
    assert extractor.name.endswith(f"at {side} px")
    assert extractor(images[:5]).shape == (5, 2)  # an eighth of 12, but at least 2


def test_the_two_networks_are_of_different_make(smileys, missing, quick):
    for name, names in {"own": ["own", "resnet"], "resnet": ["resnet", "own"]}.items():
        both, _ = features.choose_both(name, smileys.images, CPU)
        assert [one.network_name for one in both] == names


@needs_weights
def test_imagenet_decides_for_colour_and_ours_is_second(smileys):
    both, _ = features.choose_both("auto", smileys.images, CPU)
    assert [one.network_name for one in both] == ["efficientnet", "resnet"]
    assert features.fast("auto", smileys.images, CPU).network_name == "efficientnet"


def test_an_unknown_network(smileys):
    with pytest.raises(SettingsError, match="unknown feature network 'inception'"):
        features.choose("inception", smileys.images, CPU)


def test_damaged_weights_of_ours_are_refused(tmp_path):
    for ending in ("", ".sha256"):
        source = resnet.WEIGHTS.with_name(resnet.WEIGHTS.name + ending)
        (tmp_path / source.name).write_bytes(source.read_bytes())
    path = tmp_path / resnet.WEIGHTS.name
    resnet.load(path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged"):
        resnet.load(path)
    path.unlink()
    with pytest.raises(UserError, match="cannot read") as caught:
        resnet.load(path)
    assert "install imagegen again" in caught.value.hint


def test_the_weights_of_ours_are_small():
    assert resnet.WEIGHTS.stat().st_size < 2.5e6


@needs_weights
def test_weights_that_are_not_the_known_ones_are_refused(monkeypatch, tmp_path):
    package = tmp_path / efficientnet.PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models/efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match="not the file that is known"):
        efficientnet.load()


def test_without_the_package_a_network_of_its_own_is_trained(smileys, missing, quick):
    extractor, note = features.choose("auto", smileys.images, CPU)
    assert "small network trained on the real pictures" in extractor.name
    assert "pip install 'imagegen[eval]'" in note
    with pytest.raises(SettingsError, match="not installed"):
        features.choose("efficientnet", smileys.images, CPU)
    assert features.fast("auto", smileys.images, CPU).network_name == "resnet"


def test_grey_pictures_are_far_from_photographs(quick):
    digits = np.random.Generator(np.random.Philox(1)).integers(0, 256, (40, 1, 28, 28), np.uint8)
    extractor, note = features.choose("auto", digits, CPU)
    assert "trained on the real pictures" in extractor.name
    assert note == ""


def test_own_features_are_whitened_and_the_same_each_time(smileys, quick, home, monkeypatch):
    extractor, _ = features.choose("own", smileys.images, CPU)
    found = extractor(smileys.images)
    assert found.shape == (207, 51)  # a quarter of the pictures: more would not be filled
    assert np.abs(found.mean(0)).max() < 1e-3
    assert found.std(0).max() == pytest.approx(1, abs=0.05)
    (home / "cache").rename(home / "other")
    again, _ = features.choose("own", smileys.images, CPU)
    assert (again(smileys.images) == found).all()
    assert again.key == extractor.key


def test_the_network_trains(smileys, monkeypatch):
    """Features of a trained network tell the two labels apart better than those of chance."""
    monkeypatch.setattr(own, "STEPS", 25)
    seen = []
    network = own.train(smileys.images, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (25, 25)
    from imagegen.data.store import to_tensor

    found = network(to_tensor(smileys.images)).numpy()
    judge = Judge(found[::2], smileys.labels[::2], 2)
    assert (judge(found[1::2]) == smileys.labels[1::2]).mean() > 0.7


def test_features_of_real_pictures_are_cached(smileys, quick, home, monkeypatch):
    extractor, _ = features.choose("own", smileys.images, CPU)
    first = extractor.cached(smileys.images)
    calls = []
    monkeypatch.setattr(
        extractors.Extractor, "__call__", lambda *a: calls.append(a) or np.zeros((1, 1), np.float32)
    )
    assert (extractor.cached(smileys.images) == first).all()
    assert not calls
    (file,) = (home / "cache").glob("features-*.safetensors")
    file.write_bytes(b"damaged")
    assert extractor.cached(smileys.images).shape == (1, 1)
    assert calls
    extractor.cached(smileys.images[:5])  # other pictures
    assert len(calls) == 2


def test_a_full_disk_only_means_computing_again(smileys, quick, monkeypatch):
    monkeypatch.setattr(
        extractors.durable, "write_checked", lambda *a: (_ for _ in ()).throw(OSError(28, "full"))
    )
    extractor, _ = features.choose("own", smileys.images, CPU)
    assert extractor.cached(smileys.images).shape[0] == 207


def test_the_judge_learns_what_can_be_learned():
    random = np.random.Generator(np.random.Philox(4))
    labels = np.arange(300) % 3
    centres = np.eye(3, 8)[labels] * 4
    found = (random.standard_normal((300, 8)) + centres).astype(np.float32)
    judge = Judge(found[:200], labels[:200], 3)
    assert (judge(found[200:]) == labels[200:]).mean() > 0.9
