"""`imagegen postprocess`: pictures in, finished pictures out."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from imagegen.cli import options
from imagegen.errors import ExitCode, SettingsError, UserError, did_you_mean

if TYPE_CHECKING:
    from imagegen.images.files import Opened, Profiles
    from imagegen.images.pixels import Floats
    from imagegen.post.chain import Chain
    from imagegen.post.operations import Picture

Format = Literal["png", "pam", "tar"]

FIELDS = ("name", "index", "width", "height", "seed", "model")
"""What a template of names can hold."""

ALONE = 8_000_000
"""Pictures of more pixels than this are worked on one at a time, or memory would run short."""


class Source(NamedTuple):
    """One input: what messages call it, what to name its output, how to read its bytes."""

    title: str
    name: str
    read: Callable[[], bytes]
    streamed: bool = False
    """Has no name of its own: `name` is its place, and what the picture says goes before that."""
    path: Path | None = None
    """The file itself, if it is one."""


class Task(NamedTuple):
    """One picture to work on: its place among all, from 1, and the bytes of its file."""

    source: Source
    place: int
    data: bytes
    pixels: int


@dataclass
class Finished:
    """What became of one picture."""

    source: Source
    data: bytes = b""
    name: str = ""
    extras: dict[str, bytes] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    hint: str = ""


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
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR|FILE.png|-",
            help="Where to; - streams. {name}, {index:04d}, {width}, {height}, {seed} and {model} "
            "make names: -o 'out/{name}-small.png'.",
        ),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the input files. They must be PNG.")
    ] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="What a stream on stdout is made of.")
    ] = "png",
    icc: Annotated[
        Literal["keep", "srgb"],
        typer.Option("--icc", help="Keep colour profiles, or convert the colours to sRGB."),
    ] = "keep",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=256, help="Pictures at once; default: all cores."),
    ] = None,
    debug_dir: Annotated[
        Path | None,
        typer.Option("--debug-dir", metavar="DIR", help="Write each step and each mask there."),
    ] = None,
    max_megapixels: Annotated[
        int, typer.Option("--max-megapixels", min=1, help="Refuse pictures larger than this.")
    ] = 64,
    print_config: options.PrintConfig = False,
    as_json: options.AsJson = False,
) -> None:
    """Apply a chain of operations to pictures, whether imagegen made them or not.

    The whole chain is checked before any picture is read. What a picture says of itself is kept,
    and the steps are added to it. A broken picture is reported and passed over (exit code 3).

    Examples:

        imagegen postprocess photo.jpg --op auto-contrast --op sharpen:amount=0.8 -o out.png
        imagegen postprocess shots/ --preset post/clean -o finished
        imagegen postprocess shots/ --op median -o 'finished/{name}-{index:03d}.png'
        imagegen generate -n 4 | imagegen postprocess -p post/pop -o out
        imagegen postprocess *.png --op segment:as=it --op 'gaussian:sigma=3,region=!it'
    """
    from imagegen import presets as preset_files
    from imagegen.cli import console, sink
    from imagegen.images.reading import pillow_warnings
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
    _check_report_files(chain)
    if in_place and output is not None:
        raise SettingsError("--in-place and -o are two places for one picture", "drop one of them")
    streaming = not in_place and sink.streams(output, as_json)
    if format_ != "png" and not streaming:
        raise SettingsError(
            f"--format {format_} is for streams; files are written as PNG", "use -o -"
        )

    done = 0
    failed: list[str] = []
    limit = max_megapixels * 1_000_000
    with ExitStack() as stack:
        stack.enter_context(pillow_warnings(limit))
        sources = _sources(inputs or [], stack, in_place)
        single = None
        if sources != [None]:
            single = len(sources) == 1 and Path((inputs or [""])[0]).is_file()
        _refuse_to_overwrite(output, inputs or [])
        template = ""
        if output is not None and "{" in output:
            output, template = _template(output)
        folder = Path(config.output.folder)
        write: sink.Sink
        if in_place:
            write = _replace
        elif format_ == "tar":
            write = sink.tar_stream(stack)
        else:
            write = sink.choose(output, str(folder), single=single, as_json=as_json)
        if debug_dir is not None:
            sink.ready(debug_dir)
        if jobs is None:
            jobs = min(os.cpu_count() or 1, len(sources) if None not in sources else 256)
        work = partial(
            _work,
            chain=chain,
            icc=icc,
            limit=limit,
            template=template,
            pam=format_ == "pam",
            debug=debug_dir,
        )
        for item in _in_order(_tasks(_with_stream(sources)), work, jobs):
            if isinstance(item, UserError):  # a stream that breaks off; what came before is fine
                if not done and not failed:
                    raise item
                item = Finished(Source("stdin", "", bytes), problem=item.message, hint=item.hint)
            title = item.source.title
            if item.problem:
                failed.append(title)
                # What a stream says of itself names it already.
                known = item.problem.startswith(title)
                console.complain(item.problem if known else f"{title}: {item.problem}", item.hint)
                if as_json:
                    console.emit_json({"input": title, "error": item.problem})
                continue
            for note in item.notes:
                console.say(f"{title}: {note}")
            done += 1
            if format_ == "tar":
                for name, data in [(".png", item.data), *item.extras.items()]:
                    write(data, item.name + (name if data is item.data else f"-{name}"))
                path, extras = None, []
            elif in_place:
                assert item.source.path is not None
                path = write(item.data, str(item.source.path))
            else:
                path = write(item.data, item.name)
            if format_ != "tar":
                beside = path or folder / f"{item.name}.png"
                extras = [
                    sink.place(beside.with_name(f"{beside.stem}-{key}"), data)
                    for key, data in item.extras.items()
                ]
            reports = [{"input": title, **report} for report in item.reports]
            _file_reports(chain, reports)
            if as_json:
                console.emit_json(
                    {
                        "input": title,
                        "path": str(path),
                        "steps": chain.records,
                        "reports": item.reports,
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
        console.say(f"{len(failed)} of {done + len(failed)} pictures failed: {', '.join(failed)}")
        raise typer.Exit(ExitCode.PARTIAL if done else ExitCode.FAILED)


def _work(
    task: Task,
    *,
    chain: Chain,
    icc: Profiles,
    limit: int,
    template: str,
    pam: bool,
    debug: Path | None,
) -> Finished:
    """Read, finish and encode one picture. Runs in a thread of its own."""
    from imagegen.images import files, metadata, netpbm
    from imagegen.images.pixels import to_integers
    from imagegen.images.reading import BadPictureError

    source = task.source
    finished = Finished(source)
    try:
        opened = files.read(task.data, icc, limit)
        record = metadata.with_steps(opened.header, chain.records)
        finished.name = _name(source, record)
        watch = _debugger(debug / finished.name, opened) if debug is not None else None
        result = chain.run(opened.pixels, watch)
        values = to_integers(result.pixels)
        if template:
            height, width = values.shape[:2]
            known = {"name": finished.name, "index": task.place, "width": width, "height": height}
            finished.name = _filled(template, known | record)
        encoded = netpbm.encode(values) if pam else metadata.encode(values, record, opened.header)
        finished.data = encoded
        finished.extras = {
            key: extra if isinstance(extra, bytes) else metadata.encode(extra, record)
            for key, extra in result.extras.items()
        }
        finished.reports = result.reports
        finished.notes = result.notes
        if opened.frames > 1:
            finished.notes.append(
                f"the first of {opened.frames} frames is taken "
                f"(all: ffmpeg -i FILE -f image2pipe -c:v png - | imagegen postprocess ...)"
            )
    except BadPictureError as error:
        finished.problem, finished.hint = str(error), error.hint
    except UserError as error:
        finished.problem, finished.hint = error.message, error.hint
    except MemoryError:
        finished.problem = "too large for the memory"
        finished.hint = "use --jobs 1, or make it smaller first"
    return finished


def _in_order(
    tasks: Iterator[Task | Finished | UserError], work: Callable[[Task], Finished], jobs: int
) -> Iterator[Finished | UserError]:
    """Work on so many pictures at once; what they become comes in the order they came in.

    Threads, not processes: decoders, encoders and filters all run without Python's lock.
    """
    if jobs == 1:
        for task in tasks:
            yield work(task) if isinstance(task, Task) else task
        return
    from collections import deque
    from concurrent.futures import Future, ThreadPoolExecutor

    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each picture has a processor of its own
    pool = ThreadPoolExecutor(jobs)
    waiting: deque[Future[Finished] | Finished | UserError] = deque()

    def come(most: int) -> Iterator[Finished | UserError]:
        while waiting:
            first = waiting[0]
            if isinstance(first, Future) and not first.done() and len(waiting) <= most:
                return
            waiting.popleft()
            yield first.result() if isinstance(first, Future) else first

    try:
        for task in tasks:
            large = isinstance(task, Task) and task.pixels > ALONE
            if large:
                yield from come(0)
            waiting.append(pool.submit(work, task) if isinstance(task, Task) else task)
            yield from come(0 if large else 2 * jobs)
        yield from come(0)
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def _tasks(sources: Iterator[Source]) -> Iterator[Task | Finished | UserError]:
    """Read the files, one after the other: archives can't be read otherwise."""
    from imagegen.images.files import count_pixels
    from imagegen.images.reading import BadPictureError

    try:
        for index, source in enumerate(sources, start=1):
            try:
                data = source.read()
            except BadPictureError as error:
                yield Finished(source, problem=str(error), hint=error.hint)
                continue
            # Only a large file, or a very well packed one, can hold a large picture.
            yield Task(source, index, data, count_pixels(data) if len(data) > 1 << 16 else 0)
    except UserError as error:
        yield error


