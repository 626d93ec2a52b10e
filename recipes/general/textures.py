"""Procedural textures with some of the statistics of photographs; all of them opaque."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from recipes.general import colours
from recipes.general.colours import Field, colour, gradient, related
from recipes.general.rasters import Rng

EARTHY = ("brown", "beige", "grey", "white", "navy", "light blue", "green", "orange")


def pick(rng: Rng) -> tuple[NDArray[np.float32], str]:
    """Return a random colour and its name, more often than not a muted one."""
    if rng.random() < 0.35:
        return colours.pick(rng)
    word = str(rng.choice(EARTHY))
    rgb = colour(word, rng)
    grey = colours.luminance(rgb)
    return rgb + (grey - rgb) * np.float32(rng.uniform(0.1, 0.6)), word


Texture = Callable[[int, Rng], tuple[Field, str]]
"""Draws a field of a size; also returns the words of its caption."""


def noise(size: int, rng: Rng, slope: float, stretch: float = 1) -> NDArray[np.float32]:
    """Return noise whose amplitude falls with frequency to the power of -`slope`, 0 to 1.

    Args:
        size: side in pixels.
        rng: source of randomness.
        slope: 0 is white noise; photographs are near 1.
        stretch: how much longer structures are across than along.
    """
    y = np.fft.fftfreq(size)[:, None] * stretch
    x = np.fft.rfftfreq(size)[None]
    radius = np.hypot(x, y)
    radius[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * radius**-slope
    field = np.fft.irfft2(spectrum, s=(size, size))
    low, high = np.percentile(field, (1, 99))
    return np.clip((field - low) / (high - low), 0, 1).astype(np.float32)


def mapped(values: NDArray[np.float32], stops: NDArray[np.float32]) -> Field:
    """Map numbers from 0 to 1 to colours between `stops` (N, RGB)."""
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def _stops(rng: Rng, count: int) -> tuple[NDArray[np.float32], str]:
    """Return colours that go together, and the name of the first."""
    first, word = pick(rng)
    stops = [first]
    for _ in range(count - 1):
        stops.append(related(stops[-1], rng) if rng.random() < 0.75 else pick(rng)[0])
    return np.array(stops), word


def fractal(size: int, rng: Rng) -> tuple[Field, str]:
    """Fractal noise through a colour ramp."""
    stops, word = _stops(rng, int(rng.integers(2, 5)))
    slope = rng.uniform(0.6, 2.2)
    kind = "soft" if slope > 1.6 else "rough" if slope < 1 else "fractal"
    return mapped(noise(size, rng, slope), stops), f"{word} {kind} noise texture"


def spectral(size: int, rng: Rng) -> tuple[Field, str]:
    """Noise with correlated colour channels, as in photographs out of focus or close up."""
    slope = rng.uniform(0.8, 1.7)
    base = noise(size, rng, slope)
    own = np.stack([noise(size, rng, slope) for _ in range(3)], axis=2)
    mix = rng.uniform(0.1, 0.5)
    mean, word = pick(rng)
    field = mean + rng.uniform(0.3, 0.9) * ((1 - mix) * base[..., None] + mix * own - 0.5)
    return np.clip(field, 0, 1).astype(np.float32), f"{word} natural texture"


def dead_leaves(size: int, rng: Rng) -> tuple[Field, str]:
    """Shapes that hide each other, their sizes by a power law: the edges of photographs."""
    big = size * 2
    base, word = pick(rng)
    image = np.tile(related(base, rng), (big, big, 1))
    is_free = rng.random() < 0.4
    how = rng.choice(("disc", "box", "leaf", "mixed"))
    least, most = rng.uniform(1.5, 5), rng.uniform(0.15, 0.45) * big
    grain = noise(big, rng, rng.uniform(0.5, 1.4))[..., None] - 0.5
    for radius in _radii(rng, least, most, big):
        rgb = pick(rng)[0] if is_free else related(base, rng)
        shape = rng.choice(("disc", "box", "leaf")) if how == "mixed" else how
        x, y = rng.uniform(-0.05, 1.05, 2) * big
        _leaf(image, str(shape), (x, y), radius, rng, rgb)
    image = np.clip(image + rng.uniform(0, 0.35) * grain, 0, 1)
    light = gradient(big, rng, np.full(3, rng.uniform(0.5, 1)), np.full(3, rng.uniform(0.9, 1.15)))
    image = np.clip(image * light, 0, 1)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), f"{word} dead leaves"


def _radii(rng: Rng, least: float, most: float, size: int) -> NDArray[np.float64]:
    """Return radii with density r^-3, from few large to many small in random order."""
    count = int(min(1500, 4 * size * size / (np.pi * least * most)))
    share = rng.random(count)
    return 1 / np.sqrt(share / least**2 + (1 - share) / most**2)


def _leaf(
    image: Field,
    shape: str,
    centre: tuple[float, float],
    radius: float,
    rng: Rng,
    rgb: NDArray[np.float32],
) -> None:
    fill = tuple(map(float, rgb))
    place = (round(centre[0]), round(centre[1]))
    turn = rng.uniform(0, 180)
    if shape == "disc":
        cv2.circle(image, place, max(1, round(radius)), fill, -1, cv2.LINE_AA)
    elif shape == "leaf":
        axes = (max(1, round(radius * 1.4)), max(1, round(radius * rng.uniform(0.25, 0.7))))
        cv2.ellipse(image, place, axes, turn, 0, 360, fill, -1, cv2.LINE_AA)
    else:
        box = cv2.boxPoints((centre, (2 * radius, radius * rng.uniform(0.6, 2)), turn))
        cv2.fillConvexPoly(image, box.astype(np.int32), fill, cv2.LINE_AA)


def voronoi(size: int, rng: Rng) -> tuple[Field, str]:
    """Cells: flat as stained glass, shaded as pebbles, or their borders as cracks."""
    big = size * 2
    points = rng.uniform(-0.1, 1.1, (int(rng.integers(8, 130)), 2)) * big
    y, x = np.mgrid[0:big, 0:big]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    distances, nearest = cKDTree(points).query(pixels, k=2)
    gap = (distances[:, 1] - distances[:, 0]).reshape(big, big).astype(np.float32)
    base, word = pick(rng)
    cells = np.array([related(base, rng) for _ in points])
    if rng.random() < 0.3:
        cells = np.array([pick(rng)[0] for _ in points])
    field = cells[nearest[:, 0]].reshape(big, big, 3)
    kind = str(rng.choice(("mosaic", "stained glass", "pebbles", "cracked ground")))
    width = rng.uniform(1.5, 5)
    if kind == "pebbles":
        field = field * np.clip(gap / (0.25 * big / np.sqrt(len(points))), 0.1, 1)[..., None]
    elif kind == "stained glass":
        field = field * np.clip(gap / width, 0, 1)[..., None]
    elif kind == "cracked ground":
        rough = noise(big, rng, 1.2)[..., None] * 0.4 + 0.7
        field = np.clip(base * rough, 0, 1) * np.clip(gap / width, 0.2, 1)[..., None]
    field = cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return field, f"{word} {kind}"


def wood(size: int, rng: Rng) -> tuple[Field, str]:
    """Rings that are bent by noise, with grain along them."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    bend = noise(size, rng, 2, stretch=rng.uniform(2, 6))
    rings = np.hypot(x - rng.uniform(-2, 0.3), (y - rng.uniform(0, 1)) * rng.uniform(0.1, 0.5))
    value = np.sin(2 * np.pi * rng.uniform(3, 10) * (rings + rng.uniform(0.05, 0.35) * bend))
    grain = noise(size, rng, 0.6, stretch=8)
    shade = np.clip(0.5 + 0.3 * value + 0.4 * (grain - 0.5), 0, 1)
    dark, light = colour("brown", rng), colour(str(rng.choice(("beige", "orange", "brown"))), rng)
    field = mapped(shade.astype(np.float32), np.array([dark, light]))
    if rng.random() < 0.5:
        field = np.ascontiguousarray(field.transpose(1, 0, 2))
    return field, "wood grain"


