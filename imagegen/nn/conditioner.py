"""What pictures are told to be, and how a network takes it in: one part for all families.

Labels are weights, so that a picture can have several, and a mixture can be asked for. Texts are
numbers of words, read by a recurrent network. A picture that nothing is told of is one more case,
with a vector of its own: so every model that was trained with a condition also draws without.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imagegen.nn.draws import Draws

UNLABELLED, SILENT = 0.1, 0.25
"""Shares of the pictures whose labels, and whose texts, a model in training is not told, so that it
learns to draw without. Texts are left out more often when it is used, and no two are the same."""
LEFT_TO_TEXT = 0.5
"""The share for labels of pictures that have a text: otherwise the label says most of it, and the
text is not listened to where it comes alone, as users mostly give it."""
WORD, STATE = 64, 64
"""Numbers of a word, and of each direction's state."""


@dataclass(frozen=True, eq=False)
class Told:
    """What N pictures are told to be.

    Attributes:
        labels: (N, L) float32, the weight of each label; a row sums to 1, or to 0 if nothing is
            known of the picture's label. L may be 0.
        words: (N, T) int64, see `imagegen.data.words`; 0 behind the end. T may be 0.
    """

    labels: Tensor
    words: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | Tensor) -> Told:
        return Told(self.labels[rows], self.words[rows])

    def to(self, device: torch.device) -> Told:
        """Return it on a device."""
        return Told(self.labels.to(device), self.words.to(device))

    def twice(self) -> Told:
        """Return it for 2 N pictures, the second half told the same as the first."""
        return Told(self.labels.repeat(2, 1), self.words.repeat(2, 1))

    def partly(self, draws: Draws) -> Told:
        """Return it with less told of some pictures, for training."""
        shares = draws.uniform(0, 1, 2).to(self.labels.device)
        has_text = (self.words > 0).any(1, keepdim=True)
        labelled = shares[:, :1] >= torch.where(has_text, LEFT_TO_TEXT, UNLABELLED)
        spoken = shares[:, 1:] >= SILENT
        return Told(self.labels * labelled, self.words * spoken)

    def only(self, kept: Tensor) -> Told:
        """Return it with nothing told where `kept`, (N,) bool, is false."""
        kept = kept.to(self.labels.device)[:, None]
        return Told(self.labels * kept, self.words * kept)

    def nothing(self) -> Told:
        """Return it with nothing told of any picture."""
        return Told(torch.zeros_like(self.labels), torch.zeros_like(self.words))

    def kinds(self) -> Tensor:
        """Return a number for each picture, (N,), equal for those that are told the same."""
        both = torch.cat([self.labels.double(), self.words.double()], dim=1)
        numbers: Tensor = torch.unique(both, dim=0, return_inverse=True)[1]
        return numbers


class Conditioner(nn.Module):
    """What pictures are told in, a vector a picture out; the sum of what labels and words say."""

    def __init__(self, labels: int, tokens: int, width: int, std: float) -> None:
        """Build it.

        Args:
            labels: how many there are, or 0.
            tokens: how many numbers of words there are, see `Vocabulary`, or 0 for no texts.
            width: of the vector.
            std: its standard deviation at first.
        """
        super().__init__()
        self.labels = nn.Parameter(torch.randn(labels, width) * std) if labels else None
        self.unlabelled = nn.Parameter(torch.randn(width) * std) if labels else None
        self.reader = Reader(tokens, width, std) if tokens else None

    def forward(self, told: Told) -> Tensor:
        """Return (N, width)."""
        parts = []
        if self.labels is not None and self.unlabelled is not None:
            unknown = 1 - told.labels.sum(1, keepdim=True)
            parts.append(told.labels @ self.labels + unknown * self.unlabelled)
        if self.reader is not None:
            parts.append(self.reader(told.words))
        return torch.stack(parts).sum(0)


class Reader(nn.Module):
    """Numbers of words in, a vector a text out: a GRU in both directions, then attention pooling.

    Words of a text are weighed by what they are and what stands around them (Yang et al. 2016,
    "Hierarchical Attention Networks", section 2.2). A text of no words is a vector of its own.
    """

    def __init__(self, tokens: int, width: int, std: float) -> None:
        super().__init__()
        self.words = nn.Embedding(tokens, WORD)
        nn.init.normal_(self.words.weight, std=0.5)
        self.read = nn.GRU(WORD, STATE, batch_first=True, bidirectional=True)
        self.weigh = nn.Linear(2 * STATE, 1)
        self.say = nn.Linear(WORD + 2 * STATE, width)
        nn.init.normal_(self.say.weight, std=6 * std * (WORD + 2 * STATE) ** -0.5)
        self.silent = nn.Parameter(torch.randn(width) * std)

    def forward(self, words: Tensor) -> Tensor:
        """Map (N, T) numbers to (N, width)."""
        there = words > 0
        lengths = there.sum(1)
        if not int(lengths.max() if words.numel() else 0):
            return self.silent.expand(len(words), -1)
        words, there = words[:, : int(lengths.max())], there[:, : int(lengths.max())]
        seen = self.words(words)
        packed = nn.utils.rnn.pack_padded_sequence(
            seen, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.read(packed)[0], batch_first=True)
        # What was read is the words themselves, and what they mean where they stand.
        heard = torch.cat([seen, states], dim=2)
        scores = self.weigh(states).squeeze(2).masked_fill(~there, -torch.inf)
        weights = torch.where(lengths[:, None] > 0, scores, 0).softmax(1)
        said = self.say((weights[..., None] * heard).sum(1))
        return torch.where(lengths[:, None] > 0, said, self.silent)
