"""Which device to compute on, and how."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from imagegen.errors import SettingsError


def pick_device(name: str) -> torch.device:
    """Return the device of a `device` setting; `auto` takes the fastest one there is.

    Raises:
        SettingsError: if it does not exist here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise SettingsError(
            f"device: '{name}' is not there", "use auto, cpu, cuda or mps"
        ) from None
    return device


@dataclass(frozen=True)
class Precision:
    """The floating-point type that networks compute in while training.

    Attributes:
        name: `float32`, or `bfloat16` for mixed precision.
        reason: why that one.
    """

    name: Literal["float32", "bfloat16"]
    reason: str

    @property
    def is_mixed(self) -> bool:
        """Whether it is mixed precision: convolutions and products of matrices in bfloat16."""
        return self.name == "bfloat16"


def pick_precision(name: str, device: torch.device) -> Precision:
    """Return the precision of a `train.precision` setting; `auto` takes the fastest.

    On a CPU the clock decides: a training must do this once, and write down what came out.

    Raises:
        SettingsError: for bfloat16 on a device that lacks it, or on which it is slower.
    """
    if name == "float32":
        return Precision("float32", "it is set")
    if device.type == "cpu":
        factor = _mixed_speed()
        reason = f"{factor:.3g} times as fast as float32 here"
        if factor >= (WORTHWHILE if name == "auto" else 1):
            return Precision("bfloat16", reason)
        if name == "auto":
            return Precision("float32", f"bfloat16 is {reason}")
        raise SettingsError(f"train.precision: bfloat16 is {reason}", "use auto")
    if has_bfloat16(device):
        return Precision("bfloat16", f"this {device.type} device supports it")
    if name == "auto":
        return Precision("float32", f"this {device.type} device does not support bfloat16")
    raise SettingsError(
        f"train.precision: this {device.type} device does not support bfloat16", "use auto"
    )


def has_bfloat16(device: torch.device) -> bool:
    """Say whether a device supports mixed precision in bfloat16, be it slowly.

    Not on MPS, where it was never tried.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu"


def prepare_processor() -> None:
    """Let this process compute on the CPU as quickly as it can; for training.

    Denormals in the moments of Adam are many times slower than zeros. And glibc gives large blocks
    back to the system as soon as they are freed, which every step asks for again: of a flow's step
    at 32 pixels that takes 7 % of the time, of a GAN's at 128 pixels 19 %.
    """
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        with suppress(AttributeError):  # musl has none
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_MMAP_THRESHOLD, _KEPT)
            mallopt(_TRIM_THRESHOLD, _KEPT)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 1 << 30  # bytes


@cache
def _mixed_speed() -> float:
    """Return how many times as fast as float32 mixed precision is on this CPU, in training.

    Forward and backward passes through 3x3 convolutions of the widths, grids and memory format
    that our networks have; the best of several, interleaved. It takes half a second.
    """
    from time import perf_counter

    prepare_processor()  # as for training
    known: dict[bool, list[float]] = {False: [], True: []}
    for width, side in _TIMED:
        with torch.random.fork_rng(devices=[]):
            network = _convolutions(width)
        x = torch.ones(8, width, side, side).contiguous(memory_format=torch.channels_last)
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(_TURNS):
            for mixed, taken in times.items():
                start = perf_counter()
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    y = network(x)
                y.float().sum().backward()
                taken.append(perf_counter() - start)
            # The first turn pays for warming up. Where bfloat16 is emulated, a turn is a long one.
            if len(times[True]) > 1 and min(times[True]) > 2 * min(times[False]):
                return min(times[False]) / min(times[True])
        for mixed, taken in times.items():
            known[mixed].append(min(taken))
    return sum(known[False]) / sum(known[True])


WORTHWHILE = 1.2
"""How many times as fast as float32 bfloat16 must be on a CPU for `auto` to take it."""
_TIMED = ((64, 16), (192, 8))
"""Channels, and cells a side, of what is timed."""
_TURNS = 6


def _convolutions(width: int) -> torch.nn.Module:
    """Return two 3x3 convolutions, with a normalisation and an activation in between."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(width, width, 3, padding=1),
        torch.nn.GroupNorm(8, width),
        torch.nn.SiLU(),
        torch.nn.Conv2d(width, width, 3, padding=1),
    )
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
