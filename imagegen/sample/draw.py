"""Seeds to pictures, always in batches of one shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imagegen.data.store import Images, to_tensor
from imagegen.errors import SettingsError, did_you_mean
from imagegen.family import Family
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

BATCH = 8
"""Convolutions round differently for each size of batch. So every picture is drawn in a batch of
this one size, filled up where seeds run out, and depends on nothing but its own seed."""


def draw(
    family: Family,
    seeds: Sequence[int],
    options: Settings,
    label: str | None = None,
    known: Images | None = None,
) -> Iterator[tuple[int, Image.Image]]:
    """Draw one picture a seed, in order.

    Args:
        family: a trained model in eval mode.
        seeds: integers in [0, 2**64).
        options: an instance of the family's `Sampling`.
        label: one of the model's labels, or None to draw over all of them.
        known: (C, h, W), the upper part of every picture, for families that complete.

    Raises:
        SettingsError: if the model does not know the label.
    """
    upper = None
    if known is not None:
        upper = to_tensor(known[None]).to(family.device).expand(BATCH, -1, -1, -1)
    index = None if label is None else label_index(family, label)
    rest = iter(seeds)
    while chunk := list(islice(rest, BATCH)):
        noise = Noise(chunk + chunk[-1:] * (BATCH - len(chunk)))
        labels = None if index is None else torch.full((BATCH,), index, device=family.device)
        with torch.inference_mode():
            if upper is None:
                images = family.sample(noise, labels, options)
            else:
                images = family.complete(noise, upper, labels, options)
        yield from zip(chunk, to_pictures(images, family.depth), strict=False)


def label_index(family: Family, label: str) -> int:
    """Return the index of a label.

    Raises:
        SettingsError: if the model does not know it.
    """
    known = family.condition.labels
    if label in known:
        return known.index(label)
    if not known:
        raise SettingsError(
            f"--label {label}: this model was trained without labels",
            "labels come from the sub-folders of the training pictures",
        )
    shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    raise SettingsError(
        f"--label {label}: unknown label{did_you_mean(label, known)}", f"it knows: {shown}"
    )


def to_pictures(images: Tensor, depth: int = 8) -> list[Image.Image]:
    """Turn (N, C, H, W) in [-1, 1] into pictures: L, RGB or RGBA for C of 1, 3 or 4.

    Grey ones of a depth of 16 bits become I;16.

    This is the one place where tensors become pictures. The colours of RGBA tensors are
    multiplied by alpha; those of the pictures are not.
    """
    values = images.float().cpu().permute(0, 2, 3, 1).numpy().clip(-1, 1) / 2 + 0.5
    if values.shape[3] == 4:
        color, alpha = values[..., :3], values[..., 3:]
        # Below half a step of alpha nothing is seen, and the quotient would be noise.
        visible = alpha >= 0.5 / 255
        color = np.where(visible, color / np.maximum(alpha, 0.5 / 255), 0).clip(0, 1)
        values = np.concatenate([color, alpha], axis=3)
    if depth == 16 and values.shape[3] == 1:
        return [Image.fromarray(one) for one in np.rint(values[..., 0] * 65535).astype(np.uint16)]
    levels = np.rint(values * 255).astype(np.uint8)
    return [Image.fromarray(one.squeeze(2) if one.shape[2] == 1 else one) for one in levels]
