"""`imagegen generate`: seeds in, pictures out."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagegen.cli import options
from imagegen.errors import SettingsError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from imagegen import registry
    from imagegen.data.store import DeepImages, Images
    from imagegen.evaluate.copies import Index
    from imagegen.family import Family
    from imagegen.presets import Layer
    from imagegen.settings import Config, Settings

_PART = "give a picture file that holds the upper part, such as a PNG"
MAX_SEED = 2**63 - 1
MOST_REJECTED = 9
"""Copies left out for each picture wanted before there is no point in going on."""
NAMED = 5
"""Unknown words of a text that are named, at most."""


def generate(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PROMPT]", help="Text, for models that know text."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="Default: the newest.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", "-s", min=0, max=MAX_SEED, help="Of the first picture; then +1."),
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many pictures.")] = 1,
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            "-l",
            help="A label that the model knows, a mixture such as cat:0.7,dog:0.3, or none; "
            "repeatable, for pictures that are several things.",
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=0, help="How much labels and text count: the same as sample.guidance."),
    ] = None,
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            min=1,
            help="Pictures drawn before they are written, in eights; never changes one.",
        ),
    ] = 64,
    output: options.Output = None,
    grid: Annotated[
        Path | None, typer.Option("--grid", metavar="FILE.png", help="Also one sheet of all.")
    ] = None,
    reject_copies: Annotated[
        bool,
        typer.Option(
            "--reject-copies", help="Leave out copies of training pictures; later seeds step in."
        ),
    ] = False,
    part: Annotated[
        Path | None,
        typer.Option(
            "--complete",
            metavar="PART.png",
            help="The upper part of every picture: what is missing below is drawn.",
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="FILE",
            help="A picture that all are to resemble, for models with image embeddings.",
        ),
    ] = None,
    sets: options.Sets = None,
    presets: options.Presets = None,
    as_json: options.AsJson = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Draw pictures from a trained model, each one reproducible from its seed.

    The same model, seed and options give the same file, byte for byte, whatever the count or the
    batch. A pipe on stdout gets the pictures as a stream of PNG files, and a file on stdout a
    single one; otherwise they are saved and their paths printed.

    Examples:

        imagegen generate --seed 42 -n 16 --grid sheet.png
        imagegen generate -m smileys --label 3d -n 8 -o out
        imagegen generate -m digits --complete upper-half.png -n 16 --grid guesses.png
        imagegen generate -m sprites --like photo.png --set sample.embedding_noise=0.2 -n 8
        imagegen generate -n 100 --reject-copies -o out
        imagegen generate -n 24 | ffmpeg -f image2pipe -i - out.gif
    """
    from imagegen import durable, registry
    from imagegen import presets as preset_files
    from imagegen.cli import sink
    from imagegen.cli.console import emit, say
    from imagegen.images import grid as sheets
    from imagegen.images import metadata
    from imagegen.images.pixels import to_image, to_integers, to_pixels
    from imagegen.post.batch import encode_extras
    from imagegen.post.chain import build_chain

    prompt = " ".join(words) if words else None
    label = ",".join(labels) if labels else None
    found = registry.find(model)
    layer, config, sampling = _settings(found, presets, sets, guidance)
    chain = build_chain(config.postprocess)
    if print_config:
        emit(preset_files.dump(preset_files.filled(config, sample=sampling), layer).rstrip())
        return
    first = secrets.randbelow(2**32) if seed is None else seed
    if first + count - 1 > MAX_SEED:
        raise SettingsError(f"--seed {first} with -n {count} goes beyond {MAX_SEED}", "take less")

    from imagegen.device import pick_device
    from imagegen.evaluate import copies
    from imagegen.sample import tell
    from imagegen.sample.draw import draw

    family, weights = registry.load(found)
    family.check_generates()
    ask = tell.parse(family.condition, label, prompt)
    if guidance is not None and not (family.condition.can_be_asked or family.embeds):
        raise SettingsError(
            f"--guidance {guidance:g}: {found.name} was trained without labels and text",
            "leave it out",
        )
    more: dict[str, Any] = {}
    if prompt is not None:
        more["prompt"] = prompt
        _warn_of_words(family, prompt)
    known = None
    if part is not None:
        known, more["complete"] = _upper_part(part, family, config)
    resembled = None
    if like is not None:
        if part is not None:
            raise SettingsError("--like and --complete exclude each other", "give one of them")
        resembled, more["like"] = _resembled(like, family, config)
    if grid is not None:
        sink.check_file(grid, "--grid")
    index = copies.of(found) if reject_copies else None
    write = sink.choose(output, config.output.folder, single=count == 1, as_json=as_json)
    family = family.to(pick_device(config.device))

    record = partial(metadata.record, found.name, weights, config.family)
    drawn = partial(draw, family, options=sampling, asked=ask, known=known, like=resembled)
    seeds = _Seeds(found.name, first, count, batch_size)
    kept = []
    for one, picture in seeds.draw(drawn, index, family.shape[0]):
        drawn_label = ",".join(tell.settled(ask, family.condition, one).labels)
        values = record(one, label or drawn_label or None, sampling, **more)
        name = f"{found.name}-{one}"
        if len(chain):
            values["postprocess"] = chain.records
        result = chain.run(to_pixels(picture))
        for note in result.notes:
            say(f"{name}: {note}")
        data = metadata.encode(to_integers(result.pixels), values)
        path = write(data, name)
        extras = encode_extras(result.extras, values)
        beside = sink.beside(path or Path(config.output.folder) / f"{name}.png", extras)
        reports = sink.reported(chain, name, result.reports)
        about = {
            "seed": one,
            "model": found.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "reports": result.reports,
        }
        sink.tell(path, beside, reports, about if as_json else None)
        if grid is not None:
            kept.append(to_image(result.pixels))
    if grid is not None:
        values = record(None, label, sampling, **more)
        values["seeds"] = [first, seeds.upcoming - 1]
        if seeds.rejected:
            values["rejected"] = seeds.rejected
        durable.write(grid, metadata.encode(sheets.sheet(kept), values))
        say(f"sheet: {grid}")
    if left_out := seeds.rejected:
        names = ", ".join(map(str, left_out[:8])) + (", ..." if left_out[8:] else "")
        say(f"{len(left_out)} copies of training pictures left out: seed {names}")


