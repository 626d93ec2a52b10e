"""`imagegen presets`: settings by name."""

from __future__ import annotations

from typing import Annotated

import typer

from imagegen.cli import options
from imagegen.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Settings by name: list them, show one.")


@app.command("ls")
def list_presets(as_json: options.AsJson = False) -> None:
    """List all presets: your own, and the ones that came with imagegen."""
    from imagegen import presets
    from imagegen.cli.console import emit, emit_json

    rows = []
    for name in presets.names():
        path = presets.find(name)
        try:
            about = str(presets.load(path).values.get("description", ""))
        except UserError as error:
            about = f"can't be used: {error.message}"
        rows.append({"name": name, "description": about, "path": str(path)})
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        if as_json:
            emit_json(row)
        else:
            emit(f"{row['name']:<{width}}  {row['description']}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A preset's name or file.")],
    as_json: options.AsJson = False,
) -> None:
    """Print a preset with all that it extends, every default filled in, and where each is from.

    Example:

        imagegen presets show gan
    """
    from imagegen import presets
    from imagegen.cli.console import emit, emit_json
    from imagegen.families import FAMILIES
    from imagegen.post.chain import build_chain

    layer = presets.resolve([name])
    full = presets.check(layer)
    build_chain(full.postprocess)
    if full.family != "auto":
        kind = FAMILIES[full.family]
        full = presets.filled(
            full,
            model=presets.check_section(kind.Model, "model", layer),
            sample=presets.check_section(kind.Sampling, "sample", layer),
        )
    if as_json:
        emit_json(full.model_dump(mode="json"))
    else:
        emit(presets.dump(full, layer).rstrip())
