"""`imagegen train`: pictures in, a model out."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imagegen.cli import console, options
from imagegen.cli.narrator import Narrator
from imagegen.errors import ExitCode, NotFoundError, SettingsError, UserError

if TYPE_CHECKING:
    from imagegen import registry
    from imagegen.data.store import Pictures
    from imagegen.device import Precision
    from imagegen.family import Family
    from imagegen.presets import Layer
    from imagegen.settings import Config, Settings
    from imagegen.train.choose import Choice, Estimate
    from imagegen.train.events import Event
    from imagegen.train.parallel import World


PRECISION = ("train", "precision")


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
    captions: Annotated[
        Literal["auto", "from-names", "none"] | None,
        typer.Option("--captions", help="Where texts come from: the same as data.captions."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="NAME", help="Go on with a model.")
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="MODEL", help="Start from the weights of a model, or from scratch."
        ),
    ] = None,
    presets: options.Presets = None,
    sets: options.Sets = None,
    force: Annotated[
        bool, typer.Option("--force", help="Delete a model of this name first.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write curves and sheets for TensorBoard.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at the pictures, say what would be done; stop.")
    ] = False,
    print_config: options.PrintConfig = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a model on your pictures. The same command again goes on where it stopped.

    What you do not set is chosen from the pictures, the machine and the time. Sub-folders of DATA
    become labels. Your files are only read. Ctrl-C saves and stops; whatever else kills it, at
    most `train.checkpoint_every` steps are lost.

    Examples:

        imagegen train sample:smileys --budget 5m
        imagegen train sprites/ --name sprites --budget 1h --set data.size=64
        imagegen train --resume sprites
        torchrun --nproc-per-node 2 -m imagegen train sprites/
    """
    started = time.monotonic()
    if budget is not None and steps is not None:
        raise SettingsError("--budget and --steps exclude each other", "give one of them")

    from imagegen import presets as preset_files
    from imagegen import registry

    parent = None
    layer = preset_files.Layer()
    if resume is not None:
        given = {
            "--name": name, "--budget": budget, "--steps": steps, "--captions": captions,
            "--seed": seed, "--preset": presets, "--set": sets, "--force": force or None,
            "--from": start_from,
        }  # fmt: skip
        _refuse(given)
        name = resume
        layer, source, start = _begun(name)
        data = data or source
        if start is not None:
            parent = registry.find(start)
    elif start_from not in (None, "scratch"):
        parent = registry.find(
            f"{registry.BUILTIN}general" if start_from == "general" else start_from
        )
        layer = parent.settings()
        data = data or str(registry.data(parent).get("source", ""))
    layer = preset_files.resolve(
        presets or [],
        sets or [],
        {
            "--budget": ("train.budget", budget),
            "--captions": ("data.captions", captions),
            "--steps": ("train.steps", steps),
            "--seed": ("train.seed", seed),
        },
        base=layer,
    )
    if budget is not None:
        layer.put(("train", "steps"), None, "--budget")

    from imagegen.train.parallel import World, joined, rank

    talk = Narrator(as_json)
    if data:
        name = registry.check_name(name or name_of(data))
    config = preset_files.check(layer)
    chosen = None
    if data and config.family == "auto":
        layer, chosen = _choose_family(layer, data, None if force else name)
    if chosen is not None and rank() == 0:
        talk.chosen(chosen)
    if data or config.family != "auto":
        config, _, _, _ = _checked(layer)
    if rank() > 0 and (print_config or dry_run):
        return  # the first process says it
    if print_config:
        if as_json:
            console.emit_json(config.model_dump(mode="json"))
        else:
            console.emit(preset_files.dump(config, layer).rstrip())
        return
    if not data or not name:
        raise SettingsError("nothing to train on", "give a folder: imagegen train DATA")
    if parent is not None and parent.name == name:
        raise SettingsError(
            f"model '{name}' can't be its own beginning", "give the new one a name: --name NAME"
        )

    from imagegen.device import pick_device

    pick_device(config.device)
    asked = preset_files.Layer().over(layer)
    plan = _Plan(data, name, parent, force, tensorboard, dry_run, started, asked)
    if dry_run:
        _lead(plan, layer, talk, World())
        return
    with joined() as world:
        if world.leads:
            _lead(plan, layer, talk, world)
            return
        from imagegen.train import foundation

        if foundation.is_missing(layer):
            _assist(data, foundation.name_for(name), world)
        _assist(data, name, world)


