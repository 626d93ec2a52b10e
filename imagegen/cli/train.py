"""`imagegen train`: pictures in, a model out."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imagegen.cli import options
from imagegen.cli.console import PLAIN_EVERY
from imagegen.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from imagegen.data.store import Pictures
    from imagegen.train.loop import Event


def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA", help="A folder of pictures, a .zip or .tar of them, or sample:NAME."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Of the model; default: that of DATA.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", "-b", metavar="TIME", help="Such as 90s, 10m or 2h.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Instead of a budget.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Of the whole training.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="NAME", help="Go on with a model.")
    ] = None,
    presets: options.Presets = None,
    sets: options.Sets = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at the pictures, say what would be done; stop.")
    ] = False,
    print_config: options.PrintConfig = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a model on your pictures. The same command again goes on where it stopped.

    Sub-folders of DATA become labels. Your files are only read. Ctrl-C saves and stops; whatever
    else kills it, at most `train.checkpoint_every` steps are lost.

    Examples:

        imagegen train sample:smileys --budget 5m
        imagegen train sprites/ --name sprites --budget 1h --set data.size=64
        imagegen train --resume sprites
    """
    started = time.monotonic()
    if budget is not None and steps is not None:
        raise SettingsError("--budget and --steps exclude each other", "give one of them")

    from imagegen import presets as preset_files
    from imagegen import registry
    from imagegen.cli.console import emit, emit_json
    from imagegen.cli.console import progress as show_progress

    layer = preset_files.Layer()
    if resume is not None:
        given: dict[str, object] = {"--name": name, "--budget": budget, "--steps": steps}
        given |= {"--seed": seed, "--preset": presets, "--set": sets}
        for flag, value in given.items():
            if value is not None:
                raise SettingsError(
                    f"{flag} has no effect with --resume", "a model goes on with its own settings"
                )
        model = registry.find(resume)
        layer, name = model.settings(), model.name
    elif not presets:
        layer = preset_files.load_with_parents(preset_files.DEFAULT_PRESET)
    layer = preset_files.resolve(
        presets or [],
        sets or [],
        {
            "--budget": ("train.budget", budget),
            "--steps": ("train.steps", steps),
            "--seed": ("train.seed", seed),
        },
        base=layer,
    )
    if budget is not None:
        layer.put(("train", "steps"), None, "--budget")
    config = preset_files.check(layer)

    from imagegen.post.chain import build_chain

    build_chain(config.postprocess)

    from imagegen.families import FAMILIES

    kind = FAMILIES[config.family]
    network = preset_files.check_section(kind.Model, "model", layer)
    sampling = preset_files.check_section(kind.Sampling, "sample", layer)
    config = preset_files.filled(config, model=network, sample=sampling)
    talk = _Talk(as_json)
    if print_config:
        if as_json:
            emit_json(config.model_dump(mode="json"))
        else:
            emit(preset_files.dump(config, layer).rstrip())
        return

    from imagegen.data.store import load_pictures
    from imagegen.device import pick_device
    from imagegen.train import loop, run

    pick_device(config.device)
    if data is None:
        if resume is None:
            raise SettingsError("nothing to train on", "give a folder: imagegen train DATA")
        data = str(registry.data(model).get("source", ""))
    name = registry.check_name(name or _name_of(data))
    with show_progress(as_json) as report:
        pictures = load_pictures(data, config.data, partial(report, "reading pictures"))
    talk.describe(name, data, pictures)
    family = loop.build(kind, network, config, pictures)
    if dry_run:
        parameters = sum(p.numel() for p in family.parameters())
        length = f"{config.train.steps} steps" if config.train.steps else config.train.budget
        talk.say(
            f"would train a {config.family} of {parameters / 1e6:.2f} M parameters for {length}, "
            f"into {registry.models_folder() / name}"
        )
        talk.event("plan", family=config.family, parameters=parameters, length=length)
        return

    model, training = run.prepare(name, config, _absolute(data), pictures)
    if held := len(pictures) - len(training):
        talk.say(f"  {held} of {len(pictures)} pictures held out of training, to measure with")
    elif config.data.held_out:
        talk.say("  no picture is held out of training: there are too few, or all are alike")
    with registry.locked(model), _stop_on_signals() as stopped:
        if (end := run.finished(model)) is not None:
            talk.say(f"{name} is finished: {end.reason} at step {end.step}")
            talk.event("ended", step=end.step, complete=True, reason=end.reason)
        else:
            events = loop.train(model, family, sampling, training, config, stopped.is_set, started)
            with talk.progress():
                for event in events:
                    talk.show(event)
            if stopped.is_set() and not talk.complete:
                talk.say(f"stopped and saved; go on with: imagegen train --resume {name}")
                raise typer.Exit(ExitCode.INTERRUPTED)
    talk.say(f"draw with it: imagegen generate -m {name} --seed 42 -n 16 --grid sheet.png")


