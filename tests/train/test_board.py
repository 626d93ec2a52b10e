"""TensorBoard: what is written can be read back by TensorBoard itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.train.board import Board
from imagegen.train.events import Ended, Planned, Progress, Resumed, Sheet


def test_numbers_and_samples_come_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path / "new" / "board")
    board.write(Planned(40, "the clock"))
    for step, loss in ((20, 0.5), (40, 0.25)):
        board.write(Progress(step, 40, 100.0, 1.0, None, {"critic": loss, "fake": -loss}))
    board.write(Sheet(40, [Image.new("RGBA", (8, 8), "red")] * 4))
    board.write(Ended(40, True, "all steps done", 2.0, 40, {}))
    board.close()

    read = EventAccumulator(str(tmp_path / "new" / "board"))
    read.Reload()
    assert set(read.Tags()["scalars"]) == {"loss/critic", "loss/fake", "pictures_per_second"}
    assert [(e.step, e.value) for e in read.Scalars("loss/critic")] == [(20, 0.5), (40, 0.25)]
    assert [e.value for e in read.Scalars("loss/fake")] == [-0.5, -0.25]
    assert [e.value for e in read.Scalars("pictures_per_second")] == [100.0, 100.0]
    (image,) = read.Images("samples")
    assert image.step == 40
    assert image.width == image.height > 8


def test_steps_that_are_repeated_count_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps, value in (((20, 40, 60), 1.0), ((40, 60), 2.0)):
        board = Board(tmp_path)
        if value == 2:
            board.write(Resumed(20, []))
        for step in steps:
            board.write(Progress(step, 60, 100.0, 1.0, None, {"critic": value}))
        board.close()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    found = [(event.step, event.value) for event in read.Scalars("loss/critic")]
    assert found == [(20, 1.0), (40, 2.0), (60, 2.0)]


def test_without_tensorboard_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError) as error:
        Board(tmp_path / "board")
    assert "imagegen[tensorboard]" in error.value.hint
    assert not (tmp_path / "board").exists()
