import csv
import hashlib
import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imagegen.data.store import batch_indices, load_pictures, to_tensor, turned
from imagegen.errors import UserError
from imagegen.settings import DataSettings

SETTINGS = DataSettings(size=16)
AWKWARD = Path(__file__).parents[3] / "shared/data/awkward.zip"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "set"
    noise = np.random.Generator(np.random.Philox(1))
    for index in range(7):
        path = root / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    return root


def test_loads_the_pictures_as_they_are(folder):
    seen = []
    pictures = load_pictures(str(folder), SETTINGS, lambda done, total: seen.append((done, total)))
    assert pictures.images.shape == (7, 3, 16, 16)
    assert pictures.images.flags.c_contiguous
    assert pictures.names[0] == "a/0.png"
    expected = np.asarray(Image.open(folder / "a/0.png")).transpose(2, 0, 1)
    assert (pictures.images[0] == expected).all()
    assert pictures.labels.dtype == np.int64
    assert pictures.labels.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert seen == [(done, 7) for done in range(1, 8)]
    assert pictures.notes == ()


def test_labels_from_folders_that_are_not_there_are_named(folder):
    by_folder = SETTINGS.model_copy(update={"labels": "folders"})
    assert load_pictures(str(folder), by_folder).notes == ()
    (note,) = load_pictures(str(folder / "a"), by_folder).notes
    assert note.startswith("data.labels=folders: there are no labels")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_archives_give_the_same_arrays(folder, tmp_path, kind):
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, folder)
    packed, plain = load_pictures(archive, SETTINGS), load_pictures(str(folder), SETTINGS)
    assert (packed.images == plain.images).all()
    assert (packed.labels == plain.labels).all()
    assert packed.fingerprint == plain.fingerprint


def test_fingerprint_knows_pixels_and_labels_but_not_names(folder):
    before = load_pictures(str(folder), SETTINGS).fingerprint
    (folder / "a/0.png").rename(folder / "a/z.png")
    assert load_pictures(str(folder), SETTINGS).fingerprint == before
    (folder / "a/z.png").rename(folder / "b/z.png")
    assert load_pictures(str(folder), SETTINGS).fingerprint != before
    (folder / "b/z.png").rename(folder / "a/z.png")
    image = Image.open(folder / "a/z.png")
    image.putpixel((3, 3), tuple(255 - value for value in image.getpixel((3, 3))))
    image.save(folder / "a/z.png")
    assert load_pictures(str(folder), SETTINGS).fingerprint != before


def test_channels_follow_the_set(folder, tmp_path):
    for path in folder.rglob("*.png"):
        Image.open(path).convert("L").convert("RGB").save(path)
    assert load_pictures(str(folder), SETTINGS).images.shape[1] == 1
    for path in (folder / "a").iterdir():
        Image.new("RGBA", (16, 16), (255, 0, 0, 0)).save(path)
    pictures = load_pictures(str(folder), SETTINGS)
    assert pictures.images.shape[1] == 4
    flat = load_pictures(str(folder), DataSettings(size=16, channels="rgb", background="#102030"))
    assert (flat.images[0] == np.array([0x10, 0x20, 0x30])[:, None, None]).all()
    assert "4 of 7 pictures are transparent: laid over #102030" in flat.notes[0]
    assert "3 exact doubles kept" in flat.notes


def test_broken_pictures_are_skipped_unless_all_are(folder):
    (folder / "a/0.png").write_bytes(b"rubbish")
    pictures = load_pictures(str(folder), SETTINGS)
    assert pictures.skipped == (("a/0.png", "not a picture of a known format"),)
    assert "1 file skipped" in pictures.notes[-1]
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="none of the 7 pictures") as caught:
        load_pictures(str(folder), SETTINGS)
    assert "a/0.png: empty file" in caught.value.hint


@pytest.mark.parametrize(("n", "size"), [(10, 4), (7, 7), (3, 8), (1, 5)])
def test_an_epoch_covers_every_picture_once(n, size):
    order = np.concatenate([batch_indices(n, 5, step, size) for step in range(n)])
    assert order.dtype == np.int64
    assert len(order) == n * size
    for epoch in order.reshape(size, n):
        assert sorted(epoch) == list(range(n))


def test_batches_are_a_function_of_seed_and_step():
    late = batch_indices(50, 1, 1000, 8)
    batch_indices(50, 1, 3, 8)
    assert (batch_indices(50, 1, 1000, 8) == late).all()
    assert (batch_indices(50, 2, 1000, 8) != late).any()
    assert batch_indices(6, 42, 0, 6).tolist() == batch_indices(6, 42, 0, 12).tolist()[:6]


@pytest.mark.parametrize("balance", [0, 0.5, 1])
def test_rare_labels_are_seen_as_often_as_it_is_set(folder, balance):
    pictures = load_pictures(str(folder), SETTINGS)
    counts = np.array([9, 1, 3, 87])
    labels = np.repeat(np.arange(-1, 3), counts)  # the first nine have none
    pictures = replace(
        pictures,
        images=np.zeros((100, 3, 4, 4), np.uint8),
        labels=labels,
        label_names=("a", "b", "c"),
        deep=None,
    )
    seen = np.concatenate(
        [pictures.batch(0, step, 50, mirror=True, balance=balance)[1] for step in range(400)]
    )
    shares = np.bincount(labels[seen % 100] + 1) / len(seen)
    expected = counts ** (1.0 - balance) / (counts ** (1.0 - balance)).sum()
    assert shares == pytest.approx(expected, abs=0.002)
    assert (np.bincount(seen, minlength=200) > 0).all()


