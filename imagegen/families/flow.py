"""Rectified flow matching: a U-Net learns the way from noise to pictures, and then to cut it short.

It is trained in two stages by one loss after the other. First flow matching proper, with the
pictures of a batch paired with the noise nearest to them (see `imagegen.nn.flow`). Towards the end,
the same network also learns to jump: an eighth, a quarter, half of the way or all of it in one
look, as shortcut models do (Frans et al. 2024, arXiv 2410.12557), from its own average. So a few
looks give a picture that otherwise takes twenty.

It draws pixels, or the latents of an autoencoder that it stands on.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from imagegen.errors import SettingsError
from imagegen.family import FAMILIES, Batch, Family, LatentCodec, Shape, check_sides
from imagegen.nn import flow
from imagegen.nn.blocks import Edge, around
from imagegen.nn.conditioner import Told, is_led
from imagegen.nn.embedding import (
    GRID,
    SEMANTIC,
    ImageConditioner,
    SemanticEmbedder,
    attached,
    detached,
    pooled,
)
from imagegen.nn.unet import GROUPS, STYLE, Unet
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

SMALL = 64
"""Pixels a side up to which it is worth drawing pixels themselves."""
MISMATCH = 1.0
"""What it weighs that texts and pictures can't be told apart."""


@FAMILIES.register("flow")
class Flow(Family):
    """Draws in a few steps from noise to pictures."""

    phases = ("network",)
    drawn_by: tuple[str, ...] = ("network",)
    stands = True

    class Model(Settings):
        """The size of the network, and how it is trained."""

        width: Annotated[int, Field(ge=8, multiple_of=GROUPS)] = 128
        """Channels on grids of up to 8 cells a side; finer grids have fewer, at equal cost."""
        depth: Annotated[int, Field(ge=1)] = 1
        """Residual blocks on each grid, on the way down and again up."""
        jumps: Annotated[float, Field(ge=0, le=1)] = 0.35
        """Share of the training, at its end, that also learns to draw in one to eight steps."""
        embedding: Literal["none", "latents", "efficientnet"] = "none"
        """Also condition on an embedding of each image: guidance works without labels then, and
        unlabelled sets are learnt better. Of the layout (`latents`), or of what EfficientNet-Lite0
        sees (`efficientnet`). Only for flows over latents."""
        tile: bool = False
        """Pictures go on at the opposite edge, so that they can be laid side by side: textures."""

    class Sampling(Settings):
        """How pictures are drawn."""

        steps: Annotated[int, Field(ge=1, le=1000)] = 10
        """Steps from noise to a picture."""
        solver: flow.SolverOrJump = "multistep"
        """`jump` is for 1, 2, 4 or 8 steps; `midpoint` and `heun` look at the network twice a step,
        the others once."""
        shift: Annotated[float, Field(ge=0.05, le=20)] = 1.0
        """Above 1, steps are short where there is much noise and long at the end: good for latents.
        Steps of `jump` are even."""
        guidance: Annotated[float, Field(ge=0, le=100)] = 1.5
        """How much more a label or text counts than it did in training: above 1, pictures are more
        typical of it and less varied, and take twice the time of 1. Untold it does nothing."""

        embedding_noise: Annotated[float, Field(ge=0, le=1)] = 0.35
        """Noise in the image embeddings that are sampled: with more, images are less like single
        training images. Only with `model.embedding`."""

        @field_validator("solver")
        @classmethod
        def _jumps_as_learnt(
            cls, solver: flow.SolverOrJump, info: ValidationInfo
        ) -> flow.SolverOrJump:
            steps = info.data.get("steps")
            if solver == "jump" and steps is not None and steps not in flow.JUMPS:
                known = ", ".join(map(str, flow.JUMPS))
                raise ValueError(f"jumps are {known}, not {steps}: set sample.steps=4 too")
            return solver

    model: Model

    def build(self) -> None:
        """Build the networks; see `Family.build`."""
        model, shape = self.model, self.shape
        edge: Edge = "replicate" if model.tile else "zeros"
        if isinstance(self.autoencoder, LatentCodec):
            self.drawn_shape, patch = self.autoencoder.latent_shape, 1
            deviation = self.autoencoder.latent_deviation
        else:
            self.drawn_shape, patch = shape, _patch(shape)
            deviation = None
            self.largest = SMALL
        channels, height, width = self.drawn_shape
        told = self.condition.conditioner(STYLE, 0.5, channels)
        image = None
        if model.embedding != "none":
            if self.autoencoder is None:
                raise SettingsError(
                    "model.embedding: only a flow over latents has image embeddings",
                    "leave it out, or take --preset latent-flow",
                )
            size = {"latents": channels * GRID**2, "efficientnet": SEMANTIC}[model.embedding]
            self.embedding_size = size
            self._embedder: SemanticEmbedder | None = None
            self.embeds = True
            image = ImageConditioner(size, len(self.condition.labels), STYLE)
        self.network = Unet(
            channels,
            (height, width),
            patch,
            model.width,
            model.depth,
            told,
            edge,
            image,
            deviation,
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def prepare(self, images: Tensor) -> Tensor:
        """Return what the flow leads to: the pictures, or their latents.

        With `model.embedding`, the embeddings are further channels behind the latents.
        """
        if not isinstance(self.autoencoder, LatentCodec):
            return images
        latents = self.autoencoder.encode(images)
        return attached(latents, self._embedded(images, latents)) if self.embeds else latents

    def _embedded(self, images: Tensor, latents: Tensor) -> Tensor:
        """Return the embeddings of images and their latents, (N, embedding_size)."""
        if self.model.embedding == "latents":
            return pooled(latents)
        if self._embedder is None:  # loaded when it is needed, not to sample
            self._embedder = SemanticEmbedder(self.device)
        return self._embedder(images)

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the error of the velocities; in the last stage of some and of the jumps of others.

        Every second picture learns to jump. Texts are also matched with the pictures of a batch.
        """
        every = batch.whole.images
        embeddings = every
        if self.network.image_conditioner is not None:
            every, embeddings = detached(every, self.drawn_shape[0], self.embedding_size)
        jumps = torch.arange(len(every), device=every.device) % 2 == 0
        image = None
        if (images := self.network.image_conditioner) is not None:
            x = every[batch.rows]
            image = images.of_training(embeddings[batch.rows], batch.draws)
            # Noise that was paired with images would tell of them beside their embedding.
            noise = batch.draws.normal(*x.shape[1:]).to(x.device)
            if batch.rows.start in (0, None):
                labels = None if batch.whole.told is None else batch.whole.told.labels
                images.remember(embeddings, labels)
        else:
            x, noise = flow.ends(every, batch)
        told = None if batch.told is None else batch.told.partly(batch.draws)
        t = flow.times(batch.draws).to(x.device)
        shares = batch.draws.uniform(0, 1, 2).to(x.device)

        def network(rows: slice | Tensor, of: Flow = self) -> flow.Network:
            part = None if told is None else told[rows]
            like = None if image is None else image[rows]
            return lambda z, t, s: of.network(z, t, s, part, like)

        def matching(rows: slice | Tensor) -> Tensor:
            return flow.matching_loss(network(rows), x[rows], noise[rows], t[rows])

        def jumping(rows: Tensor) -> Tensor:
            teacher = network(rows, of=batch.average if isinstance(batch.average, Flow) else self)
            return flow.jump_loss(network(rows), teacher, x[rows], noise[rows], shares[rows])

        losses, logs = {}, {}
        if batch.progress < 1 - self.model.jumps:
            losses["matching"] = matching(slice(None)).mean()
        else:
            for name, loss, whole in (("matching", matching, ~jumps), ("jumping", jumping, jumps)):
                rows = whole[batch.rows]
                some = bool(rows.any())  # of a batch's parts, or a batch of one, none may be left
                losses[name] = loss(rows).sum() / len(x) if some else x.new_zeros(())
                if whole.any():
                    logs[name] = losses[name].detach() / whole.float().mean()  # as of all
        conditioner, all_told = self.network.conditioner, batch.whole.told
        if conditioner is not None and all_told is not None:
            mismatch = conditioner.mismatch(every, all_told, batch.rows)
            if mismatch is not None:
                losses["mismatch"] = MISMATCH * mismatch
        total = torch.stack(list(losses.values())).sum()
        return total, {name: loss.detach() for name, loss in losses.items()} | logs

    @torch.no_grad()
    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return the error of the velocities of held-out pictures: `held_out`."""
        x, image = held_out.images, None
        if (images := self.network.image_conditioner) is not None:
            x, embeddings = detached(x, self.drawn_shape[0], self.embedding_size)
            image = images.of_training(embeddings, held_out.draws)
        noise = held_out.draws.normal(*x.shape[1:]).to(x.device)
        t = torch.linspace(0.05, 0.95, len(x), device=x.device)
        loss = flow.matching_loss(
            lambda z, t, s: self.network(z, t, s, held_out.told, image), x, noise, t
        )
        return {"held_out": loss.mean().item()}

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures, (N, C, H, W), in about [-1, 1].

        Raises:
            SettingsError: if it is to jump and has not learnt to.
        """
        if options.solver == "jump" and not self.model.jumps:
            raise SettingsError(
                "sample.solver=jump: this model has not learnt to jump: model.jumps is 0",
                "--set sample.solver=multistep",
            )
        return self._sample(noise, told, options, None)

    def sample_like(self, noise: Noise, image: Tensor, told: Told | None, options: Any) -> Tensor:
        """Draw pictures that resemble a given one; see `Family.sample_like`."""
        assert isinstance(self.autoencoder, LatentCodec)
        embedding = self._embedded(image, self.autoencoder.encode(image))
        return self._sample(noise, told, options, embedding)

    def _sample(
        self, noise: Noise, told: Told | None, options: Sampling, embedding: Tensor | None
    ) -> Tensor:
        """Draw pictures; with an embedding, (1, D), near that one."""
        start = torch.from_numpy(noise.normal(*self.drawn_shape)).to(self.device)
        network = self._guided(noise, told, options, embedding)
        with around(self) if self.model.tile else nullcontext():
            drawn = flow.solve(network, start, options.steps, options.solver, options.shift)
            if isinstance(self.autoencoder, LatentCodec):
                drawn = self.autoencoder.decode_drawn(drawn)
        return drawn

    def _guided(
        self, noise: Noise, told: Told | None, options: Sampling, embedding: Tensor | None
    ) -> flow.Network:
        """Return the network bound to its conditions, with guidance."""
        image = None
        if (conditioner := self.network.image_conditioner) is not None:
            if embedding is not None:
                image = conditioner.near(noise, embedding, options.embedding_noise)
            else:
                labels = None if told is None else told.labels
                image = conditioner.sample(noise, labels, options.embedding_noise)
                if told is not None:  # a text says what the image is to be; so would an embedding
                    image = replace(image, present=~(told.words > 0).any(1))
        null = None
        if is_led(told, options.guidance) or image is not None:
            untold = None if told is None else told.nothing()
            unlike = None if image is None else image.null()
            null = lambda z, t, s: self.network(z, t, s, untold, unlike)  # noqa: E731
        return flow.guided(
            lambda z, t, s: self.network(z, t, s, told, image), null, options.guidance
        )

    def guess(self, z: Tensor, t: float) -> Tensor:
        """Return the mean of all pictures that z may come from at time t in (0, 1].

        Args:
            z: (1 - t) of a picture and t of noise, (N, C, H, W) of `drawn_shape`.
            t: the time, of all of them.
        """
        times = torch.full((len(z),), t, device=z.device)
        untold = self.condition.nothing(len(z), z.device)
        with around(self) if self.model.tile else nullcontext():
            pictures: Tensor = self.network(z, times, times, untold)
        return pictures


def _patch(shape: Shape) -> int:
    """Return the side of a cell, in pixels.

    Raises:
        SettingsError: if a side is not a multiple of it.
    """
    patch = 2 if max(shape[1:]) <= 48 else 4
    check_sides(shape, patch, "a flow")
    return patch
