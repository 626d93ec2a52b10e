"""Seeds to pictures, always in batches of one shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imagegen.data.store import DeepImages, Images, to_tensor
from imagegen.family import Family
from imagegen.sample.noise import Noise
from imagegen.sample.tell import Ask, of_asks
from imagegen.settings import Settings

NOTHING = Ask()
BATCH = 8
"""Convolutions round differently for each size of batch. So every picture is drawn in a batch of
this one size, filled up where seeds run out, and depends on nothing but its own seed."""


def draw(
    family: Family,
    seeds: Sequence[int],
    options: Settings,
    asked: Ask | Sequence[Ask] = NOTHING,
    known: Images | DeepImages | None = None,
    like: Images | DeepImages | None = None,
) -> Iterator[tuple[int, Image.Image]]:
    """Draw one picture a seed, in order.

    Args:
        family: a trained model in eval mode.
        seeds: integers in [0, 2**64).
        options: an instance of the family's `Sampling`.
        asked: what all pictures are to be, or each.
        known: (C, h, W), the upper part of every picture, for families that complete.
        like: (C, H, W), a picture that all are to resemble, for models that embed images.
    """
    upper = None
    if known is not None:
        upper = to_tensor(known[None]).to(family.device).expand(BATCH, -1, -1, -1)
    image = None if like is None else to_tensor(like[None]).to(family.device)
    asks = [asked] * len(seeds) if isinstance(asked, Ask) else asked
    rest = iter(zip(seeds, asks, strict=True))
    while chunk := list(islice(rest, BATCH)):
        filled = chunk + chunk[-1:] * (BATCH - len(chunk))
        all_seeds = [seed for seed, _ in filled]
        noise = Noise(all_seeds)
        told = of_asks([ask for _, ask in filled], family.condition, all_seeds)
        told = None if told is None else told.to(family.device)
        with torch.inference_mode():
            if upper is not None:
                images = family.complete(noise, upper, told, options)
            elif image is not None:
                images = family.sample_like(noise, image, told, options)
            else:
                images = family.sample(noise, told, options)
        pictures = to_pictures(images, family.depth)
        yield from zip(all_seeds[: len(chunk)], pictures, strict=False)


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
