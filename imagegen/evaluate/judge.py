"""Judges of what is in a picture, trained on the features of real pictures alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from imagegen.data import words
from imagegen.data.store import Indices
from imagegen.evaluate.extractor import Floats

DECAY = 1e-3
WORDS = 400
"""Words that captions are judged by: the most frequent ones."""
LEAST = 5
"""Captions that such a word is in."""


class _Logistic:
    """Logistic regression on standardised features with a squared penalty, fitted by L-BFGS."""

    def __init__(self, features: Floats, loss: Callable[[Tensor], Tensor], outputs: int) -> None:
        x = torch.from_numpy(features).double()
        self._mean, self._scale = x.mean(0), x.std(0).clamp_min(1e-6)
        x = (x - self._mean) / self._scale
        self._weights = torch.zeros(
            x.shape[1] + 1, outputs, dtype=torch.float64, requires_grad=True
        )
        optimizer = torch.optim.LBFGS(
            [self._weights], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-7
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            value = loss(x @ self._weights[:-1] + self._weights[-1])
            value = value + DECAY * self._weights[:-1].square().sum()
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(closure)  # type: ignore[no-untyped-call]

    def __call__(self, features: Floats) -> Tensor:
        x = (torch.from_numpy(features).double() - self._mean) / self._scale
        with torch.no_grad():
            return x @ self._weights[:-1] + self._weights[-1]


class Judge:
    """Names the label of a picture: multinomial logistic regression."""

    def __init__(self, features: Floats, labels: Indices, count: int) -> None:
        """Learn `count` labels, (N,), from features, (N, D)."""
        known = torch.from_numpy(labels)
        self._model = _Logistic(features, lambda scores: F.cross_entropy(scores, known), count)

    def __call__(self, features: Floats) -> Indices:
        """Return the most likely label of each picture, (N,)."""
        chosen: Indices = np.asarray(self._model(features).argmax(1))
        return chosen


class CaptionJudge:
    """Tells a picture's own caption from others: a logistic regression for each frequent word.

    This is R-precision (Xu et al. 2018, "AttnGAN", section 4), with words for what is compared.
    """

    RIVALS = 9
    """Captions of other pictures that each picture's own is told from."""

    def __init__(self, features: Floats, texts: Sequence[str]) -> None:
        """Learn from features, (N, D), and the captions of the same pictures.

        Raises:
            ValueError: if no word is in LEAST of the captions, and missing from as many.
        """
        counts = Counter(word for text in texts for word in set(words.split(text)))
        fit = [w for w, n in counts.most_common() if LEAST <= n <= len(texts) - LEAST]
        if not fit:
            raise ValueError("no word sets these captions apart")
        self._numbers = {word: number for number, word in enumerate(sorted(fit[:WORDS]))}
        known = self._said(texts)
        self._usual = torch.logit(known.mean(0))

        def loss(scores: Tensor) -> Tensor:
            return F.binary_cross_entropy_with_logits(scores, known, reduction="sum") / len(known)

        self._model = _Logistic(features, loss, len(self._numbers))
        self._rivals = known[known.any(1)]

    def __call__(self, features: Floats, texts: Sequence[str]) -> np.ndarray:
        """Say of each picture whether its caption fits better than RIVALS others, by lot.

        Args:
            features: (M, D).
            texts: the captions, M of them.

        Returns:
            (M,) of 1 for yes, 0 for no, -1 where a caption has no word that is judged by.
        """
        # How much likelier a caption is for this picture than for any, up to what is the same for
        # all captions: otherwise common words would win.
        odds, own = self._model(features) - self._usual, self._said(texts)
        random = np.random.Generator(np.random.Philox(key=2))
        found = np.full(len(texts), -1, np.int64)
        for row in range(len(texts)):
            others = np.flatnonzero((self._rivals != own[row]).any(1))
            if not own[row].any() or len(others) < self.RIVALS:
                continue
            chosen = others[random.permutation(len(others))[: self.RIVALS]]
            rivals = self._rivals[chosen]
            found[row] = int((rivals @ odds[row]).max() < own[row] @ odds[row])
        return found

    def _said(self, texts: Sequence[str]) -> Tensor:
        """Return which words each caption has, (N, W) of 0 and 1."""
        said = torch.zeros(len(texts), len(self._numbers), dtype=torch.float64)
        for row, text in enumerate(texts):
            for word in words.split(text):
                if word in self._numbers:
                    said[row, self._numbers[word]] = 1
        return said
