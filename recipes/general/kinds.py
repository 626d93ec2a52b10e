"""The kinds of pictures: how each one is made from the library's material.

A kind draws its picture number `index` from a generator that belongs to that number, so that a
picture does not depend on others and the work can be divided.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from recipes.general import captions, colours, textures
from recipes.general.doom import SPRITES
from recipes.general.icons import Icon
from recipes.general.library import Library, truetype
from recipes.general.rasters import (
    SIZE,
    WORK,
    Raster,
    Rng,
    filled,
    fitted,
    from_image,
    from_svg,
    over,
    placed,
    reduce,
    shadow,
)
from recipes.general.styles import backdrop, grown, styled

Origin = tuple[str, str]
"""A set or package that something of the picture is from, and its licence."""

OURS: Origin = ("procedural", "own work")


@dataclass(frozen=True)
class Picture:
    """A picture of the collection.

    Attributes:
        raster: 64x64.
        text: its caption.
        label: its set or style.
        origins: where its parts are from.
    """

    raster: Raster
    text: str
    label: str
    origins: tuple[Origin, ...]


Kind = Callable[[Library, int, Rng], Picture]


def colour_icon(library: Library, index: int, rng: Rng) -> Picture:
    """A colour icon: first each as it is, then again with other colours, sizes and grounds."""
    found = library.colour_icons
    is_again = index >= len(found)
    if is_again:
        found = [icon for icon in found if not icon.is_variant]
        index -= len(library.colour_icons)
    icon = found[index % len(found)]
    raster = icon.raster()
    words = f"{icon.text}, {icon.source.style}"
    if icon.source.one_hue and rng.random() < 0.6:
        raster = colours.turned_hue(raster, rng.uniform(25, 335), rng.uniform(0.7, 1.3))
    if is_again:
        raster, ground = _varied(raster, icon.text, rng, 0.15 if icon.source.emoji else 0.35)
        words += f", {ground}" if ground else ""
    elif rng.random() < 0.6:
        raster = fitted(raster, rng.uniform(0.86, 1))
    return Picture(reduce(raster, rng), words, icon.source.name, (_origin(icon),))


def _origin(icon: Icon) -> Origin:
    return (icon.source.name, icon.source.licence)


def _varied(raster: Raster, text: str, rng: Rng, turned: float = 0.35) -> tuple[Raster, str]:
    """Return a variation of a colour drawing, and the words of its new background, if any.

    Args:
        raster: the drawing.
        text: its caption; if that names a colour, the hue is not turned.
        rng: source of randomness.
        turned: how likely the hue is turned.
    """
    names = set(text.split())
    if not names & set(colours.WORDS) and rng.random() < turned:
        raster = colours.turned_hue(raster, rng.uniform(25, 335), rng.uniform(0.7, 1.3))
    raster = fitted(raster, rng.uniform(0.6, 1) if rng.random() < 0.8 else rng.uniform(1.1, 1.5))
    if rng.random() < 0.4:
        raster = placed(raster, 1, rng.uniform(-18, 18))
    chance = rng.random()
    if chance < 0.15:
        paper = grown(raster[..., 3], rng.uniform(5, 8))
        raster = over(raster, filled(paper, colours.colour("white", rng)))
        return over(raster, shadow(paper, 0.02, 0.01, 0.02, 0.5)), "sticker"
    if chance < 0.35:
        return over(raster, shadow(raster[..., 3], 0.025, 0.02, 0.035, 0.5)), "with shadow"
    if chance < 0.75:
        ground, words = backdrop(len(raster), rng)
        if rng.random() < 0.4:
            raster = over(raster, shadow(raster[..., 3], 0.03, 0.02, 0.04, 0.5))
        return over(raster, ground), f"on {words}"
    return raster, ""


def styled_icon(library: Library, index: int, rng: Rng) -> Picture:
    """An icon of one colour in a random style."""
    icon = library.mono_icons[index % len(library.mono_icons)]
    mask = fitted(icon.raster()[..., 3], rng.uniform(0.72, 0.92))
    if rng.random() < 0.2:
        mask = placed(mask, 1, rng.uniform(-20, 20))
    if library.matcaps and rng.random() < 0.1:
        raster, words, label = _rendered(mask, library, rng)
    else:
        raster, words, label = styled(mask, rng)
    if raster[0, 0, 3] < 0.5 and rng.random() < 0.2:
        ground, back = backdrop(len(raster), rng)
        raster, words = over(raster, ground), f"{words}, on {back}"
    text = f"{icon.text}, {icon.source.style}, {words}"
    return Picture(reduce(raster, rng), text, f"styled {label}", (_origin(icon),))


def _rendered(mask: Raster, library: Library, rng: Rng) -> tuple[Raster, str, str]:
    """Draw a mask as a thick rounded body whose light is that of a photographed sphere."""
    inside = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    surface = cv2.GaussianBlur(np.sqrt(inside), (0, 0), 1.6) * rng.uniform(2, 4)
    dy, dx = np.gradient(surface)
    length = np.sqrt(1 + dx**2 + dy**2)
    sphere = library.matcaps[int(rng.integers(len(library.matcaps)))]
    side = len(sphere) - 1
    at = [np.clip((0.5 - 0.48 * slope / length) * side, 0, side) for slope in (dx, dy)]
    field = cv2.remap(sphere, *(one.astype(np.float32) for one in at), cv2.INTER_LINEAR)
    raster = filled(mask, field)
    if rng.random() < 0.5:
        raster = over(raster, shadow(mask, 0.03, 0.02, 0.04, 0.5))
    return raster, "3d render", "render"


def clip_art(library: Library, index: int, rng: Rng) -> Picture:
    """A clip art: first each as it is, then parts of it and variations."""
    path = library.clipart[index % len(library.clipart)]
    repeat = index // len(library.clipart)
    folder = path.parts[path.parts.index("png") + 1]
    image = Image.open(path).convert("RGBA")
    words = captions.from_clipart(path.stem, folder, library.words)
    if repeat and rng.random() < 0.55:
        raster = _cropped(image, rng)
        words += ", detail"
    else:
        raster = _contained(image, rng.uniform(0.9, 1))
        if repeat:
            raster, ground = _varied(raster, words, rng)
            words += f", {ground}" if ground else ""
    label = f"clip art {folder.replace('_', ' ')}"
    return Picture(reduce(raster, rng), words, label, (("openclipart", "CC-PDDC"),))


def _contained(image: Image.Image, share: float) -> Raster:
    """Scale an image into a square, centred."""
    box = image.getchannel("A").getbbox()
    image = image.crop(box) if box else image
    most = WORK * share
    scale = most / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    image = image.convert("RGBa").resize((size[0], size[1]), Image.Resampling.BOX).convert("RGBA")
    square = Image.new("RGBA", (WORK, WORK))
    square.paste(image, ((WORK - size[0]) // 2, (WORK - size[1]) // 2))
    return from_image(square)


def _cropped(image: Image.Image, rng: Rng) -> Raster:
    """Cut a square out of an image where there is something to see."""
    side = round(min(image.size) * rng.uniform(0.35, 0.75))
    side = min(max(side, 32), *image.size)
    best, most = (0, 0), -1.0
    for _ in range(4):
        x, y = (int(rng.integers(length - side + 1)) for length in image.size)
        part = np.asarray(image.crop((x, y, x + side, y + side)).resize((16, 16)), np.float32)
        seen = float((part[..., 3] > 128).mean()) + part[..., :3].std() / 128
        if seen > most:
            best, most = (x, y), seen
    part = image.crop((*best, best[0] + side, best[1] + side))
    return from_image(part.convert("RGBa").resize((WORK, WORK)).convert("RGBA"))


def scene(library: Library, index: int, rng: Rng) -> Picture:
    """Two to six things over each other before a background."""
    raster, ground = backdrop(WORK, rng)
    raster = raster.copy()
    origins, names = [OURS], []
    count = int(rng.choice((2, 3, 4, 5, 6), p=(0.3, 0.3, 0.2, 0.12, 0.08)))
    for number in range(count):
        thing, name, origin = _thing(library, rng)
        scale = rng.uniform(0.3, 0.75) * (1.1 - 0.08 * count)
        x, y = rng.uniform(-0.33, 0.33, 2)
        if number == 0 and rng.random() < 0.5:
            scale, x, y = rng.uniform(0.55, 0.9), 0, rng.uniform(-0.08, 0.08)
        thing = placed(fitted(thing, 0.98), scale, rng.uniform(-25, 25), x, y)
        chance = rng.random()
        if chance < 0.25:
            edge = colours.colour(str(rng.choice(("white", "black"))), rng)
            thing = over(thing, filled(grown(thing[..., 3], 3), edge))
        if chance < 0.7:
            thing = over(thing, shadow(thing[..., 3], rng.uniform(0.01, 0.04), 0.02, 0.03, 0.5))
        raster = over(thing, raster)
        names.append(name)
        origins.append(origin)
    listed = ", ".join(names[:-1]) + f" and {names[-1]}"
    text = f"scene with {listed}, before {ground}"
    label = "scene of two" if count == 2 else "scene of several"
    return Picture(reduce(raster, rng), text, label, tuple(dict.fromkeys(origins)))


def _thing(library: Library, rng: Rng) -> tuple[Raster, str, Origin]:
    """Draw something that a scene may hold; also return its name and origin."""
    chance = rng.random()
    if chance < 0.62:
        icon = library.colour_icons[int(rng.integers(len(library.colour_icons)))]
        return icon.raster(), icon.text, _origin(icon)
    if chance < 0.85:
        icon = library.mono_icons[int(rng.integers(len(library.mono_icons)))]
        mask = fitted(icon.raster()[..., 3], 0.85)
        return styled(mask, rng)[0], icon.text, _origin(icon)
    path = library.clipart[int(rng.integers(len(library.clipart)))]
    folder = path.parts[path.parts.index("png") + 1]
    name = captions.from_clipart(path.stem, folder, library.words).partition(",")[0]
    return _contained(Image.open(path).convert("RGBA"), 1), name, ("openclipart", "CC-PDDC")


SIGNS = string.ascii_letters + string.digits * 3 + "&?!@#%$*+=§€£{}"


def glyph(library: Library, index: int, rng: Rng) -> Picture:
    """A letter, digit or sign of some font: in a style, or white on black as scanned digits."""
    font = library.fonts[int(rng.integers(len(library.fonts)))]
    is_scan = rng.random() < 0.4
    sign = str(rng.choice(list(string.digits * 2 + string.ascii_letters if is_scan else SIGNS)))
    image = Image.new("L", (WORK, WORK))
    ImageDraw.Draw(image).text((64, 64), sign, fill=255, font=truetype(font, 80), anchor="mm")
    mask = fitted(np.asarray(image, np.float32) / 255, rng.uniform(0.6, 0.9))
    if rng.random() < 0.7:
        shear = np.float32([[1, rng.uniform(-0.3, 0.3), 0], [0, 1, 0]])
        shear[0, 2] = -shear[0, 1] * WORK / 2
        mask = cv2.warpAffine(mask, shear, (WORK, WORK))
        mask = placed(mask, rng.uniform(0.85, 1.05), rng.uniform(-16, 16))
    name = f"{captions.of_sign(sign)}, {font.category} font"
    origins: tuple[Origin, ...] = ((f"fontsource {font.name}", font.licence),)
    if is_scan:
        grey = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.8, 3.5))
        grey = np.clip(grey * rng.uniform(1, 1.6), 0, 1)[..., None]
        raster = colours.solid(WORK, np.repeat(grey, 3, axis=2))
        text = f"{name}, white on black"
        return Picture(reduce(raster, rng), text, "glyph white on black", origins)
    raster, words, _ = styled(mask, rng)
    if raster[0, 0, 3] < 0.5 and rng.random() < 0.25:
        ground, back = backdrop(WORK, rng)
        raster, words = over(raster, ground), f"{words}, on {back}"
    return Picture(reduce(raster, rng), f"{name}, {words}", f"glyph {font.category}", origins)


def avatar(library: Library, index: int, rng: Rng) -> Picture:
    """An avatar of DiceBear."""
    made = library.avatars[index % len(library.avatars)]
    raster = from_svg(made.svg)
    parts = {"glasses", "beard", "earrings", "hat", "freckles", "mustache", "accessories"}
    has = [part for part in made.parts if part in parts]
    words = f"{made.style.text}{' with ' + ' and '.join(has) if has else ''}, avatar"
    label = f"avatar {made.style.name}"
    origin = (f"dicebear {made.style.name}", made.style.licence)
    return Picture(reduce(raster, rng), words, label, (origin,))


def sprite(library: Library, index: int, rng: Rng) -> Picture:
    """A picture of Freedoom, or an icon as pixel art."""
    if index % 3 == 0 and index // 3 < len(library.sprites):
        return _of_game(library, index // 3, rng)
    if rng.random() < 0.65:
        icon = library.colour_icons[int(rng.integers(len(library.colour_icons)))]
        return _pixel_art(icon, rng)
    drawn = [icon for icon in library.mono_icons if icon.source.pixel]
    thick = [icon for icon in library.mono_icons if "line" not in icon.source.style]
    found = drawn if rng.random() < 0.5 else thick
    return _pixel_art(found[int(rng.integers(len(found)))], rng)


def _of_game(library: Library, index: int, rng: Rng) -> Picture:
    lump = library.sprites[index]
    height, width = lump.pixels.shape[:2]
    words = {
        "sprite": f"{SPRITES.get(lump.name[:4], 'creature or thing')}, game sprite",
        "flat": "floor texture of a game",
        "patch": "wall texture of a game",
    }[lump.kind]
    if lump.kind == "patch" and min(height, width) >= SIZE:
        y, x = (int(rng.integers(side - SIZE + 1)) for side in (height, width))
        raster = from_image(Image.fromarray(lump.pixels[y : y + SIZE, x : x + SIZE]))
    elif max(height, width) <= SIZE:
        times = SIZE // max(height, width) if lump.kind == "sprite" else 1
        image = Image.fromarray(lump.pixels)
        image = image.resize((width * times, height * times), Image.Resampling.NEAREST)
        square = Image.new("RGBA", (SIZE, SIZE))
        square.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
        raster = from_image(square)
    else:
        raster = reduce(_contained(Image.fromarray(lump.pixels), 1), rng)
    return Picture(raster, words, f"game {lump.kind}", (("freedoom", "BSD-3-Clause"),))


def _pixel_art(icon: Icon, rng: Rng) -> Picture:
    """Draw an icon with few pixels, few colours and hard edges, and enlarge the pixels."""
    is_fine = "line" in icon.source.style
    small = 32 if is_fine else int(rng.choice((32, 32, 32, 21, 16)))
    small = icon.source.pixel or small
    if icon.source.is_mono:
        mask = icon.raster(small, crisp=icon.source.pixel > 0)[..., 3]
        rgb, word = colours.pick(rng)
        field = colours.gradient(small, rng, rgb, colours.related(rgb, rng))
        raster, words = filled((mask > 0.45).astype(np.float32), field), f"{word} "
    else:
        raster, words = reduce(icon.raster(), size=small), ""
    alpha = raster[..., 3:]
    hard = (alpha > 0.5).astype(np.float32)
    rgb_image = Image.fromarray(
        np.uint8(np.clip(raster[..., :3] / np.maximum(alpha, 1e-3), 0, 1) * hard * 255)
    )
    few = rgb_image.quantize(int(rng.choice((4, 6, 8, 12, 16))), dither=Image.Dither.NONE)
    colour = np.asarray(few.convert("RGB"), np.float32) / 255
    raster = np.concatenate([colour * hard, hard], axis=2)
    if rng.random() < 0.4:
        cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
        edge = cv2.dilate(hard[..., 0], cross)
        raster = over(raster, filled(edge, colours.colour("black", rng)))
    times = SIZE // small
    raster = np.kron(raster, np.ones((times, times, 1), np.float32))
    before, rest = divmod(SIZE - len(raster), 2)
    raster = np.pad(raster, ((before, before + rest), (before, before + rest), (0, 0)))
    text = f"{words}{icon.text}, pixel art of {small} pixels"
    return Picture(raster, text, "pixel art", (_origin(icon),))


def texture(library: Library, index: int, rng: Rng) -> Picture:
    """A procedural texture, or a view into a panoramic photograph."""
    if library.photos and rng.random() < 0.35:
        return _view(library, rng)
    field, words, label = textures.any_texture(SIZE, rng)
    return Picture(colours.solid(SIZE, field), words, f"texture {label}", (OURS,))


def _view(library: Library, rng: Rng) -> Picture:
    """Look into a panorama with a camera of some field of view and exposure."""
    names = list(library.photos)
    name = names[int(rng.integers(len(names)))]
    panorama = library.photos[name]
    height, width = panorama.shape[:2]
    wide = np.tan(np.deg2rad(rng.uniform(40, 85)) / 2)
    grid = np.linspace(-wide, wide, WORK)
    x, y = np.meshgrid(grid, grid)
    pitch, yaw = np.deg2rad(rng.uniform(-35, 30)), rng.uniform(0, 2 * np.pi)
    up = np.cos(pitch) * y - np.sin(pitch)
    ahead = np.sin(pitch) * y + np.cos(pitch)
    across = (yaw + np.arctan2(x, ahead)) / (2 * np.pi) % 1 * width
    down = (0.5 + np.arctan2(up, np.hypot(x, ahead)) / np.pi) * (height - 1)
    looped = np.concatenate([panorama, panorama[:, :2]], axis=1)
    seen = cv2.remap(looped, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR)
    seen = np.maximum(seen, 0)
    seen = (
        seen * rng.uniform(0.25, 0.6) / max(float(np.percentile(seen, rng.uniform(50, 85))), 1e-4)
    )
    seen = np.clip(seen, 0, 1) ** (1 / 2.2)
    if rng.random() < 0.5:
        seen = seen[:, ::-1]
    raster = colours.solid(WORK, seen.astype(np.float32))
    origin = ("@pmndrs/assets", "CC0-1.0")
    return Picture(reduce(raster, rng), f"photograph, {name}", "photograph", (origin,))


KINDS: dict[str, tuple[Kind, float]] = {
    "colour": (colour_icon, 0.35),
    "styled": (styled_icon, 0.2),
    "clipart": (clip_art, 0.12),
    "scenes": (scene, 0.13),
    "glyphs": (glyph, 0.08),
    "avatars": (avatar, 0.07),
    "sprites": (sprite, 0.05),
    "textures": (texture, 0.05),
}
"""By folder: how to draw them, and their share of the collection (5 % are more for textures)."""
