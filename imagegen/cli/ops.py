"""`imagegen ops`: what post-processing can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagegen.cli import options
from imagegen.errors import SettingsError, UserError

if TYPE_CHECKING:
    from PIL import Image

    from imagegen.post.operations import Operation, Setting


def ops(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME[:KEY=VAL,...]]",
            help="An operation, to see its settings; with values of your own for --preview.",
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Make a picture of before and after.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="What to preview on; else a drawn scene."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.png", help="Where the preview goes."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the operations of `postprocess`, or show one with its settings and an example.

    Examples:

        imagegen ops
        imagegen ops sharpen
        imagegen ops sharpen --preview -o sharpen.png
        imagegen ops lut:file=film.cube --preview --picture photo.png
        imagegen ops --json | jq -r .name
    """
    from imagegen.cli.console import emit, emit_json
    from imagegen.post.operations import OPERATIONS

    if preview:
        if name is None:
            raise SettingsError("--preview of which operation?", "imagegen ops sharpen --preview")
        emit(str(_preview(name, picture, output)))
        return
    if name is not None and ":" in name:
        raise SettingsError("values go with --preview", f"imagegen ops {name} --preview")
    for flag, value in [("--picture", picture), ("-o", output)]:
        if value is not None:
            raise SettingsError(f"{flag} goes with --preview", "imagegen ops sharpen --preview")
    chosen = [OPERATIONS[name]] if name else sorted(OPERATIONS.values(), key=lambda op: op.name)
    if as_json:
        for op in chosen:
            emit_json(_described(op))
        return
    if not name:
        width = max(len(op.name) for op in chosen)
        for kind in sorted({op.kind for op in chosen}):
            emit(f"{kind}:")
            for op in chosen:
                if op.kind == kind:
                    emit(f"  {op.name:<{width}}  {op.summary}")
        return
    (op,) = chosen
    emit(f"{op.name} ({op.kind}): {op.summary}")
    if op.about:
        emit(op.about)
    for setting in op.settings:
        bounds = f", {setting.range}" if setting.range else ""
        emit(f"  {setting.name} ({setting.type}{bounds}; {_default(setting)})")
        emit(f"      {setting.help}")
    emit(f"example: {op.example}")
    emit(f"see it:  imagegen ops {op.name} --preview")


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    return "optional" if setting.default is None else f"default {setting.default}"


def _described(op: Operation) -> dict[str, Any]:
    settings = [
        {
            "name": s.name,
            "type": s.type,
            "range": s.range,
            "default": s.default,
            "required": s.required,
            "help": s.help,
        }
        for s in op.settings
    ]
    return {
        "name": op.name,
        "kind": op.kind,
        "summary": op.summary,
        "about": op.about,
        "settings": settings,
        "example": op.example,
    }


def _preview(step: str, file: Path | None, output: Path | None) -> Path:
    """Run a step, or an operation's own example, on a picture, and lay the result beside it."""
    import shlex

    from imagegen.cli import sink
    from imagegen.images import files, grid, metadata
    from imagegen.images.pixels import to_image
    from imagegen.images.reading import BadPictureError
    from imagegen.images.scene import scene
    from imagegen.post.chain import build_chain
    from imagegen.post.operations import OPERATIONS

    name, colon, _ = step.partition(":")
    op = OPERATIONS[name]
    steps = step if colon else op.steps
    words = [step] if colon else shlex.split(f"--op {op.steps}")
    try:
        chain = build_chain([word for word in words if word != "--op"])
    except SettingsError as error:
        if colon:
            raise
        raise SettingsError(
            f"the example needs what is not here: {error.message}",
            f"give your own: imagegen ops '{name}:KEY=VAL' --preview",
        ) from None
    if output is not None:
        sink.check_file(output, "-o")
    try:
        before = scene() if file is None else to_image(files.read(file.read_bytes()).pixels)
        after = chain(before)
    except BadPictureError as error:
        raise UserError(f"{file or op.name}: {error}", error.hint) from None
    data = metadata.encode(grid.sheet(_same_height([before, after])), {"preview": steps})
    if output is None:
        return sink.place(Path("outputs") / f"{op.name}-preview.png", data)
    from imagegen import durable

    durable.write(output, data)
    return output


def _same_height(pictures: list[Image.Image]) -> list[Image.Image]:
    """Shrink what is larger than the first picture, so that both can be seen."""
    limit = max(pictures[0].size)
    for picture in pictures[1:]:
        picture.thumbnail((limit, limit))
    return pictures
