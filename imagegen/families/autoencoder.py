"""A convolutional autoencoder, continuous or in tokens, with a small flow over its latent space.

Three kinds of latents, a few numbers for each cell of a coarse grid:
- kl: Gaussian, pulled towards the standard normal (Kingma and Welling 2013, arXiv 1312.6114), so
  that numbers that tell little are noise, which a flow over them need not learn;
- fsq: finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505): each number is rounded to
  one of a few levels, so a cell is a token, with neither a codebook nor a loss for one;
- half: the picture itself at half the size. What it learns is to enlarge, of any picture.

The reconstruction loss compares pixels, structure and edges; on demand also a discriminator's
opinion towards the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from imagegen.errors import SettingsError
from imagegen.family import FAMILIES, Batch, LatentCodec, Shape, check_sides
from imagegen.nn import flow
from imagegen.nn.blocks import Edge, around, in_float32, width_at
from imagegen.nn.codec import PATCH, ConvCodec, Halves
from imagegen.nn.conditioner import Told, is_led
from imagegen.nn.discriminator import GROUP, Discriminator, discriminator_loss, generator_loss
from imagegen.nn.losses import psnr, reconstruction_loss, window
from imagegen.nn.unet import GROUPS, STYLE, Unet
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

CELLS = 12
"""Sides of the latent grid, at most: from there on, a picture is halved once more."""
GAMMA, PENALTY_EVERY = 1.0, 4
"""Weight of the discriminator's gradient penalties, for 32x32 pixels, and steps between two."""
WHOLE = 10.0
"""Weight of unlike means of 7x7 pixels, beside the divergence of Gaussian latents. Without it, what
tells a colour from another as bright is soon given up for that (tests/bench/RESULTS.md)."""


