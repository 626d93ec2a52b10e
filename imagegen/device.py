"""Which device to compute on, and how."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

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


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type that a `train.precision` setting computes in; `auto` the fastest good one.

    Raises:
        SettingsError: for bfloat16 on a device that lacks it, or on which it is slower.
    """
    if name == "float32" or (name == "auto" and device.type != "cuda"):
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    if name == "auto":
        return torch.float32
    if device.type == "cpu" and (factor := _mixed_speed(device)) > 1:
        return torch.bfloat16
    reason = (
        f"runs at {factor:.2f} times the speed of float32" if device.type == "cpu" else "lacks it"
    )
    raise SettingsError(f"train.precision: bfloat16 {reason} on this {device.type}", "use auto")


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


def _mixed_speed(device: torch.device) -> float:
    """Return how many times as fast as float32 a convolution in mixed precision is here."""
    from time import perf_counter

    convolution = torch.nn.Conv2d(64, 64, 3, padding=1, device=device)
    x = torch.randn(16, 64, 16, 16, device=device)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(8):
        for mixed, known in times.items():
            start = perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                convolution(x).sum().backward()
            known.append(perf_counter() - start)
    return min(times[False]) / min(times[True])