def _settings(
    model: registry.Model,
    presets: list[str] | None,
    sets: list[str] | None,
    guidance: float | None,
) -> tuple[Layer, Config, Settings]:
    """Return the settings to draw with: all in a layer, checked, and those of its sampling."""
    from imagegen import presets as preset_files
    from imagegen.families import FAMILIES

    base = model.settings()
    base.values.pop("device", None)  # that of the machine it was trained on
    layer = preset_files.resolve(
        presets or [],
        sets or [],
        {"--guidance": ("sample.guidance", guidance)},
        base=base,
        sections=("sample", "postprocess", "output", "device"),
    )
    config = preset_files.check(layer)
    trained = preset_files.check(base).family
    if config.family != trained:
        raise SettingsError(
            f"{layer.origin(('family',))}: family {config.family}, but model {model.name} "
            f"is of family {trained}"
        )
    kind = FAMILIES[config.family].Sampling
    if guidance is not None and "guidance" not in kind.model_fields:
        able = [name for name, one in FAMILIES.items() if "guidance" in one.Sampling.model_fields]
        raise SettingsError(
            f"--guidance {guidance:g}: {model.name} is of family {config.family}, which has none",
            f"leave it out; it is for {', '.join(able)}",
        )
    return layer, config, preset_files.check_section(kind, "sample", layer)


