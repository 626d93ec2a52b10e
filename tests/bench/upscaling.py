"""How much of what was lost does a learned upscaler bring back?

    python -m tests.bench.upscaling HOME MODEL... [--sheet FILE.png]

Pictures that MODEL (`--preset upscaler`) was not trained on are made half as large by the means of
2x2 pixels, and doubled again. Prints a table of tests/bench/RESULTS.md: the root mean square error,
in levels of 255 over white, and structural similarity, of each way. The sheet shows some: the true
picture, and each way's below.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
from PIL import Image

COUNT = 100
SHOWN = 10
WAYS = {
    "nearest": "resize:scale=2,method=nearest",
    "lanczos": "resize:scale=2,method=lanczos,space=srgb",
    "edge": "upscale:method=edge",
}


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("home")
    words.add_argument("models", nargs="+")
    words.add_argument("--sheet")
    given = words.parse_args()
    os.environ["IMAGEGEN_HOME"] = given.home
    from skimage.metrics import structural_similarity

    from imagegen import presets, registry
    from imagegen.data.store import as_drawn, load_pictures, to_tensor
    from imagegen.evaluate import copies
    from imagegen.images.grid import lines
    from imagegen.post.chain import build_chain
    from imagegen.sample.draw import to_pictures

    print("| model | way | RMS error | similarity |\n|---|---|---|---|")
    for name in given.models:
        found = registry.find(name)
        data = presets.check(found.settings()).data
        channels = found.header()["shape"][0]
        pictures = load_pictures(str(registry.data(found)["source"]), as_drawn(data, channels))
        held = np.flatnonzero(~copies.of(found).trained(pictures))[:COUNT]
        true = to_tensor(pictures.images[held])
        small = to_pictures(true.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5)))
        whole = to_pictures(true)
        sheet = [("true", whole[:SHOWN])]
        for way, step in {**WAYS, "model": f"upscale:method=model,model={name}"}.items():
            chain = build_chain([step])
            made = [chain(one) for one in small]
            pairs = [(flat(a), flat(b)) for a, b in zip(whole, made, strict=True)]
            error = np.mean([np.square(a - b).mean() ** 0.5 for a, b in pairs])
            alike = np.mean(
                [structural_similarity(a, b, channel_axis=2, data_range=255) for a, b in pairs]
            )
            print(f"| {name} | {way} | {error:.2f} | {alike:.3f} |", flush=True)
            sheet.append((way, made[:SHOWN]))
        if given.sheet:
            lines(sheet).save(given.sheet)


def flat(picture: Image.Image) -> np.ndarray:
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture.convert("RGBA"))
    return np.asarray(page.convert("RGB")).astype(float)


if __name__ == "__main__":
    main()