@dataclass(frozen=True)
class _Plan:
    """What the words of the command line ask for, besides settings."""

    data: str
    name: str
    parent: registry.Model | None
    force: bool
    tensorboard: bool
    dry_run: bool
    started: float
    asked: Layer
    """All settings, before any is chosen."""
    above: _Plan | None = None
    """Of the model that it is trained for, by the same command."""
    pictures: Pictures | None = None
    """What was read for that one."""


def _checked(layer: Layer) -> tuple[Config, type[Family], Settings, Settings]:
    """Check every setting; return all, with the family's own sections complete and apart."""
    from imagegen import presets
    from imagegen.families import FAMILIES
    from imagegen.post.chain import build_chain

    config = presets.check(layer)
    build_chain(config.postprocess)
    kind = FAMILIES[config.family]
    if config.autoencoder is not None and not kind.stands:
        raise SettingsError(
            f"{layer.origin(('autoencoder',))}: autoencoder: a model of family {config.family} "
            "stands on none",
            "leave it out, or take a family that does: --preset latent-flow, --preset rnn",
        )
    network = presets.check_section(kind.Model, "model", layer)
    sampling = presets.check_section(kind.Sampling, "sample", layer)
    return presets.filled(config, model=network, sample=sampling), kind, network, sampling


def _refuse(given: Mapping[str, object]) -> None:
    """Raise SettingsError if any of these flags is given beside `--resume`."""
    for flag, value in given.items():
        if value is not None:
            raise SettingsError(
                f"{flag} has no effect with --resume", "a model goes on with its own settings"
            )


def _begun(name: str) -> tuple[Layer, str, str | None]:
    """Return what a model goes on with, which may still wait for the autoencoder it stands on.

    That is its settings, where its pictures are, and the name of the model that it has yet to start
    from, if any.
    """
    from imagegen import registry
    from imagegen.train import foundation, run

    try:
        model = registry.find(name)
    except NotFoundError:
        if (found := foundation.remembered(name)) is None:
            raise
        first = registry.find(foundation.name_for(name))
        return found[0], str(registry.data(first).get("source", "")), found[1]
    known = registry.data(model)
    start = known.get("continued_from", {}).get("name") if run.is_new(model) else None
    return model.settings(), str(known.get("source", "")), start


def _choose_family(layer: Layer, data: str, begun: str | None) -> tuple[Layer, Choice | None]:
    """Return what is set, laid over the preset that promises most, or that of a model begun.

    And why that one, if it was chosen.
    """
    from imagegen import presets, registry
    from imagegen.train import auto
    from imagegen.train.choose import Choice

    preset, choice = None, None
    if begun is not None:
        known = registry.Model(registry.models_folder() / begun)
        if known.is_begun:
            preset = auto.like(known.settings())
    if preset is None:
        preset, why = auto.choose(layer, data)
        choice = Choice(("preset",), preset, why)
    below = presets.load_with_parents(preset)
    above = presets.Layer().over(layer)
    above.values.pop("family", None)
    return above.over(below), choice


def _lead(plan: _Plan, layer: Layer, talk: Narrator, world: World) -> None:
    """Train, as the only process or the first of several."""
    from imagegen import presets, registry
    from imagegen.data.store import load_pictures
    from imagegen.train import choose, foundation, run
    from imagegen.train.learner import check

    known = registry.Model(registry.models_folder() / plan.name)
    begun = not plan.force and known.is_begun
    below = _settle(plan, layer, begun)
    promise = None
    precision = run.precision_of(presets.check(layer), known if begun else None)
    if layer.get(PRECISION) in (None, "auto"):
        talk.chosen(choose.Choice(PRECISION, precision.name, precision.reason))
    if layer.get(("train", "steps")) is None:
        promise = _choose(plan.data, layer, precision, talk)
    if (pictures := plan.pictures) is None:
        data = _checked(layer)[0].data
        with console.progress(talk.as_json) as report:
            pictures = load_pictures(plan.data, data, partial(report, "reading pictures"))
        talk.describe(plan.name, plan.data, pictures)
    if (kept := choose.keep_palette(layer, pictures)) is not None:
        talk.chosen(kept)
    config, family, sampling = _built(layer, pictures, known if begun else None)
    if promise is not None:
        for setting, reason in family.choices(len(pictures)).items():
            talk.say(f"  {setting}: {reason}")
    check(family, config, world)
    if config.train.decay_towards == "start" and plan.parent is None and not begun:
        raise SettingsError(
            "train.decay_towards=start: this run starts from scratch", "name a model: --from MODEL"
        )
    if begun:
        same = config
        if below is not None:  # whether it is that one is known when it is trained
            same = config.model_copy(
                update={"autoencoder": presets.check(known.settings()).autoencoder}
            )
        run.refuse_other(known, same, pictures, plan.parent)
    if plan.dry_run:
        if promise is None:
            promise = choose.estimate(layer, precision.is_mixed)
        talk.promise(plan.name, config, family, promise, pictures)
        return
    carried = []
    if plan.parent is not None and not (begun and not run.is_new(known)):
        carried = run.carry_over(plan.parent, family, config)
    first = foundation.name_for(plan.name)
    if plan.force and known.path.exists():  # only now that nothing else can be refused
        if config.autoencoder is not None and registry.foundation(config.autoencoder) == known:
            raise SettingsError(
                f"--force would delete {plan.name}, which the new model is to stand on",
                "give the new one another name: --name NAME",
            )
        if below is not None:
            registry.check_removable(registry.Model(known.path.with_name(first)), [plan.name])
        registry.remove(known)
    if below is not None:
        talk.say(f"first the autoencoder that it stands on, {first}; then {plan.name}")
        # What comes back of a picture is hardly learnt by heart: none has to be turned for it.
        shown = config.data.model_copy(update={"turned": 0})
        below.put(("data",), shown.model_dump(), "that of the model")
        stage = replace(plan, name=first, parent=None, above=plan, pictures=pictures)
        _lead(stage, below, talk, world)
        talk.say(f"now {plan.name}, on {first}")
        foundation.pin(layer)
        config, family, sampling = _built(layer, pictures)
        if begun:
            run.refuse_other(known, config, pictures, plan.parent)
        plan = replace(plan, started=time.monotonic())
    _run(plan, config, precision, family, sampling, pictures, carried, talk, world)
    if plan.above is None:
        talk.say(_next_command(plan.name, family))


