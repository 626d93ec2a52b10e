"""A picture file of any kind as pixels, with what it says of itself."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from imagegen.images import netpbm, png
from imagegen.images.pixels import Pixels, from_integers, to_pixels
from imagegen.images.reading import MAX_PIXELS, BadPictureError, open_picture, reasons

Profiles = Literal["keep", "srgb"]
"""What becomes of an ICC profile: it stays, or the colours are converted to sRGB."""


@dataclass
class Opened:
    """A picture that was read.

    Attributes:
        pixels: its first frame.
        header: carries its text, resolution and profile in `info`; its pixels do not matter.
        frames: how many frames or pages the file has.
    """

    pixels: Pixels
    header: Image.Image
    frames: int = 1


def read(data: bytes, icc: Profiles = "keep", max_pixels: int = MAX_PIXELS) -> Opened:
    """Decode a picture file, 16 bits a channel where it has them.

    Raises:
        BadPictureError: the file cannot be used.
    """
    if data[:2] in netpbm.KINDS:
        values, largest = netpbm.decode(data, max_pixels)
        return Opened(from_integers(values, largest), Image.new("L", (1, 1)))
    image = open_picture(data, max_pixels=max_pixels)
    # A second picture in a photograph's file (MPO) is its thumbnail or other half, no frame.
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
    profile = image.info.get("icc_profile")
    if profile and icc == "srgb":
        image = _to_srgb(image, profile)
    elif profile and profile[16:20] == b"CMYK":
        with suppress(BadPictureError):  # then Pillow's plain conversion must do
            image = _to_srgb(image, profile)
    elif png.is_deep_color(data) and image.getexif().get(0x0112, 1) == 1:
        return Opened(_deep_color(data), image, frames)
    return Opened(to_pixels(image), image, frames)


def load(path: str) -> Pixels:
    """Read a picture that is a setting, such as a mask; raises ValueError."""
    try:
        return to_pixels(open_picture(Path(path).read_bytes()))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from None
    except BadPictureError as error:
        raise ValueError(f"{path}: {error}") from None


def count_pixels(data: bytes) -> int:
    """Return how many pixels a file says it has, 0 if it does not say so."""
    try:
        if data[:2] in netpbm.KINDS:
            width, height, _, _ = netpbm.read_header(io.BytesIO(data))
            return width * height
        with reasons(), Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except (ValueError, BadPictureError):
        return 0


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert the colours by the picture's profile (perceptual intent); alpha stays."""
    from PIL import ImageCms

    if image.mode.startswith(("I", "F")):
        raise BadPictureError("a colour profile of 16-bit grey cannot be converted")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = {b"GRAY": "L", b"CMYK": "CMYK"}.get(profile[16:20], "RGB")
        flat = image if image.mode == space else image.convert(space)
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(flat, source, srgb, outputMode="RGB")
    except (OSError, ImageCms.PyCMSError) as error:
        raise BadPictureError("its colour profile is damaged") from error
    assert converted is not None
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    return converted


def _deep_color(data: bytes) -> Pixels:
    import cv2

    with reasons():
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is None:
            raise BadPictureError("damaged")
        channels = np.atleast_3d(values)
        if channels.shape[2] >= 3:
            channels = channels[..., [2, 1, 0, 3][: channels.shape[2]]]
        if data[25] == 4:  # grey with alpha, which OpenCV gives as colour
            channels = channels[..., [0, -1]]
        return from_integers(channels.astype(np.uint16, copy=False), 65535)
