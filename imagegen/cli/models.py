"""`imagegen models`: what you have trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from imagegen import registry
from imagegen.cli import options
from imagegen.cli.watch import watch
from imagegen.errors import SettingsError, UserError

app = typer.Typer(
    no_args_is_help=True,
    help="What you have trained: list, show, watch, copy, move in and out, remove.",
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")]


@app.command("ls")
def list_models(as_json: options.AsJson = False) -> None:
    """List all models, the newest trained first."""
    from imagegen.cli.console import emit, emit_json, say

    rows = sorted(map(_row, registry.models()), key=lambda row: row["trained"] or "", reverse=True)
    if as_json:
        for row in rows:
            emit_json(row)
        return
    if not rows:
        say("no models yet; train one: imagegen train sample:smileys")
        return
    table = [("NAME", "FAMILY", "SIZE", "LABELS", "WORDS", "STEPS", "DISK", "TRAINED")]
    table += [
        (
            row["name"],
            row["family"] or "?",
            "x".join(map(str, reversed(row["shape"][1:]))) if row["shape"] else "?",
            str(len(row["labels"])),
            str(row["words"]),
            str(row["step"]),
            f"{row['bytes'] / 1e6:.1f} MB",
            (row["trained"] or row["problem"])[:16].replace("T", " "),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        emit("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip())


def _row(model: registry.Model) -> dict[str, Any]:
    from datetime import UTC, datetime

    row: dict[str, Any] = {
        "name": model.name,
        "family": None,
        "shape": None,
        "labels": [],
        "words": 0,
        "step": 0,
        "bytes": model.size(),
        "trained": None,
        "problem": None,
        "path": str(model.path),
    }
    try:
        row["family"] = model.settings().values.get("family")
        if not model.weights.is_file():
            return row | {"problem": "no weights yet"}
        header = model.header()
        seconds = int(model.weights.stat().st_mtime)
        row["trained"] = datetime.fromtimestamp(seconds, UTC).isoformat()
        row["words"] = registry.known_words(header)
        return row | {key: header.get(key, row[key]) for key in ("shape", "labels", "step")}
    except UserError as error:
        return row | {"problem": error.message}


@app.command()
def show(
    name: Name,
    words: Annotated[
        bool, typer.Option("--words", help="List the words it understands, with their counts.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print what a model is: its card, or all that is known of it as JSON."""
    from imagegen.cli.console import emit, emit_json

    model = registry.find(name)
    if words:
        vocabulary = model.header().get("vocabulary")
        if vocabulary is None:
            raise SettingsError(
                f"model {model.name} was trained without text",
                "captions come from NAME.txt beside NAME.png, or from a table",
            )
        if as_json:
            emit_json({"words": dict(vocabulary["words"])})
            return
        for word, count in vocabulary["words"]:
            emit(f"{count:>7,}  {word}")
        return
    if as_json:
        emit_json(_row(model) | {"config": model.settings().values, "data": registry.data(model)})
        return
    card = model.path / "card.md"
    if not card.is_file():
        raise UserError(
            f"model {name} is not trained yet", f"go on with: imagegen train --resume {name}"
        )
    emit(card.read_text(encoding="utf-8").rstrip())


app.command()(watch)


@app.command()
def rm(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Models to delete.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Delete models, after asking."""
    from imagegen.cli.console import emit_json, is_terminal, say

    found = [registry.find(name) for name in dict.fromkeys(names)]
    for model in found:  # nothing is deleted if one of them can't be
        registry.check_removable(model, names)
    for model in sorted(found, key=lambda model: len(registry.standing_on(model))):
        if not yes:
            if not is_terminal(0):
                raise SettingsError(
                    f"nobody to ask whether to delete {model.name}", "add --yes to delete it"
                )
            if not typer.confirm(f"delete {model.name} ({model.size() / 1e6:.1f} MB)?", err=True):
                continue
        registry.remove(model)
        if as_json:
            emit_json({"removed": model.name})
        else:
            say(f"deleted {model.name}")


@app.command()
def cp(
    name: Name,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The copy's name.")],
    as_json: options.AsJson = False,
) -> None:
    """Copy a model under a new name, with all that training needs to go on."""
    _arrived(registry.copy(registry.find(name), new), as_json)


@app.command()
def export(
    name: Name,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE.tar|-", help="Default: NAME.tar")
    ] = "",
    as_json: options.AsJson = False,
) -> None:
    """Write a model as one file, to be imported elsewhere.

    Example:

        imagegen models export smileys -o - | ssh there imagegen models import -
    """
    import io

    from imagegen import archive, durable
    from imagegen.cli import console

    model = registry.find(name)
    if output == "-" and console.is_terminal(1):
        raise SettingsError("an archive is not written to a terminal", "use -o FILE.tar")
    if output == "-" and as_json:
        raise SettingsError("--json and -o - both want stdout", "use -o FILE.tar with --json")
    data = io.BytesIO()
    archive.write(model, data)
    if output == "-":
        console.write_all(console.private_stdout(), data.getvalue())
        return
    path = Path(output or f"{name}.tar")
    durable.write(path, data.getvalue())
    if as_json:
        console.emit_json({"exported": model.name, "path": str(path)})
    else:
        console.emit(str(path))


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE.tar|-", help="What `export` wrote.")],
    name: Annotated[str | None, typer.Option("--name", help="Instead of its own name.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Take in a model that was exported elsewhere. Nothing in the archive is run."""
    import sys

    from imagegen import archive

    if file == "-":
        model = archive.read(sys.stdin.buffer, name, "stdin")
    else:
        with Path(file).open("rb") as data:
            model = archive.read(data, name, file)
    _arrived(model, as_json)


@app.command()
def path(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: the folder of all.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Print where a model is."""
    from imagegen.cli.console import emit, emit_json

    folder = registry.find(name).path if name else registry.models_folder()
    if as_json:
        emit_json({"path": str(folder)})
    else:
        emit(str(folder))


def _arrived(model: registry.Model, as_json: bool) -> None:
    from imagegen.cli.console import emit_json, say

    if as_json:
        emit_json(_row(model))
    else:
        say(f"made {model.name}; draw with it: imagegen generate -m {model.name}")
