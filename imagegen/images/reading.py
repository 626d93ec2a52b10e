"""Opening picture files that may be anything: odd, broken or hostile."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image, UnidentifiedImageError

# Pillow's name of each format that we open, and its suffixes. Rare formats are left out on purpose:
# that is where decoders have their holes.
FORMATS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "TGA": (".tga",),
    "ICO": (".ico",),
    "QOI": (".qoi",),
    "PCX": (".pcx",),
}
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_PIXELS = 64_000_000

# How to turn upright what a camera stored with each EXIF orientation; 1 and unknown values: as is.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


HINTS = {
    "empty file": "copy or download it again",
    "cut off": "copy or download it again: the end of the file is missing",
    "damaged": "copy or download it again, or open it in a viewer and save it anew",
    "not a picture of a known format": "known are " + ", ".join(FORMATS) + "; save it as PNG",
    "too large for the memory": "use --jobs 1, or make it smaller first",
}


class BadPictureError(Exception):
    """One picture cannot be used; the text is a short reason, fit to be shown.

    Attributes:
        hint: what helps.
    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint or HINTS.get(reason, "")

    @classmethod
    def too_large(cls, pixels: int, limit: int, result: str = "") -> BadPictureError:
        """Return what is said of a picture over the limit, or of a step's result: its size."""
        need = math.ceil(pixels / 1e6)
        what = f"the result would be {result}, which is too large" if result else "too large"
        return cls(
            f"{what}: {pixels / 1e6:,.0f} megapixels, and the limit is {limit / 1e6:,.0f}",
            f"postprocess takes it with --max-megapixels {need}, at 30 to 75 bytes a pixel",
        )


@contextmanager
def pillow_warnings(max_pixels: int = MAX_PIXELS) -> Iterator[None]:
    """Silence Pillow's warnings, but turn the one of a decompression bomb into an error.

    Filters belong to the process, so this goes around all the threads that decode, not inside.
    """
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max(max_pixels, before or 0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")
            warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def reasons() -> Iterator[None]:
    """Turn whatever a decoder raises into a BadPictureError that says why."""
    try:
        yield
    except BadPictureError:
        raise
    except Exception as error:  # decoders raise anything: SyntaxError, RuntimeError, IndexError...
        raise _reason(error) from error


def open_picture(
    data: bytes, at_least: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode a picture file, the first frame of an animation, and turn it upright.

    Args:
        data: the file's bytes.
        at_least: a JPEG may be decoded at a fraction of its size, in a fraction of the time, as
            long as its sides stay at least this long.
        max_pixels: what is larger is refused before it is decoded.

    Raises:
        BadPictureError: the file cannot be used; the text says why in a few words.
    """
    if not data:
        raise BadPictureError("empty file")
    with reasons():
        image: Image.Image = Image.open(io.BytesIO(data), formats=tuple(FORMATS))
        pixels = image.width * image.height
        if pixels > max_pixels:
            raise BadPictureError.too_large(pixels, max_pixels)
        if at_least is not None:
            image.draft(None, (at_least, at_least))
        image.load()
        turn = _UPRIGHT.get(_orientation(image))
        if turn is None:
            return image
        upright = image.transpose(turn)
        # As it was, the EXIF block would have it turned a second time.
        exif = image.getexif()
        exif[ExifTags.Base.Orientation] = 1
        upright.info = {**image.info, "exif": exif.tobytes()}
        return upright


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a broken EXIF block says nothing of the picture
        return 1


def _reason(error: Exception) -> BadPictureError:
    text = str(error)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels = re.search(r"\d+", text)
        if pixels:
            return BadPictureError.too_large(int(pixels.group()), MAX_PIXELS)
    if isinstance(error, UnidentifiedImageError):
        return BadPictureError("not a picture of a known format")
    if isinstance(error, MemoryError):
        return BadPictureError("too large for the memory")
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return BadPictureError("cut off")
    return BadPictureError("damaged")
