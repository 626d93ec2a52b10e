"""The recipe of the second judge: it resumes, and writes weights that `evaluate` loads."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from imagegen.evaluate.extractors import resnet
from recipes.general import judge
from recipes.general.corruptions import CORRUPTIONS, corrupt


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> judge.Collection:
    monkeypatch.setattr(judge, "HELD_OUT", 0.3)
    monkeypatch.setattr(judge, "BATCH", 8)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(("file_name", "text", "label"))
    path = tmp_path / "collection.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(40):
            mode = ("L", "RGB", "RGBA")[index % 3]
            file = io.BytesIO()
            Image.effect_noise((64, 64), 5 * index).convert(mode).save(file, "PNG")
            archive.writestr(f"{index}.png", file.getvalue())
            writer.writerow(
                (f"{index}.png", f"noise {mode} n{index % 4}" if index % 5 else "", mode)
            )
        archive.writestr("metadata.csv", table.getvalue())
    return judge.Collection(path)


def run(collection: judge.Collection, out: Path, minutes: float) -> judge.Run:
    found = judge.Run(collection, out, minutes, seed=0)
    found.resume()
    return found


def test_it_resumes_and_writes_weights(collection: judge.Collection, tmp_path: Path) -> None:
    first = run(collection, tmp_path, 0.0001)
    first.train()
    assert first.step == 1
    again = run(collection, tmp_path, first.seconds / 60 + 0.0001)
    assert again.step == 1
    assert all(
        torch.equal(value, first.model.state_dict()[name])
        for name, value in again.model.state_dict().items()
    )
    again.train()
    again.finish()
    network, _ = resnet.load(tmp_path / "resnet.safetensors")
    rows = collection.held_out
    images = judge.batch(collection, rows, np.random.Generator(np.random.Philox(0))).images
    found = network(images)
    expected = again.model.eval().network(images)
    assert found.shape == (len(rows), sum(resnet.WIDTHS))
    assert torch.allclose(found, expected, atol=0.02)


def test_captions_and_labels_are_read(collection: judge.Collection) -> None:
    assert set(collection.words) == {"noise", "l", "rgb", "rgba", "n0", "n1", "n2", "n3"}
    assert collection.labels == ("L", "RGB", "RGBA")
    assert len(collection.training) + len(collection.held_out) == 40
    one = judge.batch(collection, collection.training[:8], np.random.Generator(np.random.Philox(0)))
    assert one.images.shape == (8, 3, 64, 64)
    assert {round(total, 4) for total in one.words.sum(1).tolist()} <= {0.0, 1.0}


@pytest.mark.parametrize("side", [24, 33, 64])
@pytest.mark.parametrize("kind", sorted(CORRUPTIONS))
def test_corruptions_change_the_picture_the_more_the_stronger(kind: str, side: int) -> None:
    noise = np.random.Generator(np.random.Philox(1)).integers(0, 256, (8, 8, 3), np.uint8)
    image = np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))
    changes = []
    for strength in (0.0, 1.0):
        random = np.random.Generator(np.random.Philox(2))
        changed = corrupt(image, kind, strength, random)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        changes.append(np.abs(changed.astype(int) - image).mean())
    assert 0 <= changes[0] < changes[1]
