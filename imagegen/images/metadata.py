"""What a picture says of itself: PNG text before the pixels, written by this file alone.

ASCII `tEXt` chunks survive the most tools: ImageMagick and GraphicsMagick drop the others.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imagegen import __version__
from imagegen.images import png
from imagegen.images.pixels import to_integers, to_pixels
from imagegen.settings import Settings

KEY = "imagegen"
MAX_CHARACTERS = 1 << 20  # what Pillow reads of one chunk

Record = dict[str, Any]


def record(
    model: str,
    weights: str | None,
    family: str,
    seed: int | None,
    label: str | None,
    sample: Settings,
    **more: Any,
) -> Record:
    """Return all that is needed to make a generated picture again. No date: it must not differ."""
    values = {
        "version": 1,
        "software": f"imagegen {__version__}",
        "model": model,
        "weights": weights,
        "family": family,
        "seed": seed,
        "label": label,
        "sample": sample.model_dump(mode="json"),
        **more,
    }
    return {key: value for key, value in values.items() if value is not None}


def read(image: Image.Image) -> Record | None:
    """Return the record in a picture's text, or None. It is somebody's word: use it with care."""
    text = image.info.get(KEY)
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def with_steps(image: Image.Image, steps: list[Record]) -> Record:
    """Return a picture's record with the post-processing steps appended."""
    known = read(image) or {"version": 1, "software": f"imagegen {__version__}"}
    before = known.get("postprocess", [])
    return {**known, "postprocess": [*(before if isinstance(before, list) else []), *steps]}


def encode(
    picture: Image.Image | png.Integers,
    values: Mapping[str, Any],
    source: Image.Image | None = None,
) -> bytes:
    """Return a picture as the bytes of a PNG file: the same picture, the same bytes.

    Args:
        picture: the pixels.
        values: the record to write.
        source: the picture it was made from, whose own text, comment (as the text `Comment`),
            resolution, EXIF and fitting ICC profile are kept.
    """
    if isinstance(picture, Image.Image):
        picture = to_integers(to_pixels(picture))
    height, width, channels = picture.shape
    info = PngInfo()
    kept = source.info if source is not None else {}
    texts = {
        k: v for k, v in kept.items() if k != KEY and isinstance(k, str) and isinstance(v, str)
    }
    if isinstance(comment := kept.get("comment"), bytes):
        texts.setdefault("Comment", _text(comment))
    texts |= {KEY: json.dumps(values, ensure_ascii=True, separators=(",", ":"))}
    if "seed" in values and "parameters" not in texts:
        texts["parameters"] = _parameters(f"{width}x{height}", values)
    for key, text in texts.items():
        if key.isascii() and 0 < len(key) < 80:
            (info.add_text if text.isascii() else info.add_itxt)(key, text)
    file = io.BytesIO()
    profile = kept.get("icc_profile", b"")
    mode = "RGB" if channels > 2 else "L"
    space = b"RGB " if channels > 2 else b"GRAY"
    if profile[16:20] != space:  # such as that of a CMYK picture, which is RGB by now
        profile = None
    # Pillow knows how to write all that goes beside the pixels; we write the pixels faster.
    Image.new(mode, (1, 1)).save(
        file,
        "PNG",
        pnginfo=info,
        icc_profile=profile,
        exif=kept.get("exif", b""),
        dpi=kept.get("dpi"),
    )
    return png.encode(picture, png.side_chunks(file.getvalue()))


def _text(comment: bytes) -> str:
    """Read the comment of a JPEG or GIF, of whatever encoding, as PNG text, which has no NUL."""
    try:
        text = comment.decode()
    except UnicodeDecodeError:
        text = comment.decode("latin-1")
    return text.replace("\0", "")


def _parameters(size: str, values: Mapping[str, Any]) -> str:
    """Return the line that AUTOMATIC1111's web UI and its many readers understand."""
    fields = {
        "Seed": values["seed"],
        "Size": size,
        "Model": values.get("model"),
        "Model hash": str(values.get("weights", ""))[:10],
        "Version": values.get("software"),
    }
    first = str(values.get("prompt") or values.get("label", ""))
    return f"{first}\n" + ", ".join(f"{key}: {value}" for key, value in fields.items())
