"""`imagegen postprocess`: pictures in, finished pictures out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from imagegen.cli import options
from imagegen.errors import ExitCode, SettingsError, UserError

if TYPE_CHECKING:
    from PIL import Image


class Source(NamedTuple):
    """One input: what messages call it, what to name its output, how to read its bytes."""

    title: str
    name: str
    read: Callable[[], bytes]
    streamed: bool = False
    """Has no name of its own: `name` is its place, and what the picture says goes before that."""


def postprocess(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE|DIR|-]...", help="Pictures; default: a stream on stdin."),
    ] = None,
    operations: Annotated[
        list[str] | None,
        typer.Option(
            "--op", metavar="NAME:KEY=VAL,...", help="An operation; repeatable, in order."
        ),
    ] = None,
    presets: options.Presets = None,
    sets: options.Sets = None,
    output: options.Output = None,
    print_config: options.PrintConfig = False,
    as_json: options.AsJson = False,
) -> None:
    """Apply a chain of operations to pictures, whether imagegen made them or not.

    The whole chain is checked before any picture is read. What a picture says of itself is kept,
    and the steps are added to it. A broken picture is reported and passed over (exit code 3).

    Examples:

        imagegen postprocess photo.jpg --op auto-contrast --op sharpen:amount=0.8 -o out.png
        imagegen postprocess shots/ --preset post/clean -o finished
        imagegen generate -n 4 | imagegen postprocess -p post/pop -o out
        imagegen postprocess *.png --op segment:as=it --op 'gaussian:sigma=3,region=!it'
    """
    from imagegen import presets as preset_files
    from imagegen.cli import console, sink
    from imagegen.images import metadata
    from imagegen.images.pixels import to_image, to_pixels
    from imagegen.images.reading import BadPictureError, open_picture, pillow_warnings
    from imagegen.post.chain import build_chain, parse_step

    layer = preset_files.resolve(presets or [], sets or [], sections=("postprocess", "output"))
    config = preset_files.check(layer)
    steps = [*config.postprocess, *map(parse_step, operations or [])]
    chain = build_chain(steps)
    if print_config:
        layer.put(("postprocess",), steps, "--op")
        console.emit(preset_files.dump(preset_files.check(layer), layer).rstrip())
        return
    if not chain:
        raise SettingsError("nothing to do", "name an operation with --op; imagegen ops lists them")

    done, failed = 0, []
    said: set[str] = set()
    with ExitStack() as stack, pillow_warnings():
        sources = _sources(inputs or [], stack)
        single = None
        if inputs and inputs != ["-"]:
            single = len(inputs) == 1 and Path(inputs[0]).is_file()
        _refuse_to_overwrite(output, inputs or [])
        write = sink.choose(output, config.output.folder, single=single, as_json=as_json)
        while True:
            try:
                source = next(sources)
            except StopIteration:
                break
            except UserError as error:  # a stream that breaks off; what came before is fine
                if not done:
                    raise
                failed.append("stdin")
                console.complain(error.message, error.hint)
                break
            try:
                picture = open_picture(source.read())
                result = chain.run(to_pixels(picture))
                finished = to_image(result.pixels)
            except BadPictureError as error:
                failed.append(source.title)
                console.complain(f"{source.title}: {error}")
                continue
            for note in result.notes:
                if note not in said:
                    console.say(f"{source.title}: {note}")
                    said.add(note)
            record = metadata.with_steps(picture, chain.records)
            name = _name(source, record)
            path = write(metadata.encode(finished, record, picture), name)
            beside = path or Path(config.output.folder) / f"{name}.png"
            extras = _write_extras(beside, result.extras, record)
            done += 1
            reports = [{"input": source.title, **report} for report in result.reports]
            _file_reports(chain.records, reports)
            if as_json:
                console.emit_json(
                    {
                        "input": source.title,
                        "path": str(path),
                        "steps": chain.records,
                        "reports": result.reports,
                        "extras": [str(extra) for extra in extras],
                    }
                )
                continue
            # Where pictures stream, stdout is theirs alone.
            tell = console.say if path is None else console.emit
            for line in [*([] if path is None else [path]), *extras]:
                tell(str(line))
            for report in reports:
                tell(json.dumps(report))
    if not done and not failed:
        raise UserError("no pictures came in on stdin", "give files, or pipe pictures in")
    if failed:
        console.say(f"{len(failed)} of {done + len(failed)} pictures failed")
        raise typer.Exit(ExitCode.PARTIAL if done else ExitCode.FAILED)


def _sources(inputs: list[str], stack: ExitStack) -> Iterator[Source]:
    """Find every input before the first is read; only the stream comes as it comes.

    Raises:
        UserError: for a path that is not there, or a folder without pictures.
    """
    from imagegen.cli import console
    from imagegen.data.scan import scan

    if not inputs:
        if not (console.is_pipe(0) or console.is_file(0)):
            raise SettingsError("no pictures", "give files or folders, or pipe pictures in")
        inputs = ["-"]
    found: list[Source | None] = []
    for text in inputs:
        path = Path(text)
        if text == "-":
            if console.is_terminal(0):
                raise SettingsError("pictures are not read from a terminal", "pipe them in")
            found.append(None)
        elif path.is_dir():
            listing = stack.enter_context(scan(text))
            for problem, reason in listing.problems:
                console.say(f"skipped {text}/{problem}: {reason}")
            for entry in listing.entries:
                name = str(PurePosixPath(entry.name).with_suffix(""))
                found.append(Source(f"{text}/{entry.name}", name, entry.read))
        elif path.is_file():
            found.append(Source(text, path.stem, path.read_bytes))
        else:
            raise UserError(
                f"no such file or folder: {text}", "give files, folders, or - for stdin"
            )
    return _with_stream(found)


def _with_stream(found: list[Source | None]) -> Iterator[Source]:
    """Put the pictures on stdin where None stands, as they come."""
    from imagegen.images.stream import split

    for source in found:
        if source is not None:
            yield source
            continue
        for number, data in enumerate(split(sys.stdin.buffer), start=1):
            read = partial(bytes, data)
            yield Source(f"stdin, picture {number}", f"{number:04d}", read, streamed=True)


def _name(source: Source, record: dict[str, object]) -> str:
    """Name a finished picture: one of a stream by what it says of itself, if it says that."""
    from imagegen.registry import name_from

    if source.streamed and "seed" in record and "model" in record:
        return name_from(f"{record['model']}-{record['seed']}")
    return source.name


def _write_extras(
    beside: Path, extras: Mapping[str, Image.Image | bytes], record: dict[str, object]
) -> list[Path]:
    """Write what else the steps made next to a picture, under its name and their own."""
    from imagegen import durable
    from imagegen.images import metadata

    paths = []
    for key, extra in extras.items():
        path = beside.with_name(f"{beside.stem}-{key}")
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write(path, extra if isinstance(extra, bytes) else metadata.encode(extra, record))
        paths.append(path)
    return paths


def _file_reports(steps: list[dict[str, Any]], reports: list[dict[str, object]]) -> None:
    """Add each report to the file that its step names, if it names one."""
    from imagegen import durable
    from imagegen.post.operations import OPERATIONS

    reporting = [step for step in steps if OPERATIONS[step["op"]].kind == "report"]
    for step, report in zip(reporting, reports, strict=True):
        if step["file"] is not None:
            durable.append(Path(step["file"]), json.dumps(report))


def _refuse_to_overwrite(output: str | None, inputs: list[str]) -> None:
    if output is None or not Path(output).is_file():
        return
    for text in inputs:
        if Path(text).is_file() and Path(text).samefile(output):
            raise SettingsError(f"-o {output} is one of the inputs", "choose another name")
