"""A classifier of handwritten digits, to count what models of them draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from imagegen.data.store import Images, load_pictures, to_tensor
from imagegen.nn.augment import augment
from imagegen.nn.draws import Draws
from imagegen.settings import DataSettings

EPOCHS, BATCH = 6, 64
SETS = Path("../shared/data")
"""Where mnist.zip and mnist_test.zip are, unless told otherwise."""


def digit_classifier(sets: Path = SETS) -> Callable[[Images], np.ndarray]:
    """Train on 10,000 digits for a minute; return what maps uint8 (N, 1, 28, 28) to 0 to 9.

    Raises:
        AssertionError: if it recognises less than 98 % of 10,000 others.
    """
    torch.manual_seed(0)
    images, labels = digits(sets / "mnist.zip")
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(16),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(32),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(64 * 7 * 7, 10),
    )  # fmt: skip
    steps = EPOCHS * len(images) // BATCH
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(images), (BATCH,))
        x = augment(to_tensor(images[rows.numpy()]), ("translation",), Draws(step, BATCH))
        optimizer.zero_grad()
        F.cross_entropy(network(x), labels[rows]).backward()
        optimizer.step()
        schedule.step()
    network.eval()

    @torch.inference_mode()
    def classify(images: Images) -> np.ndarray:
        parts = [
            network(to_tensor(images[start : start + 500])).argmax(1).numpy()
            for start in range(0, len(images), 500)
        ]
        return np.concatenate(parts)

    images, labels = digits(sets / "mnist_test.zip")
    right = float((classify(images) == labels.numpy()).mean())
    assert right >= 0.98, f"the classifier recognises {right:.2%} of the test digits"
    return classify


def digits(path: Path) -> tuple[Images, torch.Tensor]:
    """Return digits, uint8 (N, 1, 28, 28), and which they are."""
    pictures = load_pictures(str(path), DataSettings(size=28, channels="grey"))
    assert pictures.labels is not None
    return pictures.images, torch.from_numpy(pictures.labels)
