"""What a family of models is: the interface between the one loop, the sampler and the networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from imagegen.catalog import Catalog
from imagegen.data.store import DeepImages, Images, to_tensor
from imagegen.data.words import Vocabulary
from imagegen.errors import SettingsError
from imagegen.nn.conditioner import Conditioner, Told
from imagegen.nn.draws import Draws
from imagegen.sample.noise import Noise
from imagegen.settings import Settings

Shape = tuple[int, int, int]
"""(channels, height, width) of a picture."""
AT_ONCE = 64
"""Pictures that are encoded at once."""
SELDOM, OFTEN = 10, 20
"""Times that a training set has been seen: seldom until the first, often from the second."""


@dataclass(frozen=True)
class Condition:
    """What a model can be told: labels, and words. It may be neither.

    Attributes:
        labels: their names.
        vocabulary: the words.
        turned: whether training tells it how pictures lie, too.
    """

    labels: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None
    turned: bool = False

    @property
    def can_be_asked(self) -> bool:
        """Whether anything can be asked for."""
        return bool(self.labels) or self.vocabulary is not None

    @property
    def is_told(self) -> bool:
        """Whether it is told anything, be it only in training."""
        return self.can_be_asked or self.turned

    def conditioner(self, width: int, std: float, channels: int = 0) -> Conditioner | None:
        """Return what turns what is told into vectors; None if nothing is.

        Args:
            width: of a vector.
            std: its standard deviation at first.
            channels: of pictures that texts are matched with in training, see `Conditioner`.
        """
        rarity = None if self.vocabulary is None else torch.tensor(self.vocabulary.rarity())
        if not self.is_told:
            return None
        return Conditioner(len(self.labels), rarity, width, std, channels, self.turned)

    def nothing(self, count: int, device: torch.device) -> Told | None:
        """Return that nothing is told of so many pictures; None if nothing ever is."""
        if not self.is_told:
            return None
        numbers = torch.zeros(count, dtype=torch.int64, device=device)
        labels = torch.zeros(count, len(self.labels), device=device)
        return Told(labels, numbers[:, None][:, :0], numbers)


@dataclass(frozen=True)
class Batch:
    """What a phase of one training step sees.

    Attributes:
        images: (N, C, H, W) in [-1, 1]; RGBA has its colours multiplied by alpha. For a model that
            stands on an autoencoder, what `Family.prepare` made of them.
        told: what the pictures are; None for a model that is told nothing.
        step: optimiser steps done before this one.
        progress: share of the training done, in [0, 1).
        dataset_size: pictures in the training set, mirrored ones not counted.
        draws: the only source of randomness, seeded by (seed, step, phase).
        caution: how often training has shown signs of collapse. A family answers each with more
            regularisation.
        strength: what `Family.strength` has chosen after the looks so far.
        average: the model's moving average so far, if there is one, for losses that learn from it.
        of: the batch that it is a part of, where memory is short or several processes train; for
            what pictures of a batch decide together.
        rows: which of that batch's pictures these are.
    """

    images: Tensor
    told: Told | None
    step: int
    progress: float
    dataset_size: int
    draws: Draws
    caution: int = 0
    strength: float = 0.0
    average: Family | None = None
    of: Batch | None = None
    rows: slice = field(default_factory=lambda: slice(None))

    @property
    def whole(self) -> Batch:
        """The whole batch, with random numbers of its own: the same for all its parts."""
        return self.of or self

    @property
    def often(self) -> float:
        """Whether the set has been seen often by now, from 0 to 1, see `often`."""
        return often(self.step, len(self.whole.images), self.dataset_size)


def often(step: int, batch_size: int, dataset_size: int) -> float:
    """Return whether a training set has been seen often, from 0 (up to SELDOM) to 1 (from OFTEN).

    What keeps pictures from being learnt by heart grows with it: those of a large set are not so
    soon, and teach most as they are.

    Args:
        step: optimiser steps done.
        batch_size: pictures in each.
        dataset_size: pictures in the training set.
    """
    seen = step * batch_size / dataset_size
    return min(1.0, max(0.0, (seen - SELDOM) / (OFTEN - SELDOM)))


class Family(nn.Module):
    """A kind of generative model: networks, training losses and sampling, in one file.

    A phase is the name of a submodule with a loss and an optimiser of its own. Phases together
    hold every parameter but those of the autoencoder that a model may stand on, which was trained
    before and stays as it is. Each step trains the phases that are due, in the order given.
    """

    phases: tuple[str, ...] = ()
    drawn_by: tuple[str, ...] = ()
    """The submodules that sampling needs: averaged while training, and saved as the model."""
    together: ClassVar[int] = 1
    """Neighbours in a batch whose losses depend on each other: a batch is split between them."""

    judged_by: str = "kid"
    """The number of a look, see `imagegen.train.watch`, by which the best weights are chosen: the
    distance of drawn pictures, or a key of `check`; lower is better."""
    can_collapse: ClassVar[bool] = False
    """Whether it may come to draw one picture for all seeds, and answers `Batch.caution`."""

    largest: int = 256
    """Pixels a side that are chosen for it, at most, where nobody sets them."""
    stands: ClassVar[bool] = False
    """Whether it can stand on an autoencoder."""
    generates: ClassVar[bool] = True
    """Whether it can `sample`; a codec alone can't."""
    fits_any_shape: ClassVar[bool] = False
    """Whether its weights work for pictures of any shape."""
    embeds: bool = False
    """Whether it is conditioned on image embeddings, and so can `sample_like` a given image."""
    initial_images: ClassVar[int] = 0
    """How many training images `initialize` needs, at most; 0 if it does nothing."""
    completes: ClassVar[bool] = False
    """Whether it can `complete` pictures."""
    has_likelihood: ClassVar[bool] = False
    """Whether it can say the `likelihood` of pictures."""

    class Model(Settings):
        """The preset's `model:` section."""

    class Sampling(Settings):
        """The preset's `sample:` section."""

    model: Any
    """An instance of the family's own `Model`."""

    def __init__(
        self,
        model: Settings,
        shape: Shape,
        condition: Condition,
        autoencoder: Family | None = None,
    ) -> None:
        """Take what a model is made for, and build its networks.

        Args:
            model: an instance of `Model`.
            shape: of the pictures.
            condition: what the model can be told.
            autoencoder: what it stands on, for families that can.

        Raises:
            SettingsError: if this family can't make pictures of this shape, or needs an
                autoencoder and has none.
        """
        super().__init__()
        assert isinstance(model, self.Model)
        self.model = model
        self.shape = shape
        self.condition = condition
        self.depth = 8
        """Bits of a channel of the pictures that it draws: 8, or 16 for grey ones."""
        self.autoencoder = autoencoder
        self.build()

    def build(self) -> None:
        """Build the networks that `self.model` describes.

        Raises:
            SettingsError: as `__init__`.
        """
        raise NotImplementedError

    def initialize(self, images: Tensor) -> None:
        """Set initial weights that follow from training images; called once, before training.

        Args:
            images: up to `initial_images` of them, (N, C, H, W) in [-1, 1].
        """

    def due(self, progress: float) -> tuple[str, ...]:
        """Return the phases that are trained when `progress` of the training is done."""
        return self.phases

    def prepare(self, images: Tensor) -> Tensor:
        """Return what `loss` and `check` see of pictures, which depends on each picture alone.

        A model that stands on an autoencoder sees what that one makes of them, and each training
        picture is prepared only once.

        Args:
            images: (N, C, H, W) in [-1, 1].

        Returns:
            (N, ...)
        """
        return images

    def loss(self, batch: Batch, phase: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the scalar to minimise in this phase, and scalars to log by name."""
        raise NotImplementedError

    def choices(self, dataset_size: int) -> Mapping[str, str]:
        """Return what it chooses by itself for a set of so many pictures: setting to reason."""
        return {}

    def check(self, known: Batch, held_out: Batch) -> Mapping[str, float]:
        """Return what tells learning by heart, by name: a held-out loss, or what stands for it.

        Args:
            known: training pictures.
            held_out: pictures that were not trained on.
        """
        return {}

    def strength(self, checks: Sequence[Mapping[str, float]], dataset_size: int) -> float:
        """Return how strongly to keep from learning by heart, in [0, 1].

        It goes by its arguments alone, so that a training goes on as it would have.

        Args:
            checks: what `check` returned at each look so far, in order.
            dataset_size: pictures in the training set.
        """
        return 0.0

    def check_generates(self) -> None:
        """Check that it can `sample`, before anything is read or drawn for it.

        Raises:
            SettingsError: if it is a codec alone.
        """
        if not self.generates:
            raise SettingsError(
                "a codec encodes and decodes pictures; it can't generate any",
                "train a model on its latents: imagegen train DATA --preset latent-flow "
                "--set autoencoder.name=CODEC",
            )

    def sample(self, noise: Noise, told: Told | None, options: Any) -> Tensor:
        """Draw len(noise) pictures.

        Args:
            noise: where all randomness comes from.
            told: what they are to be; None for a model that can't be told.
            options: an instance of `Sampling`.

        Returns:
            (N, C, H, W) in [-1, 1], not clamped.
        """
        raise NotImplementedError

    def can_draw(self, progress: float) -> bool:
        """Say whether it learns to draw by the time that `progress` of the training is done.

        Until then, training shows what comes back of real pictures, see `again`.
        """
        return self.generates

    def again(self, images: Tensor) -> Tensor:
        """Return pictures as they come back from it; only of models that begin to draw late.

        Args:
            images: (N, C, H, W) in [-1, 1].

        Returns:
            The same shape, not clamped.
        """
        raise NotImplementedError

    def sample_like(self, noise: Noise, image: Tensor, told: Told | None, options: Any) -> Tensor:
        """Draw pictures that resemble a given one; only if `embeds`.

        Args:
            noise: where all randomness comes from.
            image: (1, C, H, W) in [-1, 1].
            told: as for `sample`.
            options: as for `sample`.

        Returns:
            (len(noise), C, H, W) in [-1, 1], not clamped.
        """
        raise NotImplementedError

    def complete(self, noise: Noise, known: Tensor, told: Told | None, options: Any) -> Tensor:
        """Draw what is missing of pictures whose upper part is known; only if `completes`.

        Args:
            noise: where all randomness comes from.
            known: (len(noise), C, h, W) in [-1, 1], with h below the pictures' height.
            told: as for `sample`.
            options: as for `sample`.

        Returns:
            (N, C, H, W) in [-1, 1], not clamped; the upper part is `known` itself.
        """
        raise NotImplementedError

    def likelihood(self, images: Tensor, told: Told | None = None) -> Tensor:
        """Return the negative log-likelihood of each picture, exact, in nats, (N,).

        Only if `has_likelihood`.

        Args:
            images: (N, C, H, W) in [-1, 1].
            told: what they are, for a model that can be told: the likelihood is that given this.
        """
        raise NotImplementedError

    def bits_per_dim(self, nats: float) -> float:
        """Return the bits for each number of a picture that a likelihood in nats amounts to."""
        return nats / math.log(2) / math.prod(self.shape)

    def drawn(self) -> dict[str, Tensor]:
        """Return the weights that sampling needs, by name: those of `drawn_by`."""
        weights = self.state_dict()
        return {k: v for k, v in weights.items() if k.split(".")[0] in self.drawn_by}

    def trained(self) -> dict[str, Tensor]:
        """Return the weights that training changes, by name: those of `phases`."""
        weights = self.state_dict()
        return {k: v for k, v in weights.items() if k.split(".")[0] in self.phases}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device


class LatentCodec(Family):
    """A family that encodes pictures as latents and decodes them; others generate the latents.

    Attributes:
        factor: pixels a side of a cell of the latent grid.
        latent_shape: of the latents of a picture, (numbers, rows, columns).
    """

    factor: int
    latent_shape: Shape

    def encode(self, images: Tensor) -> Tensor:
        """Map (N, C, H, W) in [-1, 1] to latents, (N, numbers, H / factor, W / factor)."""
        raise NotImplementedError

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents back to (N, C, H, W), in about [-1, 1]."""
        raise NotImplementedError

    def decode_drawn(self, latents: Tensor) -> Tensor:
        """Decode latents as a flow has generated them."""
        return self.decode(latents)

    @property
    def latent_deviation(self) -> Tensor:
        """About the standard deviation of each latent channel, (numbers,)."""
        return torch.ones(self.latent_shape[0], device=self.device)

    def again(self, images: Tensor) -> Tensor:
        """Encode and decode; see `Family.again`."""
        return self.decode(self.encode(images))

    @torch.inference_mode()
    def describe(self, images: Images | DeepImages) -> npt.NDArray[np.float32]:
        """Return the latents of pictures (N, C, H, W), (N, numbers, rows, columns)."""
        parts = [
            self.encode(to_tensor(images[start : start + AT_ONCE]).to(self.device)).cpu().numpy()
            for start in range(0, len(images), AT_ONCE)
        ]
        return np.concatenate(parts)


def check_sides(shape: Shape, factor: int, what: str) -> None:
    """Raise SettingsError unless both sides of images are multiples of a cell's side.

    Args:
        shape: of the images.
        factor: pixels a side of a cell.
        what: the kind of model, for the message.
    """
    for side in shape[1:]:
        if side % factor:
            near = sorted({max(factor, side // factor * factor), (side // factor + 1) * factor})
            raise SettingsError(
                f"data.size: {what} makes multiples of {factor} pixels, not {side}",
                f"try {' or '.join(map(str, near))}",
            )


def shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor, by name: equal for weights of the same networks."""
    return {name: tuple(weight.shape) for name, weight in weights.items()}


FAMILIES: Catalog[type[Family]] = Catalog("family", "imagegen presets ls")
