from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resvg_py", reason="pip install -r recipes/general/requirements.txt")
pytest.importorskip("OpenEXR", reason="pip install -r recipes/general/requirements.txt")

from recipes.general import (
    captions,
    collect,
    colours,
    doom,
    icons,
    rasters,
    sources,
    styles,
    textures,
)
from recipes.general.library import is_clipart_wanted

SQUARE = '<path fill="currentColor" d="M4 4h16v16H4z"/>'


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def disc() -> rasters.Mask:
    y, x = np.mgrid[0:128, 0:128] - 63.5
    return np.clip(45 - np.hypot(x, y), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "variants", "text"),
    [
        ("red-heart", (), "red heart"),
        ("shopping-cart-2-duotone", ("duotone", "bold"), "shopping cart"),
        ("star-bold-duotone", ("duotone", "bold-duotone"), "star"),
        ("arrow_left", (), "arrow left"),
        ("123", (), "123"),
        ("keycap-7", (), "keycap 7"),
        ("h6", (), "h6"),
    ],
)
def test_captions_are_the_words_of_an_icon_s_name(
    name: str, variants: tuple[str, ...], text: str
) -> None:
    assert captions.from_icon(name, variants) == text


def test_joined_names_are_split_into_the_fewest_known_words() -> None:
    words = {"sports", "medal", "port", "sport", "smedal"}
    assert captions.segmented("sportsmedal", words) in ("sports medal", "sport smedal")
    assert captions.segmented("xyzzy", words) == "xyzzy"


def test_captions_of_clip_art_leave_out_authors() -> None:
    words = {"cat", "house"}
    assert captions.from_clipart("cat_benji_01", "animals", words) == "cat, animals clip art"
    assert captions.from_clipart("cat_bw", "unsorted", words) == "black and white cat, clip art"
    assert captions.from_clipart("01", "food", words) == "food clip art"


def test_signs_have_names() -> None:
    assert captions.of_sign("A") == "capital letter A"
    assert captions.of_sign("7") == "digit 7 seven"
    assert captions.of_sign("&") == "ampersand"


def test_the_benchmark_s_relatives_are_taken_only_when_asked_for() -> None:
    usual = {one.name for one in sources.load().icons}
    every = {one.name for one in sources.load(with_relatives=True).icons}
    assert every - usual == {
        "noto",
        "noto-v1",
        "fluent-emoji",
        "fluent-emoji-flat",
        "fluent-emoji-high-contrast",
    }


def test_a_build_without_emoji_has_none() -> None:
    listed = sources.load(with_emoji=False)
    assert not [one for one in (*listed.icons, *listed.avatars) if "emoji" in one.name]


def test_nothing_is_share_alike_non_commercial_or_gpl() -> None:
    listed = sources.load(with_relatives=True)
    licences = {one.licence for one in (*listed.icons, *listed.avatars)}
    assert not [one for one in licences if "SA" in one or "NC" in one or "GPL" in one]
    assert not {one.name for one in listed.icons} & listed.left_out.keys()
    assert not [name for name in listed.fonts if name.startswith("noto-") or "emoji" in name]


@pytest.mark.parametrize("name", ["brand-github", "google-play", "github", "apple-logo", "amazon"])
def test_brands_are_left_out(name: str) -> None:
    assert sources.load().brands.search(name)


@pytest.mark.parametrize("name", ["apple", "book-amazonas", "edged-sword", "medium-skin", "target"])
def test_common_words_are_no_brands(name: str) -> None:
    assert not sources.load().brands.search(name)


def icon_set(**more: object) -> sources.IconSet:
    return sources.IconSet("one", "MIT", "icon", is_mono=True, **more)


def test_only_the_variants_that_are_listed_are_taken() -> None:
    said = {"icons": {"a": {}, "a-bold": {}, "a-thin": {}}, "suffixes": {"": "", "bold": "Bold"}}
    said["suffixes"]["thin"] = "Thin"
    listed = sources.load()
    taken = [name for name in said["icons"] if icons.is_wanted(icon_set(), name, said, listed)]
    assert taken == ["a", "a-bold", "a-thin"]
    bold = icon_set(variants=("bold",))
    taken = [name for name in said["icons"] if icons.is_wanted(bold, name, said, listed)]
    assert taken == ["a-bold"]


def test_logos_and_patterns_are_no_clip_art() -> None:
    assert is_clipart_wanted(Path("animals/cat_01.png"))
    assert not is_clipart_wanted(Path("logos/cat_01.png"))
    assert not is_clipart_wanted(Path("animals/baby_tux_01.png"))
    assert not is_clipart_wanted(Path("shapes/stars/star_12_3_01.png"))


def test_icons_are_centred_in_a_square() -> None:
    icon = icons.Icon(icon_set(), "a", "a", SQUARE, (0, 0, 24, 24), False)
    raster = icon.raster(24)
    assert raster.shape == (24, 24, 4)
    assert raster[..., 3].sum() == pytest.approx(256)
    wide = icons.Icon(icon_set(), "a", "a", SQUARE, (0, 0, 48, 24), False).raster(48)
    assert wide[..., 3].any(1).nonzero()[0][0] == 16


