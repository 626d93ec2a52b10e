"""`imagegen postprocess`: pictures in, finished pictures out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from imagegen.cli import options
from imagegen.errors import ExitCode, SettingsError, UserError

if TYPE_CHECKING:
    from imagegen.images.files import Opened
    from imagegen.images.pixels import Floats
    from imagegen.post.batch import Finished, Source
    from imagegen.post.chain import Watch
    from imagegen.post.operations import Picture

Format = Literal["png", "pam", "tar"]


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
        int, typer.Option("--max-megapixels", min=1, help="Refuse larger pictures and results.")
    ] = 64,
    print_config: options.PrintConfig = False,
    as_json: options.AsJson = False,
) -> None:
    """Apply a chain of operations to pictures, whether imagegen made them or not.

    The whole chain is checked, and every input looked for, before any picture is read. What a
    picture says of itself is kept, and the steps are added to it. A broken picture is reported and
    passed over (exit code 3).

    Examples:

        imagegen postprocess photo.jpg --op auto-contrast --op sharpen:amount=0.8 -o out.png
        imagegen postprocess shots/ --preset post/clean -o finished
        imagegen postprocess shots/ --op median -o 'finished/{name}-{index:03d}.png'
        imagegen generate -n 4 | imagegen postprocess -p post/pop -o out
        imagegen postprocess *.png --op segment:as=it --op 'gaussian:sigma=3,region=!it'
    """
    from imagegen import presets as preset_files
    from imagegen.cli import console, sink
    from imagegen.images.naming import parse_template
    from imagegen.images.reading import pillow_warnings
    from imagegen.post.batch import Finishing, finish
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
    if in_place and output is not None:
        raise SettingsError("--in-place and -o are two places for one picture", "drop one of them")
    streaming = not in_place and sink.streams(output, as_json)
    if format_ != "png" and not streaming:
        raise SettingsError(
            f"--format {format_} is for streams; files are written as PNG", "use -o -"
        )

    limit = max_megapixels * 1_000_000
    tally = _Tally(as_json)
    sources: list[Source | None] = []

    def broken_off(kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is KeyboardInterrupt:
            known = f" of {len(sources)}" if sources and None not in sources else ""
            left = "the stream may end within one" if streaming else "no file is half written"
            console.say(
                f"interrupted: {tally.done}{known} pictures are written, the rest not; {left}"
            )
            os._exit(ExitCode.INTERRUPTED)  # Python would wait for the pictures in work

    with ExitStack() as stack:
        stack.push(broken_off)
        stack.enter_context(pillow_warnings(limit))
        sources = _sources(inputs or [], stack, in_place)
        single = None
        if sources != [None]:
            single = len(sources) == 1 and Path((inputs or [""])[0]).is_file()
        _refuse_to_overwrite(output, inputs or [])
        template = None
        if output is not None and "{" in output:
            template = parse_template(output)
            output = template.folder
        folder = Path(config.output.folder)
        write: sink.Sink
        if in_place:
            write = _replace
        elif format_ == "tar":
            write = sink.tar_stream(stack)
        else:
            write = sink.choose(output, str(folder), single=single, as_json=as_json)
        watcher = None
        if debug_dir is not None:
            sink.ready(debug_dir)
            watcher = partial(_watcher, debug_dir)
        if jobs is None:
            jobs = min(os.cpu_count() or 1, len(sources) if None not in sources else 256)

        finishing = Finishing(chain, icc, limit, template, format_ == "pam", watcher)
        for item in tally.good(finish(_with_stream(sources), finishing, jobs)):
            title = item.source.title
            for note in item.notes:
                console.say(f"{title}: {note}")
            if format_ == "tar":
                for name, data in [(".png", item.data), *item.extras.items()]:
                    write(data, item.name + (name if data is item.data else f"-{name}"))
                path, extras = None, []
            else:
                name = str(item.source.path) if in_place else item.name
                path = write(item.data, name)
                extras = sink.beside(path or folder / f"{item.name}.png", item.extras)
            tally.done += 1
            reports = sink.reported(chain, title, item.reports)
            about = {"input": title, "steps": chain.records, "reports": item.reports}
            sink.tell(path, extras, reports, about if as_json else None)
    if not tally.done and not tally.failed:
        raise UserError("no pictures came in on stdin", "give files, or pipe pictures in")
    if failed := tally.failed:
        every = tally.done + len(failed)
        console.say(f"{len(failed)} of {every} pictures failed: {', '.join(failed)}")
        raise typer.Exit(ExitCode.PARTIAL if tally.done else ExitCode.FAILED)


@dataclass
class _Tally:
    """How many pictures are written, and the titles of those that failed."""

    as_json: bool
    done: int = 0
    failed: list[str] = field(default_factory=list)

    def good(self, results: Iterator[Finished]) -> Iterator[Finished]:
        """Yield the pictures that are finished, and say which are not, and why.

        Raises:
            UserError: if a stream breaks off before its first picture; after it, it just ends.
        """
        try:
            for item in results:
                if item.problem:
                    self._fail(item.source.title, item.problem, item.hint)
                else:
                    yield item
        except UserError as error:
            if not self.done and not self.failed:
                raise
            self._fail("stdin", error.message.removeprefix("stdin: "), error.hint)

    def _fail(self, title: str, problem: str, hint: str) -> None:
        from imagegen.cli import console

        self.failed.append(title)
        console.complain(f"{title}: {problem}", hint)
        if self.as_json:
            console.emit_json({"input": title, "error": problem})


def _sources(inputs: list[str], stack: ExitStack, in_place: bool) -> list[Source | None]:
    """Find every input before the first is read; None stands for the stream on stdin.

    Raises:
        UserError: for a path that is not there, or a folder without pictures.
        SettingsError: for what can't be replaced `in_place`.
    """
    from imagegen.cli import console
    from imagegen.data.scan import scan
    from imagegen.post.batch import Source

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
    from imagegen.post.batch import Source

    for source in found:
        if source is not None:
            yield source
            continue
        for number, (name, data) in enumerate(named(sys.stdin.buffer), start=1):
            read = partial(bytes, data)
            title = f"stdin, {name}" if name else f"stdin, picture {number}"
            stem = PurePosixPath(name).stem if name else f"{number:04d}"
            yield Source(title, stem, read, streamed=not name)


def _replace(data: bytes, name: str) -> Path:
    """Put a finished picture in the place of its file, links and permissions as they were."""
    from imagegen import durable

    path = Path(name)
    target = path.resolve()
    mode = target.stat().st_mode & 0o777
    durable.write(target, data)
    target.chmod(mode)
    return path


def _watcher(debug_dir: Path, name: str, opened: Opened) -> Watch:
    """Return what writes each step, each mask and each new label map of one picture."""
    import numpy as np

    from imagegen.cli import sink
    from imagegen.images import png
    from imagegen.images.pixels import to_integers

    folder = debug_dir / name
    sink.place(folder / "00-input.png", png.encode(to_integers(opened.pixels)))
    seen: set[str] = set()

    def watch(number: int, step: str, picture: Picture, inside: Floats | None) -> None:
        stem = f"{number:02d}-{step}"
        sink.place(folder / f"{stem}.png", png.encode(to_integers(picture.pixels)))
        if inside is not None:
            grey = np.rint(inside * 255).astype(np.uint8)
            sink.place(folder / f"{stem}-mask.png", png.encode(grey))
        for key in picture.maps.keys() - seen:
            seen.add(key)
            labels = picture.maps[key][..., None].clip(0, 65535).astype(np.uint16)
            sink.place(folder / f"{stem}-labels-{key or 'default'}.png", png.encode(labels))

    return watch


def _refuse_to_overwrite(output: str | None, inputs: list[str]) -> None:
    if output is None or not Path(output).is_file():
        return
    for text in inputs:
        if Path(text).is_file() and Path(text).samefile(output):
            raise SettingsError(
                f"-o {output} is one of the inputs", "choose another name, or use --in-place"
            )
