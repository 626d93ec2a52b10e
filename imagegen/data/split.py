"""Which pictures are held out of training, so that there is something to measure it with."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from imagegen.data import likeness
from imagegen.data.store import Pictures, as_numbers

MAX_COMPARED = 20_000
"""Above this many pictures, comparing all pairs takes minutes: only exact doubles are grouped."""


@lru_cache(maxsize=1)
def held_out(pictures: Pictures, share: float) -> npt.NDArray[np.bool_]:
    """Choose about `share` of the pictures, (N,), by their content alone.

    Pictures that are alike fall on the same side. A group is held out if a number in [0, 1), the
    hash of its smallest digest, is below `share`: so a picture stays on its side whatever its file
    is called, and almost always when others are added. No label is held out whole, nor is the set.
    The last answer is remembered, and not to be changed.
    """
    digests = as_numbers(pictures.digests)
    bits = likeness.embed(pictures.images) if len(pictures) <= MAX_COMPARED else None
    if bits is not None:
        group = likeness.groups(pictures.images, bits)
    else:
        _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
        group = first[inverse]
    smallest = np.full(len(pictures), np.iinfo(np.uint64).max)
    np.minimum.at(smallest, group, digests)
    # Hashed once more, since the smallest of many numbers is small: large groups would go first.
    numbers = np.array([_number(int(smallest[one])) for one in group])
    chosen: npt.NDArray[np.bool_] = numbers < share
    if bits is not None:
        _return_doubles(pictures, bits, group, chosen)
    for share_of_label in pictures.shares.T:
        members = share_of_label > 0
        if members.any() and chosen[members].all():
            chosen &= ~np.isin(group, group[members])
    chosen.flags.writeable = False
    return chosen


def _return_doubles(
    pictures: Pictures,
    bits: likeness.Bits,
    group: npt.NDArray[np.int64],
    chosen: npt.NDArray[np.bool_],
) -> None:
    """Unchoose what is in training too, only shifted, which groups do not see.

    A few rounds: what goes back to training may have doubles itself.
    """
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
