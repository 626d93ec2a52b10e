import io

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageEnhance

from imagegen.data import likeness
from imagegen.data.store import from_images, load_pictures, to_tensor
from imagegen.sample.draw import to_pictures
from imagegen.settings import DataSettings


@pytest.fixture(scope="module")
def smileys():
    return load_pictures("sample:smileys", DataSettings(size=32)).images


def flat(picture):
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture)
    return page.convert("RGB")


def jpeg(picture):
    file = io.BytesIO()
    flat(picture).save(file, "JPEG", quality=85)
    return Image.open(file)


CHANGES = {
    "mirrored": lambda p: p.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "shifted": lambda p: ImageChops.offset(p, 1, -1),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.1),
    "JPEG 85": jpeg,
    "flattened": flat,
    "all": lambda p: jpeg(ImageChops.offset(p.transpose(Image.Transpose.FLIP_LEFT_RIGHT), -1, 0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_alike_and_found(smileys, change):
    pictures = to_pictures(to_tensor(smileys))
    changed = from_images([CHANGES[change](p).convert("RGBA") for p in pictures], 4)
    distances, indices = likeness.nearest(changed, likeness.embed(smileys))
    assert (distances < likeness.ALIKE).mean() >= 0.95
    assert (indices == np.arange(len(smileys))).mean() >= 0.95


def test_other_pictures_are_not_alike(smileys):
    distances, indices = likeness.nearest(smileys, likeness.embed(smileys), skip_same=True)
    assert (distances < likeness.ALIKE).mean() < 0.05
    assert (indices != np.arange(len(smileys))).all()


def test_what_is_kept_is_small_and_the_same_for_everybody(smileys):
    kept = likeness.embed(smileys)
    assert kept.shape == (2, 207, 64)
    assert kept.dtype == np.uint8
    assert (likeness.embed(smileys[5:6]) == kept[:, 5:6]).all()
    # Bits of one picture are half ones: a fair coin each.
    assert abs(np.unpackbits(kept).mean() - 0.5) < 0.01


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 28, 33, 64, 256])
def test_any_size_and_kind(channels, side):
    noise = np.random.Generator(np.random.Philox(side))
    images = noise.integers(0, 256, (12, channels, side, side), np.uint8)
    distances, indices = likeness.nearest(images[..., ::-1].copy(), likeness.embed(images))
    assert (indices == np.arange(12)).all()
    assert (distances < 0.02).all()


def test_plain_pictures_are_like_nothing_but_themselves():
    noise = np.random.Generator(np.random.Philox(1)).integers(-1, 2, (6, 3, 32, 32))
    images = (200 + noise).astype(np.uint8)
    images[5] = images[0]
    groups = likeness.groups(images, likeness.embed(images))
    assert len(set(groups)) == 5
    assert groups[5] == groups[0]


def test_drawings_of_one_colour_are_told_apart():
    """Black drawings are plain on black, which must not make them all alike."""
    random = np.random.Generator(np.random.Philox(2))
    images = np.zeros((20, 4, 32, 32), np.uint8)
    for image in images:
        for y, x in random.integers(0, 22, (5, 2)):
            image[3, y : y + 10, x : x + 10] ^= 255
    distances, _ = likeness.nearest(images, likeness.embed(images), skip_same=True)
    assert (distances > likeness.ALIKE).mean() > 0.9
    mirrored = np.ascontiguousarray(images[..., ::-1])
    distances, indices = likeness.nearest(mirrored, likeness.embed(images))
    assert (distances < likeness.SAME).all()
    assert (indices == np.arange(20)).all()


def test_pictures_with_little_contrast_are_told_apart_and_leak_no_more_than_others(smileys):
    dull = (128 + (likeness._flattened(smileys)[0] - 128) * 0.1).astype(np.uint8)
    kept = likeness.embed(dull)
    distances, indices = likeness.nearest(dull[..., ::-1].copy(), kept)
    assert (distances < likeness.ALIKE).mean() >= 0.95
    assert (indices == np.arange(len(dull))).mean() >= 0.95
    # Short descriptions stay inside one interval: then most pictures agree in a bit.
    agreement = np.abs(np.unpackbits(kept[0], axis=1).mean(0) - 0.5)
    assert agreement.mean() < 0.05


def test_groups_hold_what_is_alike(smileys):
    twins = np.concatenate([smileys, smileys[:20, ..., ::-1], smileys[3:5]])
    group = likeness.groups(twins, likeness.embed(twins))
    assert (group[207:227] == group[:20]).all()
    assert (group[227:] == group[3:5]).all()
    assert len(set(group[:207])) > 190


def test_distances_are_those_of_the_descriptions():
    """The share of differing bits follows the formula, so distances can be read from bits."""
    random = np.random.Generator(np.random.Philox(2))
    start = random.standard_normal((400, 176)).astype(np.float32)
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    none = np.zeros((400, likeness.BITS // 8), np.uint8)
    for distance in (0.02, 0.08, 0.14, 0.2):
        step = random.standard_normal(start.shape).astype(np.float32)
        step *= distance / np.linalg.norm(step, axis=1, keepdims=True)
        ours, theirs = (likeness._bits(one, none) for one in (start, start + step))
        differ = np.unpackbits(ours ^ theirs, axis=1)
        assert likeness._distance(differ.mean(1)).mean() == pytest.approx(distance, rel=0.06)


def test_nothing_to_compare():
    images = np.zeros((0, 3, 32, 32), np.uint8)
    distances, indices = likeness.nearest(
        images, likeness.embed(np.zeros((3, 3, 32, 32), np.uint8))
    )
    assert len(distances) == len(indices) == 0
