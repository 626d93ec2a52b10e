import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from imagegen.data.store import load_pictures
from imagegen.errors import SettingsError, UserError
from imagegen.evaluate import efficientnet, features, own
from imagegen.evaluate.judge import Judge
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


@needs_weights
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_efficientnet_takes_every_kind(channels):
    images = np.random.Generator(np.random.Philox(1)).integers(
        0, 256, (3, channels, 24, 24), np.uint8
    )
    images[:, :3] = np.minimum(images[:, :3], images[:, -1:])  # colours never exceed their alpha
    extractor, note = features.choose("efficientnet", images, CPU)
    found = extractor(images)
    assert found.shape == (3, efficientnet.WIDTH)
    assert np.isfinite(found).all()
    assert note == ""
    assert "EfficientNet-Lite0" in extractor.name
    assert np.allclose(extractor(images[1:2]), found[1:2], atol=1e-4)


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


def test_features_of_real_pictures_are_remembered(smileys, quick, home, monkeypatch):
    extractor, _ = features.choose("own", smileys.images, CPU)
    first = extractor.remembered(smileys.images)
    calls = []
    monkeypatch.setattr(
        features.Extractor, "__call__", lambda *a: calls.append(a) or np.zeros((1, 1), np.float32)
    )
    assert (extractor.remembered(smileys.images) == first).all()
    assert not calls
    (file,) = (home / "cache").glob("features-*.safetensors")
    file.write_bytes(b"damaged")
    assert extractor.remembered(smileys.images).shape == (1, 1)
    assert calls
    extractor.remembered(smileys.images[:5])  # other pictures
    assert len(calls) == 2


def test_a_full_disk_only_means_computing_again(smileys, quick, monkeypatch):
    monkeypatch.setattr(
        features.durable, "write_checked", lambda *a: (_ for _ in ()).throw(OSError(28, "full"))
    )
    extractor, _ = features.choose("own", smileys.images, CPU)
    assert extractor.remembered(smileys.images).shape[0] == 207


def test_the_judge_learns_what_can_be_learned():
    random = np.random.Generator(np.random.Philox(4))
    labels = np.arange(300) % 3
    centres = np.eye(3, 8)[labels] * 4
    found = (random.standard_normal((300, 8)) + centres).astype(np.float32)
    judge = Judge(found[:200], labels[:200], 3)
    assert (judge(found[200:]) == labels[200:]).mean() > 0.9
