"""The curves and samples of a training for TensorBoard, for those who have it."""

from __future__ import annotations

from pathlib import Path

from imagegen.errors import SettingsError
from imagegen.train.events import Event, Progress, Resumed, Sheet, Watched


class Board:
    """Writes the events of one training as TensorBoard's own files.

    A training that goes on writes into the same folder. It repeats the steps after the state that
    it goes on from; TensorBoard is told to forget those that were written before.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a file in a folder, which is made if needed.

        Raises:
            SettingsError: if TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise SettingsError(
                "TensorBoard is not installed", "pip install 'imagegen[tensorboard]'"
            ) from None
        self._folder = str(folder)
        self._writer = SummaryWriter(self._folder)

    def write(self, event: Event) -> None:
        """Write what can be drawn of an event: numbers and samples. The others are left out."""
        match event:
            case Resumed(step):
                from torch.utils.tensorboard import SummaryWriter

                self._writer.close()
                self._writer = SummaryWriter(self._folder, purge_step=step + 1)
            case Progress():
                self._number("pictures_per_second", event.pictures_per_second, event.step)
                for name, value in event.losses.items():
                    self._number(f"loss/{name}", value, event.step)
            case Watched(look):
                for name, value in look.record().items():
                    self._number(f"quality/{name}", value, look.step)
            case Sheet(step, pictures):
                import numpy as np

                from imagegen.images import grid

                page = np.asarray(grid.sheet(pictures))
                self._writer.add_image("samples", page, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory, and end the file."""
        self._writer.close()

    def _number(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)