def _next_command(name: str, family: Family) -> str:
    """Return what to do with a model that was just trained."""
    if not family.generates:
        return f"use it: imagegen train DATA --preset latent-flow --set autoencoder.name={name}"
    prompt = "" if family.condition.vocabulary is None else ' "WORDS"'
    return f"generate with: imagegen generate{prompt} -m {name} -n 16 --grid sheet.png"


def _settle(plan: _Plan, layer: Layer, begun: bool) -> Layer | None:
    """Fill in what a training that was begun had, and the autoencoder that is stood on.

    Return the settings of that one if it is to be trained first.
    """
    from imagegen.train import foundation, run

    named, weighed = map(layer.origin, (foundation.NAME, foundation.WEIGHTS))
    if named.startswith("--set") and layer.get(foundation.WEIGHTS) and named != weighed:
        layer.put(foundation.WEIGHTS, None, named)  # they are those of the one named before
    if begun:
        _take_over(layer, run.known(plan.name))
    elif not plan.force and layer.get(foundation.SIZE) is None:
        size = foundation.begun_size(layer, plan.name)
        if size is not None:  # or its pictures would be others than those of its autoencoder
            layer.put(foundation.SIZE, size, f"chosen for {foundation.name_for(plan.name)}")
    if foundation.is_missing(layer):
        return foundation.plan(layer, plan.name)
    if layer.get(foundation.NAME) is not None and layer.get(foundation.WEIGHTS) is None:
        foundation.follow(layer)
    return None


def _built(
    layer: Layer, pictures: Pictures, begun: registry.Model | None = None
) -> tuple[Config, Family, Settings]:
    """Return all settings, the model that they make for these pictures, and those to draw with.

    One that was begun can be told what it could be told then, whatever the version.
    """
    from imagegen import registry
    from imagegen.train import foundation
    from imagegen.train.learner import build

    config, kind, network, sampling = _checked(layer)
    autoencoder = foundation.build(config.autoencoder, pictures.shape)
    condition = None
    if begun is not None:
        with suppress(UserError):  # no weights yet, or damaged ones
            condition = registry.condition_of(begun.header())
    return config, build(kind, network, config, pictures, autoencoder, condition), sampling


