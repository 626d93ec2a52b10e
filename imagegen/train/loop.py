"""The one training loop: it knows phases, not families; it yields events and never prints."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from imagegen import durable, registry
from imagegen.data.store import Pictures, to_tensor
from imagegen.device import pick_device
from imagegen.errors import UserError
from imagegen.evaluate import card
from imagegen.family import Batch, Condition, Family
from imagegen.images import grid, metadata
from imagegen.sample.draw import draw
from imagegen.settings import Config, Settings, seconds
from imagegen.train import checkpoint
from imagegen.train.plan import Plan, half_cosine

LOG_EVERY = 20
SHEET_SEEDS = range(16)
# Of a budget: time steps for a fiftieth, look again every twentieth, leave a little for the end.
PROBE, REVISE, AIM = 1 / 50, 1 / 20, 0.98
TOLERANCE = 0.03
"""A plan that would miss its budget by less than this is left alone."""


@dataclass(frozen=True)
class Resumed:
    """Training goes on from a saved state."""

    step: int
    complaints: list[str]


@dataclass(frozen=True)
class Progress:
    """Where training stands. `total` and `remaining` (seconds) are None while not yet decided."""

    step: int
    total: int | None
    pictures_per_second: float
    elapsed: float
    remaining: float | None
    losses: dict[str, float]


@dataclass(frozen=True)
class Planned:
    """The number of steps was decided from the clock."""

    total: int
    reason: str


@dataclass(frozen=True)
class Sheet:
    """New pictures of the same seeds."""

    step: int
    pictures: list[Image.Image]


@dataclass(frozen=True)
class Ended:
    """The last event: `complete` is False if the user stopped it. Everything is saved."""

    step: int
    complete: bool
    reason: str
    elapsed: float


Event = Resumed | Progress | Planned | Sheet | Ended


def build(kind: type[Family], model: Settings, config: Config, pictures: Pictures) -> Family:
    """Make a new family for these pictures, its weights drawn from `train.seed`."""
    channels, height, width = pictures.images.shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        return kind(model, (channels, height, width), Condition(pictures.label_names))


def train(
    model: registry.Model,
    family: Family,
    sampling: Settings,
    pictures: Pictures,
    config: Config,
    stopped: Callable[[], bool],
    started: float,
) -> Iterator[Event]:
    """Train, or go on training, until the plan is done or `stopped()`.

    Every random number is a function of (train.seed, step, phase), and every decision taken from
    the clock is in the journal. So a training killed at any moment and started again ends with the
    same weights, bit for bit, on the same machine.

    Args:
        model: the folder, from `run.prepare`.
        family: from `build`, on the CPU.
        sampling: how the sheets are drawn, an instance of the family's `Sampling`.
        pictures: the training set.
        config: every setting.
        stopped: asked before each step.
        started: `time.monotonic()` at which the budget began.

    Raises:
        UserError: if the loss is no longer a number.
        OSError: if the disk is full or can't be written; the last states are untouched.
    """
    settings = config.train
    torch.set_flush_denormal(True)  # denormals in the moments of Adam are many times slower
    family = family.to(pick_device(config.device)).train()
    average = copy.deepcopy(family).eval().requires_grad_(False)
    optimizers = {
        phase: torch.optim.Adam(
            getattr(family, phase).parameters(), lr=settings.lr, betas=settings.betas, fused=True
        )
        for phase in family.phases
    }
    plan = Plan.read(model.state / "journal.jsonl")
    if settings.steps is not None and not plan.decisions:
        plan.decide(0, settings.steps, "train.steps")

    state, complaints = checkpoint.load_newest(model.state)
    step, earlier = 0, 0.0
    if state is not None:
        step, earlier = state.step, state.seconds
        family.load_state_dict(state.family)
        average.load_state_dict(state.average, strict=False)
        for phase, optimizer in optimizers.items():
            checkpoint.restore(optimizer, state.optimizers[phase])
    if state is not None or complaints:
        yield Resumed(step, complaints)
    _drop_metrics_after(model, step)

    def elapsed() -> float:
        return earlier + time.monotonic() - started

    window: dict[str, list[Tensor]] = {}

    def save() -> None:
        _means(window, step, settings.lr)  # what has broken down must not replace what works
        drawn = _drawn(average)
        checkpoint.save(
            model.state,
            checkpoint.State(
                step,
                elapsed(),
                family.state_dict(),
                drawn,
                {phase: optimizer.state_dict() for phase, optimizer in optimizers.items()},
            ),
        )
        plain = {k: v.detach().cpu().contiguous() for k, v in drawn.items()}
        registry.save_weights(model, family, plain, config, step)

    def sheet() -> Sheet:
        _means(window, step, settings.lr)
        drawn = [picture for _, picture in draw(average, SHEET_SEEDS, sampling)]
        record = metadata.record(model.name, None, config.family, None, None, sampling, step=step)
        page = metadata.encode(grid.sheet(drawn), {**record, "seeds": list(SHEET_SEEDS)})
        durable.write(model.samples / f"{step:09d}.png", page)
        return Sheet(step, drawn)

    clock = _Clock(plan, settings.steps is None, seconds(settings.budget), step, elapsed)
    mark, since = time.monotonic(), step
    saved_at = -1  # a kill may have come between a state and its weights: save both again
    while True:
        if (reason := clock.decide(step)) is not None:
            yield Planned(plan.decisions[-1][1], reason)
        total = plan.total(step)
        if (total is not None and step >= total) or stopped():
            break

        logs = _step(family, optimizers, pictures, config, step, plan.progress(step))
        half_life = min(settings.ema_half_life, settings.ema_ramp * step)
        _follow(average, family, 0.5 ** (1 / half_life) if half_life else 0.0)
        step += 1

        for name, value in logs.items():
            window.setdefault(name, []).append(value)
        if step % LOG_EVERY == 0 or step == total:
            now = time.monotonic()
            speed = (step - since) * settings.batch_size / (now - mark)
            mark, since = now, step
            losses = _means(window, step, settings.lr)
            window.clear()
            _log(model, step, elapsed(), speed, losses)
            remaining = None if total is None else (total - step) * settings.batch_size / speed
            yield Progress(step, total, speed, elapsed(), remaining, losses)
        if step % settings.sample_every == 0 and step != total:
            yield sheet()
        if step % settings.checkpoint_every == 0 and step != total:
            save()
            saved_at = step

    complete = total is not None and step >= total
    if saved_at != step:
        save()
    if step:
        yield sheet()
    durable.write(model.path / "card.md", card.text(model).encode())
    reason = "stopped"
    if complete:
        reason = "all steps done" if settings.steps is not None else "budget used"
        durable.append(
            model.state / "journal.jsonl", json.dumps({"finished": step, "reason": reason})
        )
    yield Ended(step, complete, reason, elapsed())


def _step(
    family: Family,
    optimizers: dict[str, torch.optim.Adam],
    pictures: Pictures,
    config: Config,
    step: int,
    progress: float,
) -> dict[str, Tensor]:
    """Train every phase once, on one batch; return the scalars to log."""
    settings = config.train
    rate = half_cosine(progress, settings.lr, settings.lr_end)
    rate *= min(1.0, (step + 1) / (settings.warmup + 1))
    arrays, labels = pictures.batch(settings.seed, step, settings.batch_size, config.data.mirror)
    images = to_tensor(arrays).to(family.device)
    targets = None if labels is None else torch.from_numpy(labels).to(family.device)
    logs: dict[str, Tensor] = {}
    for phase, optimizer in optimizers.items():
        part = getattr(family, phase)
        family.requires_grad_(False)
        part.requires_grad_(True)
        generator = torch.Generator().manual_seed(_hash(settings.seed, step, phase))
        batch = Batch(images, targets, step, progress, len(pictures.images), generator)
        loss, scalars = family.loss(batch, phase)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        logs |= {phase: loss.detach(), **scalars}
    return logs


def _means(window: dict[str, list[Tensor]], step: int, rate: float) -> dict[str, float]:
    """Return the mean of each logged scalar.

    Raises:
        UserError: if one is no longer a number.
    """
    means = {name: torch.stack(values).mean().item() for name, values in window.items()}
    for name, value in means.items():
        if not math.isfinite(value):
            raise UserError(
                f"training broke down at step {step}: {name} is not a number any more",
                f"try a lower rate: --set train.lr={rate / 2:g} --name NAME",
            )
    return means


def _hash(seed: int, step: int, phase: str) -> int:
    """Return 63 bits for the randomness of one phase of one step: neighbours share nothing."""
    digest = hashlib.blake2b(f"{seed}/{step}/{phase}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _drawn(family: Family) -> dict[str, Tensor]:
    """Return the weights that drawing needs."""
    return {k: v for k, v in family.state_dict().items() if k.split(".")[0] in family.drawn_by}


@torch.no_grad()
def _follow(average: Family, family: Family, decay: float) -> None:
    """Move the average towards the weights: average = decay * average + (1 - decay) * weights."""
    for part in family.drawn_by:
        ours, theirs = getattr(average, part), getattr(family, part)
        torch._foreach_lerp_(list(ours.parameters()), list(theirs.parameters()), 1 - decay)
        for mine, new in zip(ours.buffers(), theirs.buffers(), strict=True):
            mine.copy_(new)


class _Clock:
    """Turns a time budget into steps. Does nothing for steps that a journal has decided before."""

    def __init__(
        self, plan: Plan, active: bool, budget: float, step: int, elapsed: Callable[[], float]
    ) -> None:
        self.plan = plan
        self.active = active
        self.budget = budget
        self.elapsed = elapsed
        self.since = (step, elapsed())
        self.first = step

    def decide(self, step: int) -> str | None:
        """Decide or revise the steps in all, if it is time; return the reason."""
        if not self.active or step <= max(self.plan.decided_at, self.first):
            return None
        now = self.elapsed()
        steps, passed = step - self.since[0], now - self.since[1]
        if step == self.first + 2:  # the first steps pay for warming up
            self.since = (step, now)
        known = self.plan.total(step)
        if steps < 4 or passed < self.budget * (PROBE if known is None else REVISE):
            return None
        pace = passed / steps
        total = step + round(max(0.0, self.budget * AIM - now) / pace)
        self.since = (step, now)
        if known is not None and abs(total - known) * pace < TOLERANCE * self.budget:
            return None
        reason = f"{pace:.3g} seconds a step, {now:.0f} of {self.budget:.0f} seconds used"
        self.plan.decide(step, total, reason)
        return reason


def _log(
    model: registry.Model, step: int, elapsed: float, speed: float, losses: dict[str, float]
) -> None:
    record = {
        "step": step,
        "seconds": round(elapsed, 2),
        "pictures_per_second": round(speed, 2),
        **{name: float(f"{value:.6g}") for name, value in losses.items()},
    }
    with (model.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _drop_metrics_after(model: registry.Model, step: int) -> None:
    """Forget what was logged after the state that training goes on from: it happens again."""
    path = model.path / "metrics.jsonl"
    if path.exists():
        kept = [r for r in registry.lines(path) if r.get("step", 0) <= step]
        durable.write(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
