"""`imagegen report`: a model's pictures, numbers and origin on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imagegen.cli import options
from imagegen.errors import SettingsError


def report(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Default: the newest.")
    ] = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE.html|-", help="Default: MODEL-report.html"),
    ] = "",
    training_pictures: Annotated[
        bool,
        typer.Option(
            "--training-pictures", help="Also show training pictures, which may be private."
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write one HTML page about a model: its pictures, how good, varied and original they are.

    The page holds all it shows, and opens without a network. Numbers are those that `imagegen
    evaluate` measured; what was not measured, the page says. Training pictures are shown only with
    --training-pictures; they may be private.

    Examples:

        imagegen report smileys
        imagegen report smileys -o out/smileys.html --training-pictures
    """
    from imagegen import durable, registry
    from imagegen.cli import console

    found = registry.find(model)
    if output == "-" and console.is_terminal(1):
        raise SettingsError("a page is not written to a terminal", "use -o FILE.html")
    if output == "-" and as_json:
        raise SettingsError("--json and -o - both want stdout", "use -o FILE.html with --json")
    target = Path(output or f"{found.name}-report.html")
    if output != "-":
        check_page(target)

    from imagegen.evaluate import report as reports

    made = reports.make(found, training_pictures)
    for warning in made.warnings:
        console.say(f"warning: {warning}")
    if made.facts.state in ("missing", "damaged"):
        console.say(f"{found.name} is not measured; measure it: imagegen evaluate {found.name}")
    data = made.html.encode("utf-8", "replace")
    if output == "-":
        console.write_all(console.private_stdout(), data)
        return
    durable.write(target, data)
    if as_json:
        console.emit_json(
            {
                "path": str(target),
                "model": found.name,
                "weights": made.facts.weights,
                "evaluation": made.facts.state,
                "warnings": made.warnings,
            }
        )
    else:
        console.emit(str(target))


def check_page(target: Path) -> None:
    """Make sure that the page can be written, and that nothing is lost by it.

    Raises:
        SettingsError: if it is no HTML file, or one that is not a report.
        UserError: if its folder can't be written.
    """
    from imagegen.cli import sink

    if target.suffix.lower() not in (".html", ".htm"):
        raise SettingsError(f"-o {target}: a report is HTML", "end the name with .html")
    sink.ready(target.parent)
    if target.exists():
        begins = b""
        if target.is_file():
            with target.open("rb") as file:
                begins = file.read(1024)
        if b'<meta name="generator" content="imagegen ' not in begins:
            raise SettingsError(
                f"-o {target}: exists, and is not a report of imagegen's", "choose another name"
            )
