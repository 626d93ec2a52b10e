"""A whole set of pictures in memory, and the order in which training sees them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import compress
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from imagegen.data import captions
from imagegen.data.decode import Picture, decode, decode_part
from imagegen.data.scan import Entry, Problem, scan
from imagegen.errors import UserError
from imagegen.images.reading import BadPictureError, open_picture, pillow_warnings
from imagegen.settings import DataSettings

if TYPE_CHECKING:
    import torch

Images = npt.NDArray[np.uint8]
DeepImages = npt.NDArray[np.uint16]
Indices = npt.NDArray[np.int64]
Channels = Literal["grey", "grey16", "rgb", "rgba"]
KINDS: Mapping[int, Channels] = {1: "grey", 3: "rgb", 4: "rgba"}
"""What pictures of 8 bits are called by their number of channels."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """A set of pictures, ready for training.

    Attributes:
        images: uint8 (N, C, H, W), contiguous, with C = 1 (grey), 3 (RGB) or 4 (RGBA with the
            colours multiplied by alpha).
        labels: int64 (N,), indices into `label_names`, -1 for pictures without one; None if the set
            has no labels. Of several labels of a picture it is the first.
        label_names: the labels, sorted.
        names: each picture's path inside the source, sorted.
        skipped: (name, reason) of every file that could not be used, sorted.
        notes: what the user may want to know, one short sentence each.
        digests: uint8 (N, 8), the first bytes of each picture's sha256.
        fingerprint: sha256 of pixels and labels; file names and their order do not matter.
        texts: a caption each, empty for pictures without one; None if the set has no captions.
        several: all labels of each picture, if there is one with more than one.
        deep: uint16 (N, 1, H, W), what is trained on instead of `images` if the files have grey of
            more than 8 bits; those measure and compare.
    """

    images: Images
    labels: Indices | None
    label_names: tuple[str, ...]
    names: tuple[str, ...]
    skipped: tuple[Problem, ...]
    notes: tuple[str, ...]
    digests: Images
    fingerprint: str
    texts: tuple[str, ...] | None = None
    several: tuple[tuple[int, ...], ...] | None = None
    deep: DeepImages | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of each picture: (channels, height, width)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def part(self, chosen: npt.NDArray[np.bool_]) -> Pictures:
        """Return some of the pictures; the rest, such as the fingerprint, is that of all."""
        return replace(
            self,
            images=self.images[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            names=tuple(compress(self.names, chosen)),
            digests=self.digests[chosen],
            texts=None if self.texts is None else tuple(compress(self.texts, chosen)),
            several=None if self.several is None else tuple(compress(self.several, chosen)),
            deep=None if self.deep is None else self.deep[chosen],
        )

    @property
    def depth(self) -> int:
        """Bits of a channel, 8 or 16."""
        return 8 if self.deep is None else 16

    @property
    def trained_on(self) -> Images | DeepImages:
        """What a model sees, (N, C, H, W)."""
        return self.images if self.deep is None else self.deep

    def label_counts(self) -> dict[str, int]:
        """Return how many pictures each label has; empty for a set without labels."""
        labels = [self.label_names[one] for row in range(len(self)) for one in self.labels_of(row)]
        counts = Counter(labels)
        return {name: counts[name] for name in self.label_names}

    def labels_of(self, row: int) -> tuple[int, ...]:
        """Return all labels of a picture, none or more."""
        if self.several is not None:
            return self.several[row]
        if self.labels is None or self.labels[row] < 0:
            return ()
        return (int(self.labels[row]),)

    def batch(
        self, seed: int, step: int, batch_size: int, mirror: bool = False, balance: float = 0
    ) -> tuple[Images | DeepImages, Indices]:
        """Return the pictures of one training step, (B, C, H, W), and which they are, (B,).

        With `mirror` the set is twice as large: each picture has a left-right mirrored twin, whose
        number is larger by the number of pictures. For `balance`, see `DataSettings`.
        """
        count = len(self)
        often = self._often(balance) if balance and self.labels is not None else None
        if often is not None and mirror:
            often = np.tile(often, 2)
        indices = batch_indices(2 * count if mirror else count, seed, step, batch_size, often)
        images = self.trained_on[indices % count]
        twins = indices >= count
        images[twins] = images[twins][..., ::-1]
        return images, indices

    def _often(self, balance: float) -> npt.NDArray[np.float64]:
        """Return how often each picture is to be seen, (N,), in proportion."""
        counts = self.shares.sum(0)
        often: npt.NDArray[np.float64] = self.shares @ np.maximum(counts, 1e-9) ** -balance
        return often

    @cached_property
    def shares(self) -> npt.NDArray[np.float64]:
        """How much of each picture each label has, and in the last column none: (N, L + 1)."""
        shares = np.zeros((len(self), len(self.label_names) + 1))
        for row in range(len(self)):
            own = list(self.labels_of(row)) or [-1]
            shares[row, own] = 1 / len(own)
        return shares


def load_pictures(
    source: str, settings: DataSettings, report: Callable[[int, int], None] | None = None
) -> Pictures:
    """Read a folder, an archive or `sample:NAME` into memory.

    Args:
        source: see `imagegen.data.scan.scan`.
        settings: size, channels, background and fit of the pictures.
        report: called with (pictures done, pictures in all) after each picture.

    Raises:
        UserError: the source cannot be read, or none of its pictures can be used.
    """
    used: list[tuple[Entry, Picture]] = []
    with scan(source) as found, pillow_warnings():
        skipped = list(found.problems)
        in_source_order = sorted(found.entries, key=lambda entry: entry.position)
        for done, (entry, result) in enumerate(_decode_all(in_source_order, settings), start=1):
            if isinstance(result, Picture):
                used.append((entry, result))
            else:
                skipped.append((entry.name, result))
            if report is not None:
                report(done, len(found.entries))
        said = captions.read(
            [entry.name for entry, _ in used], found.others, settings.captions, settings.labels
        )
    skipped.sort()
    if not used:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise UserError(f"none of the {len(skipped):,} pictures in {source} can be used", reasons)

    used.sort(key=lambda pair: pair[0].name)
    entries = [entry for entry, _ in used]
    pictures = [picture for _, picture in used]
    channels = _channels(pictures, settings)
    background = ImageColor.getrgb(settings.background)[:3]
    images = np.ascontiguousarray(
        [_in_channels(one.pixels, channels, background) for one in pictures]
    )
    deep = None
    if channels == "grey16":
        deep = np.stack([_deep(one, image) for one, image in zip(pictures, images, strict=True)])
    labels = _labels(entries, said, settings.labels in ("auto", "folders"))
    names = tuple(sorted({label for one in labels for label in one}))
    numbers = [tuple(map(names.index, one)) for one in labels]
    texts = [said.texts.get(entry.name, "") for entry in entries]
    digests = [hashlib.sha256(image).digest() for image in images]
    return Pictures(
        images=images,
        labels=np.array([one[0] if one else -1 for one in numbers]) if names else None,
        label_names=names,
        names=tuple(entry.name for entry in entries),
        skipped=tuple(skipped),
        notes=(*said.notes, *_notes(used, labels, names, channels, settings, digests, skipped)),
        digests=np.array([list(digest[:8]) for digest in digests], np.uint8),
        fingerprint=_fingerprint(images.shape[1:], digests, labels, texts),
        texts=tuple(texts) if any(texts) else None,
        several=tuple(numbers) if any(len(one) > 1 for one in numbers) else None,
        deep=deep,
    )


def read_part(
    data: bytes, width: int, channels: int, depth: int, settings: DataSettings
) -> Images | DeepImages:
    """Read the upper part of a picture as training sees pictures: (C, height, width).

    Args:
        data: the file's bytes.
        width: what the part is scaled to.
        channels: 1, 3 or 4.
        depth: bits of a channel, 8 or 16.
        settings: for their background.

    Raises:
        BadPictureError: the file cannot be used; the text says why in a few words.
    """
    with pillow_warnings():
        picture = decode_part(data, width)
    return _as_trained(picture, channels, depth, settings)


def read_whole(
    data: bytes, channels: int, depth: int, settings: DataSettings
) -> Images | DeepImages:
    """Read one picture as training sees it: (C, H, W).

    Args:
        data: the file's bytes.
        channels: 1, 3 or 4.
        depth: bits of a channel, 8 or 16.
        settings: its size, fit and background.

    Raises:
        BadPictureError: the file cannot be used; the text says why in a few words.
    """
    with pillow_warnings():
        picture = decode(data, settings.sides, settings.fit, settings.resample)
    return _as_trained(picture, channels, depth, settings)


def _as_trained(
    picture: Picture, channels: int, depth: int, settings: DataSettings
) -> Images | DeepImages:
    background = ImageColor.getrgb(settings.background)[:3]
    image = np.ascontiguousarray(_in_channels(picture.pixels, KINDS[channels], background))
    return image if depth == 8 else _deep(picture, image)


def as_drawn(settings: DataSettings, channels: int, depth: int = 8) -> DataSettings:
    """Return the settings that load pictures with the channels, and their bits, of a model's."""
    kind = KINDS[channels] if depth == 8 else "grey16"
    return DataSettings.model_validate({**settings.model_dump(), "channels": kind})


