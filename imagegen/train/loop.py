"""The one training loop: it knows phases, not families; it yields events and never prints."""

from __future__ import annotations

import errno
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from imagegen import durable, registry
from imagegen.data.store import to_tensor
from imagegen.device import Precision
from imagegen.errors import UserError
from imagegen.evaluate import card
from imagegen.images import grid, metadata
from imagegen.sample.draw import draw, to_pictures
from imagegen.settings import Config, seconds
from imagegen.train import checkpoint, watch
from imagegen.train.events import Ended, Event, Noticed, Planned, Progress, Resumed, Sheet, Watched
from imagegen.train.journal import FILE, PRECISION, RATE, SPLIT, WATCHED, Journal
from imagegen.train.judge import PATIENCE, Judge, Look
from imagegen.train.learner import Learner
from imagegen.train.parallel import Order, World
from imagegen.train.plan import Clock, Plan

LOG_EVERY = 20
SHEET_SEEDS = range(16)
BREAKDOWNS = 3
"""Times that training goes back and on at half the rate before it is given up."""
END_COST = 0.5
"""Seconds that the last sheet and the card take, about."""
LOOK_COST = 3.0
"""Seconds that a look takes at least, about."""
EXPLODED = 1e4
"""A loss that has grown this many times is as bad as one that is no number."""
_PLATEAU = "plateau"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def assist(learner: Learner, model: registry.Model, world: World) -> None:
    """Take the steps that the leading process orders, until it ends."""
    while (order := world.hear()).step >= 0:
        if order.load >= 0:
            learner.restore(checkpoint.load(model.state, order.load))
            world.wait()
        learner.step(order)


class _BrokenDownError(Exception):
    """A loss is no longer a number, or has exploded."""


