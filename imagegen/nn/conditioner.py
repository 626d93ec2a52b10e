"""What pictures are told to be, and how a network takes it in: one part for all families.

Labels are weights, so that a picture can have several, and a mixture can be asked for. Texts are
numbers of words, read by a recurrent network. A picture that nothing is told of is one more case,
with a vector of its own: so every model that was trained with a condition also draws without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.nn.blocks import in_float32
from imagegen.nn.draws import Draws

UNLABELLED, SILENT = 0.1, 0.25
"""Shares of the pictures whose labels, and whose texts, a model in training is not told, so that it
learns to draw without. It is less often without a label than without a text when it is used."""
LEFT_TO_TEXT = 0.5
"""The share for labels of pictures that have a text: otherwise the label says most of it, and the
text is not listened to where it comes alone, as users mostly give it."""
WORD, STATE = 64, 64
"""Numbers of a word, and of each direction's state."""
TURNS = 8
"""Ways in which a picture can lie: as it is, mirrored, turned, or both."""
ALIKE = 64
"""Numbers in which texts and pictures are compared."""
SHARPEST = 100.0
"""The most by which likenesses are multiplied, as in CLIP."""


@dataclass(frozen=True, eq=False)
class Told:
    """What N pictures are told to be.

    Attributes:
        labels: (N, L) float32, the weight of each label; a row sums to 1, or to 0 if nothing is
            known of the picture's label. L may be 0.
        words: (N, T) int64, see `imagegen.data.words`; 0 behind the end. T may be 0.
        turned: (N,) int64 below TURNS, how they lie, see `imagegen.data.store.turned`; 0 for as
            they are.
    """

    labels: Tensor
    words: Tensor
    turned: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | Tensor) -> Told:
        return Told(self.labels[rows], self.words[rows], self.turned[rows])

    def to(self, device: torch.device) -> Told:
        """Return it on a device."""
        return Told(self.labels.to(device), self.words.to(device), self.turned.to(device))

    def twice(self) -> Told:
        """Return it for 2 N pictures, the second half told the same as the first."""
        return Told(self.labels.repeat(2, 1), self.words.repeat(2, 1), self.turned.repeat(2))

    def partly(self, draws: Draws) -> Told:
        """Return it with less told of some pictures, for training; how they lie always is."""
        shares = draws.uniform(0, 1, 2).to(self.labels.device)
        has_text = (self.words > 0).any(1, keepdim=True)
        labelled = shares[:, :1] >= torch.where(has_text, LEFT_TO_TEXT, UNLABELLED)
        spoken = shares[:, 1:] >= SILENT
        return Told(self.labels * labelled, self.words * spoken, self.turned)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is told of any picture but how it lies."""
        return not (self.labels.any() or self.words.any())

    def nothing(self) -> Told:
        """Return it with nothing told of any picture but how it lies."""
        return Told(torch.zeros_like(self.labels), torch.zeros_like(self.words), self.turned)

    def beside_nothing(self) -> Told:
        """Return it for 2 N pictures, nothing told of the second half."""
        none = self.nothing()
        return Told(
            torch.cat([self.labels, none.labels]),
            torch.cat([self.words, none.words]),
            self.turned.repeat(2),
        )

    def kinds(self) -> Tensor:
        """Return a number for each picture, (N,), equal for those that are told the same."""
        parts = [self.labels.double(), self.words.double(), self.turned[:, None].double()]
        numbers: Tensor = torch.unique(torch.cat(parts, dim=1), dim=0, return_inverse=True)[1]
        return numbers


def is_led(told: Told | None, guidance: float) -> TypeGuard[Told]:
    """Say whether guidance changes anything: not by 1, nor where nothing is told."""
    return told is not None and not told.is_nothing and guidance != 1


class Conditioner(nn.Module):
    """What pictures are told in, a vector a picture out; the sum of what labels and words say.

    Pictures may also be told how they lie, so that turned ones can be learnt from without being
    drawn (Karras et al. 2022, arXiv 2206.00364, appendix F.2). Nothing is added for upright ones.
    """

    def __init__(
        self,
        labels: int,
        rarity: Tensor | None,
        width: int,
        std: float,
        channels: int = 0,
        turned: bool = False,
    ) -> None:
        """Build it.

        Args:
            labels: how many there are, or 0.
            rarity: (tokens,), how rare each word is, see `Vocabulary.rarity`; None for no texts.
            width: of the vector.
            std: its standard deviation at first.
            channels: of pictures that help to learn what texts mean, see `mismatch`; 0 for none.
            turned: whether some pictures lie otherwise than they are.
        """
        super().__init__()
        self.labels = nn.Parameter(torch.randn(labels, width) * std) if labels else None
        self.unlabelled = nn.Parameter(torch.randn(width) * std) if labels else None
        self.reader = None if rarity is None else Reader(rarity, width, std)
        self.turns = nn.Parameter(torch.randn(TURNS - 1, width) * std) if turned else None
        self.matcher = Matcher(channels, width) if self.reader and channels else None

    def forward(self, told: Told) -> Tensor:
        """Return (N, width)."""
        parts = []
        if self.labels is not None and self.unlabelled is not None:
            unknown = 1 - told.labels.sum(1, keepdim=True)
            parts.append(told.labels @ self.labels + unknown * self.unlabelled)
        if self.reader is not None:
            parts.append(self.reader(told.words))
        if self.turns is not None:
            parts.append(F.pad(self.turns, (0, 0, 1, 0))[told.turned])
        return torch.stack(parts).sum(0)

    def mismatch(self, images: Tensor, told: Told, rows: slice) -> Tensor | None:
        """Return how badly texts and pictures of a batch are told apart, a number to be made less.

        Args:
            images: (N, C, H, W), pictures or their latents.
            told: what they are.
            rows: those whose mean is returned.

        Returns:
            A scalar, in which pictures without a text count as 0; None if it was built without
            texts or `channels`.
        """
        if self.reader is None or self.matcher is None:
            return None
        lost: Tensor = self.matcher(images, self.reader(told.words), told.words)
        return lost[rows].mean()


class Matcher(nn.Module):
    """Tells the text of each picture of a batch from those of the others, and the reverse.

    The loss of CLIP (Radford et al. 2021, arXiv 2103.00020, figure 3), with a small encoder of
    pictures that learns beside the reader: what a text says of a picture is heard much sooner so
    than by drawing alone. Equal texts are equally right, and pictures without one do not count.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(channels, 32, 3, 2, 1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, 2, 1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(256, ALIKE),
        )
        self.hear = nn.Linear(width, ALIKE)
        self.sharpness = nn.Parameter(torch.tensor(2.0))

    def forward(self, images: Tensor, said: Tensor, words: Tensor) -> Tensor:
        """Map (N, C, H, W), what was read (N, width) and its words (N, T) to losses, (N,)."""
        seen, heard = (
            F.normalize(in_float32(vectors)) for vectors in (self.see(images), self.hear(said))
        )
        with torch.autocast(images.device.type, enabled=False):  # as sharp as they get: 100 times
            scores = self.sharpness.exp().clamp(max=SHARPEST) * seen @ heard.T
        there = (words > 0).any(1)
        scores = scores.masked_fill(~(there[:, None] & there), -1e4)
        right = (words[:, None] == words).all(2).float()
        right = right / right.sum(1, keepdim=True)
        lost = F.cross_entropy(scores, right, reduction="none")
        lost = (lost + F.cross_entropy(scores.T, right, reduction="none")) / 2
        return lost * there