def from_images(images: Sequence[Image.Image], channels: int) -> Images:
    """Turn pictures of one size into arrays as training sees them: uint8 (N, C, H, W).

    Args:
        images: as files hold them, so with colours that are not multiplied by alpha.
        channels: 1, 3 or 4.
    """
    mode = {1: "L", 3: "RGB", 4: "RGBa"}[channels]
    if images[0].mode.startswith("I;16"):
        arrays = [np.rint(np.asarray(one) / 257).astype(np.uint8) for one in images]
    else:
        arrays = [
            np.asarray(one.convert("RGBA").convert("RGBa") if channels == 4 else one.convert(mode))
            for one in images
        ]
    return np.ascontiguousarray(
        np.stack(arrays).reshape(len(arrays), *arrays[0].shape[:2], channels).transpose(0, 3, 1, 2)
    )


def as_numbers(digests: Images) -> npt.NDArray[np.uint64]:
    """Turn digests, (N, 8), into a number each, (N,), of the same order."""
    return np.ascontiguousarray(digests).view(">u8")[:, 0].astype(np.uint64)


def in_channels(images: Images, channels: int) -> Images:
    """Turn pictures, (N, C, H, W), into ones of more channels; these look the same."""
    if images.shape[1] == 1 and channels > 1:
        images = np.repeat(images, 3, axis=1)
    if images.shape[1] == 3 and channels == 4:
        images = np.concatenate([images, np.full_like(images[:, :1], 255)], axis=1)
    return images


