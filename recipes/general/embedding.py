"""Fit the whitening of image embeddings on a collection.

    python -m recipes.general.embedding COLLECTION.zip [--count 8000]

Writes imagegen/builtin/embedding.safetensors: the mean of EfficientNet-Lite0's features, and their
first principal components, each divided by its standard deviation.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from safetensors.torch import save

from imagegen import durable
from imagegen.data.store import load_pictures, to_tensor
from imagegen.nn import efficientnet
from imagegen.nn.embedding import SEMANTIC, SIDE, WHITENING
from imagegen.settings import DataSettings


def whitening(features: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return `mean`, (D,), and `components`, (D, SEMANTIC), of features, (N, D)."""
    mean = features.mean(0)
    _, deviations, directions = torch.linalg.svd(features - mean, full_matrices=False)
    scale = deviations[:SEMANTIC] / (len(features) - 1) ** 0.5
    components = (directions[:SEMANTIC] / scale[:, None]).T
    return {"mean": mean.float(), "components": components.float().contiguous()}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection")
    parser.add_argument("--count", type=int, default=8_000)
    arguments = parser.parse_args()
    settings = DataSettings(size=64, channels="rgba", captions="none", labels="none")
    images = load_pictures(arguments.collection, settings).images
    rows = np.random.default_rng(0).permutation(len(images))[: arguments.count]
    network = efficientnet.load()
    with torch.inference_mode():
        parts = [
            network(efficientnet.fed(to_tensor(images[part]), SIDE))
            for part in np.array_split(rows, 250)
        ]
    WHITENING.parent.mkdir(exist_ok=True)
    durable.write_checked(WHITENING, save(whitening(torch.cat(parts).double())))


if __name__ == "__main__":
    main()
