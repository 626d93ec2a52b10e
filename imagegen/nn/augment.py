"""DiffAugment (Zhao et al. 2020, arXiv 2006.10738): the same random, differentiable changes to real
and made pictures, so that a discriminator can't learn a small set of pictures by heart."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from imagegen.nn.draws import Draws

Change = Literal["color", "translation", "cutout"]
CHANGES: tuple[Change, ...] = get_args(Change)


def augment(x: Tensor, changes: tuple[Change, ...], draws: Draws, strength: float = 1.0) -> Tensor:
    """Change pictures, (N, C, H, W) in [-1, 1], each by random numbers of its own.

    `strength` is the probability of each change, for each picture; colours change half as often.
    """
    if "color" in changes:
        x = _color(x, draws, strength / 2)
    if "translation" in changes or "cutout" in changes:
        x = _move(x, "translation" in changes, "cutout" in changes, draws, strength)
    return x


def roll(x: Tensor, draws: Draws) -> Tensor:
    """Move each picture of (N, C, H, W) by random whole numbers; what goes out comes in again."""
    rows, columns = (
        _moved(x, side, draws.integers(0, side, 1, 1, 1), around=True) for side in x.shape[2:]
    )
    return rows @ x @ columns.mT


def _uniform(x: Tensor, low: float, high: float, draws: Draws) -> Tensor:
    """Return a number a picture, (N, 1, 1, 1)."""
    return draws.uniform(low, high, 1, 1, 1).to(x.device)


def _color(x: Tensor, draws: Draws, share: float) -> Tensor:
    """Change brightness by +-0.5, saturation by 0 to 2, contrast by 0.5 to 1.5; of some pictures.

    If all pictures were changed, changed colours would be as good as the true ones, and come out
    of the generator (Karras et al. 2020, arXiv 2006.06676, section 2.2).

    Works on colours multiplied by alpha, p = c a in [0, 1]: "add b to c" is "add b a to p", and
    the middle grey around which contrast changes is a / 2. Alpha itself stays. All is linear, so
    nothing explodes on the odd pictures of an untrained generator.
    """
    brightness = _uniform(x, -0.25, 0.25, draws)  # of [0, 1], hence half
    saturation = _uniform(x, 0, 2, draws)
    contrast = _uniform(x, 0.5, 1.5, draws)
    alpha = (x[:, 3:] + 1) / 2 if x.shape[1] == 4 else torch.ones_like(x[:, :1])
    color = (x[:, :3] + 1) / 2
    grey = color.mean(1, keepdim=True)
    changed = grey + (color - grey) * saturation
    changed = changed * contrast + alpha * (brightness + (1 - contrast) / 2)
    color = torch.where(_uniform(x, 0, 1, draws) < share, changed, color)
    return torch.cat([color * 2 - 1, x[:, 3:]], dim=1)


def _move(x: Tensor, shift: bool, cut: bool, draws: Draws, share: float) -> Tensor:
    """Shift by up to an eighth of a side, and blank a square of half a side; of some pictures.

    A shift is a matrix of zeros and ones a side, multiplied from the left and the right: quick,
    exact and without a scatter in its backward. What comes into view is blank: transparent in
    RGBA, else the middle grey, which tells the discriminator that it is not part of the picture.
    """
    blank = -1.0 if x.shape[1] == 4 else 0.0
    shape = x.shape[2:]
    x = x - blank
    if shift:
        moved = _chosen(share, draws)
        rows, columns = (_shift(x, side, draws, moved) for side in shape)
        x = rows @ x @ columns.mT
    if cut:
        rows, columns = (_cut(x, side, draws) for side in shape)
        blanked = _chosen(share, draws).to(x.device)
        x = x * (1 - blanked * rows[..., None] * columns[..., None, :])
    return x + blank


def _chosen(share: float, draws: Draws) -> Tensor:
    """Choose a share of the pictures: 1 for each that is changed and 0 for others, (N, 1, 1, 1)."""
    if share == 1:  # no random numbers are used up, so that all others stay what they were
        return torch.ones(1, 1, 1, 1, dtype=torch.int64)
    return (draws.uniform(0, 1, 1, 1, 1) < share).long()


def _shift(x: Tensor, side: int, draws: Draws, moved: Tensor) -> Tensor:
    """Return (N, 1, side, side) matrices that move a column vector by up to an eighth, where
    `moved`, (N, 1, 1, 1), says so."""
    reach = round(side / 8)
    return _moved(x, side, draws.integers(-reach, reach + 1, 1, 1, 1) * moved)


def _moved(x: Tensor, side: int, by: Tensor, around: bool = False) -> Tensor:
    """Return (N, 1, side, side) matrices that move a column vector by (N, 1, 1, 1) cells."""
    place = torch.arange(side, device=x.device)
    source = place - by.to(x.device)
    return (place[:, None] == (source % side if around else source)).to(x.dtype)


def _cut(x: Tensor, side: int, draws: Draws) -> Tensor:
    """Return (N, 1, side) vectors, one over half of a side with a random centre, else zero."""
    centre = draws.integers(0, side + 1, 1, 1).to(x.device)
    place = torch.arange(side, device=x.device)
    return ((place - centre + 0.5).abs() < side / 4).to(x.dtype)
