"""Put a trained model into the package, as `builtin:NAME`.

    python -m recipes.general.package MODEL NAME [--codec builtin:codec] [--set train.lr=1e-3 ...]

Writes imagegen/builtin/NAME: the settings, the weights in half precision with their sha256, and a
card. `--set` replaces settings, such as those of a fine-tuning that starts from the model: they are
the lowest layer of `imagegen train --from builtin:NAME`. `--codec` says which codec decodes what a
flow generates, if not the one it was trained on: one with the same encoder and a better decoder.
"""

from __future__ import annotations

import argparse
import json

import torch
from safetensors import safe_open
from safetensors.torch import save

from imagegen import durable, presets, registry


def half(model: registry.Model, codec: dict[str, str] | None = None) -> bytes:
    """Return the file of a model's weights with floats in half precision.

    Args:
        model: which one.
        codec: `name` and `weights` of another codec than the one in its header.
    """
    registry.read_weights(model)  # checks the sum
    with safe_open(model.weights, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = file.metadata()
    if codec:
        text = json.loads(header["imagegen"])
        text["config"]["autoencoder"] |= codec
        header["imagegen"] = json.dumps(text, ensure_ascii=True, sort_keys=True)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            tensors[name] = tensor.to(torch.float16)
            if not tensors[name].isfinite().all():
                raise ValueError(f"{name} does not fit half precision")
    return save(tensors, header)


def card(target: registry.Model, model: registry.Model, digest: str) -> str:
    """Return what is to be known of the weights, in Markdown."""
    header, known = model.header(), registry.data(model)
    return f"""# {target.name}

Trained from scratch by imagegen on {known["pictures"]:,} pictures of the general collection
(recipes/general/README.md; NOTICE there names the authors), fingerprint `{known["fingerprint"]}`:
{header["step"]:,} steps of {header["config"]["train"]["batch_size"]}, settings in config.yaml.
Weights in half precision, sha256 `{digest}`.
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("name")
    parser.add_argument("--codec")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    model = registry.find(arguments.model)
    folder = registry.builtin_folder() / registry.check_name(arguments.name)
    folder.mkdir(parents=True, exist_ok=True)
    target = registry.Model(folder)
    layer = presets.resolve([], arguments.set, base=model.settings())
    codec = None
    if arguments.codec:
        found = registry.find(arguments.codec)
        codec = {"name": found.name, "weights": registry.read_weights(found)[1]}
        for key, value in codec.items():
            layer.put(("autoencoder", key), value, "--codec")
    digest = durable.write_checked(target.weights, half(model, codec))
    durable.write(folder / "config.yaml", presets.dump(presets.check(layer)).encode())
    durable.write(folder / "card.md", card(target, model, digest).encode())
    size = target.weights.stat().st_size
    print(json.dumps({"name": target.name, "sha256": digest, "bytes": size}))


if __name__ == "__main__":
    main()