def _sources(inputs: list[str], stack: ExitStack, in_place: bool) -> list[Source | None]:
    """Find every input before the first is read; None stands for the stream on stdin.

    Raises:
        UserError: for a path that is not there, or a folder without pictures.
        SettingsError: for what can't be replaced `in_place`.
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
                found.append(
                    Source(f"{text}/{entry.name}", name, entry.read, path=path / entry.name)
                )
        elif path.is_file():
            found.append(Source(text, path.stem, path.read_bytes, path=path))
        else:
            raise UserError(
                f"no such file or folder: {text}", "give files, folders, or - for stdin"
            )
    if in_place:
        for source in found:
            if source is None or source.path is None:
                raise SettingsError("--in-place: a stream has no place", "use -o -")
            if source.path.suffix.lower() != ".png":
                raise SettingsError(
                    f"--in-place {source.path}: pictures are written as PNG", "use -o DIR"
                )
    return found


def _with_stream(found: list[Source | None]) -> Iterator[Source]:
    """Put the pictures on stdin where None stands, as they come."""
    from imagegen.images.stream import named

    for source in found:
        if source is not None:
            yield source
            continue
        for number, (name, data) in enumerate(named(sys.stdin.buffer), start=1):
            read = partial(bytes, data)
            title = f"stdin, {name}" if name else f"stdin, picture {number}"
            stem = PurePosixPath(name).stem if name else f"{number:04d}"
            yield Source(title, stem, read, streamed=not name)


def _name(source: Source, record: dict[str, object]) -> str:
    """Name a finished picture: one of a stream by what it says of itself, if it says that."""
    from imagegen.registry import name_from

    if source.streamed and "seed" in record and "model" in record:
        return name_from(f"{record['model']}-{record['seed']}")
    return source.name


def _template(output: str) -> tuple[str, str]:
    """Part a template into the folder before the first field, and the rest without suffix."""
    known = {"name": "x", "index": 1, "width": 1, "height": 1, "seed": 1, "model": "x"}
    try:
        output.format(**known)
    except KeyError as error:
        near = did_you_mean(str(error.args[0]), FIELDS)
        raise SettingsError(
            f"-o {output}: unknown field '{error.args[0]}'{near}", f"fields: {', '.join(FIELDS)}"
        ) from None
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"-o {output}: not a template: {error}", "such as -o 'out/{name}-{index:04d}.png'"
        ) from None
    if not output.lower().endswith(".png"):
        raise SettingsError(f"-o {output}: pictures are written as PNG", "end the name with .png")
    fixed = output[: output.index("{")]
    folder, _, _ = fixed.rpartition("/")
    start = len(folder) + 1 if "/" in fixed else 0
    return (folder or ("/" if fixed.startswith("/") else ".")), output[start:-4]


def _filled(template: str, values: dict[str, Any]) -> str:
    """Fill a template in. What pictures say of themselves may not lead out of the folder."""
    from imagegen.images.reading import BadPictureError

    safe = {
        key: re.sub(r"[^\w.-]", "_", value) if key == "model" and isinstance(value, str) else value
        for key, value in values.items()
        if key in FIELDS and isinstance(value, str | int)
    }
    try:
        name = template.format(**safe)
    except KeyError as error:
        raise BadPictureError(f"does not say its {error.args[0]}, which -o asks for") from None
    except ValueError as error:
        raise BadPictureError(f"does not fit what -o asks for: {error}") from None
    if ".." in PurePosixPath(name).parts:
        raise BadPictureError("its name leads out of the folder of -o")
    return name


def _replace(data: bytes, name: str) -> Path:
    """Put a finished picture in the place of its file, links and permissions as they were."""
    from imagegen import durable

    path = Path(name)
    target = path.resolve()
    mode = target.stat().st_mode & 0o777
    durable.write(target, data)
    target.chmod(mode)
    return path


def _debugger(folder: Path, opened: Opened) -> Callable[[int, str, Picture, Floats | None], None]:
    """Return what writes each step, each mask and each new label map to a folder."""
    import numpy as np

    from imagegen.cli import sink
    from imagegen.images import png
    from imagegen.images.pixels import to_integers

    sink.place(folder / "00-input.png", png.encode(to_integers(opened.pixels)))
    seen: set[str] = set()

    def watch(number: int, name: str, picture: Picture, inside: Floats | None) -> None:
        stem = f"{number:02d}-{name}"
        sink.place(folder / f"{stem}.png", png.encode(to_integers(picture.pixels)))
        if inside is not None:
            grey = np.rint(inside * 255).astype(np.uint8)
            sink.place(folder / f"{stem}-mask.png", png.encode(grey))
        for key in picture.maps.keys() - seen:
            seen.add(key)
            labels = picture.maps[key][..., None].clip(0, 65535).astype(np.uint16)
            sink.place(folder / f"{stem}-labels-{key or 'default'}.png", png.encode(labels))

    return watch


def _check_report_files(chain: Chain) -> None:
    for step in chain.records:
        name = step.get("file")
        if _reports(step) and name is not None and not name.endswith((".json", ".jsonl")):
            raise SettingsError(
                f"{step['op']}: file: expected a name that ends with .jsonl, got {name!r}",
                f"imagegen ops {step['op']}",
            )


def _file_reports(chain: Chain, reports: list[dict[str, Any]]) -> None:
    """Add each report to the file that its step names, if it names one."""
    from imagegen import durable

    for step, report in zip(filter(_reports, chain.records), reports, strict=True):
        if step["file"] is not None:
            durable.append(Path(step["file"]), json.dumps(report))


def _reports(step: dict[str, Any]) -> bool:
    from imagegen.post.operations import OPERATIONS

    return OPERATIONS[step["op"]].kind == "report"


def _refuse_to_overwrite(output: str | None, inputs: list[str]) -> None:
    if output is None or not Path(output).is_file():
        return
    for text in inputs:
        if Path(text).is_file() and Path(text).samefile(output):
            raise SettingsError(
                f"-o {output} is one of the inputs", "choose another name, or use --in-place"
            )
