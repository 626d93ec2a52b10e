"""A small convolutional classifier, to count what models draw."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from imagegen.data.store import Images, to_tensor
from imagegen.nn.augment import augment
from imagegen.nn.draws import Draws

STEPS, BATCH = 1_000, 64

Classifier = Callable[[Images], np.ndarray]
"""Maps uint8 (N, C, H, W) to (N,) numbers of labels."""


def classifier(images: Images, labels: np.ndarray) -> Classifier:
    """Train on pictures, shifted a little, for a minute.

    Args:
        images: uint8 (N, C, H, W), sides multiples of 4.
        labels: (N,), from 0.
    """
    torch.manual_seed(0)
    channels, height, width = images.shape[1:]
    network = nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(16),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(32),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(64 * (height // 4) * (width // 4), int(labels.max()) + 1),
    )  # fmt: skip
    answers = torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=STEPS)
    for step in range(STEPS):
        rows = torch.randint(len(images), (BATCH,))
        x = augment(to_tensor(images[rows.numpy()]), ("translation",), Draws(step, BATCH))
        optimizer.zero_grad()
        F.cross_entropy(network(x), answers[rows]).backward()
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

    return classify
