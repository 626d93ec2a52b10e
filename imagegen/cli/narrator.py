"""What a training says: an animated bar on a terminal, plain lines elsewhere, or JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from imagegen.cli import console

if TYPE_CHECKING:
    from imagegen.data.store import Pictures
    from imagegen.family import Family
    from imagegen.settings import Config
    from imagegen.train.choose import Choice, Estimate
    from imagegen.train.events import Ended, Event, Progress, Watched
    from imagegen.train.run import Sides


class Narrator:
    """Says what happens while training."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = console.console()
        self.animated = not as_json and self.console.is_terminal
        self.live: Any = None
        self.sheet: Any = ""
        self.last = 0.0
        self.ended: Ended | None = None

    def say(self, text: str) -> None:
        """Print a line for people, above the bar if there is one."""
        if self.live is not None:
            self.console.print(text, markup=False)
        else:
            console.say(text)

    def event(self, kind: str, **values: Any) -> None:
        """Print a line for programs, if they are asked for."""
        if self.as_json:
            console.emit_json({"event": kind, **values})

    def chosen(self, choice: Choice) -> None:
        """Say what was chosen where nobody set it, and why."""
        key = ".".join(choice.keys)
        self.say(f"  {key}={choice.value}: {choice.reason}")
        self.event("chosen", key=key, value=choice.value, reason=choice.reason)

    def describe(self, name: str, source: str, pictures: Pictures) -> None:
        """Say what the pictures are."""
        count, channels, height, width = pictures.images.shape
        kind = {1: "grey", 3: "RGB", 4: "RGBA"}[channels]
        if pictures.depth == 16:
            kind = "16-bit grey"
        labels = ", ".join(pictures.label_names[:8]) + (" ..." if pictures.label_names[8:] else "")
        self.say(
            f"{name}: {count} pictures from {source}, {width}x{height} {kind}, "
            + (f"labels {labels}" if labels else "no labels")
            + (", captions" if pictures.texts is not None else "")
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

    def held_out(self, sides: Sides, config: Config) -> None:
        """Say how many pictures are held out."""
        if held := len(sides.held_out):
            count = held + len(sides.training)
            self.say(f"  {held} of {count} pictures held out of training, to measure with")
        elif config.data.held_out:
            self.say("  no picture is held out of training: there are too few, or all are alike")

    def promise(
        self, name: str, config: Config, family: Family, promise: Estimate, pictures: Pictures
    ) -> None:
        """Say what would be trained, and what a few timed steps promise."""
        from imagegen import registry

        parameters = sum(p.numel() for p in family.parameters())
        steps = round(promise.pictures / config.train.batch_size)
        length = promise.budget or promise.pace * steps
        memory = promise.memory + pictures.images.nbytes
        self.say(
            f"would train a {config.family} of {parameters / 1e6:.2f} M parameters, into "
            f"{registry.models_folder() / name}"
        )
        self.say(
            f"  about {steps:,} steps of {config.train.batch_size} pictures in "
            f"{console.clock(length)}: {promise.pace:.3g} seconds a step, measured"
        )
        self.say(
            f"  {promise.pictures:,.0f} pictures seen in all; something recognisable takes about "
            f"{promise.needed:,.0f}"
        )
        self.say(f"  about {memory / 1e9:.1f} GB of memory")
        self.event(
            "plan",
            family=config.family,
            parameters=parameters,
            steps=steps,
            seconds=length,
            pictures=promise.pictures,
            memory=memory,
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
        from imagegen.train import events

        match event:
            case events.Resumed(step, complaints):
                instead = "the state before it is used" if step else "training starts again"
                for complaint in complaints:
                    self.say(f"warning: {complaint}; {instead}")
                self.say(f"going on from step {step}")
                self.event("resumed", step=step, complaints=complaints)
            case events.Watched():
                self._watched(event)
            case events.Noticed(step, text):
                self.say(f"warning: step {step}: {text}")
                self.event("noticed", step=step, text=text)
            case events.Planned(total, reason):
                self.say(f"plan: {total} steps ({reason})")
                self.event("planned", total=total, reason=reason)
            case events.Progress():
                self._progress(event)
            case events.Sheet(step, drawn):
                self.event("sheet", step=step)
                if self.live is not None:
                    from imagegen.images.preview import blocks

                    self.sheet = blocks(drawn, self.console.width)
                    self._refresh()
            case events.Ended(step, complete, reason, elapsed, best, spent):
                self.ended = event
                self.say(f"{reason}: step {step}, {console.clock(elapsed)}")
                shares = ", ".join(f"{share:.1%} {what}" for what, share in spent.items())
                self.say(f"  besides training, of the time: {shares}")
                if best != step:
                    self.say(f"  the model is that of step {best}, which was better")
                self.event(
                    "ended",
                    step=step,
                    complete=complete,
                    reason=reason,
                    seconds=elapsed,
                    best=best,
                    spent=spent,
                )

    def _watched(self, event: Watched) -> None:
        look = event.look
        parts = []
        if look.kid is not None:
            parts.append(f"KID {look.kid:.3f} ({look.kid_low:.3f} to {look.kid_high:.3f})")
        if look.coverage is not None:
            parts.append(f"held-out pictures covered {look.coverage:.0%}")
        if look.copies is not None:
            parts.append(f"copies {look.copies:.0%}")
        if look.spread is not None:
            parts.append(f"variety {look.spread:.2f}")
        parts += [f"{name} {value:.2f}" for name, value in look.checks.items()]
        better = "" if event.best == look.step else f"; best so far: step {event.best}"
        self.say(f"step {look.step}: {', '.join(parts)}{better}")
        self.event("watched", step=look.step, best=event.best, **look.record())

    def _progress(self, event: Progress) -> None:
        losses = "  ".join(f"{name} {value:.3g}" for name, value in event.losses.items())
        left = "" if event.remaining is None else f"  {console.clock(event.remaining)} left"
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
        elif not self.as_json and time.monotonic() - self.last >= console.PLAIN_EVERY:
            self.last = time.monotonic()
            self.say(text)
