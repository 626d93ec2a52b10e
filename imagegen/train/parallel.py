"""One training on several devices or processes, as `torchrun` starts them.

Each process computes its share of every batch; gradients are added up, so all take the same step.
The first process decides, writes and speaks; the others follow its orders. Gradients are added
here instead of by DistributedDataParallel, whose hooks see neither the second backward pass of a
gradient penalty nor phases that train one part of a model (StyleGAN3 does the same).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from imagegen.errors import SettingsError, UserError


@dataclass(frozen=True)
class Order:
    """What all processes do next: one step, or first load the state of `load`, or end.

    Attributes:
        step: the step to take; -1 is the end.
        progress: share of the training done.
        rate: factor of the learning rate.
        caution: answered signs of collapse.
        strength: of what keeps from learning by heart, in [0, 1].
        load: the step of a state to load before anything else; -1 for none.
        mixed: whether networks compute in mixed precision, with bfloat16.
    """

    step: int
    progress: float = 0.0
    rate: float = 1.0
    caution: int = 0
    strength: float = 0.0
    load: int = -1
    mixed: bool = False


@dataclass(frozen=True)
class World:
    """The processes that train together; usually one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process decides, writes and speaks."""
        return self.rank == 0

    def rows(self, count: int, together: int) -> slice:
        """Return this process's share of a batch.

        Raises:
            SettingsError: if a batch of `count` can't be shared out evenly.
        """
        each = self.size * together if self.size > 1 else 1
        if count % each:
            near = max(1, round(count / each)) * each
            raise SettingsError(
                f"train.batch_size: {count} pictures can't be shared by {self.size} processes",
                f"take a multiple of {each}, such as {near}",
            )
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            with _explained():
                dist.barrier()

    def tell(self, order: Order) -> None:
        """Give an order to the others, as the leader."""
        if self.size > 1:
            self._broadcast(order)

    def hear(self) -> Order:
        """Return the leader's next order."""
        message = self._broadcast(Order(-1)).tolist()
        step, progress, rate, caution, strength, load, mixed = message
        return Order(int(step), progress, rate, int(caution), strength, int(load), bool(mixed))

    def _broadcast(self, order: Order) -> Tensor:
        message = torch.tensor(astuple(order), dtype=torch.float64)
        with _explained():
            dist.broadcast(message, 0)
        return message

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, the same ones in each process, by their sums over all processes."""
        if self.size == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with _explained():
            dist.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what torch raises when a connection is lost
        raise UserError(
            "another process of this training has ended",
            "see what it said; the same command goes on from the last saved state, also with "
            "another number of processes",
        ) from error


def rank() -> int:
    """Return which of the processes that `torchrun` has started this one is; 0 without it."""
    return int(os.environ.get("RANK", "0")) if "TORCHELASTIC_RUN_ID" in os.environ else 0


@contextmanager
def joined() -> Iterator[World]:
    """Join the other processes that `torchrun` has started, if it has."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with _explained():
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
