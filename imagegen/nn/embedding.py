"""Conditioning on an embedding of an image, beside labels and text.

A network that is conditioned on what an image looks like learns an unlabelled set as one with
labels (Li et al. 2023, "Return of unconditional generation", arXiv 2312.03701; Casanova et al.
2021, "Instance-conditioned GAN", arXiv 2109.05070): guidance works without labels, and images like
a given one can be generated. The embedding is mixed with noise, in training and in sampling, so
that it names a neighbourhood instead of one image, which would ask for a copy of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from imagegen import durable
from imagegen.nn import efficientnet
from imagegen.nn.draws import Draws
from imagegen.sample.noise import Noise

BANK = 4096
"""Embeddings of training images that are kept, to sample from."""
GRID = 2
"""Latents are averaged down to so many cells a side, for embeddings of kind `latents`."""
SCALE = 1.5
"""Brings these means to about unit variance."""
SEMANTIC = 64
"""Numbers of an embedding of kind `efficientnet`."""
SIDE = 64
"""Pixels a side at which images are embedded."""
WHITENING = Path(__file__).parents[1] / "builtin" / "embedding.safetensors"
"""Mean, (1280,), and whitened principal components, (1280, SEMANTIC), of features of the general
collection (recipes/general/embedding.py)."""
DROPOUT = 0.1
"""Share of the training images whose embedding is withheld, so that guidance has a null
condition."""
NOISIEST = 0.7
"""Standard deviation of the noise in training, at most; embeddings have about 1."""
NEIGHBOURS = 8
"""Nearest embeddings that a sampled one is mixed with two of."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Noisy embeddings of N images.

    Attributes:
        values: (N, D), with noise in them.
        noise: (N,), the standard deviation of that noise.
        present: (N,) bool, False for the null condition.
    """

    values: Tensor
    noise: Tensor
    present: Tensor

    def __getitem__(self, rows: slice | Tensor) -> Embedding:
        return Embedding(self.values[rows], self.noise[rows], self.present[rows])

    def null(self) -> Embedding:
        """Return the null condition for as many images."""
        return Embedding(self.values, self.noise, torch.zeros_like(self.present))


def pooled(latents: Tensor) -> Tensor:
    """Map latents of about unit variance, (N, C, h, w), to embeddings of layout, (N, 4 C)."""
    return F.adaptive_avg_pool2d(latents, GRID).flatten(1) * SCALE


class SemanticEmbedder:
    """Whitened principal components of EfficientNet-Lite0's features. Not an `nn.Module`: it is
    frozen, and no part of a model."""

    def __init__(self, device: torch.device) -> None:
        """Load the network and the components.

        Raises:
            UserError: if the weights of EfficientNet-Lite0 are not installed, or either file is
                damaged.
        """
        self._network = efficientnet.load().to(device)
        self._whitening = {
            k: v.to(device) for k, v in load(durable.read_checked(WHITENING)[0]).items()
        }

    def __call__(self, images: Tensor) -> Tensor:
        """Map images, (N, C, H, W) in [-1, 1], RGBA premultiplied, to (N, SEMANTIC)."""
        features: Tensor = self._network(efficientnet.fed(images, SIDE))
        return (features - self._whitening["mean"]) @ self._whitening["components"]


def attached(latents: Tensor, embeddings: Tensor) -> Tensor:
    """Return latents, (N, C, h, w), with embeddings, (N, D), as further channels behind them."""
    area = latents.shape[2] * latents.shape[3]
    filled = F.pad(embeddings, (0, -embeddings.shape[1] % area))
    return torch.cat([latents, filled.view(len(latents), -1, *latents.shape[2:])], dim=1)


def detached(joined: Tensor, channels: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the latents, of `channels`, and the embeddings, (N, size), of what `attached` made."""
    return joined[:, :channels], joined[:, channels:].flatten(1)[:, :size]


def with_noise(embeddings: Tensor, noise: Tensor, normal: Tensor) -> Tensor:
    """Return sqrt(1 - s^2) c + s e, for c and e of (N, D) and s of (N,)."""
    noise = noise[:, None]
    return (1 - noise.square()).sqrt() * embeddings + noise * normal