@dataclass
class _Seeds:
    """The seeds of the pictures that are wanted, and of the copies that are not.

    Attributes:
        model: the name of what draws them.
        upcoming: the seed that would be drawn next; at first that of the first picture.
        count: how many pictures are wanted.
        batch: how many are drawn before they are given, at least.
        rejected: seeds of copies.
    """

    model: str
    upcoming: int
    count: int
    batch: int
    rejected: list[int] = field(default_factory=list)

    def draw(
        self,
        drawn: Callable[[range], Iterable[tuple[int, Image]]],
        index: Index | None,
        channels: int,
    ) -> Iterator[tuple[int, Image]]:
        """Yield each seed and its picture.

        Args:
            drawn: what draws a picture a seed.
            index: what knows training pictures, to leave out copies; later seeds step in.
            channels: of the pictures.

        Raises:
            UserError: if there is little but copies.
        """
        from imagegen.data.store import from_images
        from imagegen.sample.draw import BATCH

        first, made = self.upcoming, 0
        held = math.ceil(self.batch / BATCH) * BATCH
        while made < self.count:
            seeds = range(self.upcoming, self.upcoming + min(held, self.count - made))
            self.upcoming = seeds.stop
            batch = list(drawn(seeds))
            if index is not None:
                arrays = from_images([picture for _, picture in batch], channels)
                copied = index.copies(index.nearest(arrays)[0])
                self.rejected += [one for one, copy in zip(seeds, copied, strict=True) if copy]
                batch = [(one, picture) for one, picture in batch if one not in self.rejected]
            made += len(batch)
            if len(self.rejected) > MOST_REJECTED * self.count + BATCH:
                raise UserError(
                    f"model {self.model} draws little but copies: {len(self.rejected)} of "
                    f"{self.upcoming - first} pictures, and {made} that are not",
                    f"see how it stands: imagegen evaluate {self.model}",
                )
            yield from batch


def _warn_of_words(family: Family, prompt: str) -> None:
    """Name the words that the model does not know, and the nearest ones it does."""
    from imagegen.cli import console
    from imagegen.data.words import LONGEST_WORD, TOKENS

    words = family.condition.vocabulary
    assert words is not None
    unknown = words.unknown(prompt)
    for word in unknown[:NAMED]:
        near = words.near(word)
        also = f"; known are {', '.join(near)}" if near else ""
        short = f"{word[:LONGEST_WORD]}..." if len(word) > LONGEST_WORD else word
        read = "read in pieces" if words.tokens(word) else "left out, for it knows no letter of it"
        console.say(f"warning: '{short}' is not a word it knows: {read}{also}")
    if len(unknown) > NAMED:
        console.say(f"warning: nor are {len(unknown) - NAMED:,} others")
    if words.is_cut(prompt):
        console.say(f"warning: the text is long: only its first {TOKENS} words and pieces count")


def _upper_part(path: Path, family: Family, config: Config) -> tuple[Images | DeepImages, str]:
    """Read what `--complete` names, at the model's width; return it and the sha256 of the file.

    Raises:
        SettingsError: if this family can't complete, or there is nothing to complete.
        UserError: if the file can't be read.
    """
    from imagegen.data.store import read_part
    from imagegen.families import FAMILIES

    if not family.completes:
        able = ", ".join(name for name, kind in FAMILIES.items() if kind.completes)
        raise SettingsError(
            f"--complete: a model of family {config.family} can't complete pictures",
            f"these can: {able}",
        )
    channels, height, width = family.shape
    known, digest = _read_picture(
        "--complete",
        path,
        lambda data: read_part(data, width, channels, family.depth, config.data),
        _PART,
    )
    if known.shape[1] >= height:
        raise SettingsError(
            f"--complete {path}: at the model's width it is {width}x{known.shape[1]} pixels, and "
            f"pictures are {width}x{height}: nothing is missing",
            _PART,
        )
    return known, digest


def _resembled(path: Path, family: Family, config: Config) -> tuple[Images | DeepImages, str]:
    """Read what `--like` names, as training would; return it and the sha256 of the file.

    Raises:
        SettingsError: if this model has no image embeddings.
        UserError: if the file can't be read.
    """
    from imagegen.data.store import read_whole

    if not family.embeds:
        raise SettingsError(
            "--like: this model was trained without image embeddings",
            "train one with them: --preset latent-flow --set model.embedding=efficientnet "
            "--set autoencoder.name=builtin:codec",
        )
    return _read_picture(
        "--like",
        path,
        lambda data: read_whole(data, family.shape[0], family.depth, config.data),
        "give a picture file, such as a PNG",
    )


def _read_picture(
    flag: str, path: Path, decode: Callable[[bytes], Images | DeepImages], hint: str
) -> tuple[Images | DeepImages, str]:
    """Read the picture file that a flag names; return what is decoded, and the file's sha256.

    Raises:
        UserError: if the file can't be read or is no picture.
    """
    from imagegen.images.reading import BadPictureError

    try:
        data = path.read_bytes()
        return decode(data), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise UserError(f"{flag}: cannot read {path}: {error.strerror}", hint) from None
    except BadPictureError as error:
        raise UserError(f"{flag}: cannot read {path}: {error}", hint) from None