def _name_of(data: str) -> str:
    from pathlib import Path

    from imagegen.registry import name_from

    if data.startswith("sample:"):
        return name_from(data.removeprefix("sample:"))
    path = Path(data).expanduser().resolve()
    return name_from(path.name if path.is_dir() else path.name.split(".")[0])


def _absolute(data: str) -> str:
    from pathlib import Path

    return data if data.startswith("sample:") else str(Path(data).expanduser().resolve())


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Let the first Ctrl-C, SIGTERM or SIGHUP ask for a clean stop, and a later one break off."""
    stop = threading.Event()
    asked = 0.0

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        if not stop.is_set():
            asked = time.monotonic()
            stop.set()
        elif time.monotonic() - asked > 1:  # sooner, it is the same impatience
            raise KeyboardInterrupt

    signals = [signal.SIGINT, signal.SIGTERM]
    signals += [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    before = {s: signal.signal(s, handle) for s in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Talk:
    """What training says: an animated bar on a terminal, plain lines elsewhere, or JSON."""

    def __init__(self, as_json: bool) -> None:
        from imagegen.cli import console

        self.as_json = as_json
        self.console = console.console()
        self.animated = not as_json and self.console.is_terminal
        self.live: Any = None
        self.sheet: Any = ""
        self.line = ""
        self.last = 0.0
        self.complete = False

    def say(self, text: str) -> None:
        from imagegen.cli import console

        if self.live is not None:
            self.console.print(text, markup=False)
        else:
            console.say(text)

    def event(self, kind: str, **values: Any) -> None:
        from imagegen.cli import console

        if self.as_json:
            console.emit_json({"event": kind, **values})

    def describe(self, name: str, source: str, pictures: Pictures) -> None:
        count, channels, height, width = pictures.images.shape
        kind = {1: "grey", 3: "RGB", 4: "RGBA"}[channels]
        labels = ", ".join(pictures.label_names[:8]) + (" ..." if pictures.label_names[8:] else "")
        self.say(
            f"{name}: {count} pictures from {source}, {width}x{height} {kind}, "
            + (f"labels {labels}" if labels else "no labels")
        )
        for file, reason in pictures.skipped[:5]:
            self.say(f"  skipped {file}: {reason}")
        if len(pictures.skipped) > 5:
            self.say(f"  and {len(pictures.skipped) - 5} more skipped")
        for note in pictures.notes:
            self.say(f"  {note}")
        self.event(
            "data",
            name=name,
            source=source,
            pictures=count,
            shape=[channels, height, width],
            labels=list(pictures.label_names),
            skipped=[list(pair) for pair in pictures.skipped],
            fingerprint=pictures.fingerprint,
        )

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Keep a bar and the newest pictures at the foot of the terminal while training."""
        if not self.animated:
            yield
            return
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn

        self.bar = Progress(
            BarColumn(24), TextColumn("{task.percentage:>3.0f}%  {task.description}")
        )
        self.task = self.bar.add_task("starting", total=None)
        with Live(console=self.console, refresh_per_second=4, transient=True) as self.live:
            self._refresh()
            yield
        self.live = None

    def _refresh(self) -> None:
        from rich.console import Group

        self.live.update(Group(self.sheet, self.bar))

    def show(self, event: Event) -> None:
        """Show one thing that happened."""
        from imagegen.train import loop

        match event:
            case loop.Resumed(step, complaints):
                for complaint in complaints:
                    self.say(f"warning: {complaint}; the state before it is used")
                self.say(f"going on from step {step}")
                self.event("resumed", step=step, complaints=complaints)
            case loop.Planned(total, reason):
                self.say(f"plan: {total} steps ({reason})")
                self.event("planned", total=total, reason=reason)
            case loop.Progress():
                self._progress(event)
            case loop.Sheet(step, drawn):
                self.event("sheet", step=step)
                if self.live is not None:
                    from imagegen.images.preview import blocks

                    self.sheet = blocks(drawn, self.console.width)
                    self._refresh()
            case loop.Ended(step, complete, reason, elapsed):
                self.complete = complete
                self.say(f"{reason}: step {step}, {_clock(elapsed)}")
                self.event("ended", step=step, complete=complete, reason=reason, seconds=elapsed)

    def _progress(self, event: Any) -> None:
        losses = "  ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
        left = "" if event.remaining is None else f"  {_clock(event.remaining)} left"
        text = (
            f"step {event.step}/{event.total or '?'}{left}  "
            f"{event.pictures_per_second:.0f} pictures/s  {losses}"
        )
        self.event(
            "progress",
            step=event.step,
            total=event.total,
            seconds=event.elapsed,
            remaining=event.remaining,
            pictures_per_second=event.pictures_per_second,
            losses=event.losses,
        )
        if self.live is not None:
            self.bar.update(self.task, description=text, completed=event.step, total=event.total)
        elif not self.as_json and time.monotonic() - self.last >= PLAIN_EVERY:
            self.last = time.monotonic()
            self.say(text)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
