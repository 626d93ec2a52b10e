"""The trained model of the commands' tests, and an evaluation of it as `evaluate` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imagegen import durable, registry
from tests.cli.conftest import _trained, call, trained

__all__ = ["_trained", "call", "trained"]

BAD = {"frechet": 288.4, "precision": 0.333, "recall": 0.11, "density": 0.12, "coverage": 0.21,
       "vendi": 9.8}  # fmt: skip
GOOD = {"frechet": 121.7, "precision": 0.905, "recall": 0.74, "density": 1.02, "coverage": 0.86,
        "vendi": 17.3}  # fmt: skip


def evaluation(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write a model's evaluation.json, and return what is in it."""
    label = {"n_generated": 500, "n_real": 90, "kid": 0.4, "kid_interval": [0.35, 0.46],
             "precision": 0.31, "coverage": 0.22, "fidelity": 0.7}  # fmt: skip
    values = {
        "version": 1,
        "model": folder.name,
        "weights": durable.read_checked(folder / registry.WEIGHTS)[1],
        "step": 6,
        "network": "efficientnet",
        "features": "EfficientNet-Lite0 (ImageNet) at 112 px",
        "second": {
            "network": "resnet",
            "features": "ResNet at 64 px",
            "kid": 0.62,
            "kid_interval": [0.6, 0.64],
            "floor": 0.001,
            "floor_interval": [-0.01, 0.02],
            "equal_sizes": {"n": 21, "generated": BAD | {"coverage": 0.31}, "real": GOOD},
        },
        "n_generated": 1000,
        "n_real": 186,
        "n_held_out": 21,
        "seeds": [0, 999],
        "kid": 0.41,
        "kid_interval": [0.38, 0.44],
        "floor": -0.002,
        "floor_interval": [-0.02, 0.02],
        **BAD,
        "equal_sizes": {"n": 21, "generated": BAD, "real": GOOD},
        "copies": 0.012,
        "copies_interval": [0.007, 0.02],
        "copies_among_real": 0.0,
        "copy_threshold": 0.14,
        "pairs": [
            {"seed": 17, "label": None, "distance": 0.04, "digest": "00" * 8, "copy": True},
            {"seed": 18, "label": "flat", "distance": 0.45, "digest": "11" * 8, "copy": False},
        ],
        "fidelity": {"generated": 0.6, "generated_interval": [0.52, 0.68], "held_out": 0.9,
                     "chance": 0.5},
        "labels": {"3d": label, "flat": label | {"fidelity": None}},
        "warnings": ["Only 21 pictures are held out."],
    } | changes  # fmt: skip
    (folder / registry.EVALUATION).write_text(json.dumps(values), encoding="utf-8")
    return values