class Reader(nn.Module):
    """Numbers of words in, a vector a text out: a GRU in both directions, then attention pooling.

    Words of a text are weighed by how rare they are, and by what they are and what stands around
    them (Yang et al. 2016, "Hierarchical Attention Networks", section 2.2): in captions most words
    are the same in all. A text of no words is a vector of its own.
    """

    log_rarity: Tensor

    def __init__(self, rarity: Tensor, width: int, std: float) -> None:
        super().__init__()
        # Not among the weights: it is known from the vocabulary.
        self.register_buffer("log_rarity", rarity.log(), persistent=False)
        self.words = nn.Embedding(len(rarity), WORD)
        nn.init.normal_(self.words.weight, std=0.5)
        self.read = nn.GRU(WORD, STATE, batch_first=True, bidirectional=True)
        # A bias would cancel out, and what is learnt of it would be rounding errors.
        self.weigh = nn.Linear(2 * STATE, 1, bias=False)
        self.say = nn.Linear(WORD + 2 * STATE, width)
        nn.init.normal_(self.say.weight, std=6 * std * (WORD + 2 * STATE) ** -0.5)
        self.silent = nn.Parameter(torch.randn(width) * std)

    def forward(self, words: Tensor) -> Tensor:
        """Map (N, T) numbers to (N, width)."""
        there = words > 0
        lengths = there.sum(1)
        longest = int(lengths.max()) if words.numel() else 0
        if not longest:
            return self.silent.expand(len(words), -1)
        words, there = words[:, :longest], there[:, :longest]
        seen = self.words(words)
        packed = nn.utils.rnn.pack_padded_sequence(
            seen, lengths.clamp_min(1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.read(packed)[0], batch_first=True)
        # What was read is the words themselves, and what they mean where they stand.
        heard = torch.cat([seen, states], dim=2)
        scores = self.weigh(states).squeeze(2) + self.log_rarity[words]
        scores = scores.masked_fill(~there, -torch.inf)
        weights = torch.where(lengths[:, None] > 0, scores, 0).softmax(1)
        said = self.say((weights[..., None] * heard).sum(1))
        return torch.where(lengths[:, None] > 0, said, self.silent)
