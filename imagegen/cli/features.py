"""`imagegen features`: what an autoencoder makes of pictures, for use elsewhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from imagegen.cli import options
from imagegen.errors import SettingsError

CODEC = "builtin:codec"


def features(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="An autoencoder, or a model with one; builtin:codec if only DATA is given.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Pictures; default: what MODEL was trained on."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.npz", help="Where to.")
    ] = Path("features.npz"),
    map_: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE.png", help="Also a picture of the set: like by like."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the latents of pictures as a NumPy file, and draw a map of the set.

    The file has `latents` (pictures, numbers, rows, columns), float32, and for each picture its
    `names` and, if there are any, `labels`: several with `;` between, an empty text for none.
    Pictures are read as for training, and never changed.

    Examples:

        imagegen features sprites/ -o sprites.npz --map sprites.png
        imagegen features sprites-autoencoder sprites/ -o sprites.npz
        python -c "import numpy; print(numpy.load('sprites.npz')['latents'].shape)"
    """
    import io

    import numpy as np

    from imagegen import durable, presets, registry
    from imagegen.cli import console, sink
    from imagegen.data.store import as_drawn, load_pictures
    from imagegen.device import pick_device
    from imagegen.evaluate import atlas
    from imagegen.family import LatentCodec
    from imagegen.images import metadata

    # One argument is DATA if no model can have that name, or it is a folder or file that exists.
    if data is None and (model.startswith("sample:") or "/" in model or Path(model).exists()):
        model, data = CODEC, model
    found = registry.find(model)
    if output.suffix != ".npz":
        raise SettingsError(f"--output {output}: latents are written as .npz", "-o FILE.npz")
    sink.ready(output.parent)
    if map_ is not None:
        sink.check_file(map_, "--map")
    family, weights = registry.load(found)
    encoder = family if isinstance(family, LatentCodec) else family.autoencoder
    if not isinstance(encoder, LatentCodec):
        raise SettingsError(
            f"model {found.name} has no encoder: it is a {presets.check(found.settings()).family}",
            "train one: imagegen train DATA --preset autoencoder",
        )
    source = data or str(registry.data(found).get("source") or "")
    if not source:
        raise SettingsError(f"model {found.name} does not know its pictures", "name them: DATA")
    settings = as_drawn(presets.check(found.settings()).data, family.shape[0], family.depth)
    with console.progress(as_json) as report:
        pictures = load_pictures(source, settings, partial(report, "reading pictures"))
    encoder = encoder.to(pick_device("auto"))
    latents = encoder.describe(pictures.trained_on)
    arrays = {"latents": latents, "names": np.array(pictures.names)}
    if pictures.labels is not None:
        names = pictures.label_names
        several = [[names[one] for one in pictures.labels_of(row)] for row in range(len(pictures))]
        arrays["labels"] = np.array(list(map(";".join, several)))
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    durable.write(output, packed.getvalue())
    paths = [output]
    if map_ is not None:
        page = atlas.draw(pictures.images, latents.reshape(len(latents), -1))
        record = {"map": source, "model": found.name, "weights": weights}
        durable.write(map_, metadata.encode(page, record))
        paths.append(map_)
    for path in paths:
        if as_json:
            console.emit_json({"path": str(path), "pictures": len(pictures)})
        else:
            console.emit(str(path))
    for name, reason in pictures.skipped:
        console.say(f"left out {name}: {reason}")
