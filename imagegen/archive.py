"""Models as single files: tar archives, written and read here alone."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import IO

from imagegen import durable, presets, registry
from imagegen.errors import UserError
from imagegen.evaluate import copies

_EXPORTED = (
    "config.yaml",
    "card.md",
    "data.json",
    "metrics.jsonl",
    registry.EVALUATION,
    registry.WEIGHTS,
    f"{registry.WEIGHTS}.sha256",
    registry.INDEX,
    f"{registry.INDEX}.sha256",
)
_MAX_MEMBER = 8 << 30  # bytes of one file in an imported archive


def write(model: registry.Model, file: IO[bytes]) -> None:
    """Write a model as an uncompressed tar archive, the same bytes for the same model.

    What it stands on comes first. The training state stays behind: it is large, and of use only
    where the pictures are.

    Raises:
        UserError: if the model is damaged, or what it stands on.
    """
    registry.load(model)
    both = [model]
    settings = presets.check(model.settings()).autoencoder
    if settings is not None and (below := registry.foundation(settings)) is not None:
        both.insert(0, below)
    for one in both:
        _check_index(one)
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for one in both:
            newest = sorted(path.name for path in one.samples.glob("*.png"))[-1:]
            for part in (*_EXPORTED, *(f"samples/{name}" for name in newest)):
                path = one.path / part
                if path.is_file():
                    member = tarfile.TarInfo(f"{one.name}/{part}")
                    member.size, member.mtime = path.stat().st_size, int(path.stat().st_mtime)
                    with path.open("rb") as content:
                        archive.addfile(member, content)


def _check_index(model: registry.Model) -> None:
    """Raise UserError if a model has an index that is damaged or not its own."""
    if model.index.exists():
        copies.of(model)


def read(file: IO[bytes], name: str | None, origin: str) -> registry.Model:
    """Read an archive written by `write`. Only known members are read, and nothing is extracted.

    Args:
        file: the archive, read once from front to back.
        name: the model's new name, or None for the one in the archive.
        origin: what to call the archive in errors.

    Raises:
        UserError: if it is no such archive, is damaged, or the name is taken.
    """
    hint = "an archive comes from: imagegen models export NAME -o FILE"
    folders: dict[str, dict[str, bytes]] = {}
    trained_at: dict[str, float] = {}
    try:
        with tarfile.open(fileobj=file, mode="r|") as archive:
            for member in archive:
                folder, _, part = member.name.partition("/")
                wanted = part in _EXPORTED or re.fullmatch(r"samples/[\w-]+\.png", part)
                if not member.isfile() or not wanted or len({*folders, folder}) > 2:
                    raise UserError(f"{origin}: unexpected member {member.name!r}", hint)
                if member.size > _MAX_MEMBER:
                    raise UserError(f"{origin}: {member.name} is too large", hint)
                content = archive.extractfile(member)
                assert content is not None
                folders.setdefault(folder, {})[part] = content.read()
                if part == registry.WEIGHTS:
                    trained_at[folder] = member.mtime
    except tarfile.TarError as error:
        raise UserError(f"{origin} is no imagegen archive: {error}", hint) from None
    for parts in folders.values() or [{}]:
        for part in ("config.yaml", registry.WEIGHTS, f"{registry.WEIGHTS}.sha256"):
            if part not in parts:
                raise UserError(f"{origin} is no imagegen archive: {part} is missing", hint)

    def fill(folder: Path, inner: str) -> None:
        (folder / "samples").mkdir()
        for part, part_bytes in folders[inner].items():
            durable.write(folder / part, part_bytes)
        model = registry.Model(folder)
        try:
            presets.check(model.settings())
            registry.load(model)
            _check_index(model)
        except UserError as error:
            reason = error.message.replace(f"{folder}/", "").replace(f"model {folder.name}: ", "")
            raise UserError(f"{origin}: {reason}", hint) from None
        os.utime(model.weights, (trained_at[inner], trained_at[inner]))

    *below, last = folders
    name = name or last
    registry.check_free(name)
    new = []
    for inner in below:
        weights = folders[inner][registry.WEIGHTS]
        same = registry.with_weights(hashlib.sha256(weights).hexdigest())
        if not same:
            new.append(registry.appear(_free_name(inner, but=name), partial(fill, inner=inner)))
        elif not any(map(registry.is_whole, same)):
            durable.write_checked(same[0].weights, weights)
    try:
        return registry.appear(name, partial(fill, inner=last))
    except BaseException:
        for model in new:
            registry.remove(model)
        raise


def _free_name(name: str, but: str) -> str:
    """Return a name that no model has, and not `but`, as much like this one as can be."""
    numbers = (f"{name[:60]}-{number}" for number in count(2))
    taken = {path.name for path in registry.models_folder().glob("*")} | {but}
    return next(one for one in chain([name], numbers) if one not in taken)
