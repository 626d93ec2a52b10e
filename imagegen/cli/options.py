"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from typing import Annotated

import typer

Presets = Annotated[
    list[str] | None,
    typer.Option(
        "--preset", "-p", metavar="NAME|FILE", help="Settings by name or file; repeatable."
    ),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=VALUE", help="One setting; repeatable."),
]
Features = Annotated[
    str,
    typer.Option(
        "--features",
        metavar="auto|efficientnet|resnet|own",
        help="Feature network that decides, beside a second one; auto: efficientnet for colour, "
        "if installed, else a network of the pictures' own.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
PrintConfig = Annotated[
    bool,
    typer.Option("--print-config", help="Print every setting and its origin, as a preset; stop."),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DIR|FILE.png|-", help="Where to; - streams PNGs to stdout."
    ),
]
