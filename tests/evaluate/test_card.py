"""The card: true, short, from the folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagegen import registry
from imagegen.errors import UserError
from imagegen.evaluate import card
from tests.evaluate.conftest import evaluation


def text(folder: Path) -> str:
    return card.text(registry.Model(folder))


def test_a_fresh_model_is_not_measured(trained: Path) -> None:
    shown = text(trained)
    assert shown.startswith("# smileys\n")
    assert "16 × 16 pixels, RGB with transparency" in shown
    assert "`sample:smileys`" in shown
    assert "labels of those trained on: 3d (86), flat (93)" in shown
    known = registry.known_words(registry.Model(trained).header())
    assert f"words of their captions: {known}" in shown
    assert 'imagegen generate "WORDS" -m smileys' in shown
    assert "6 steps of 4 pictures in" in shown
    assert "Not measured yet. Measure it: `imagegen evaluate smileys`" in shown
    assert "## Limits" in shown
    assert shown.count("\n\n\n") == 0


def test_what_was_measured_stands_beside_its_floor(trained: Path) -> None:
    evaluation(trained)
    shown = text(trained)
    assert "0.410 (0.380 to 0.440) | −0.002 (−0.020 to 0.020)" in shown
    assert "| coverage | 0.210 | 0.860 |" in shown
    assert "| KID, second network | 0.620 (0.600 to 0.640) | 0.001 (−0.010 to 0.020) |" in shown
    assert "| coverage, second network | 0.310 | 0.860 |" in shown
    assert "at 112 px, second: ResNet at 64 px; not to be compared" in shown
    assert "| copies of training pictures | 1.2% | 0% |" in shown
    assert "**Only 21 pictures are held out.**" in shown
    assert "Far from the real pictures" in shown


def test_numbers_of_other_weights_are_not_repeated(trained: Path) -> None:
    evaluation(trained, weights="0" * 64)
    shown = text(trained)
    assert "Measured with older weights" in shown
    assert "0.410" not in shown


@pytest.mark.parametrize("missing", ["data.json", "metrics.jsonl", "card.md", "config.yaml"])
def test_a_missing_file_leaves_a_card(trained: Path, missing: str) -> None:
    (trained / missing).unlink()
    assert "# smileys" in text(trained)


def test_held_out_pictures_were_not_seen(trained: Path) -> None:
    data = json.loads((trained / "data.json").read_text()) | {"held_out": 7}
    (trained / "data.json").write_text(json.dumps(data))
    assert "207 pictures from `sample:smileys`, 7 of them held out" in text(trained)
    assert "It has seen 200 pictures" in text(trained)


def test_names_are_no_markdown(trained: Path) -> None:
    data = json.loads((trained / "data.json").read_text())
    data |= {"source": "/home/`x`\n# y", "labels": {"*a*": 1, "<b>": 2}}
    (trained / "data.json").write_text(json.dumps(data))
    shown = text(trained)
    assert "`` /home/`x` # y ``" in shown.replace("y``", "y ``").replace("``/", "`` /")
    assert r"\*a\* (1), \<b\> (2)" in shown


def test_no_weights_and_damaged_weights(trained: Path) -> None:
    weights = trained / registry.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        text(trained)
    weights.unlink()
    with pytest.raises(UserError, match="no weights yet"):
        text(trained)