def typical_side(source: str) -> int:
    """Return the median of the shorter sides of a few dozen pictures of a source, in pixels.

    Raises:
        UserError: as `load_pictures`.
    """
    sides = []
    with scan(source) as found, pillow_warnings():
        for entry in _few(found.entries):
            with suppress(BadPictureError):
                sides.append(min(open_picture(entry.read()).size))
    if not sides:
        raise UserError(f"no picture in {source} can be read", "see what the files are")
    return sorted(sides)[len(sides) // 2]


def glance(source: str, settings: DataSettings) -> tuple[int, Channels]:
    """Return how many pictures a source seems to have, and of which kind a few dozen of them are.

    As large a share as of those few is taken for broken.

    That none of those can be used is no error here: reading all will say more.

    Raises:
        UserError: the source cannot be read, or has no pictures.
    """
    with scan(source) as found, pillow_warnings():
        results = [result for _, result in _decode_all(_few(found.entries), settings)]
    pictures = [result for result in results if isinstance(result, Picture)]
    count = max(1, round(len(found.entries) * len(pictures) / len(results)))
    return count, _channels(pictures, settings)


def _few(entries: Sequence[Entry]) -> list[Entry]:
    """Return a few dozen of the files of a source, evenly spread, in its order."""
    ordered = sorted(entries, key=lambda entry: entry.position)
    return ordered[:: max(1, len(ordered) // 48)]


def _decode_all(
    entries: Iterable[Entry], settings: DataSettings
) -> Iterator[tuple[Entry, Picture | str]]:
    """Yield each entry with its picture, or with the reason why it has none, in the given order.

    One thread reads, since an archive is a single file; as many as there are processors decode.
    Only a few pictures a thread are under way, so that files never pile up in memory.
    """
    threads = os.cpu_count() or 1
    under_way: deque[tuple[Entry, Future[Picture]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for entry in entries:
            try:
                job = pool.submit(
                    decode, entry.read(), settings.sides, settings.fit, settings.resample
                )
            except BadPictureError as error:
                job = Future()
                job.set_exception(error)
            under_way.append((entry, job))
            if len(under_way) > 4 * threads:
                yield _finished(*under_way.popleft())
        while under_way:
            yield _finished(*under_way.popleft())


def _finished(entry: Entry, job: Future[Picture]) -> tuple[Entry, Picture | str]:
    try:
        return entry, job.result()
    except BadPictureError as error:
        return entry, str(error)


def _channels(pictures: Sequence[Picture], settings: DataSettings) -> Channels:
    if settings.channels != "auto":
        return settings.channels
    if 2 * sum(one.transparent for one in pictures) >= len(pictures):
        return "rgba"
    background = ImageColor.getrgb(settings.background)[:3]
    if all(one.deep is not None for one in pictures):
        return "grey16"
    flat = (_flatten(one.pixels, background) for one in pictures)
    return "grey" if all(_is_grey(image) for image in flat) else "rgb"


def _deep(picture: Picture, image: Images) -> DeepImages:
    """Return a picture of 16 bits, (1, H, W): its own, or one of 8 bits, (1, H, W), as such."""
    return image.astype(np.uint16) * 257 if picture.deep is None else picture.deep[None]


def _is_grey(image: Images) -> bool:
    """Tell whether a picture, (H, W, 3), has no colour; the rounding of a profile is no colour."""
    return bool(np.ptp(image, axis=2).max() <= 2)


def _flatten(pixels: Images, background: tuple[int, ...]) -> Images:
    """Lay premultiplied RGBA, (H, W, 4), over a colour; opaque pixels stay as they are."""
    clear = 255 - pixels[..., 3:].astype(np.uint16)
    behind = (clear * np.array(background, np.uint16) + 127) // 255
    flat: Images = (pixels[..., :3] + behind).clip(max=255).astype(np.uint8)
    return flat


def _in_channels(pixels: Images, channels: Channels, background: tuple[int, ...]) -> Images:
    """Turn premultiplied RGBA, (H, W, 4), into a training picture, (C, H, W)."""
    if channels == "rgba":
        return pixels.transpose(2, 0, 1)
    image = _flatten(pixels, background)
    if channels in ("grey", "grey16"):
        image = np.rint(image @ np.array([[0.299], [0.587], [0.114]])).astype(np.uint8)
    return image.transpose(2, 0, 1)


def _notes(
    used: Sequence[tuple[Entry, Picture]],
    labels: Sequence[tuple[str, ...]],
    names: Sequence[str],
    channels: Channels,
    settings: DataSettings,
    digests: list[bytes],
    skipped: list[Problem],
) -> Iterator[str]:
    count = len(used)
    transparent = sum(picture.transparent for _, picture in used)
    enlarged = sum(picture.enlarged for _, picture in used)
    doubles = count - len(set(digests))
    unlabelled = sum(not own for own in labels)
    if 0 < unlabelled < count:
        yield f"{unlabelled:,} of {count:,} pictures have no label"
    folds = Counter(one.casefold() for one in names)
    if alike := [one for one in names if folds[one.casefold()] > 1]:
        yield f"labels that differ in capitals only count apart: {', '.join(alike)}"
    if "none" in names:
        yield "a label is called none: --label none asks for it, and not for pictures without one"
    first, *others = sorted({entry.label for entry, _ in used})
    if unlabelled == count and settings.labels == "auto" and not first and len(others) == 1:
        yield (
            f"there are no labels, as {others[0]} is the only sub-folder: sort the pictures "
            "beside it into others, or label some by a table"
        )
    if unlabelled == count and settings.labels == "folders":
        yield "data.labels=folders: there are no labels, as pictures are not in several sub-folders"
    if transparent and channels != "rgba":
        yield (
            f"{transparent:,} of {count:,} pictures are transparent: laid over "
            f"{settings.background} (data.channels=rgba keeps it)"
        )
    if channels == "rgba" and settings.channels == "auto":
        yield (
            f"{transparent:,} of {count:,} pictures are transparent: transparency is kept "
            "(data.channels=rgb drops it)"
        )
    if enlarged:
        yield f"{enlarged:,} of {count:,} pictures are smaller than {settings.size} px: enlarged"
    if doubles:
        yield f"{doubles:,} exact {'double' if doubles == 1 else 'doubles'} kept"
    if skipped:
        files = "file" if len(skipped) == 1 else "files"
        yield f"{len(skipped):,} {files} skipped, such as {skipped[0][0]}: {skipped[0][1]}"


def _labels(
    entries: Sequence[Entry], said: captions.Said, by_folder: bool
) -> list[tuple[str, ...]]:
    """Return each picture's labels, none or more: those that are said, or that of its folder.

    Raises:
        UserError: if it has both, and they differ.
    """
    folders = {entry.label for entry in entries} - {""}
    labels = []
    for entry in entries:
        folder = entry.label if by_folder and len(folders) > 1 else ""
        own = said.labels.get(entry.name, (folder,) if folder else ())
        if folder and folder not in own:
            raise UserError(
                f"{entry.name} has two labels: its folder says {folder}, "
                f"{said.places[entry.name]} says {'; '.join(own)}",
                "--set data.labels=folders or data.labels=tables says which counts",
            )
        labels.append(own)
    names = {one for own in labels for one in own}
    # One label sets pictures apart only if others have none.
    says = len(names) > 1 or (names and not all(labels))
    return labels if says else [()] * len(labels)


def _fingerprint(
    shape: tuple[int, ...],
    digests: list[bytes],
    labels: list[tuple[str, ...]],
    texts: list[str],
) -> str:
    each = sorted(
        # Without a caption, as it was before there were any.
        hashlib.sha256(
            digest + ";".join(own).encode() + (b"\0" + text.encode() if text else b"")
        ).digest()
        for digest, own, text in zip(digests, labels, texts, strict=True)
    )
    return hashlib.sha256(repr(shape).encode() + b"".join(each)).hexdigest()


def turned(images: Images | DeepImages, turns: npt.NDArray[np.int64]) -> Images | DeepImages:
    """Return pictures as they lie after turns of their own; nothing is lost.

    Args:
        images: (B, C, H, W).
        turns: (B,), sums of 1 to mirror, 2 to turn upside down and 4, for squares only, to swap
            rows and columns, in that order.
    """
    images = images.copy()
    for bit, turn in ((1, np.fliplr), (2, np.flipud), (4, np.transpose)):
        for row in np.flatnonzero(turns & bit):
            images[row] = [turn(plane) for plane in images[row]]
    return images


def batch_indices(
    n: int,
    seed: int,
    step: int,
    batch_size: int,
    often: npt.NDArray[np.float64] | None = None,
) -> Indices:
    """Return which of `n` pictures make up the batch of a step: int64, (batch_size,).

    A pure function. Each epoch goes through all pictures in an order of its own, and batches run on
    from one epoch into the next, so `n` may be smaller than a batch and no picture is left out.

    Args:
        n: how many pictures there are.
        seed: of the training.
        step: counted from 0.
        batch_size: pictures a step.
        often: (n,), in proportion to which pictures are seen; None for all alike. An epoch has as
            many places as there are pictures, and a picture has its share of them, rounded up in
            some epochs and down in others.
    """
    places = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = range(places[0] // n, places[-1] // n + 1)
    orders = np.stack([_epoch(n, seed, int(epoch), often) for epoch in epochs])
    chosen: Indices = orders[places // n - epochs[0], places % n]
    return chosen


def _epoch(n: int, seed: int, epoch: int, often: npt.NDArray[np.float64] | None) -> Indices:
    order, offset = _order(n, seed, epoch)
    if often is None:
        return order
    # Systematic resampling: one offset for all places, so that shares are kept within one.
    ends = np.cumsum(often / often.sum())
    seen: Indices = np.searchsorted(ends[:-1], (order + offset) / n, side="right")
    return seen


@lru_cache(maxsize=4)
def _order(n: int, seed: int, epoch: int) -> tuple[Indices, float]:
    """Return a permutation of n, by sorting raw words: those NumPy will never change.

    With it comes a number in [0, 1).
    """
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(n + 1)
    return np.argsort(words[:n], kind="stable"), float(words[n] >> np.uint64(11)) / 2**53


def to_tensor(images: Images | DeepImages) -> torch.Tensor:
    """Turn uint8 or uint16 pictures, (N, C, H, W), into float32 in [-1, 1].

    They are channels last in memory. Every tensor of pictures comes from here.
    """
    import torch

    tensor = torch.from_numpy(images).to(torch.float32, memory_format=torch.channels_last)
    return tensor.div_(np.iinfo(images.dtype).max / 2).sub_(1)
