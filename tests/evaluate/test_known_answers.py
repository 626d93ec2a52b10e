"""What every feature network must see, on the pictures that the project ships."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from imagegen.data.store import Images, load_pictures
from imagegen.evaluate import features, metrics
from imagegen.evaluate.extractors import EXTRACTORS
from imagegen.nn import efficientnet
from imagegen.settings import DataSettings


@pytest.fixture(scope="module")
def halves() -> tuple[Images, Images]:
    """Return two halves of the bundled pictures, RGB on white, uint8 (N, 3, 64, 64)."""
    images = load_pictures("sample:smileys", DataSettings(size=64, channels="rgb")).images
    order = np.random.Generator(np.random.Philox(3)).permutation(len(images))
    return images[order[::2]], images[order[1::2]]


def noisy(images: Images, sigma: float) -> Images:
    noise = np.random.Generator(np.random.Philox(1)).normal(0, sigma, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def blurred(images: Images, sigma: float) -> Images:
    soft = [cv2.GaussianBlur(one.transpose(1, 2, 0), (0, 0), sigma) for one in images]
    return np.ascontiguousarray(np.stack(soft).transpose(0, 3, 1, 2))


def jpeg(images: Images, quality: int) -> Images:
    decoded = []
    for one in images:
        file = io.BytesIO()
        Image.fromarray(one.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)).transpose(2, 0, 1))
    return np.stack(decoded)


def grey(images: Images, share: float) -> Images:
    """Take so much of the colour away."""
    mean = images.mean(1, keepdims=True)
    return (images + share * (mean - images)).round().astype(np.uint8)


def repeated(images: Images, count: int) -> Images:
    return images[np.arange(len(images)) % count]


CHANGES = {
    "noise": (noisy, (3, 10, 30)),
    "blur": (blurred, (0.6, 1, 2)),
    "JPEG": (jpeg, (90, 60, 20)),
    "grey": (grey, (0.3, 0.6, 1)),
    "few pictures": (repeated, (30, 10, 3)),
}


@pytest.fixture(scope="module", params=[name for name in sorted(EXTRACTORS) if name != "own"])
def extractor(request: pytest.FixtureRequest, halves: tuple[Images, Images]) -> features.Extractor:
    if request.param == "efficientnet" and not efficientnet.installed():
        pytest.skip("needs imagegen[eval]")
    return features.choose(request.param, halves[0], torch.device("cpu"))[0]


def kid(extractor: features.Extractor, real: Images, others: Images) -> tuple[float, float]:
    """Return the KID, and half the width of its interval."""
    kernels = metrics.kernels(*(extractor(one).astype(np.float64) for one in (real, others)))
    low, high = metrics.interval(metrics.kid_draws(kernels, 200))
    return metrics.kid(kernels), (high - low) / 2


def test_real_pictures_are_at_no_distance(
    extractor: features.Extractor, halves: tuple[Images, Images]
) -> None:
    value, error = kid(extractor, *halves)
    assert abs(value) < 2 * error


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_the_more_a_picture_is_changed_the_larger_the_distance(
    extractor: features.Extractor, halves: tuple[Images, Images], change: str
) -> None:
    real, others = halves
    make, strengths = CHANGES[change]
    values = [kid(extractor, real, make(others, strength)) for strength in (strengths)]
    plain = kid(extractor, real, others)
    distances = [value for value, _ in (plain, *values)]
    assert distances == sorted(distances)
    value, error = values[-1]
    assert value - plain[0] > error