@pytest.mark.parametrize("label", styles.STYLES)
def test_styles_draw_the_same_from_the_same_seed(label: str, disc: rasters.Mask) -> None:
    draw = styles.STYLES[label][0]
    first, words = draw(disc, rng())
    again, _ = draw(disc, rng())
    assert words
    assert np.array_equal(first, again)
    assert first.shape == (128, 128, 4)
    pixels = rasters.to_pixels(rasters.reduce(first, rng()))
    assert pixels.shape == (64, 64, 4)
    assert not rasters.is_empty(pixels)


@pytest.mark.parametrize("label", textures.TEXTURES)
def test_textures_fill_the_square(label: str) -> None:
    field, words = textures.TEXTURES[label][0](64, rng(1))
    assert words
    assert field.shape == (64, 64, 3)
    assert field.min() >= 0
    assert field.max() <= 1.001


def test_noise_falls_off_as_asked() -> None:
    field = textures.noise(256, rng(), 1.0)
    power = np.abs(np.fft.fft2(field - field.mean())) ** 2
    low, high = power[0, 4:12].mean() + power[4:12, 0].mean(), power[0, 40:120].mean() * 2
    assert 20 < low / high < 500


def test_empty_and_flat_pictures_are_recognised() -> None:
    clear = np.zeros((64, 64, 4), np.uint8)
    assert rasters.is_empty(clear)
    flat = np.full((64, 64, 4), 255, np.uint8)
    assert rasters.is_empty(flat)
    flat[:, :32, 0] = 0
    assert not rasters.is_empty(flat)
    shape = clear.copy()
    shape[16:48, 16:48] = (200, 30, 30, 255)
    assert not rasters.is_empty(shape)


def test_pixels_have_straight_alpha() -> None:
    raster = np.zeros((2, 2, 4), np.float32)
    raster[0, 0] = (0.25, 0, 0, 0.5)
    pixels = rasters.to_pixels(raster)
    assert pixels[0, 0].tolist() == [128, 0, 0, 128]
    assert pixels[1, 1].tolist() == [0, 0, 0, 0]


def test_over_hides_what_is_behind() -> None:
    red = colours.solid(4, np.array([1, 0, 0], np.float32))
    blue = colours.solid(4, np.array([0, 0, 1], np.float32))
    assert np.array_equal(rasters.over(red, blue), red)
    half = red * np.float32(0.5)
    assert rasters.over(half, blue)[0, 0].tolist() == [0.5, 0, 0.5, 1]


def test_a_full_turn_of_the_hue_changes_nothing() -> None:
    raster = colours.solid(4, np.array([0.8, 0.3, 0.2], np.float32))
    assert colours.turned_hue(raster, 360) == pytest.approx(raster, abs=0.01)
    assert abs(colours.turned_hue(raster, 120) - raster).max() > 0.2


@pytest.mark.parametrize("word", colours.NAMED)
def test_colours_are_what_they_are_called(word: str) -> None:
    red, green, blue = colours.colour(word, rng())
    if word in ("red", "orange", "brown"):
        assert red > green > blue or red > blue
    if word in ("blue", "navy"):
        assert blue > red
    if word == "green":
        assert green > red
        assert green > blue


def test_rounds_cover_every_picture_once_with_all_kinds_in_each() -> None:
    counts = {"a": 30_000, "b": 101}
    done = list(collect.rounds(counts))
    assert [kind for kind, _ in done] == ["a", "b"] * 4
    for kind, count in counts.items():
        assert [n for one, part in done if one == kind for n in part] == list(range(count))


def test_wads_are_read(tmp_path: Path) -> None:
    palette = bytes(range(256)) * 3
    post = bytes([0, 2, 0, 5, 6, 0, 255])
    picture = struct.pack("<HHhhI", 1, 2, 0, 0, 12) + post
    lumps = [
        (b"PLAYPAL", palette),
        (b"S_START", b""),
        (b"TROOA1", picture),
        (b"S_END", b""),
        (b"F_START", b""),
        (b"FLOOR", bytes(4096)),
        (b"F_END", b""),
    ]
    body, directory = b"", b""
    for name, data in lumps:
        directory += struct.pack("<ii8s", 12 + len(body), len(data), name)
        body += data
    file = tmp_path / "a.wad"
    file.write_bytes(struct.pack("<4sii", b"IWAD", len(lumps), 12 + len(body)) + body + directory)
    sprite, flat = doom.read(file)
    assert (sprite.kind, sprite.pixels.shape, sprite.pixels[0, 0, 3]) == ("sprite", (2, 1, 4), 255)
    assert (flat.kind, flat.pixels.shape) == ("flat", (64, 64, 4))
