"""All commands as one, and what becomes of their errors."""

from __future__ import annotations

import atexit
import errno
import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from imagegen import __version__
from imagegen.cli import (
    compare,
    evaluate,
    features,
    generate,
    models,
    ops,
    postprocess,
    presets,
    report,
    train,
)
from imagegen.cli.console import ClosedPipeError, complain, open_standard_streams
from imagegen.errors import ExitCode, UserError

OS_HINTS = {
    errno.ENOSPC: "make room and give the same command again; what was saved before is whole",
    errno.EDQUOT: "make room and give the same command again; what was saved before is whole",
    errno.EFBIG: "allow larger files and give the same command again; what was saved is whole",
    errno.EACCES: "choose a place that you may read and write",
    errno.EPERM: "choose a place that you may read and write",
    errno.EROFS: "choose a place that you may read and write",
}

app = typer.Typer(
    name="imagegen",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"imagegen {__version__}\n")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 done, 1 failed, 2 usage or settings, 3 some pictures failed, "
    "4 model or preset not found, 130 interrupted, 141 closed pipe. "
    "--debug anywhere shows where an error came from."
)
def imagegen(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Turn a folder of pictures into an image generator, on the machine you have.

    imagegen train data/                      your pictures in, a model out
    imagegen generate --seed 42 -n 16         pictures out, each one reproducible
    imagegen postprocess *.png --op sharpen   filters, regions, colour
    """


app.command(rich_help_panel="Make pictures")(train.train)
app.command(rich_help_panel="Make pictures")(generate.generate)
app.command(rich_help_panel="Make pictures")(postprocess.postprocess)
app.command(rich_help_panel="Evidence")(evaluate.evaluate)
app.command(rich_help_panel="Evidence")(compare.compare)
app.command(rich_help_panel="Evidence")(report.report)
app.command(rich_help_panel="Evidence")(features.features)
app.add_typer(models.app, name="models", rich_help_panel="Look around")
app.add_typer(presets.app, name="presets", rich_help_panel="Look around")
app.command(rich_help_panel="Look around")(ops.ops)


def run() -> None:
    """Run the command line, and turn every error into one clear line and an exit code."""
    open_standard_streams()
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads of torch wait for each other by spinning. Beside another busy process they then
        # hold the processor that the other thread needs, and training all but stands still.
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    code: int | None
    interrupts: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    try:
        if callable(signal.getsignal(signal.SIGINT)):  # not ignored, as under nohup
            signal.signal(signal.SIGINT, interrupt)
        code = app(standalone_mode=False)  # gives errors to us, instead of framing them
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except ClosedPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it flushes
        code = ExitCode.CLOSED_PIPE
    except Exception as error:
        if debug:
            traceback.print_exc()
        # Where a package is being imported, Ctrl-C can come out as any error of that package.
        broken_off = interrupts and not isinstance(error, UserError | OSError)
        code = ExitCode.INTERRUPTED if broken_off else _explain(error)
    # All is done and said: one more Ctrl-C would only break off how Python cleans up, with a trace.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    sys.exit(code or ExitCode.DONE)


def _explain(error: Exception) -> int:
    if isinstance(error, UserError):
        complain(error.message, error.hint or "imagegen --help")
        return error.exit_code
    if isinstance(error, typer.Abort):
        return ExitCode.FAILED
    if hasattr(error, "format_message"):  # a mistake in the words of the command line
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "imagegen"
        if message := error.format_message():  # without words, the help was shown
            complain(message, f"{command} --help")
        return ExitCode.USAGE
    if isinstance(error, OSError) and error.strerror:
        hint = OS_HINTS.get(error.errno or 0, "see whether it is there, and what it is")
        complain(f"{error.strerror}: {error.filename}" if error.filename else error.strerror, hint)
    elif isinstance(error, MemoryError):
        complain("out of memory", "try smaller pictures or batches")
    else:
        complain(
            f"{type(error).__name__}: {error}", "this is a bug in imagegen; --debug shows where"
        )
    return ExitCode.FAILED
