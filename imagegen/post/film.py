"""What lenses and film do to a picture."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from imagegen.images.pixels import Floats
from imagegen.post.color import from_linear, luminance, to_linear
from imagegen.post.neighbours import fill_hidden, gaussian_mean
from imagegen.post.operations import operation
from imagegen.sample.noise import Noise


@operation("filter", "bloom:amount=0.8,radius=20")
def bloom(
    color: Floats,
    alpha: Floats | None,
    *,
    amount: Annotated[float, Field(ge=0, le=5)] = 0.5,
    threshold: Annotated[float, Field(ge=0, lt=255)] = 200.0,
    radius: Annotated[float, Field(gt=0, le=200)] = 12.0,
) -> Floats:
    """Let bright places shine on what is around them.

    Works in linear light, where light adds up: the light above the threshold is blurred and added.
    Transparent pixels do not shine, and what shines beyond a cut-out is lost.

    Args:
        amount: How much of the blurred light to add.
        threshold: Grey level of 255 that shines from; what is a little above shines a little.
        radius: Sigma of the blur in pixels.
    """
    light = to_linear(color)
    start = to_linear(np.array([threshold / 255], np.float32))
    brightness = luminance(light)[..., None]
    # Of the whole colour the share that is above, so that a bright red shines red.
    share = np.maximum(brightness - start, 0) / np.maximum(brightness, 1e-6)
    shining = light * share if alpha is None else light * share * alpha
    return from_linear(light + np.float32(amount) * gaussian_mean(shining, radius))


@operation("filter", "grain:amount=12")
def grain(
    color: Floats,
    *,
    amount: Annotated[float, Field(ge=0, le=128)] = 8.0,
    size: Annotated[float, Field(ge=0, le=10)] = 0.6,
    mono: bool = True,
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
) -> Floats:
    """Add film grain: strongest in the middle tones, none in black and white.

    The noise depends on the seed and the size of the picture, not on other steps. It is added to
    sRGB values, in which it looks even. Every picture of a run gets the same.

    Args:
        amount: Standard deviation of the noise in middle grey, in grey levels of 255.
        size: Sigma in pixels of the Gaussian that blurs the noise into grains; 0 is none.
        mono: The same noise in all channels, as silver makes it; otherwise one each.
        seed: Of the noise.
    """
    channels = 1 if mono else color.shape[2]
    noise = Noise([seed]).normal(*color.shape[:2], channels)[0]
    if size > 0:
        noise = gaussian_mean(noise, size) / _spread(size)
    luma = luminance(color)[..., None].clip(0, 1)
    weight = np.sqrt(4 * luma * (1 - luma))
    return np.asarray(color + amount / 255 * weight * noise, np.float32)


def _spread(sigma: float) -> float:
    """Return the standard deviation that white noise of 1 has left after a Gaussian."""
    side = 2 * int(np.ceil(4 * sigma)) + 3
    point = np.zeros((side, side, 1), np.float32)
    point[side // 2, side // 2] = 1
    return float(np.sqrt((gaussian_mean(point, sigma) ** 2).sum()))


@operation("filter", "vignette:amount=0.7")
def vignette(
    color: Floats,
    *,
    amount: Annotated[float, Field(ge=0, le=1)] = 0.5,
    start: Annotated[float, Field(ge=0, le=0.99)] = 0.3,
) -> Floats:
    """Darken towards the corners, as a lens does: in linear light.

    Args:
        amount: Share of the light that is missing in the corners.
        start: Where it begins: 0 is the centre, 1 the corners.
    """
    x, y = _from_centre(color)
    share = ((np.hypot(x, y)[..., None] - start) / (1 - start)).clip(0, 1)
    smooth = share * share * (3 - 2 * share)
    return from_linear(to_linear(color) * (1 - np.float32(amount) * smooth))


@operation("filter", "chromatic-aberration:amount=4")
def chromatic_aberration(
    color: Floats,
    alpha: Floats | None,
    *,
    amount: Annotated[float, Field(ge=-50, le=50)] = 2.0,
) -> Floats:
    """Part the colours towards the corners, as a simple lens does: red outwards, blue inwards.

    Channels are resampled (bicubic, of sRGB values), green stays. Grey pictures stay as they are.

    Args:
        amount: How far red and blue are moved in the corners, in pixels; below 0 the other way.
    """
    import cv2

    height, width = color.shape[:2]
    if color.shape[2] == 1:
        return color
    x, y = _from_centre(color)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    # With room for all moves: at its own borders OpenCV 5 never ends on a picture of one row.
    room = int(np.ceil(abs(amount))) + 3
    wide = cv2.copyMakeBorder(
        fill_hidden(color, alpha), room, room, room, room, cv2.BORDER_REFLECT_101
    )
    moved = color.copy()
    for channel, way in ((0, amount), (2, -amount)):
        # What comes to a place by a move outwards was further in before.
        moved[..., channel] = cv2.remap(
            np.ascontiguousarray(wide[..., channel]),
            (columns + room - way * x).astype(np.float32),
            (rows + room - way * y).astype(np.float32),
            cv2.INTER_CUBIC,
        )
    return moved


def _from_centre(color: Floats) -> tuple[Floats, Floats]:
    """Return how far each pixel is from the centre, across and down; the corners' length is 1."""
    height, width = color.shape[:2]
    down = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    across = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    corner = np.float32(max(np.hypot(height - 1, width - 1) / 2, 1))
    x, y = np.meshgrid(across / corner, down / corner)
    return x, y
