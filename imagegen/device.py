"""Which device to compute on."""

from __future__ import annotations

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
