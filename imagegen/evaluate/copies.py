"""Is a picture new, or a training picture again? Answered from an index that holds no pictures.

One index serves whoever asks: `evaluate`, `report` and `generate --reject-copies`. It is kept with
the model, so that the question can be answered where the training pictures are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imagegen import durable
from imagegen.data import likeness
from imagegen.data.store import Images, Pictures, as_numbers
from imagegen.errors import UserError
from imagegen.registry import Model

MOST_MISTAKEN = 0.02
"""Share of held-out real pictures that may be taken for copies, by chance."""
SUSPICIOUS = 0.05
"""Share of copies, for sure, from which on training and `evaluate` warn, and neither a look at a
model in training nor a model among others is a candidate for the best if another one is."""
ENOUGH = 50
"""Held-out pictures from which on their distances say where the threshold must be."""
_ASKED = 500  # so many held-out pictures tell


@dataclass(frozen=True, eq=False)
class Index:
    """What is known of a training set without its pictures.

    Attributes:
        bits: (B, N, bytes) of each training picture, see `imagegen.data.likeness`.
        digests: (N, 8), the beginning of the sha256 of each training picture's pixels.
        held_digests: (M, 8), the same of the held-out pictures.
        held_distances: (K,), how near a held-out picture's most alike training picture is.
        shape: (C, H, W) of the pictures.
    """

    bits: Images
    digests: Images
    held_digests: Images
    held_distances: npt.NDArray[np.float32]
    shape: tuple[int, int, int]

    @property
    def threshold(self) -> float:
        """The distance below which a picture counts as a copy.

        That of a copy which was mirrored, shifted, brightened and compressed; or less, where
        different real pictures of this set come as near to each other, down to that of a copy with
        one such change.
        """
        if len(self.held_distances) < ENOUGH:
            return likeness.ALIKE
        nearest = np.sort(self.held_distances)
        chance = float(nearest[int(MOST_MISTAKEN * len(nearest))])
        return min(likeness.ALIKE, max(likeness.SAME, chance))

    def nearest(self, images: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Return the distance to, (N,), and the index of, (N,), the most alike training picture.

        Args:
            images: uint8 (N, C, H, W), colours multiplied by alpha, of the index's size.
        """
        return likeness.nearest(images, self.bits)

    def copies(self, distances: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """Say which pictures, (N,), are copies."""
        return distances < self.threshold

    def trained(self, pictures: Pictures) -> npt.NDArray[np.bool_]:
        """Say which pictures, (N,), are among those that were trained on."""
        return np.isin(as_numbers(pictures.digests), as_numbers(self.digests))

    def held(self, pictures: Pictures) -> npt.NDArray[np.bool_]:
        """Say which pictures, (N,), are among those that were held out."""
        return np.isin(as_numbers(pictures.digests), as_numbers(self.held_digests))

    def check(self) -> None:
        """Raise ValueError unless the parts have their shapes and fit each other."""
        count, backgrounds = len(self.digests), 2 if self.shape[0] == 4 else 1
        expected: dict[str, tuple[type, tuple[int, ...]]] = {
            "bits": (np.uint8, (backgrounds, count, likeness.BITS // 8)),
            "digests": (np.uint8, (count, 8)),
            "held_digests": (np.uint8, (len(self.held_digests), 8)),
            "held_distances": (np.float32, (len(self.held_distances),)),
        }
        for name, (kind, shape) in expected.items():
            array = getattr(self, name)
            if not count or array.dtype != kind or array.shape != shape:
                raise ValueError(f"its {name} should be {kind.__name__} {shape}")
        if not (self.held_distances >= 0).all():
            raise ValueError("its held_distances should be distances")

    def save(self, path: Path) -> None:
        """Write the index, with its sha256 beside it."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        header = {"imagegen": json.dumps({"shape": list(self.shape)})}
        durable.write_checked(path, save(arrays, header))


_ARRAYS = ("bits", "digests", "held_digests", "held_distances")


def is_copying(record: Mapping[str, Any], share: float = SUSPICIOUS) -> bool:
    """Say whether of measured pictures more than a share, and than chance, are copies for sure.

    Who learns pictures by heart draws what is as good, and as varied, as the pictures are.
    """
    least = record["copies_interval"][0] if record["copies"] else 0
    return bool(least > max(share, record["copies_among_real"] or 0))


def build(training: Pictures, held_out: Pictures) -> Index:
    """Make the index of a training set."""
    bits = likeness.embed(training.images)
    # By content, not by name: names go by label.
    asked = np.sort(np.argsort(as_numbers(held_out.digests), kind="stable")[:_ASKED])
    distances, _ = likeness.nearest(held_out.images[asked], bits)
    return Index(bits, training.digests, held_out.digests, distances, training.images.shape[1:])


def of(model: Model) -> Index:
    """Return a model's index of its training pictures.

    Raises:
        UserError: if it has none, being older than they are, or it is damaged.
    """
    if not model.index.is_file():
        raise UserError(
            f"model {model.name} has no index of its training pictures: it was trained before "
            "there were any",
            "train it again under another name: imagegen train DATA --name NAME",
        )
    hint = f"imagegen train --resume {model.name} makes it again, where the pictures are"
    try:
        index = load(model.index)
    except UserError as error:
        raise UserError(f"model {model.name}: {error.message}", hint) from None
    if list(index.shape) != model.header()["shape"]:
        raise UserError(f"model {model.name}: its index is of pictures of another size", hint)
    return index


def load(path: Path) -> Index:
    """Read what `Index.save` wrote.

    Raises:
        UserError: if it can't be read or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as parse

    data, _ = durable.read_checked(path)
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["imagegen"])
        channels, height, width = header["shape"]
        arrays = parse(data)
        index = Index(**{name: arrays[name] for name in _ARRAYS}, shape=(channels, height, width))
        index.check()
        return index
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no index of training pictures: {error}") from None