def marble(size: int, rng: Rng) -> tuple[Field, str]:
    """Veins: where noise crosses a level."""
    warp = noise(size, rng, rng.uniform(1.4, 1.9))
    veins = 1 - np.abs(np.sin(np.pi * rng.uniform(1.5, 4) * (warp + 0.3 * noise(size, rng, 1.3))))
    base, word = pick(rng)
    vein = related(base, rng)
    field = mapped((veins ** rng.uniform(2, 6)).astype(np.float32), np.array([base, vein]))
    return field, f"{word} marble"


def clouds(size: int, rng: Rng) -> tuple[Field, str]:
    """Clouds before a sky of some hour."""
    hour = str(rng.choice(("blue sky", "sunset sky", "night sky", "grey sky")))
    top, bottom = {
        "blue sky": ("blue", "light blue"),
        "sunset sky": ("purple", "orange"),
        "night sky": ("black", "navy"),
        "grey sky": ("grey", "white"),
    }[hour]
    height = np.linspace(0, 1, size, dtype=np.float32)[:, None]
    sky = mapped(np.repeat(height, size, 1), np.array([colour(top, rng), colour(bottom, rng)]))
    cover = noise(size, rng, rng.uniform(1.3, 1.8), stretch=rng.uniform(1, 2.5))
    cover = np.clip((cover - rng.uniform(0.3, 0.6)) * rng.uniform(2, 4), 0, 1)[..., None]
    light = colour("white", rng) * (0.25 if hour == "night sky" else 0.95)
    return (sky * (1 - cover) + light * cover).astype(np.float32), f"clouds, {hour}"


