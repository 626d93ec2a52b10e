"""A model while it learns: networks, their average and optimisers, and how one step changes them.

It knows phases, not families; nothing here depends on a clock or a file.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from imagegen.data.split import held_out
from imagegen.data.store import DeepImages, Images, Indices, Pictures, to_tensor, turned
from imagegen.data.words import Vocabulary
from imagegen.device import pick_device, prepare_processor
from imagegen.errors import SettingsError, UserError
from imagegen.family import Batch, Condition, Family, often, shapes
from imagegen.nn.conditioner import TURNS, Told
from imagegen.nn.draws import Draws
from imagegen.sample import tell
from imagegen.settings import Config, DataSettings, Settings, TrainSettings
from imagegen.train import checkpoint
from imagegen.train.muon import Muon
from imagegen.train.parallel import Order, World
from imagegen.train.plan import half_cosine


def build(
    kind: type[Family],
    model: Settings,
    config: Config,
    pictures: Pictures,
    autoencoder: Family | None = None,
    condition: Condition | None = None,
) -> Family:
    """Make a new family for these pictures, its weights drawn from `train.seed`.

    Args:
        kind: the family.
        model: an instance of its `Model`.
        config: all settings.
        pictures: all of them, those that will be held out too.
        autoencoder: what it stands on.
        condition: what it can be told, if that is known; else it is found out.
    """
    if condition is None:
        condition = condition_of(pictures, config.data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        family = kind(model, pictures.shape, condition, autoencoder)
    family.depth = pictures.depth
    if family.initial_images:
        training = np.flatnonzero(~held_out(pictures, config.data.held_out))
        count = min(family.initial_images, len(training))
        rows = training[np.linspace(0, len(training) - 1, count).astype(int)]
        family.initialize(to_tensor(pictures.trained_on[rows]))
    return family


def condition_of(pictures: Pictures, settings: DataSettings) -> Condition:
    """Return what a model of these pictures can be told, held-out ones among them.

    Of their words it is told those alone that it will learn from.
    """
    words = None
    if pictures.texts is not None:
        held = held_out(pictures, settings.held_out)
        texts = zip(pictures.texts, held, strict=True)
        words = Vocabulary.of(text for text, is_held_out in texts if not is_held_out)
    return Condition(pictures.label_names, words, settings.turned > 0)


def check(family: Family, config: Config, world: World) -> None:
    """Check what only the networks and the processes together can tell.

    Raises:
        SettingsError: if the batch can't be shared, or there is nothing to balance.
    """
    if config.data.balance and not family.condition.labels:
        raise SettingsError(
            f"data.balance={config.data.balance:g}: these pictures have no labels", "leave it out"
        )
    world.rows(config.train.batch_size, family.together)


AT_ONCE = 4
"""An autoencoder is shown new pictures of a batch in up to so many parts."""
MOST_SEEN = 2**27
"""Numbers that are remembered of what an autoencoder makes of pictures: half a gigabyte."""


class Learner:
    """A family in training.

    Every random number is a function of (train.seed, step, phase, place in the batch), and the
    sums of a batch do not depend on who computes which share of it but for their rounding.

    Attributes:
        family: the networks.
        average: the moving average of those that draw, in eval mode.
        parts: in how many parts a batch is computed, one after the other; grows where memory is
            short.
    """

    def __init__(
        self, family: Family, pictures: Pictures, config: Config, world: World | None = None
    ) -> None:
        """Take a new family, on the CPU, to its device.

        Args:
            family: as built, its weights drawn from `train.seed`.
            pictures: the training set.
            config: every setting.
            world: the processes that share each batch.

        Raises:
            SettingsError: if the batch can't be shared, or the device is not there.
        """
        prepare_processor()
        settings = config.train
        self.family = family.to(pick_device(config.device)).train()
        self.average = copy.deepcopy(family).eval().requires_grad_(False)
        self.optimizers = {
            phase: _optimizer(getattr(family, phase), settings) for phase in family.phases
        }
        self._start: dict[str, Tensor] = {}
        if settings.decay_towards == "start":
            self._start = {
                name: parameter.detach().clone()
                for name, parameter in family.named_parameters()
                if name.split(".")[0] in family.phases
            }
        self.parts = 1
        self._pictures = pictures
        self._seen: dict[int, Tensor] = {}
        self._told = tell.of_pictures(pictures, family.condition)
        self._config = config
        self._world = world or World()
        self._rows = self._world.rows(settings.batch_size, family.together)

    def step(self, order: Order) -> dict[str, Tensor]:
        """Train every phase once, on one batch; return the means to log.

        Raises:
            UserError: if there is not enough memory even for the smallest parts.
        """
        settings, data, step = self._config.train, self._config.data, order.step
        rate = half_cosine(order.progress, settings.lr, settings.lr_end) * order.rate
        rate *= min(1.0, (step + 1) / (settings.warmup + 1))
        arrays, chosen = self._pictures.batch(
            settings.seed, step, settings.batch_size, data.mirror, data.balance
        )
        told = None
        if self._told is not None:
            told = self._told[torch.from_numpy(chosen % len(self._pictures))]
            if data.turned:
                turns = self._turned_by(step)
                told = replace(told, turned=turns)
                arrays = turned(arrays, turns.numpy())
                chosen = chosen + 2 * len(self._pictures) * turns.numpy()  # mirrored ones, too
        seen = self._see(arrays, chosen)
        logs: dict[str, Tensor] = {}
        for phase in self.family.due(order.progress):
            optimizer = self.optimizers[phase]
            self.family.requires_grad_(False)
            parameters = list(getattr(self.family, phase).requires_grad_(True).parameters())
            scalars = self._gradients(seen, told, order, phase, optimizer)
            gradients = [p.grad for p in parameters if p.grad is not None]
            self._world.add([*gradients, *scalars.values()])
            for group in optimizer.param_groups:
                group["lr"] = rate
            self._decay(phase, rate * settings.weight_decay)
            optimizer.step()
            logs |= scalars
        half_life = min(settings.ema_half_life, settings.ema_ramp * step)
        self._follow(0.5 ** (1 / half_life) if half_life else 0.0)
        return logs

    def state(self, step: int, seconds: float, spent: Mapping[str, float]) -> checkpoint.State:
        """Return all that changes while training."""
        return checkpoint.State(
            step,
            seconds,
            dict(spent),
            self.family.trained(),
            self.average.drawn(),
            {phase: optimizer.state_dict() for phase, optimizer in self.optimizers.items()},
            self._start,
        )

    def restore(self, state: checkpoint.State) -> None:
        """Go back, or on, to a state of the same family.

        Raises:
            UserError: if it is that of other networks, as an older version may have had.
        """
        parts = [(state.family, self.family.trained()), (state.average, self.average.drawn())]
        if any(shapes(saved) != shapes(ours) for saved, ours in parts):
            raise UserError(
                f"what was saved at step {state.step} does not fit this version of imagegen",
                "train under another name: --name NAME",
            )
        self.family.load_state_dict(state.family, strict=False)
        self.average.load_state_dict(state.average, strict=False)
        self._start = {k: v.to(self.family.device) for k, v in state.start.items()}
        for phase, optimizer in self.optimizers.items():
            checkpoint.restore(optimizer, state.optimizers.get(phase, {"state": {}}))

    def is_finite(self) -> bool:
        """Say whether all weights are numbers."""
        weights = [*self.family.parameters(), *self.average.drawn().values()]
        return all(bool(weight.isfinite().all()) for weight in weights)

    def look(self, pictures: Pictures, count: int, order: Order) -> Batch:
        """Return the first `count` pictures as a batch to look at, not to learn from."""
        told = tell.of_pictures(pictures, self.family.condition)
        first = slice(0, count)
        told = None if told is None else told[first]
        return self._batch(self._prepared(pictures.trained_on[first]), told, order, "look", first)

    def _turned_by(self, step: int) -> Tensor:
        """Return how the pictures of a step lie, (B,), see `imagegen.data.store.turned`."""
        settings, (_, height, width) = self._config.train, self.family.shape
        share = self._config.data.turned
        share *= often(step, settings.batch_size, len(self._pictures))
        ways = TURNS if height == width else TURNS // 2
        draws = Draws(_hash(settings.seed, step, "turned"), settings.batch_size)
        turns = draws.integers(1, ways)
        return turns * (draws.uniform(0, 1) < share)

    def _see(self, arrays: Images | DeepImages, chosen: Indices) -> Tensor:
        """Return what the family sees of training pictures, (B, ...).

        What an autoencoder makes of them is remembered.

        Args:
            arrays: the pictures, (B, C, H, W).
            chosen: which they are, and how they lie, (B,).
        """
        if self.family.autoencoder is None:
            return self._prepared(arrays)
        new = [row for row, number in enumerate(chosen.tolist()) if number not in self._seen]
        size = -(-len(arrays) // AT_ONCE)
        seen: dict[int, Tensor] = {}
        for first in range(0, len(new), size):
            rows = new[first : first + size]
            # Always as many at once, or the last bits would depend on what was known before.
            several = self._prepared(arrays[np.resize(rows, size)])
            seen |= {int(chosen[row]): one.clone() for row, one in zip(rows, several, strict=False)}
        every = torch.stack([(seen if n in seen else self._seen)[n] for n in chosen.tolist()])
        if len(self._seen) * every[0].numel() < MOST_SEEN:
            self._seen |= seen
        return every

    @torch.no_grad()
    def _prepared(self, arrays: Images | DeepImages) -> Tensor:
        # Never in mixed precision: it is done once for each picture, and what is drawn later comes
        # from the autoencoder in float32.
        return self.family.prepare(to_tensor(arrays).to(self.family.device))

    def _gradients(
        self,
        seen: Tensor,
        told: Told | None,
        order: Order,
        phase: str,
        optimizer: torch.optim.Optimizer,
    ) -> dict[str, Tensor]:
        """Fill in the gradients of this process's share of a batch; return its share of the logs.

        Where memory is short, the share is computed in twice as many parts.
        """
        while True:
            optimizer.zero_grad(set_to_none=True)
            logs: dict[str, Tensor] = {}
            try:
                for rows in self._turns():
                    batch = self._batch(seen, told, order, phase, rows)
                    weight = len(batch.images) / len(seen)
                    with torch.autocast(self.family.device.type, torch.bfloat16, order.mixed):
                        loss, scalars = self.family.loss(batch, phase)
                    (loss * weight).backward()  # type: ignore[no-untyped-call]
                    for name, value in {phase: loss.detach(), **scalars}.items():
                        logs[name] = logs.get(name, 0) + value * weight
                return logs
            except (RuntimeError, MemoryError) as error:
                if not _is_short_of_memory(error):
                    raise
                share = self._rows.stop - self._rows.start
                if share // (2 * self.parts) < self.family.together:
                    raise UserError(
                        "there is not enough memory for training, even a few pictures at a time",
                        "try smaller pictures or a narrower network: --set data.size=32 "
                        "--set model.width=48",
                    ) from None
                self.parts *= 2

    def _turns(self) -> Iterator[slice]:
        """Yield the rows of the batch that are computed at once, one part after the other."""
        start, stop = self._rows.start, self._rows.stop
        together = self.family.together
        size = max(together, -(-(stop - start) // self.parts // together) * together)
        for first in range(start, stop, size):
            yield slice(first, min(first + size, stop))

    def _batch(
        self,
        seen: Tensor,
        told: Told | None,
        order: Order,
        phase: str,
        rows: slice,
    ) -> Batch:
        device, seed = self.family.device, self._config.train.seed
        whole = Batch(
            seen,
            None if told is None else told.to(device),
            order.step,
            order.progress,
            len(self._pictures),
            Draws(_hash(seed, order.step, f"{phase}, whole"), len(seen)),
            order.caution,
            order.strength,
            self.average,
        )
        return replace(
            whole,
            images=whole.images[rows],
            told=None if whole.told is None else whole.told[rows],
            draws=Draws(_hash(seed, order.step, phase), len(seen), rows),
            of=whole,
            rows=rows,
        )

    @torch.no_grad()
    def _decay(self, phase: str, share: float) -> None:
        """Move the weights of a phase that are about to be stepped a share of the way to zero, or
        to where they started; biases and scales stay."""
        if not share:
            return
        for name, weight in self.family.named_parameters():
            if name.startswith(f"{phase}.") and weight.grad is not None and weight.ndim > 1:
                if name in self._start:
                    weight.lerp_(self._start[name], share)
                else:
                    weight.mul_(1 - share)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        """Move the average towards the weights, to decay * average + (1 - decay) * weights."""
        for part in self.family.drawn_by:
            ours, theirs = getattr(self.average, part), getattr(self.family, part)
            torch._foreach_lerp_(list(ours.parameters()), list(theirs.parameters()), 1 - decay)
            for mine, new in zip(ours.buffers(), theirs.buffers(), strict=True):
                mine.copy_(new)


def _optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """Return what changes the weights of a phase."""
    if settings.optimizer == "muon":
        return Muon(network, settings.lr, settings.betas)
    return torch.optim.Adam(network.parameters(), settings.lr, settings.betas, fused=True)


_SHORT = (
    "can't allocate memory",  # torch's allocator for the CPU
    "could not create a primitive",  # oneDNN, whose convolutions allocate by themselves
)


def _hash(seed: int, step: int, phase: str) -> int:
    """Return 63 bits for the randomness of one phase of one step: neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/{step}/{phase}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _is_short_of_memory(error: Exception) -> bool:
    """Say whether an error means that a smaller batch might fit."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _SHORT)