def _run(
    plan: _Plan,
    config: Config,
    precision: Precision,
    family: Family,
    sampling: Settings,
    pictures: Pictures,
    carried: list[str],
    talk: Narrator,
    world: World,
) -> None:
    """Train a model that is ready, to its end or until it is stopped.

    Args:
        plan: what was asked for.
        config: all settings.
        precision: what it is trained in.
        family: the model, new or with the weights of its parent.
        sampling: the settings to draw with.
        pictures: all of them.
        carried: what to say of the parent's weights, if it begins now.
        talk: says how it goes.
        world: the other processes.
    """
    from imagegen import registry
    from imagegen.train import foundation, loop, run
    from imagegen.train.learner import Learner
    from imagegen.train.parallel import Order
    from imagegen.train.watch import Watcher

    model = run.folder(plan.name)
    with registry.locked(model), _stop_on_signals() as stopped:
        if (above := plan.above) is not None:
            start = None if above.parent is None else above.parent.name
            foundation.remember(above.name, above.asked, start)
        sides = run.prepare(model, config, _absolute(plan.data), pictures, plan.parent)
        if above is None:
            foundation.forget(plan.name)
        talk.held_out(sides, config)
        world.wait()
        if (end := run.finished(model)) is not None:
            talk.say(f"{plan.name} is finished: {end.reason} at step {end.step}")
            talk.event("ended", step=end.step, complete=True, reason=end.reason)
            world.tell(Order(-1))
            return
        for line in carried:
            talk.say(f"  {line}")
        learner = Learner(family, sides.training, config, world)
        watcher = Watcher(
            sides.training, sides.held_out, sides.index, sampling, config.train.features
        )
        training = loop.Training(
            model, learner, watcher, config, precision, stopped.is_set, plan.started, world
        )
        with talk.progress(), _board(model, plan.tensorboard) as write:
            for event in training.run():
                talk.show(event)
                write(event)
        if talk.ended is not None and not talk.ended.complete:
            _stopped(plan, talk.ended.reason, stopped.is_set())


@contextmanager
def _board(model: registry.Model, wanted: bool) -> Iterator[Callable[[Event], None]]:
    """Give what writes events for TensorBoard, if that is wanted."""
    if not wanted:
        yield lambda event: None
        return
    from imagegen.train.board import Board

    board = Board(model.path / "tensorboard")
    try:
        yield board.write
    finally:
        board.close()


class NoRoomError(UserError):
    """A training stopped, with everything saved, before the disk was full."""


def _stopped(plan: _Plan, reason: str, by_user: bool) -> None:
    """End a command whose training is not complete."""
    how = f"imagegen train --resume {(plan.above or plan).name}"
    if not by_user:
        raise NoRoomError(
            f"{reason}: stopped, with everything saved", f"make room, then go on with: {how}"
        )
    console.say(f"stopped and saved; go on with: {how}")
    raise typer.Exit(ExitCode.INTERRUPTED)


def _assist(data: str, name: str, world: World) -> None:
    """Train as one of several processes that the first one leads; say nothing."""
    from imagegen import presets, registry
    from imagegen.data.store import load_pictures
    from imagegen.train import loop, run
    from imagegen.train.learner import Learner

    for number in (signal.SIGINT, signal.SIGTERM):  # the first process ends this one
        signal.signal(number, signal.SIG_IGN)
    try:
        world.wait()
        model = registry.find(name)
        layer = presets.Layer().over(model.settings())
        pictures = load_pictures(data, _checked(layer)[0].data)
        config, family, _ = _built(layer, pictures, model)
        training = run.divide(model, config, pictures).training
        loop.assist(Learner(family, training, config, world), model, world)
    except UserError:  # the first process has said it, or is gone
        raise typer.Exit(ExitCode.FAILED) from None


def _take_over(layer: Layer, model: registry.Model) -> None:
    """Fill in what was chosen when a training began, so that it can go on as it is."""
    from imagegen.train.choose import CHOSEN

    before = model.settings()
    drawing = [("sample", key) for key in before.get(("sample",)) or {}]  # by an older version
    for keys in [*CHOSEN, *drawing]:
        if layer.get(keys) is None and before.get(keys) is not None:
            layer.put(keys, before.get(keys), f"chosen for {model.name}")


def _choose(data: str, layer: Layer, precision: Precision, talk: Narrator) -> Estimate | None:
    """Choose what is not set, and say why."""
    from imagegen.data.store import typical_side
    from imagegen.train.choose import CHOSEN, choose

    if all(layer.get(keys) is not None for keys in CHOSEN):
        return None
    try:
        side = typical_side(data)
    except UserError:  # reading the whole set will say more
        return None
    choices, promise = choose(layer, side, precision.is_mixed)
    for choice in choices:
        talk.chosen(choice)
    if promise.is_useless:
        talk.say(
            f"warning: too little time for anything useful: {promise.pictures:,.0f} pictures would "
            f"be seen where {promise.needed:,.0f} are needed; --budget {promise.enough} would do"
        )
    return promise


def name_of(data: str) -> str:
    """Return what a model of these pictures is called, if nobody says."""
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
    signals = [s for s in signals if signal.getsignal(s) != signal.SIG_IGN]  # as nohup has it
    before = {s: signal.signal(s, handle) for s in signals}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