class Training:
    """One training, from its newest state to its end."""

    def __init__(
        self,
        model: registry.Model,
        learner: Learner,
        watcher: watch.Watcher,
        config: Config,
        precision: Precision,
        stopped: Callable[[], bool],
        started: float,
        world: World | None = None,
    ) -> None:
        """Prepare to train, or to go on.

        Args:
            model: the folder, from `run.prepare`.
            learner: the new family, as built; a saved state replaces its weights.
            watcher: looks at the quality now and then.
            config: every setting.
            precision: from `run.precision_of`; what the journal says of it goes first.
            stopped: asked before each step.
            started: `time.monotonic()` at which the budget began.
            world: the processes that train together; this one leads.
        """
        self.model, self.learner, self.watcher = model, learner, watcher
        self.judge = Judge(learner.family.judged_by, learner.family.can_collapse)
        self.config, self.settings = config, config.train
        self.precision = precision
        self.stopped, self.started = stopped, started
        self.world = world or World()
        self.journal = Journal.read(model.state / FILE)
        self.plan = Plan(self.journal)
        self.every = watch.EVERY // config.train.batch_size or 1
        if config.train.watch_every is not None:
            self.every = config.train.watch_every
        self.by_clock = config.train.steps is None
        self.step = 0
        self.earlier = 0.0
        self.spent = {"watching": 0.0, "saving": 0.0, "sheets": 0.0}
        self.saved_at = -1  # a kill may have come between a state and its weights: save both again
        self.looks: list[Look] = []
        self.cost = {"saving": 0.0, "sheets": 0.0}  # seconds of the last one
        self.window: dict[str, list[Tensor]] = {}
        self.usual: dict[str, list[float]] = {}
        self.load = -1
        self.mixed = False
        self.full = False
        self.reason = ""  # why there is no point in going on

    def run(self) -> Iterator[Event]:
        """Train until the plan is done, `stopped()`, or there is no point in going on.

        Every random number is a function of (train.seed, step, phase), and every decision taken
        from the clock is in the journal. So a training killed at any moment and started again ends
        with the same weights, bit for bit, on the same machine.

        Raises:
            UserError: if the loss is no longer a number, whatever the rate; or another process of
                this training has ended.
            OSError: if the disk is full or can't be written; the last states are untouched.
        """
        if self.settings.steps is not None and self.plan.decided_at < 0:
            self.plan.decide(0, self.settings.steps, "train.steps")
        if self.journal.precision is None:
            one = self.precision
            self.journal.add(PRECISION, 0, name=one.name, reason=one.reason)
        self.mixed = self.journal.precision == "bfloat16"
        yield from self._resume()
        self.clock = self._clock()
        while True:
            yield from self._learn()
            try:
                yield from self._end()
                return
            except _BrokenDownError as error:  # seen only now
                yield self._go_back(str(error))

    def _learn(self) -> Iterator[Event]:
        """Take steps until all are done, or something stops it."""
        mark, since = time.monotonic(), self.step
        while not self.reason and not self.full:
            if why := self._decide():
                yield Planned(self.plan.total(self.step) or 0, why)
            total = self.plan.total(self.step)
            if (total is not None and self.step >= total) or self.stopped():
                break
            yield from self._step()
            try:
                if self.step % LOG_EVERY == 0 or self.step == total:
                    now = time.monotonic()
                    speed = (self.step - since) * self.settings.batch_size / (now - mark)
                    mark, since = now, self.step
                    yield self._progress(total, speed)
                if self.step != total:
                    if self.step % self.settings.sample_every == 0:
                        yield self._sheet()
                    if self.every and self.step % self.every == 0:
                        yield from self._look()
                        yield from self._conclude()
                    if self.step % self.settings.checkpoint_every == 0 and not self.reason:
                        self._save()
            except _BrokenDownError as error:
                yield self._go_back(str(error))
                since = self.step

    def _resume(self) -> Iterator[Event]:
        """Go on from the newest state; without one, save that of the beginning."""
        state, complaints = checkpoint.load_newest(self.model.state)
        if state is not None:
            self.step, self.earlier = state.step, state.seconds
            self.spent |= state.spent
            self.learner.restore(state)
        if self.step or complaints:
            yield Resumed(self.step, complaints)
        checkpoint.drop_after(self.model.state, self.step if state is not None else -1)
        self._drop_metrics()
        self.looks = self._known_looks()
        if self._seen():
            self.reason = self.judge.verdict(self.looks)
        self.learner.parts = self.journal.parts(self.step)
        if state is None:
            self._save()
        self.load = self.step

    def _step(self) -> Iterator[Event]:
        """Take one step, in all processes."""
        step, checks = self.step, [look.checks for look in self.looks]
        order = Order(
            step,
            self.plan.progress(step),
            self.journal.rate(step),
            self.judge.caution(self.looks),
            self.learner.family.strength(checks, len(self.watcher.training)),
            self.load,
            self.mixed,
        )
        self.world.tell(order)
        if order.load >= 0:
            self.world.wait()  # until all have read the state: the next may remove it
        self.load = -1
        parts = self.learner.parts
        for name, value in self.learner.step(order).items():
            self.window.setdefault(name, []).append(value)
        self.step += 1
        if (now := self.learner.parts) > parts:
            self.journal.add(SPLIT, step, parts=now, reason="memory was short")
            yield Noticed(self.step, f"memory is short: batches are computed in {now} parts")

    def _decide(self) -> str | None:
        """Decide from the clock how many steps there will be, if it is time to."""
        if not self.by_clock or self._is_annealing():
            return None
        reserve = self.cost["saving"] + END_COST
        if self.every and self.step >= self.every and self._has_time(last=True):
            reserve += self._looking()
        return self.clock.decide(self.step, reserve)

    def _elapsed(self) -> float:
        return self.earlier + time.monotonic() - self.started

    def _clock(self) -> Clock:
        return Clock(self.plan, seconds(self.settings.budget), self.step, self._elapsed)

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.cost[what] = time.monotonic() - start
        self.spent[what] += self.cost[what]

    def _means(self) -> dict[str, float]:
        """Return the mean of each scalar since the last log.

        Raises:
            _BrokenDownError: if one is no longer a number, or a loss has exploded.
        """
        means = {n: torch.stack(values).mean().item() for n, values in self.window.items()}
        for name, value in means.items():
            if not math.isfinite(value):
                raise _BrokenDownError(f"{name} is not a number any more")
            usual = max(1.0, median(self.usual.get(name, [math.inf])))
            if name in self.learner.optimizers and abs(value) > EXPLODED * usual:
                raise _BrokenDownError(f"{name} has grown to {value:.3g}")
        return means

    def _progress(self, total: int | None, speed: float) -> Progress:
        losses = self._means()
        self.window.clear()
        for name, value in losses.items():
            self.usual[name] = [*self.usual.get(name, [])[-20:], abs(value)]
        self._log({"pictures_per_second": round(speed, 2), **losses})
        left = None if total is None else (total - self.step) * self.settings.batch_size / speed
        return Progress(self.step, total, speed, self._elapsed(), left, losses)

    def _sheet(self) -> Sheet:
        self._means()
        with self._timed("sheets"):
            sampling, average = self.watcher.sampling, self.learner.average
            record = metadata.record(
                self.model.name, None, self.config.family, None, None, sampling, step=self.step
            )
            if average.can_draw(self.plan.progress(self.step)):
                pictures = [picture for _, picture in draw(average, SHEET_SEEDS, sampling)]
                record["seeds"] = list(SHEET_SEEDS)
            else:
                real = (self.watcher.held_out or self.watcher.training).trained_on
                images = to_tensor(real[: len(SHEET_SEEDS)]).to(average.device)
                with torch.inference_mode():
                    pictures = to_pictures(average.again(images), average.depth)
            record["pictures"] = len(pictures)
            page = metadata.encode(grid.sheet(pictures), record)
            durable.write(self.model.samples / f"{self.step:09d}.png", page)
        return Sheet(self.step, pictures)

    # --- quality ---------------------------------------------------------------------------------

    def _known_looks(self) -> list[Look]:
        records = self.journal.of(WATCHED, self.step)
        return [Look.of(record) for record in records if not record.get("skipped")]

    def _look(self, last: bool = False) -> Iterator[Event]:
        """Measure the quality, unless that was done before or there is no time for it."""
        self._means()
        known = self.journal.watched(self.step)
        if known is None and self.by_clock and not self._has_time(last):
            self.journal.add(WATCHED, self.step, skipped=True)
            return
        if known is not None and known.get("skipped"):
            return
        if known is not None:
            look = Look.of(known)
            self._keep_if_lowest(look)
        else:
            with self._timed("watching"):
                order = Order(self.step, self.plan.progress(self.step))
                look = self.watcher.look(self.learner, order)
                self._keep_if_lowest(look)  # before the journal tells of it
            self.journal.add(WATCHED, self.step, **look.record())
        self.looks.append(look)
        self._log(look.record())
        better = self._better()
        yield Watched(look, better.step if better else self.step)

    def _has_time(self, last: bool) -> bool:
        """Say whether one more look would leave enough of the time for training.

        The last one may take as much as all others, or a model that has come to copy were kept.
        """
        cost = self._looking()
        if last:
            return cost <= watch.AT_MOST * seconds(self.settings.budget)
        return self.spent["watching"] + cost <= watch.AT_MOST * self._elapsed()

    def _looking(self) -> float:
        """Return the seconds that a look takes: as those so far, or by how long a sheet took."""
        if self.looks and self.spent["watching"]:
            return self.spent["watching"] / len(self.looks)
        drawing = self.cost["sheets"] * len(watch.SEEDS) / len(SHEET_SEEDS)
        return max(LOOK_COST, 2 * drawing)  # to measure pictures takes about as long

    def _conclude(self) -> Iterator[Event]:
        """Answer what the last look has shown: warn, anneal early, or give up."""
        if not self._seen():
            return
        self.reason = self.judge.verdict(self.looks)
        for text in self.judge.warnings(self.looks):
            yield Noticed(self.step, text)
        total = self.plan.total(self.step)
        rest = max(1, self.step // 10)
        if (
            self.judge.is_plateau(self.looks)
            and not self._is_annealing()
            and (total is None or self.step + rest < total)
            and self.plan.decided_at < self.step
        ):
            text = f"{_PLATEAU}: no better for {PATIENCE} looks; the rate goes down now"
            self.plan.decide(self.step, self.step + rest, text)
            yield Planned(self.step + rest, text)

    def _is_annealing(self) -> bool:
        """Say whether a plateau was reached before: then the end is fixed."""
        return self.plan.reason(self.step).startswith(_PLATEAU)

    # --- saving ----------------------------------------------------------------------------------

    def _kept(self, look: Look) -> Path:
        """Return where the weights of a look are kept."""
        return self.model.state / f"best-{look.step:09d}.safetensors"

    def _keep_if_lowest(self, look: Look) -> None:
        """Keep the weights of now if none were better; also when that was found before a kill."""
        if self.judge.lowest([*self.looks, look]) is look and not self._kept(look).exists():
            self._write_weights(self._kept(look))

    def _drop_kept(self) -> None:
        """Drop kept weights that are the best neither now nor at the oldest state there is."""
        oldest = checkpoint.steps(self.model.state)[0]
        before = [look for look in self.looks if look.step <= oldest]
        lowest = (self.judge.lowest(looks) for looks in (before, self.looks))
        needed = {self._kept(one) for one in lowest if one}
        for path in self.model.state.glob("best-*.safetensors"):
            if path not in needed:
                durable.remove_checked(path)

    def _better(self) -> Look | None:
        """Return the earlier look whose weights are better than those of now, if there is one."""
        best = self.judge.best(self.looks)
        return None if best is None or best is self.looks[-1] else best

    def _save(self) -> None:
        """Save the state and the model. Where there is no room for the next state, make some."""
        self._means()  # what has broken down must not replace what works
        if not self.learner.is_finite():
            raise _BrokenDownError("a weight is not a number any more")
        with self._timed("saving"):
            state = self.learner.state(self.step, self._elapsed(), self.spent)
            try:
                path = self._write(state)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                checkpoint.make_room(self.model.state)
                path = self._write(state)
            self._drop_kept()
        self.saved_at = self.step
        needed = 2 * path.stat().st_size
        if shutil.disk_usage(path).free < needed:
            checkpoint.make_room(self.model.state)
            self.full = shutil.disk_usage(path).free < needed

    def _write(self, state: checkpoint.State) -> Path:
        """Write a state and the weights that `generate` uses; return the path of the state."""
        path = checkpoint.save(self.model.state, state)
        if (better := self._better()) is not None:
            try:
                content, _ = durable.read_checked(self._kept(better))
            except UserError:  # lost: then those of now
                pass
            else:
                durable.write_checked(self.model.weights, content)
                return path
        if self.step:
            self._write_weights(self.model.weights)
        return path

    def _write_weights(self, path: Path) -> None:
        registry.save_weights(path, self.learner.average, self.config, self.step)

    def _go_back(self, problem: str) -> Noticed:
        """Go on from the last state at half the rate.

        Raises:
            UserError: if that was done often enough.
        """
        rate = self.settings.lr * self.journal.rate(self.step)
        if sum(1 for _ in self.journal.of(RATE)) >= BREAKDOWNS:
            raise UserError(
                f"training broke down at step {self.step}: {problem}, also at {rate:.2g}, the "
                f"{BREAKDOWNS} times halved rate",
                "the last good state is kept; start anew with steadier settings, such as "
                f"--set train.lr={rate / 4:.1g} --set train.warmup=500 --name NAME",
            )
        broken = self.step
        state, _ = checkpoint.load_newest(self.model.state)
        if state is None:
            raise UserError(f"training broke down at step {broken}: {problem}", "use another name")
        self.learner.restore(state)
        self.step = self.load = self.saved_at = state.step
        self.journal.add(RATE, self.step, factor=0.5, reason=f"{problem} at step {broken}")
        self.window.clear()
        self._drop_metrics()
        self.looks = self._known_looks()
        self.clock = self._clock()
        text = f"{problem}: back to step {self.step}, and on at half the rate, {rate / 2:.2g}"
        return Noticed(broken, text)

    # --- the end ---------------------------------------------------------------------------------

    def _end(self) -> Iterator[Event]:
        """Look and save once more, and say how it ended."""
        total = self.plan.total(self.step)
        done = total is not None and self.step >= total
        if done and self.every and self.step >= self.every and not self._seen():
            yield from self._look(last=True)
            yield from self._conclude()
        if self.saved_at != self.step:
            self._save()
        if self.step:
            yield self._sheet()
        if self.model.weights.exists():
            durable.write(self.model.path / "card.md", card.text(self.model).encode())
        used = self._elapsed()
        spent = {what: round(took / used, 4) for what, took in self.spent.items()}
        complete = done or bool(self.reason)
        reason = self.reason or ("the disk is almost full" if self.full else "stopped")
        if complete:
            reason = self.reason or self._usual_reason()
            record = {"finished": self.step, "reason": reason, "seconds": used, "spent": spent}
            durable.append(self.model.state / FILE, json.dumps(record))
        better = self._better()
        self.world.tell(Order(-1))
        yield Ended(
            self.step,
            complete,
            reason,
            used,
            better.step if better else self.step,
            spent,
        )

    def _seen(self) -> bool:
        return bool(self.looks) and self.looks[-1].step == self.step

    def _usual_reason(self) -> str:
        if self._is_annealing():
            return self.plan.reason(self.step)
        return "budget used" if self.by_clock else "all steps done"

    # --- the curves ------------------------------------------------------------------------------

    def _log(self, numbers: Mapping[str, float]) -> None:
        record = {
            "step": self.step,
            "seconds": round(self._elapsed(), 2),
            **{name: float(f"{value:.6g}") for name, value in numbers.items()},
        }
        durable.append(self.model.path / "metrics.jsonl", json.dumps(record), sync=False)

    def _drop_metrics(self) -> None:
        """Forget what was logged after the state that training goes on from: it comes again."""
        path = self.model.path / "metrics.jsonl"
        if path.exists():
            kept = [r for r in durable.lines(path) if r.get("step", 0) <= self.step]
            durable.write(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