class ImageConditioner(nn.Module):
    """Maps embeddings to what is added to a network's style, and keeps those of training images."""

    bank: Tensor
    bank_labels: Tensor
    seen: Tensor

    def __init__(self, size: int, labels: int, width: int) -> None:
        """Build it.

        Args:
            size: numbers of an embedding.
            labels: how many labels there are, or 0.
            width: of the style.
        """
        super().__init__()
        self.network = nn.Sequential(nn.Linear(size + 1, width), nn.SiLU(), nn.Linear(width, width))
        self.missing = nn.Parameter(torch.zeros(width))
        self.register_buffer("bank", torch.zeros(BANK, size))
        self.register_buffer("bank_labels", torch.zeros(BANK, labels))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, embedding: Embedding) -> Tensor:
        """Return (N, width)."""
        known = self.network(torch.cat([embedding.values, embedding.noise[:, None]], dim=1))
        return torch.where(embedding.present[:, None], known, self.missing)

    def of_training(self, values: Tensor, draws: Draws) -> Embedding:
        """Return noisy embeddings of training images, some withheld.

        Args:
            values: the embeddings, (N, D).
            draws: the random numbers of these rows.
        """
        noise, kept = draws.uniform(0, 1, 2).to(values.device).unbind(1)
        normal = draws.normal(values.shape[1]).to(values.device)
        noise = noise * NOISIEST
        return Embedding(with_noise(values, noise, normal), noise, kept >= DROPOUT)

    @torch.no_grad()
    def remember(self, values: Tensor, labels: Tensor | None) -> None:
        """Keep the embeddings of a batch of training images, in place of the oldest ones.

        Args:
            values: (B, D).
            labels: (B, labels), the weight of each label, if there are any.
        """
        rows = (self.seen + torch.arange(len(values), device=self.seen.device)) % BANK
        self.bank[rows] = values.to(self.bank.dtype)
        if labels is not None and self.bank_labels.shape[1]:
            self.bank_labels[rows] = labels
        self.seen += len(values)

    def sample(self, noise: Noise, labels: Tensor | None, amount: float) -> Embedding:
        """Return embeddings near those of training images: mixtures of one and two neighbours.

        Args:
            noise: where all randomness comes from.
            labels: (len(noise), labels), those asked for, a row of zeros for any; or None.
            amount: standard deviation of the noise in them.
        """
        bank = self.bank[: int(self.seen.clamp(max=BANK))].cpu()
        known = self.bank_labels[: len(bank)].cpu()
        uniform = torch.from_numpy(noise.uniform(6))
        mixed = []
        for row, one in enumerate(uniform.tolist()):
            rows = torch.arange(len(bank))
            if labels is not None and labels[row].any():
                matching = (known @ labels[row].cpu()).nonzero().flatten()
                rows = matching if len(matching) else rows
            first = bank[rows[int(one[0] * len(rows))]]
            nearest = (bank[rows] - first).square().sum(1).argsort()[1 : 1 + NEIGHBOURS]
            others = [nearest[int(u * len(nearest))] for u in one[1:3]] if len(nearest) else []
            points = torch.stack([first, *(bank[rows[other]] for other in others)])
            weights = -torch.tensor(one[3 : 3 + len(points)]).clamp_min(1e-9).log()  # Dirichlet
            mixed.append((weights / weights.sum()) @ points)
        return self.near(noise, torch.stack(mixed), amount)

    def near(self, noise: Noise, values: Tensor, amount: float) -> Embedding:
        """Return noisy embeddings near given ones.

        Args:
            noise: where all randomness comes from.
            values: (len(noise), D), or (1, D) for all.
            amount: standard deviation of the noise in them.
        """
        device = self.bank.device
        normal = torch.from_numpy(noise.normal(values.shape[1])).to(device)
        amounts = torch.full((len(noise),), amount, device=device)
        noisy = with_noise(values.to(device), amounts, normal)
        return Embedding(noisy, amounts, torch.ones_like(amounts, dtype=torch.bool))
