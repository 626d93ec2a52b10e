"""Train the ResNet whose features `imagegen evaluate` compares beside those of EfficientNet-Lite0.

    python -m recipes.general.judge COLLECTION.zip OUT --minutes 60

The collection is a zip of PNG files with a metadata.csv (file_name, text, label). From a picture
the network predicts the words of its caption, its label, and the kind and strength of a corruption
that half of the pictures go through; without the last, it would learn to overlook flaws. Started
again with the same command, it resumes from the last saved state. OUT gets resnet.safetensors with
its sha256 beside it, for imagegen/evaluate/extractors/, and log.jsonl.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from imagegen import durable
from imagegen.data import words
from imagegen.data.store import batch_indices
from imagegen.evaluate.extractors.resnet import SIDE, WIDTHS, ConvNorm, ResNet
from imagegen.nn.efficientnet import GREY
from imagegen.train.muon import Muon
from recipes.general.corruptions import CORRUPTIONS, Image, Rng, corrupt

BATCH = 64
RATE = 4e-3
WARMUP = 0.02
SMALL = 32
SMALL_SHARE = 0.6
"""Share of the time, at first, in which pictures have SMALL pixels: a step takes a fourth of the
time, and what is learned there holds for larger ones."""
WORDS = 2000
"""Most frequent words of the captions that are predicted."""
LEAST = 5
"""Captions that such a word is in, at least."""
HELD_OUT = 0.02
"""Share of the pictures that is not trained on."""
VALIDATION = 3000
"""Held-out pictures that are used, at most."""
SAVE_EVERY = 120
"""Seconds between two saved states."""
KINDS = tuple(CORRUPTIONS)


@dataclass(frozen=True)
class Row:
    """One picture of the collection, with the indices of its words and of its label."""

    name: str
    words: tuple[int, ...]
    label: int


class Collection:
    """The pictures of a zip with a metadata.csv, decoded when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        with self._zip.open("metadata.csv") as file:
            table = list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))
        counts = Counter(word for row in table for word in set(words.split(row["text"])))
        frequent = [word for word, count in counts.most_common(WORDS) if count >= LEAST]
        self.words = tuple(frequent)
        self.labels = tuple(sorted({row["label"] for row in table}))
        # The square root keeps words that are in thousands of captions from outweighing the rest.
        self.word_weights = torch.tensor([counts[word] ** -0.5 for word in frequent])
        numbers = {word: number for number, word in enumerate(frequent)}
        labels = {label: number for number, label in enumerate(self.labels)}
        self.training: list[Row] = []
        self.held_out: list[Row] = []
        for row in table:
            known = {numbers[word] for word in words.split(row["text"]) if word in numbers}
            entry = Row(row["file_name"], tuple(sorted(known)), labels[row["label"]])
            digest = hashlib.sha256(entry.name.encode()).digest()
            held = int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32
            (self.held_out if held else self.training).append(entry)
        self.held_out = self.held_out[:: max(1, len(self.held_out) // VALIDATION)][:VALIDATION]

    def image(self, row: Row) -> Image:
        """Return a picture as RGBA, (H, W, 4)."""
        encoded = np.frombuffer(self._zip.read(row.name), np.uint8)
        image = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
        if image.ndim == 2:
            return cv2.cvtColor(image, cv2.COLOR_GRAY2RGBA)
        code = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGBA
        return cv2.cvtColor(image, code)


class Batch(NamedTuple):
    """Pictures, float32 (N, 3, H, W) in [0, 255], and what is to be predicted of them.

    `words` is a distribution over the words of each caption, (N, W), all zero if it has none;
    `kinds`, (N,), the index of a corruption + 1, or 0; `strengths`, (N,), in [0, 1].
    """

    images: Tensor
    words: Tensor
    labels: Tensor
    kinds: Tensor
    strengths: Tensor


def batch(
    collection: Collection,
    rows: list[Row],
    rng: Rng,
    augment: bool = False,
    flaws: bool = False,
    side: int = SIDE,
) -> Batch:
    """Decode pictures, augment and corrupt them as asked for, and scale them to a side."""
    images, kinds, strengths = [], [], []
    for row in rows:
        image = over_background(collection.image(row), rng if augment else None)
        if augment:
            image = augmented(image, rng)
        kind, strength = 0, 0.0
        if flaws and rng.random() < 0.5:
            kind, strength = int(rng.integers(len(KINDS))) + 1, float(rng.random())
            image = corrupt(image, KINDS[kind - 1], strength, rng)
        if image.shape[:2] != (side, side):
            method = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
            image = cv2.resize(image, (side, side), interpolation=method)
        images.append(image)
        kinds.append(kind)
        strengths.append(strength)
    targets = torch.zeros(len(rows), len(collection.words))
    for number, row in enumerate(rows):
        chosen = list(row.words)
        targets[number, chosen] = collection.word_weights[chosen]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)  # channels last in memory
    return Batch(
        pixels.float(),
        targets / targets.sum(1, keepdim=True).clamp_min(1e-9),
        torch.tensor([row.label for row in rows]),
        torch.tensor(kinds),
        torch.tensor(strengths),
    )


def over_background(image: Image, rng: Rng | None) -> Image:
    """Lay RGBA on the grey of feature extraction; for training half of the time on any colour."""
    color = np.full(3, GREY, np.float32)
    if rng is not None and rng.random() < 0.5:
        color = rng.uniform(0, 255, 3).astype(np.float32)
    alpha = image[:, :, 3:].astype(np.float32) / 255
    mixed = image[:, :, :3] * alpha + color * (1 - alpha)
    return mixed.round().astype(np.uint8)


def augmented(image: Image, rng: Rng) -> Image:
    """Flip, shift and recolour a picture, and sometimes reduce it to fewer pixels.

    Nothing is interpolated otherwise: that would blur, and blur is something to be noticed.
    """
    if rng.random() < 0.5:
        image = image[:, ::-1]
    across, down = rng.integers(-6, 7, 2).tolist()
    matrix = np.array([[1, 0, across], [0, 1, down]], np.float32)
    size = image.shape[1], image.shape[0]
    image = cv2.warpAffine(image, matrix, size, flags=0, borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.3:
        gain, offset = rng.uniform(0.88, 1.12, 3), rng.uniform(-12, 12)
        image = (image * gain + offset).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        side = int(rng.integers(24, 49))
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(image)


class Trained(nn.Module):
    """The feature network, with batch normalisation, and linear predictions from its features."""

    def __init__(self, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.network = ResNet(nn.BatchNorm2d).to(memory_format=torch.channels_last)
        self.standardize = nn.BatchNorm1d(sum(WIDTHS), affine=False)
        self.words = nn.Linear(sum(WIDTHS), vocabulary)
        self.labels = nn.Linear(sum(WIDTHS), labels)
        self.kinds = nn.Linear(sum(WIDTHS), len(KINDS) + 1)
        self.strengths = nn.Linear(sum(WIDTHS), len(KINDS))

    def features(self, images: Tensor) -> Tensor:
        """Return (N, F) of pictures (N, 3, H, W), standardised over the batch."""
        features: Tensor = self.standardize(self.network(images))
        return features

    def losses(self, one: Batch) -> dict[str, Tensor]:
        """Return the loss of each prediction, a scalar each."""
        x = self.features(one.images)
        flawed = torch.nonzero(one.kinds).squeeze(1)
        strengths = self.strengths(x[flawed]).gather(1, one.kinds[flawed, None] - 1).squeeze(1)
        errors = (strengths - one.strengths[flawed]).square()
        return {
            "words": -(F.log_softmax(self.words(x), 1) * one.words).sum(1).mean(),
            "labels": F.cross_entropy(self.labels(x), one.labels),
            "kinds": F.cross_entropy(self.kinds(x), one.kinds),
            "strengths": 5 * errors.sum() / max(1, len(flawed)),
        }


@torch.no_grad()
def validate(model: Trained, collection: Collection) -> dict[str, float]:
    """Return accuracies on held-out pictures, in [0, 1].

    `words` is how often the likeliest word is in the caption, `words5` one of the likeliest five;
    of corrupted pictures, half of them, `kinds` is how often the corruption is recognised.
    """
    model.eval()
    hits: dict[str, list[Tensor]] = {}
    for flaws in (False, True):
        rng = np.random.Generator(np.random.Philox(key=1))
        for start in range(0, len(collection.held_out), BATCH):
            rows = collection.held_out[start : start + BATCH]
            one = batch(collection, rows, rng, flaws=flaws)
            x = model.features(one.images)
            if flaws:
                hits.setdefault("kinds", []).append(model.kinds(x).argmax(1) == one.kinds)
                continue
            told = one.words.any(1)
            best = model.words(x).topk(5, dim=1).indices
            found = one.words.gather(1, best)[told] > 0
            hits.setdefault("words", []).append(found[:, 0])
            hits.setdefault("words5", []).append(found.any(1))
            hits.setdefault("labels", []).append(model.labels(x).argmax(1) == one.labels)
    model.train()
    return {name: torch.cat(parts).float().mean().item() for name, parts in hits.items()}


def exported(model: Trained) -> ResNet:
    """Return the network for inference, its normalisations folded into the convolutions."""
    network = ResNet()
    pairs = zip(_convolutions(model.network), _convolutions(network), strict=True)
    for trained, folded in pairs:
        assert isinstance(trained.norm, nn.BatchNorm2d)
        fused = fuse_conv_bn_eval(trained.conv.eval(), trained.norm.eval())
        folded.conv.load_state_dict(fused.state_dict())
    model.train()
    return network


def _convolutions(network: ResNet) -> list[ConvNorm]:
    return [one for one in network.modules() if isinstance(one, ConvNorm)]


def write_weights(network: ResNet, path: Path, origin: dict[str, object]) -> None:
    """Write the weights as float16, with their origin in the header and the sha256 beside them."""
    state = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    durable.write_checked(path, save(state, {"imagegen": json.dumps(origin)}))


class Run:
    """A training that can be interrupted: model, optimiser, steps done and seconds spent."""

    def __init__(self, collection: Collection, out: Path, minutes: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.collection, self.out, self.seed = collection, out, seed
        self.model = Trained(len(collection.words), len(collection.labels))
        self.optimizer = Muon(self.model, RATE, (0.9, 0.99))
        self.total = 60 * minutes
        self.step, self.seconds = 0, 0.0

    @property
    def state_path(self) -> Path:
        """The file of the saved state."""
        return self.out / "state.safetensors"

    def save(self) -> None:
        """Write the state, atomically."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for number, values in self.optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{number}.{name}": value for name, value in values.items()}
        header = json.dumps({"step": self.step, "seconds": self.seconds})
        contiguous = {name: value.contiguous() for name, value in state.items()}
        durable.write_checked(self.state_path, save(contiguous, {"judge": header}))

    def resume(self) -> None:
        """Continue from the saved state, if there is one."""
        if not self.state_path.is_file():
            return
        data, _ = durable.read_checked(self.state_path)
        size = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["judge"])
        self.step, self.seconds = header["step"], header["seconds"]
        model, optimizer = {}, {}
        for name, value in load(data).items():
            part, _, rest = name.partition(".")
            if part == "model":
                model[rest] = value
            else:
                number, _, key = rest.partition(".")
                optimizer.setdefault(int(number), {})[key] = value
        self.model.load_state_dict(model)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": optimizer, "param_groups": groups})
        print(f"resumed at step {self.step:,}, {self.seconds / 60:.1f} minutes", flush=True)

    def train(self) -> None:
        """Train until the time is over; the learning rate falls to zero by then."""
        started = time.monotonic() - self.seconds
        saved = self.seconds
        sums: Counter[str] = Counter()
        while self.seconds < self.total:
            losses = self._advance()
            self.seconds = time.monotonic() - started
            sums.update({name: value.item() for name, value in losses.items()})
            if self.step % 50 == 0:
                self.log({name: value / 50 for name, value in sums.items()})
                sums.clear()
            if self.seconds - saved > SAVE_EVERY or self.seconds >= self.total:
                self.save()
                saved = self.seconds

    def _advance(self) -> dict[str, Tensor]:
        rows = self.collection.training
        chosen = batch_indices(len(rows), self.seed, self.step, BATCH)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, self.step]))
        progress = self.seconds / self.total
        side = SMALL if progress < SMALL_SHARE else SIDE
        one = batch(self.collection, [rows[index] for index in chosen], rng, True, True, side)
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(progress / WARMUP + 0.02, 1 - progress, 1)
        losses = self.model.losses(one)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        self.optimizer.step()
        self.step += 1
        return losses

    def log(self, numbers: dict[str, float]) -> None:
        """Print numbers, and append them to log.jsonl."""
        rounded = {name: round(value, 4) for name, value in numbers.items()}
        record = {"step": self.step, "seconds": round(self.seconds), **rounded}
        durable.append(self.out / "log.jsonl", json.dumps(record))
        print(json.dumps(record), flush=True)

    def finish(self) -> None:
        """Validate, and write the weights for the package."""
        accuracies = validate(self.model, self.collection)
        self.log({f"held_out_{name}": value for name, value in accuracies.items()})
        origin: dict[str, object] = {
            "pictures": len(self.collection.training),
            "words": len(self.collection.words),
            "labels": len(self.collection.labels),
            "steps": self.step,
            "minutes": round(self.seconds / 60, 1),
            "held_out": {name: round(value, 4) for name, value in accuracies.items()},
        }
        network = exported(self.model)
        write_weights(network, self.out / "resnet.safetensors", origin)
        print(json.dumps(origin), flush=True)


def main() -> None:
    """Train, and write the weights."""
    parser = argparse.ArgumentParser(description="Train the second judge of imagegen evaluate.")
    parser.add_argument("collection", type=Path, metavar="COLLECTION.zip")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--minutes", type=float, default=60, help="training time in all")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    run = Run(Collection(given.collection), given.out, given.minutes, given.seed)
    run.resume()
    run.train()
    run.finish()


if __name__ == "__main__":
    main()
