"""A judge that knows the labels, trained on the features of real pictures alone."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from imagegen.data.store import Indices
from imagegen.evaluate.features import Floats

DECAY = 1e-3


class Judge:
    """Multinomial logistic regression with a squared penalty."""

    def __init__(self, features: Floats, labels: Indices, count: int) -> None:
        """Learn `count` labels, (N,), from features, (N, D)."""
        x = torch.from_numpy(features).double()
        self._mean, self._scale = x.mean(0), x.std(0).clamp_min(1e-6)
        x, y = (x - self._mean) / self._scale, torch.from_numpy(labels)
        self._weights = torch.zeros(x.shape[1] + 1, count, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [self._weights], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-7
        )

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            value = F.cross_entropy(x @ self._weights[:-1] + self._weights[-1], y)
            value = value + DECAY * self._weights[:-1].square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]

    def __call__(self, features: Floats) -> Indices:
        """Return the most likely label of each picture, (N,)."""
        x = (torch.from_numpy(features).double() - self._mean) / self._scale
        with torch.no_grad():
            scores = x @ self._weights[:-1] + self._weights[-1]
        chosen: Indices = np.asarray(scores.argmax(1))
        return chosen
