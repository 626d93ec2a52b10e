"""Which pictures are held out of training, so that there is something to measure it with."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from imagegen.data import likeness
from imagegen.data.store import Pictures

MAX_COMPARED = 20_000
"""Above this many pictures, comparing all pairs takes minutes: only exact doubles are grouped."""


def held_out(pictures: Pictures, share: float) -> npt.NDArray[np.bool_]:
    """Choose about `share` of the pictures, (N,), by their content alone.

    Pictures that are alike fall on the same side. A group is held out if a number in [0, 1), the
    hash of its smallest digest, is below `share`: so a picture stays on its side whatever its file
    is called, and almost always when others are added. No label is held out whole, nor is the set.
    """
    digests = np.ascontiguousarray(pictures.digests).view(">u8")[:, 0].astype(np.uint64)
    group = _groups(pictures)
    smallest = np.full(len(pictures), np.iinfo(np.uint64).max)
    np.minimum.at(smallest, group, digests)
    # Hashed once more, since the smallest of many numbers is small: large groups would go first.
    numbers = np.array([_number(int(smallest[one])) for one in group])
    chosen: npt.NDArray[np.bool_] = numbers < share
    if len(pictures) <= MAX_COMPARED:
        _return_doubles(pictures, group, chosen)
    labels = np.zeros(len(pictures), int) if pictures.labels is None else pictures.labels
    for label in np.unique(labels):
        members = labels == label
        if chosen[members].all():
            chosen &= ~np.isin(group, group[members])
    return chosen


def _return_doubles(
    pictures: Pictures, group: npt.NDArray[np.int64], chosen: npt.NDArray[np.bool_]
) -> None:
    """Unchoose what is in training too, only shifted, which groups do not see.

    A few rounds: what goes back to training may have doubles itself.
    """
    bits = likeness.embed(pictures.images)
    for _ in range(3):
        if chosen.all():
            break
        distances, _ = likeness.nearest(pictures.images[chosen], bits[:, ~chosen])
        doubles = group[chosen][distances < likeness.SAME]
        if not len(doubles):
            break
        chosen &= ~np.isin(group, doubles)


def _number(digest: int) -> float:
    again = hashlib.blake2b(digest.to_bytes(8, "big"), digest_size=6).digest()
    return int.from_bytes(again, "big") / 2**48


def _groups(pictures: Pictures) -> npt.NDArray[np.int64]:
    if len(pictures) <= MAX_COMPARED:
        return likeness.groups(pictures.images, likeness.embed(pictures.images))
    _, first, inverse = np.unique(pictures.digests, axis=0, return_index=True, return_inverse=True)
    return first[inverse.ravel()]