def test_a_picture_with_a_rare_label_among_several_is_seen_more_often(folder):
    pictures = load_pictures(str(folder), SETTINGS)
    pictures = replace(
        pictures,
        images=np.zeros((3, 3, 4, 4), np.uint8),
        labels=np.array([0, 0, 0]),
        several=((0, 1), (0,), (0,)),  # the second label is the rare one
        label_names=("a", "b"),
        deep=None,
    )
    seen = np.concatenate([pictures.batch(0, s, 50, balance=1)[1] for s in range(100)])
    # 0.5 / 2.5 + 0.5 / 0.5, 1 / 2.5 and 1 / 2.5
    assert np.bincount(seen) / len(seen) == pytest.approx(np.array([0.6, 0.2, 0.2]), abs=0.005)


def test_mirrored_twins(folder):
    pictures = load_pictures(str(folder), SETTINGS)
    images, which = pictures.batch(0, 0, 14, mirror=True)
    known = {image.tobytes() for image in pictures.images}
    twins = {np.ascontiguousarray(image[..., ::-1]).tobytes() for image in pictures.images}
    assert {image.tobytes() for image in images} == known | twins
    assert sorted(which.tolist()) == list(range(14))
    for image, number in zip(images, which, strict=True):
        straight = image[..., ::-1] if number >= 7 else image
        assert (straight == pictures.images[number % 7]).all()


def test_pictures_are_turned_without_loss():
    noise = np.random.default_rng(0)
    square = noise.integers(0, 256, (3, 6, 6), np.uint8)
    expected = [square, *(np.flip(square, axes) for axes in (2, 1, (1, 2)))]
    expected += [one.swapaxes(1, 2) for one in expected]
    kept = np.stack([square] * 8)
    ways = turned(kept, np.arange(8))
    assert (kept == square).all()
    for way, picture in zip(ways, expected, strict=True):
        assert (way == picture).all()
    assert len({way.tobytes() for way in ways}) == 8
    deep = noise.random((4, 1, 4, 6), np.float32)  # 16 bits, and not square
    ways = turned(deep, np.arange(4))
    assert ways.dtype == np.float32
    assert (ways[3] == np.flip(deep[3], (1, 2))).all()
    assert (ways[0] == deep[0]).all()


def test_tensors():
    torch = pytest.importorskip("torch")
    images = np.arange(256, dtype=np.uint8).reshape(1, 4, 8, 8)
    tensor = to_tensor(images)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert (np.rint((tensor.numpy() + 1) * 127.5) == images).all()


def test_bundled_set():
    pictures = load_pictures("sample:smileys", SETTINGS)
    assert pictures.images.shape == (207, 4, 16, 16)
    assert (pictures.images[:, :3] <= pictures.images[:, 3:]).all()
    assert pictures.skipped == ()


@pytest.mark.skipif(not AWKWARD.exists(), reason="shared/data/awkward.zip is not here")
def test_awkward_files(tmp_path):
    with zipfile.ZipFile(AWKWARD) as archive:
        archive.extractall(tmp_path)

    def digests():
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return {path: hashlib.sha256(path.read_bytes()).digest() for path in files}

    root = next(tmp_path.rglob("MANIFEST.tsv")).parent
    table = io.StringIO((root / "MANIFEST.tsv").read_text())
    rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    before = digests()
    pictures = load_pictures(str(root), SETTINGS)
    assert digests() == before
    reasons = dict(pictures.skipped)
    assert all(reasons.values())
    for row in rows:
        path, expect = row["path"], row["expect"]
        if expect == "use":
            assert path in pictures.names, reasons.get(path)
        elif path == "from_pillow/test-ole-file.doc" or expect in ("ignore", "caption"):
            assert path not in pictures.names
            assert path not in reasons
        elif expect == "reject":
            assert path in reasons, path


def test_grey_of_sixteen_bits_is_kept(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    for number in range(3):
        Image.fromarray(np.roll(ramp, 5 * number, axis=1)).save(tmp_path / f"{number}.png")
    pictures = load_pictures(str(tmp_path), DataSettings(size=64))
    assert pictures.depth == 16
    assert pictures.deep is not None
    assert (pictures.deep[0, 0] == ramp).all()
    assert pictures.images.dtype == np.uint8
    assert np.abs(pictures.images[0, 0] - ramp / 257).max() <= 0.51
    values = to_tensor(pictures.batch(0, 0, 2)[0])
    assert len(values.unique()) > 2000
    assert values.min() == -1
    assert values.max() == 1
    assert pictures.part(np.array([False, True, False])).trained_on.dtype == np.uint16
    plain = load_pictures(str(tmp_path), DataSettings(size=64, channels="grey"))
    assert plain.depth == 8
    assert (plain.images == pictures.images).all()


def test_one_picture_of_eight_bits_makes_the_set_so(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(tmp_path / "a.png")
    Image.new("L", (16, 16), 7).save(tmp_path / "b.png")
    assert load_pictures(str(tmp_path), SETTINGS).depth == 8
    deep = load_pictures(str(tmp_path), DataSettings(size=16, channels="grey16"))
    assert deep.trained_on[:, 0, 0, 0].tolist() == [40_000, 7 * 257]
