"""`imagegen compare`: which family is best for these pictures?"""

from __future__ import annotations

from contextlib import suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagegen.cli import evaluate, options, train
from imagegen.errors import ExitCode, SettingsError, UserError

if TYPE_CHECKING:
    from imagegen import registry

DEFAULT = "latent-flow,gan,flow,rnn,autoencoder"
AGAIN = "the same `imagegen compare` again"
MEASURING = 30
"""Seconds that drawing and measuring take of each family, about."""
PIXELS = {"channels", "background", "fit", "resample", "held_out"}
"""Settings of data that must be alike, or two models learn from different pictures."""


def compare(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A folder of pictures, a .zip or .tar of them, or sample:NAME."
        ),
    ],
    budget: Annotated[
        str, typer.Option("--budget", "-b", metavar="TIME", help="For each, such as 90s or 10m.")
    ] = "10m",
    families: Annotated[
        str, typer.Option(metavar="PRESET,...", help="Presets that are compared.")
    ] = DEFAULT,
    name: Annotated[
        str | None, typer.Option("--name", help="Models are NAME.PRESET; default: that of DATA.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=50, max=4000, help="Pictures to draw of each.")
    ] = 1000,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="Default: NAME-compare.html"),
    ] = None,
    features: options.Features = "auto",
    sets: options.Sets = None,
    as_json: options.AsJson = False,
) -> None:
    """Train several families for the same time on the same pictures, and say which to use.

    All have the same size of pictures and the same held-out share. A table says how good, varied
    and original each is, how fast it draws and how large it is; a page shows their pictures side
    by side, and a PNG beside it the same. Two feature networks judge; where the second one would
    choose another model, that is said. The models are kept. If interrupted, run the same command to
    resume.

    Examples:

        imagegen compare sprites/ --budget 10m
        imagegen compare sprites/ --families gan,latent-flow --budget 1h --set data.size=64
    """
    from imagegen import durable, registry
    from imagegen.cli import console, report, sink
    from imagegen.evaluate import facts
    from imagegen.images import metadata
    from imagegen.settings import seconds

    evaluate.check_features(features)
    presets = list(dict.fromkeys(one.strip() for one in families.split(",") if one.strip()))
    _check_settings(families, presets, budget, sets or [])
    name = registry.check_name(name or train.name_of(data))
    # With a dot, as NAME-autoencoder is what a model of that name stands on.
    names = {preset: registry.check_name(f"{name}.{Path(preset).stem}") for preset in presets}
    if len(set(names.values())) < len(names):
        raise SettingsError(
            f"--families {families}: models are called by the names of presets, and two are alike",
            "give one of the files another name",
        )
    page = output or Path(f"{name}-compare.html")
    report.check_page(page)
    sheet = page.with_suffix(".png")
    sink.check_file(sheet, "the sheet beside -o")
    _check_apart(data, page)
    _check_enough(data)
    shared = [*(sets or []), *_size(data, names, budget, sets or [])]
    left_out = _unlike(presets, shared)
    for preset in left_out:
        console.say(f"{preset} is left out: {left_out[preset]}")
    alike = {preset: called for preset, called in names.items() if preset not in left_out}
    number = "1 family" if len(alike) == 1 else f"{len(alike)} families"
    ready = facts.duration(len(alike) * (1.05 * seconds(budget) + MEASURING))
    console.say(f"{number}, {budget} each: ready in about {ready}")
    models, failed = _train(data, alike, budget, shared, left_out)

    from imagegen.evaluate import comparison

    try:
        with console.progress(as_json) as progress:
            rows = comparison.measure(models, count, features, progress)
    except KeyboardInterrupt:
        console.say(f"stopped; all is trained, and to measure it: {AGAIN}")
        raise
    warnings = list(dict.fromkeys(w for row in rows for w in row.record["warnings"]))
    for warning in warnings:
        console.say(f"warning: {warning}")
    record = {"version": 1, "models": [row.record["model"] for row in rows]}
    durable.write(sheet, metadata.encode(comparison.sheet(rows), record))
    durable.write(page, comparison.html(data, budget, rows, left_out, warnings).encode())
    if as_json:
        console.emit_json(
            {
                "rows": [row.as_json() for row in rows],
                "choice": rows[0].record["model"],
                "left_out": left_out,
                "warnings": warnings,
                "why": comparison.why(rows),
                "page": str(page),
                "sheet": str(sheet),
            }
        )
    else:
        table = [comparison.heads(rows), *map(comparison.cells, rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            console.emit(
                "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()
            )
        console.emit(comparison.why(rows))
        console.say(f"side by side: {page}, {sheet}")
    if failed:
        raise typer.Exit(ExitCode.PARTIAL)


def _check_settings(families: str, presets: list[str], budget: str, sets: list[str]) -> None:
    """Check what all families share, before anything is read.

    Raises:
        NotFoundError: if there is no such preset.
        SettingsError: if there is none at all, or something is set wrongly.
    """
    from imagegen import presets as preset_files

    if not presets:
        raise SettingsError(f"--families {families}: none is named", f"such as {DEFAULT}")
    for preset in presets:
        layer = preset_files.resolve([preset], sets, {"--budget": ("train.budget", budget)})
        preset_files.check(layer)
        if layer.origin(steps := ("train", "steps")).startswith("--set"):
            raise SettingsError(
                f"--set train.steps={layer.get(steps)}: families are compared after the same time",
                "give that: --budget 10m",
            )


def _train(
    data: str, names: dict[str, str], budget: str, sets: list[str], left_out: dict[str, str]
) -> tuple[list[tuple[str, registry.Model]], bool]:
    """Train each preset as the model of its name, one after the other.

    Args:
        data: the pictures.
        names: of the models, by preset.
        budget: for each.
        sets: what is set for all.
        left_out: gets why a preset could not be trained.

    Returns:
        The presets and their models, and whether there is one that failed for another reason than
        that it can't do what is set.

    Raises:
        UserError: if the disk is full, or there is no model in the end; a SettingsError if all
            can't do what is set.
    """
    from imagegen import registry
    from imagegen.cli import console
    from imagegen.train.run import OtherTrainingError

    models, failed = [], False
    for preset, called in names.items():
        try:
            train.train(data, name=called, budget=budget, presets=[preset], sets=sets)
        except train.NoRoomError as error:  # there is none for the others either
            raise UserError(error.message, f"make room, then go on with: {AGAIN}") from None
        except typer.Exit:  # a RuntimeError too
            console.say(f"or with the others: {AGAIN}")
            raise
        except (UserError, RuntimeError) as error:  # torch's, such as that memory is full
            left_out[preset] = str(error).partition("\n")[0]
            failed = failed or not isinstance(error, SettingsError)
            hint = error.hint if isinstance(error, UserError) else ""
            if isinstance(error, OtherTrainingError):
                hint = f"compare by another --name, or first: imagegen models rm {called}"
            console.say(f"{preset} is left out: {left_out[preset]}{f'; {hint}' if hint else ''}")
            continue
        models.append((preset, registry.find(called)))
    if not models:
        kind = UserError if failed else SettingsError
        raise kind(f"none of these can be trained on {data}", "see the reasons above")
    return models, failed


def _check_apart(data: str, page: Path) -> None:
    """Raise SettingsError if the sheet would lie among the pictures, and be one of them."""
    folder = Path(data)
    if folder.is_dir() and page.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(
            f"{page} and its sheet would lie among the pictures of {data}",
            f"put them elsewhere: -o {folder.resolve().parent / page.name}",
        )


def _check_enough(data: str) -> None:
    """Raise UserError if there are too few pictures to measure any model by."""
    from imagegen.data.store import glance
    from imagegen.evaluate.measure import LEAST
    from imagegen.settings import DataSettings

    enough = 2 * LEAST  # some are held out
    count, _ = glance(data, DataSettings())
    if count < enough:
        raise UserError(
            f"{data} has only {count} pictures: to measure models by, there should be {enough}",
            "imagegen train takes fewer",
        )


def _unlike(presets: list[str], sets: list[str]) -> dict[str, str]:
    """Return the presets that would see other pictures than the first one, and why."""
    from imagegen import presets as preset_files

    first = None
    unlike = {}
    for preset in presets:
        config = preset_files.check(preset_files.resolve([preset], sets))
        data = config.data.model_dump(include=PIXELS)
        first = first or data
        for key in sorted(PIXELS):
            if data[key] != first[key]:
                unlike[preset] = (
                    f"its data.{key} is {data[key]}, that of {presets[0]} {first[key]}; "
                    f"--set data.{key}={first[key]} would have both alike"
                )
    return unlike


def _size(data: str, names: dict[str, str], budget: str, sets: list[str]) -> list[str]:
    """Return the setting of the size that all share: that which is set, by a preset or for all.

    Otherwise the largest that is not too large for any of them in the time.
    """
    from imagegen import presets
    from imagegen.cli import console
    from imagegen.data.store import typical_side
    from imagegen.train import choose, foundation, run

    found = []
    side = 0
    for preset, name in names.items():
        layer = presets.resolve([preset], sets, {"--budget": ("train.budget", budget)})
        begun = foundation.begun_size(layer, name)
        if begun is not None and not layer.origin(foundation.SIZE).startswith("--set"):
            return [f"data.size={begun}"]
        with suppress(SettingsError):  # training will say what this one can't do
            if layer.get(foundation.SIZE) is None:
                side = side or typical_side(data)
                precision = run.precision_of(presets.check(layer), None)
                choose.choose(layer, side, precision.is_mixed)
            found.append(presets.check(layer).data)
    if not found:
        return []
    least = min(found, key=lambda settings: prod(settings.sides)).size
    if side:
        console.say(f"at {least} px, for which each has the time; --set data.size=N for others")
    return [f"data.size={least}"]