@FAMILIES.register("autoencoder")
class Autoencoder(LatentCodec):
    """Makes pictures small and back again; other families draw in its latent space."""

    phases: tuple[str, ...] = ("codec", "prior")
    drawn_by: tuple[str, ...] = ("codec", "prior")
    together = GROUP
    judged_by = "held_out"

    class Model(Settings):
        """The kind and the size of its networks, and the terms of its loss."""

        kind: Literal["kl", "fsq", "half"] = "kl"
        """`kl`: Gaussian latents; `fsq`: tokens; `half`: small pictures, and so an upscaler."""
        channels: Annotated[int, Field(ge=1, le=64)] = 8
        """Latent channels, of kind `kl`."""
        levels: Annotated[tuple[Annotated[int, Field(ge=2, le=64)], ...], Field(min_length=1)] = (
            8,
            5,
            5,
            5,
        )
        """Values that each number of a cell can have, of kind `fsq`; their product is the number of
        different tokens."""
        width: Annotated[int, Field(ge=8)] = 96
        """Channels on grids of up to 8 cells a side; finer grids have fewer, at equal cost."""
        blocks: Annotated[int, Field(ge=1)] = 2
        """Residual blocks on each grid, in the encoder and in the decoder."""
        kl: Annotated[float, Field(ge=0)] = 3e-1
        """Weight of the divergence from the standard normal, of kind `kl`, a number: with more,
        less comes back, and latents are easier to draw."""
        adversarial: Annotated[float, Field(ge=0)] = 0.0
        """Weight of a discriminator's opinion in the last part of training: pictures come back
        crisper, and a little less like themselves. 0 is without one."""
        adversarial_from: Annotated[float, Field(ge=0, lt=1)] = 0.7
        """Share of the training after which the adversarial loss starts."""
        prior_width: Annotated[int, Field(ge=8, multiple_of=GROUPS)] = 64
        """Channels of the small flow that it draws latents with when nothing stands on it."""
        prior_share: Annotated[float, Field(gt=0, le=1)] = 1.0
        """Share of the training, at its end, in which that flow learns."""
        tile: bool = False
        """Pictures go on at the opposite edge, so that they can be laid side by side: textures."""

    class Sampling(Settings):
        """How pictures are drawn."""

        steps: Annotated[int, Field(ge=1, le=1000)] = 10
        """Steps from noise to a picture."""
        solver: flow.Solver = "multistep"
        """`midpoint` and `heun` look at the network twice a step, the others once."""
        shift: Annotated[float, Field(ge=0.05, le=20)] = 4.0
        """Above 1, steps are short where there is much noise and long at the end."""
        guidance: Annotated[float, Field(ge=0, le=100)] = 1.5
        """How much more a label or text counts than it did in training: above 1, pictures are more
        typical of it and less varied, and take twice the time of 1. Untold it does nothing."""

    model: Model

    def build(self) -> None:
        """Build the networks; see `Family.build`."""
        model, shape = self.model, self.shape
        if model.kind == "fsq" and self.codes > MOST_CODES:
            raise SettingsError(
                f"model.levels: {'x'.join(map(str, model.levels))} levels are more than "
                f"{MOST_CODES:,} different tokens",
                "take fewer or smaller ones",
            )
        self.factor = _factor(shape, model.kind)
        height, width = (side // self.factor for side in shape[1:])
        self.latent_shape: Shape = (self.numbers, height, width)
        finest = max(shape[1:]) // PATCH
        self.codec: ConvCodec | Halves
        if model.kind == "half":
            channels = width_at(model.width, (finest, finest))
            self.codec = Halves(shape[0], channels, model.blocks)
        else:
            count = int(math.log2(self.factor // PATCH)) + 1
            grids = [finest // 2**level for level in range(count)]
            self.codec = ConvCodec(
                shape[0],
                self.numbers,
                2 * self.numbers if model.kind == "kl" else self.numbers,
                grids,
                model.width,
                model.blocks,
                linear=model.kind != "fsq",  # few levels are better used without
            )
        if model.adversarial:
            self.phases = ("discriminator", *self.phases)
            self.judged_by = "kid"  # crisp pictures are farther from the true ones than blurred
            self.discriminator = Discriminator(model.width, shape)
        told = self.condition.conditioner(STYLE, 0.5)
        edge: Edge = "replicate" if model.tile else "zeros"
        self.prior = Unet(self.numbers, (height, width), 1, model.prior_width, 1, told, edge)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def due(self, progress: float) -> tuple[str, ...]:
        """Return the phases to train: the discriminator comes in late, and so may the flow."""
        begins = {"discriminator": self.model.adversarial_from, "prior": 1 - self.model.prior_share}
        return tuple(phase for phase in self.phases if progress >= begins.get(phase, 0))

    def can_draw(self, progress: float) -> bool:
        """Say whether the flow over its latents is trained by then; see `Family.can_draw`."""
        return "prior" in self.due(progress)

    @property
    def numbers(self) -> int:
        """How many numbers a cell has."""
        kinds = {"fsq": len(self.model.levels), "half": self.shape[0]}
        return kinds.get(self.model.kind, self.model.channels)

    @property
    def codes(self) -> int:
        """How many different tokens there are, of kind `fsq`."""
        return math.prod(self.model.levels)

    def encode(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [-1, 1] to (N, numbers, H / factor, W / factor), about in [-1, 1].

        Of kind `kl` these are the means, of kind `fsq` one of the levels each, of kind `half`
        pictures.
        """
        latents, _ = self._encode(images, None)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents back to (N, C, H, W), in about [-1, 1]."""
        return in_float32(self.codec.decode(latents))

    def decode_drawn(self, latents: Tensor) -> Tensor:
        """Map latents back as a flow has drawn them: of kind `fsq`, not yet at their levels."""
        if self.model.kind == "fsq":
            latents = self._values(self._places(latents))
        return self.decode(latents)

    def tokens(self, latents: Tensor) -> Tensor:
        """Map (N, numbers, h, w) of kind `fsq` to (N, h, w), int64 in [0, codes)."""
        return self._index(self._places(latents))

    def latents(self, tokens: Tensor) -> Tensor:
        """Map (N, h, w) tokens to (N, numbers, h, w) latents."""
        places = []
        for levels in reversed(self.model.levels):
            places.append(tokens % levels)
            tokens = tokens // levels
        return self._values(torch.stack(places[::-1], dim=1).float())

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return how unlike pictures come back; of `prior`, the flow's error."""
        if phase == "discriminator":
            with torch.no_grad():
                fakes = self.again(batch.images)
            gamma = GAMMA * PENALTY_EVERY * batch.images[0, 0].numel() / 32**2
            due = batch.step % PENALTY_EVERY == 0
            return discriminator_loss(
                self.discriminator, batch.images, fakes, gamma=gamma if due else 0.0
            )
        if phase == "prior":
            return self._prior_loss(batch), {}
        latents, divergence = self._encode(batch.images, batch)
        again = self.decode(latents)
        loss = reconstruction_loss(again, batch.images)
        logs = {"mse": (again.detach() - batch.images).square().mean()}
        if self.model.kind == "kl":
            whole = window(again - batch.images).abs().mean()
            loss = loss + self.model.kl * (divergence + WHOLE * whole)
            logs["kl"] = divergence.detach()
        if self.model.adversarial and batch.progress >= self.model.adversarial_from:
            contest, more = generator_loss(self.discriminator, batch.images, again)
            loss, logs = loss + self.model.adversarial * contest, logs | more
        return loss, logs

    @torch.no_grad()
    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return how unlike held-out pictures come back, and their signal-to-noise ratio in dB."""
        again = self.again(held_out.images)
        error = (again.clamp(-1, 1) - held_out.images).square().mean()
        unlike = reconstruction_loss(again, held_out.images)
        return {"held_out": unlike.item(), "psnr": psnr(error).item()}

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures, (N, C, H, W), in about [-1, 1]."""
        start = torch.from_numpy(noise.normal(*self.latent_shape)).to(self.device)
        untold = told.nothing() if is_led(told, options.guidance) else None
        network = flow.guided(
            lambda z, t, s: self.prior(z, t, s, told),
            None if untold is None else lambda z, t, s: self.prior(z, t, s, untold),
            options.guidance,
        )
        with around(self.prior, self.codec) if self.model.tile else nullcontext():
            latents = flow.solve(network, start, options.steps, options.solver, options.shift)
            return self.decode_drawn(latents)

    def _encode(self, images: Tensor, batch: Batch | None) -> tuple[Tensor, Tensor]:
        """Return latents, for training with their noise, and the divergence a number."""
        raw = in_float32(self.codec.encode(images))
        if self.model.kind == "half":
            return raw, raw.new_zeros(())
        if self.model.kind == "fsq":
            places = torch.sigmoid(_STEEP * raw) * (self._levels(raw) - 1)
            # Rounding has no gradient: that of the number itself stands in for it.
            places = places + (places.round() - places).detach()
            return self._values(places), raw.new_zeros(())
        mean, log_variance = raw.chunk(2, dim=1)
        log_variance = log_variance.clamp(-20, 4)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).mean() / 2
        if batch is not None:
            spread = batch.draws.normal(*mean.shape[1:]).to(mean.device)
            mean = mean + spread * (log_variance / 2).exp()
        return mean, divergence

    def _prior_loss(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            every = self.encode(batch.whole.images)
        latents, noise = flow.ends(every, batch)
        told = None if batch.told is None else batch.told.partly(batch.draws)
        t = flow.times(batch.draws).to(latents.device)
        return flow.matching_loss(
            lambda z, t, s: self.prior(z, t, s, told), latents, noise, t
        ).mean()

    def _levels(self, like: Tensor) -> Tensor:
        return torch.tensor(self.model.levels, device=like.device).view(1, -1, 1, 1)

    def _places(self, latents: Tensor) -> Tensor:
        """Return the places of the nearest levels, whole numbers from 0."""
        top = self._levels(latents) - 1
        return ((latents + 1) / 2 * top).round().clamp_min(0).minimum(top)

    def _values(self, places: Tensor) -> Tensor:
        """Return the latents, in [-1, 1], at these places between the levels."""
        return places / (self._levels(places) - 1) * 2 - 1

    def _index(self, places: Tensor) -> Tensor:
        index = torch.zeros_like(places[:, 0], dtype=torch.int64)
        for place, levels in zip(places.unbind(1), self.model.levels, strict=True):
            index = index * levels + place.long()
        return index


MOST_CODES = 1 << 16
"""Different tokens at most: each is a row of what an rnn learns."""
_STEEP = 1.6
"""Makes standard normal numbers come out of the sigmoid so evenly that all of a few levels are
used: the two at the ends a third to a half as often as those between."""


def _factor(shape: Shape, kind: str) -> int:
    """Return how many pixels a side make a cell of the latent grid: 4, 8, 16 ... or 2, of `half`.

    Raises:
        SettingsError: if a side is not a multiple of that.
    """
    factor = PATCH
    if kind != "half":
        factor *= 2
        while max(shape[1:]) / factor > CELLS:
            factor *= 2
    check_sides(shape, factor, "an autoencoder")
    return factor