def landscape(size: int, rng: Rng) -> tuple[Field, str]:
    """Ridges of hills in haze under a sky."""
    field, sky = clouds(size, rng)
    layers = int(rng.integers(2, 6))
    word = str(rng.choice(("green", "blue", "brown", "purple", "grey")))
    near, far = colour(word, rng) * 0.7, field.mean((0, 1))
    rows = np.arange(size)[:, None] / size
    start = rng.uniform(0.3, 0.6)
    for layer in range(layers):
        share = (layer + 1) / layers
        line = noise(size, rng, rng.uniform(1.2, 1.8))[0]
        line = cv2.GaussianBlur(line[None], (0, 0), 1 + 2 * (1 - share))[0]
        ridge = start + (1 - start) * layer / layers + (line - 0.5) * 0.35 * (1.2 - 0.6 * share)
        mask = np.clip((rows - ridge[None]) * size, 0, 1)[..., None]
        rough = 1 + (noise(size, rng, 0.9)[..., None] - 0.5) * 0.5 * share
        field = (
            field * (1 - mask) + np.clip((far * (1 - share) + near * share) * rough, 0, 1) * mask
        )
    return field.astype(np.float32), f"{word} hills, {sky.split(', ')[1]}"


def weave(size: int, rng: Rng) -> tuple[Field, str]:
    """Regular patterns of cloth and walls: stripes, checks, dots, bricks."""
    kind = str(rng.choice(("striped", "checked", "dotted", "brick", "woven")))
    big = size * 2
    y, x = np.mgrid[0:big, 0:big].astype(np.float32)
    turn = rng.choice((0, np.pi / 4, np.pi / 2, rng.uniform(0, np.pi)))
    u, v = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    step = rng.uniform(8, 40)
    a, b = u / step, v / step
    if kind == "striped":
        value = (a % 1 < rng.uniform(0.2, 0.8)).astype(np.float32)
    elif kind == "checked":
        value = ((a % 1 < 0.5).astype(np.float32) + (b % 1 < 0.5)) / 2
    elif kind == "dotted":
        value = (np.hypot(a % 1 - 0.5, b % 1 - 0.5) < rng.uniform(0.2, 0.42)).astype(np.float32)
    elif kind == "brick":
        row = np.floor(b * 2)
        value = ((b * 2 % 1 > 0.12) & ((a + 0.5 * (row % 2)) % 1 > 0.06)).astype(np.float32)
    else:
        value = np.abs(np.sin(np.pi * np.where((a % 2 < 1) ^ (b % 2 < 1), a, b)))
    stops, word = _stops(rng, 2)
    if rng.random() < 0.5:
        stops = np.array([stops[0], pick(rng)[0]])
    rough = (noise(big, rng, rng.uniform(0.3, 1.2))[..., None] - 0.5) * rng.uniform(0, 0.35)
    field = np.clip(mapped(value.astype(np.float32), stops) + rough, 0, 1)
    field = cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return field, f"{word} {kind} pattern"


