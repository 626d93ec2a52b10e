"""What a family stands on, in tests that walk through all of them."""

from __future__ import annotations

import torch

from imagegen import presets
from imagegen.families.autoencoder import Autoencoder
from imagegen.family import Condition, Shape


def foundation(family: str, shape: Shape) -> Autoencoder | None:
    """Return a small autoencoder for a family whose preset has it stand on one."""
    if presets.load_with_parents(family).get(("autoencoder",)) is None:
        return None
    model = Autoencoder.Model(kind="fsq", levels=(5, 3), width=8, blocks=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Autoencoder(model, shape, Condition())
