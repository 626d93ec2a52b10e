"""Features whose directions count alike, for the set of pictures they were fitted to."""

from __future__ import annotations

import torch
from torch import Tensor


def fit(features: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean, (F,), and a matrix, (F, D), that whiten features, float64.

    The directions are those in which the features differ most.

    Args:
        features: (N, F), of the real pictures, N at least 2.
        count: D. With too many for N pictures these lie further apart than others of their kind,
            and precision sees nothing.
    """
    features = features.double()
    values, directions = torch.linalg.eigh(features.T.cov())
    values, directions = values[-count:], directions[:, -count:]
    scale = (values + 1e-3 * values.mean()).clamp_min(1e-12).rsqrt()
    return features.mean(0), directions * scale