def relief(size: int, rng: Rng) -> tuple[Field, str]:
    """A rough surface lit from the side: stone, plaster, crumpled paper, bark."""
    slope = rng.uniform(1.1, 1.9)
    height = noise(size * 2, rng, slope, stretch=rng.choice((1, 1, 3)))
    dy, dx = np.gradient(height * rng.uniform(15, 45))
    angle = rng.uniform(0, 2 * np.pi)
    light = (1 + np.cos(angle) * dx + np.sin(angle) * dy) / np.sqrt(1 + dx**2 + dy**2)
    base, word = pick(rng)
    tint = mapped(noise(size * 2, rng, 1.2), np.array([base, related(base, rng)]))
    field = np.clip(tint * np.clip(light, 0.1, 1.6)[..., None] * 0.8, 0, 1).astype(np.float32)
    kind = "rough stone" if slope < 1.5 else "crumpled surface"
    return cv2.resize(field, (size, size), interpolation=cv2.INTER_AREA), f"{word} {kind}"


def blobs(size: int, rng: Rng) -> tuple[Field, str]:
    """A smooth gradient or lights out of focus."""
    first, word = pick(rng)
    if rng.random() < 0.5:
        stops = [first, *(pick(rng)[0] for _ in range(int(rng.integers(1, 3))))]
        return gradient(size, rng, *stops), f"{word} gradient"
    field = gradient(size * 2, rng, first * 0.3, related(first, rng) * 0.3)
    for _ in range(int(rng.integers(8, 30))):
        spot = np.zeros(field.shape[:2], np.float32)
        place = tuple(int(value) for value in rng.integers(0, size * 2, 2))
        cv2.circle(spot, place, int(rng.integers(3, 18)), 1.0, -1, cv2.LINE_AA)
        spot = cv2.GaussianBlur(spot, (0, 0), rng.uniform(0.5, 2.5))
        field = field + spot[..., None] * pick(rng)[0] * rng.uniform(0.15, 0.7)
    field = np.clip(field, 0, 1).astype(np.float32)
    return cv2.resize(field, (size, size), interpolation=cv2.INTER_AREA), f"{word} bokeh lights"


TEXTURES: dict[str, tuple[Texture, float]] = {
    "dead leaves": (dead_leaves, 3),
    "fractal noise": (fractal, 1.5),
    "natural texture": (spectral, 1.5),
    "voronoi": (voronoi, 2),
    "wood": (wood, 1),
    "marble": (marble, 1),
    "clouds": (clouds, 1),
    "landscape": (landscape, 2),
    "pattern": (weave, 2),
    "relief": (relief, 2),
    "gradient": (blobs, 1),
}
"""By label: how to draw it, and its weight."""


def any_texture(size: int, rng: Rng) -> tuple[Field, str, str]:
    """Draw a random texture; also return its words and its label."""
    labels = list(TEXTURES)
    weights = np.array([TEXTURES[label][1] for label in labels])
    label = labels[int(rng.choice(len(labels), p=weights / weights.sum()))]
    field, words = TEXTURES[label][0](size, rng)
    return field, words, label
