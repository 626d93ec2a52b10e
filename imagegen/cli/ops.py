"""`imagegen ops`: what post-processing can do."""

from __future__ import annotations

from typing import Annotated

import typer

from imagegen.cli import options


def ops(
    name: Annotated[str | None, typer.Argument(help="An operation, to see its settings.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the operations of `postprocess`, or show one with its settings and an example.

    Examples:

        imagegen ops
        imagegen ops sharpen
    """
    from imagegen.cli.console import emit, emit_json
    from imagegen.post.operations import OPERATIONS

    chosen = [OPERATIONS[name]] if name else sorted(OPERATIONS.values(), key=lambda op: op.name)
    if as_json:
        for op in chosen:
            settings = [
                {"name": s.name, "type": s.type, "default": s.default, "help": s.help}
                for s in op.settings
            ]
            emit_json(
                {"name": op.name, "kind": op.kind, "summary": op.summary, "settings": settings}
            )
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
    for setting in op.settings:
        bounds = f", {setting.range}" if setting.range else ""
        emit(f"  {setting.name} ({setting.type}{bounds}; default {setting.default})")
        emit(f"      {setting.help}")
    emit(f"example: {op.example}")
