"""A classifier of handwritten digits, to count what models of them draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imagegen.data.store import Images, load_pictures
from imagegen.settings import DataSettings
from tests.bench.classifier import Classifier, classifier
from tests.bench.command import SETS


def digit_classifier(sets: Path = SETS) -> Classifier:
    """Train on 10,000 digits of 28 pixels.

    Raises:
        AssertionError: if it recognises less than 98 % of 10,000 others.
    """
    classify = classifier(*digits(sets / "mnist.zip"))
    images, labels = digits(sets / "mnist_test.zip")
    right = float((classify(images) == labels).mean())
    assert right >= 0.98, f"the classifier recognises {right:.2%} of the test digits"
    return classify


def digits(path: Path) -> tuple[Images, np.ndarray]:
    """Return digits, uint8 (N, 1, 28, 28), and which they are."""
    pictures = load_pictures(str(path), DataSettings(size=28, channels="grey"))
    assert pictures.labels is not None
    return pictures.images, pictures.labels
