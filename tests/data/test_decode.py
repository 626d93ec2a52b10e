import io
import random

import numpy as np
import pytest
from PIL import Image

from imagegen.data.decode import decode
from imagegen.images.reading import BadPictureError, pillow_warnings


def packed(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def gradient(width=48, height=32):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 5, y * 7, x + y], 2).astype(np.uint8))


def test_plain_picture_of_the_right_size_is_unchanged():
    image = gradient(32, 32)
    pixels = decode(packed(image), (32, 32)).pixels
    assert (pixels[..., :3] == np.asarray(image)).all()
    assert (pixels[..., 3] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_upright_picture(orientation):
    turn = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]  # the inverse turns
    image = gradient()
    stored = image if turn is None else image.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = decode(packed(image), (16, 16), "pad").pixels
    assert (decode(packed(stored, exif=exif), (16, 16), "pad").pixels == expected).all()


def test_invalid_orientation_is_ignored():
    exif = Image.Exif()
    exif[0x0112] = 9
    data = packed(gradient(), exif=exif)
    assert (decode(data, (16, 16)).pixels == decode(packed(gradient()), (16, 16)).pixels).all()


def test_hidden_colors_of_clear_pixels_do_not_bleed():
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[...] = (255, 255, 255, 0)
    pixels[16:48, 16:48] = (200, 0, 0, 255)
    small = decode(packed(Image.fromarray(pixels)), (24, 24)).pixels.astype(int)
    assert (small[..., 1:3] == 0).all()
    edge = small[small[..., 3] < 255]  # inside, Lanczos overshoots, and alpha cannot
    assert np.abs(edge[..., 0] - edge[..., 3] * 200 / 255).max() <= 3


def test_transparency_counts_when_it_is_seen():
    image = Image.new("RGBA", (32, 32), (9, 9, 9, 255))
    assert not decode(packed(image), (32, 32)).transparent
    assert not decode(packed(gradient()), (32, 32), "pad").transparent
    image.paste((0, 0, 0, 0), (0, 0, 8, 8))
    assert decode(packed(image), (32, 32)).transparent


@pytest.mark.parametrize(("top", "shown"), [(255, 255), (4095, 255), (1023, 255), (65535, 255)])
def test_deep_grey_is_scaled_to_its_real_depth(top, shown):
    values = np.full((16, 16), top, np.uint16)
    assert (decode(packed(Image.fromarray(values)), (16, 16)).pixels[..., :3] == shown).all()


@pytest.mark.parametrize(("top", "shown"), [(1.0, 255), (0.5, 128), (255.0, 255)])
def test_floats(top, shown):
    values = np.full((16, 16), top, np.float32)
    assert (decode(packed(Image.fromarray(values), "TIFF"), (16, 16)).pixels[..., 0] == shown).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "LAB", "YCbCr", "RGBA"])
def test_white_is_white_in_every_mode(mode):
    white = Image.new("RGB", (20, 20), "white").convert(mode)
    kind = "TIFF" if mode in ("CMYK", "LAB", "YCbCr") else "PNG"
    assert decode(packed(white, kind), (16, 16)).pixels.min() >= 253


def test_color_profile_is_applied_and_a_broken_one_ignored():
    plain = decode(packed(gradient()), (16, 16)).pixels
    broken = packed(gradient(), icc_profile=b"rubbish" * 30)
    assert (decode(broken, (16, 16)).pixels == plain).all()


def test_pad_keeps_everything_and_crop_the_centre():
    image = Image.new("RGB", (64, 16), "red")
    image.paste("blue", (24, 0, 40, 16))
    assert (decode(packed(image), (16, 16)).pixels == (0, 0, 255, 255)).all()
    padded = decode(packed(image), (16, 16), "pad").pixels
    assert (padded[6:10, :, 3] == 255).all()
    assert (np.delete(padded, range(6, 10), 0) == 0).all()


def test_oblong_takes_the_largest_part_of_its_shape():
    image = Image.new("RGB", (64, 64), "red")
    image.paste("blue", (0, 8, 64, 56))
    cut = decode(packed(image), (32, 16))
    assert cut.pixels.shape == (16, 32, 4)
    assert (cut.pixels == (0, 0, 255, 255)).all()
    assert not cut.enlarged
    assert decode(packed(image), (80, 40)).enlarged
    upright = decode(packed(image.rotate(90)), (16, 32)).pixels
    assert upright.shape == (32, 16, 4)
    assert (upright == (0, 0, 255, 255)).all()


def test_oblong_is_padded_where_the_picture_ends():
    image = Image.new("RGB", (64, 64), "red")
    wide = decode(packed(image), (48, 24), "pad")
    assert (wide.pixels[:, 12:36] == (255, 0, 0, 255)).all()
    assert (np.delete(wide.pixels, range(12, 36), 1) == 0).all()
    exact = decode(packed(gradient(48, 24)), (48, 24), "pad").pixels
    assert (exact[..., :3] == np.asarray(gradient(48, 24))).all()
    values = np.arange(16 * 32, dtype=np.uint16).reshape(16, 32) * 128
    deep = decode(packed(Image.fromarray(values)), (32, 16)).deep
    assert deep is not None
    assert deep.shape == (16, 32)


def test_reasons():
    whole = packed(gradient(200, 200))
    bomb = bytearray(packed(Image.new("1", (1, 1)), "BMP"))
    bomb[18:26] = (10_000).to_bytes(4, "little") * 2
    cases = {b"": "empty file", b"text": "not a picture", bytes(bomb): "100 megapixels"}
    cases[whole[: len(whole) // 2]] = "cut off"
    for data, reason in cases.items():
        with pillow_warnings(), pytest.raises(BadPictureError, match=reason):
            decode(data, (16, 16))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_mutated_files_never_raise_anything_else(kind):
    whole, chance, reasons = packed(gradient(), kind), random.Random(kind), set()
    with pillow_warnings():
        for _ in range(100):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            del data[chance.randint(len(data) // 2, 2 * len(data)) :]
            try:
                assert decode(bytes(data), (16, 16)).pixels.shape == (16, 16, 4)
            except BadPictureError as error:
                reasons.add(str(error))
    assert all(len(reason) < 60 for reason in reasons)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("side", [8, 40])
def test_nearest_makes_no_new_colours(side: int, fit: str) -> None:
    colors = [(255, 0, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)]
    image = Image.new("RGBA", (20, 24))
    image.putdata([colors[(x // 3 + y // 5) % 3] for y in range(24) for x in range(20)])
    mixed, pure = (
        decode(packed(image), (side, side), fit, how).pixels for how in ("lanczos", "nearest")
    )
    assert {tuple(one) for one in pure.reshape(-1, 4).tolist()} == set(colors)
    assert len({tuple(one) for one in mixed.reshape(-1, 4).tolist()}) > len(colors)


def test_nearest_keeps_sixteen_bits_as_they_are() -> None:
    values = (np.arange(64 * 64) * 16).reshape(64, 64).astype(np.uint16)
    deep = decode(packed(Image.fromarray(values)), (32, 32), "crop", "nearest").deep
    assert deep is not None
    assert set(deep.ravel().tolist()) <= set(values.ravel().tolist())
