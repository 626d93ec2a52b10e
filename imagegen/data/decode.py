"""Any picture file to one convention: premultiplied RGBA of one size.

What files bring along is undone here: orientation, colour profile, palette, CMYK, bit depth. Of an
animation the first frame counts.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from imagegen.images.reading import open_picture, reasons

RESAMPLING = {"lanczos": Image.Resampling.LANCZOS, "nearest": Image.Resampling.NEAREST}


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 (height, width, 4), RGBA with the colours multiplied by alpha.
        transparent: more than 0.5 % of the picture (not of its padding) has an alpha below 250.
            Softened corners and stray pixels are less than that, and nobody sees an alpha of 250.
        enlarged: the file's picture was smaller than this one.
        deep: uint16 (height, width), the same of an opaque grey picture of more than 8 bits.

    Of `decode_part` clear pixels are not counted.
    """

    pixels: npt.NDArray[np.uint8]
    transparent: bool
    enlarged: bool
    deep: npt.NDArray[np.uint16] | None = None


def decode(
    data: bytes,
    size: tuple[int, int],
    fit: Literal["crop", "pad"] = "crop",
    resample: Literal["lanczos", "nearest"] = "lanczos",
) -> Picture:
    """Decode a picture file and make it `size`, (width, height), pixels.

    `crop` takes what fits from the centre; `pad` keeps everything, centred on transparency.
    `nearest` takes pixels as they are, `lanczos` mixes them.

    Raises:
        BadPictureError: the file cannot be used; the text says why in a few words.
    """
    image = open_picture(data, at_least=3 * max(size))
    with reasons():
        if not _is_deep(image):
            return _fit(_premultiplied(image), size, fit, RESAMPLING[resample])
        values = _deep_grey(image)
        clear = image.info.get("transparency")
        grey = Image.fromarray(np.rint(values * 255).astype(np.uint8))
        if isinstance(clear, int):
            opaque = np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8)
            grey.putalpha(Image.fromarray(opaque))
        picture = _fit(_premultiplied(grey), size, fit, RESAMPLING[resample])
        if isinstance(clear, int) or fit == "pad":
            return picture
        return replace(picture, deep=_fit_deep(values, size, RESAMPLING[resample]))


def decode_part(data: bytes, width: int) -> Picture:
    """Decode a picture file and scale it to a width, at its own proportions.

    Raises:
        BadPictureError: the file cannot be used; the text says why in a few words.
    """
    image = open_picture(data)
    with reasons():
        size = width, max(1, round(image.height * width / image.width))
        box, method, deep = (0, 0, *image.size), Image.Resampling.LANCZOS, None
        if _is_deep(image):
            values = _deep_grey(image)
            deep = _resize_deep(values, size, box, method)
            image = Image.fromarray(np.rint(values * 255).astype(np.uint8))
        pixels = _resize(_premultiplied(image), size, box, method)
        return Picture(pixels, transparent=False, enlarged=image.width < width, deep=deep)


def _premultiplied(image: Image.Image) -> Image.Image:
    """Return any picture in sRGB, as Pillow's mode RGBa: colours multiplied by alpha.

    This comes before any resizing, or the hidden colours of clear pixels would bleed into edges.
    """
    profile = image.info.get("icc_profile")
    if profile and image.mode not in ("1", "L", "LA"):
        image = _to_srgb(image, profile)
    return image.convert("RGBA").convert("RGBa")


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _deep_grey(image: Image.Image) -> npt.NDArray[np.float32]:
    """Scale grey of more than 8 bits to [0, 1] by the depth that its values really use.

    Files of 16 bits often hold 10, 12 or 14 of them and would come out black. White is taken as the
    largest number of 8, 10, 12, ... bits that the brightest pixel needs, so that pixel comes out at
    a quarter of full brightness at least. Floats up to 1 are taken as they are.
    """
    values = np.asarray(image, dtype=np.float32)
    highest = np.max(values, where=np.isfinite(values), initial=0)
    if image.mode == "F" and highest <= 1:
        white = 1.0
    else:
        bits = max(8, int(np.ceil(highest)).bit_length())
        white = 2.0 ** (bits + bits % 2) - 1
    grey = np.nan_to_num(values / white, posinf=1, neginf=0).clip(0, 1)
    return np.asarray(grey, np.float32)


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Apply a colour profile; a broken one, or one of another kind of picture, is ignored."""
    if image.mode == "P":
        image = image.convert("RGBA")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    except Exception:
        return image
    return converted or image


def _fit(
    image: Image.Image,
    size: tuple[int, int],
    fit: Literal["crop", "pad"],
    method: Image.Resampling,
) -> Picture:
    """Resize a premultiplied picture, whose shape may be another."""
    if fit == "crop":
        box = _centre(image.size, size)
        resized = pixels = _resize(image, size, box, method)
        enlarged = box[2] - box[0] < size[0]
    else:
        inner = _inside(image.size, size)
        resized = _resize(image, inner, (0, 0, *image.size), method)
        left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
        pixels = np.zeros((size[1], size[0], 4), np.uint8)
        pixels[top : top + inner[1], left : left + inner[0]] = resized
        enlarged = max(image.size) < max(inner)
    transparent = bool(np.mean(resized[..., 3] < 250) > 0.005)
    return Picture(pixels, transparent, enlarged)


def _fit_deep(
    values: npt.NDArray[np.float32], size: tuple[int, int], method: Image.Resampling
) -> npt.NDArray[np.uint16]:
    """Return what fits of the centre of a grey picture, (H, W) in [0, 1], resized."""
    height, width = values.shape
    return _resize_deep(values, size, _centre((width, height), size), method)


def _centre(whole: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the largest box of that shape in the middle of (width, height)."""
    (width, height), (wide, high) = whole, shape
    across = max(1, min(width, round(height * wide / high)))
    down = max(1, min(height, round(width * high / wide)))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def _inside(shape: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size of that shape, (width, height), in a box."""
    (width, height), (wide, high) = shape, box
    if width * high >= height * wide:
        return wide, max(1, round(wide * height / width))
    return max(1, round(high * width / height)), high


def _resize_deep(
    values: npt.NDArray[np.float32],
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    method: Image.Resampling,
) -> npt.NDArray[np.uint16]:
    resized = np.asarray(Image.fromarray(values).resize(size, method, box))
    deep: npt.NDArray[np.uint16] = np.rint(resized.clip(0, 1) * 65535).astype(np.uint16)
    return deep


def _resize(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[int, int, int, int],
    method: Image.Resampling,
) -> npt.NDArray[np.uint8]:
    pixels = np.array(image.resize(size, method, box, reducing_gap=3.0))
    # Lanczos overshoots at edges, and a colour above its alpha cannot exist.
    pixels[..., :3] = np.minimum(pixels[..., :3], pixels[..., 3:])
    return pixels
