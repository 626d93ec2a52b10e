"""What tests tell a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from imagegen.data.words import Vocabulary
from imagegen.nn.conditioner import Told

TEXTS = ("a small ant", "a busy bee", "a small cat", "a busy cat", "an ant and a bee")
WORDS = Vocabulary.of(TEXTS)


def told(numbers: Sequence[int], count: int, texts: Sequence[str] = ()) -> Told:
    """Return labels by their number, of so many, and texts of the same length or none."""
    labels = torch.nn.functional.one_hot(torch.tensor(numbers), count).float()
    spelt = [WORDS.tokens(text) for text in texts] or [[] for _ in numbers]
    longest = max(map(len, spelt))
    words = torch.tensor([one + [0] * (longest - len(one)) for one in spelt], dtype=torch.int64)
    return Told(labels, words.view(len(numbers), longest), torch.zeros(len(numbers)).long())


def only(known: Told, kept: torch.Tensor) -> Told:
    """Return it with nothing told where `kept`, (N,) bool, is false."""
    return Told(known.labels * kept[:, None], known.words * kept[:, None], known.turned)
