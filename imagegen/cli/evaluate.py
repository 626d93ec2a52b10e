"""`imagegen evaluate`: how good, how varied and how original."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from imagegen.cli import options
from imagegen.errors import SettingsError


def evaluate(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Default: the newest.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="Real pictures; default: what it was trained on."),
    ] = None,
    pictures: Annotated[
        str | None,
        typer.Option("--pictures", metavar="FOLDER", help="Pictures from anywhere, no model."),
    ] = None,
    against: Annotated[
        str | None, typer.Option("--against", metavar="OTHER", help="A second model, compared.")
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=4000, help="How many pictures to draw.")
    ] = 1000,
    seed: Annotated[
        int, typer.Option("--seed", "-s", min=0, max=2**62, help="Of the first picture; then +1.")
    ] = 0,
    features: options.Features = "auto",
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", metavar="FILE.png", help="A sheet of the pictures most like training ones."
        ),
    ] = None,
    sets: options.Sets = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure a model, or any folder of pictures, against real pictures.

    KID (lower is better) with its interval, precision and density (quality), recall and coverage
    (variety), copies of training pictures (originality): all over, and by label. Each number stands
    beside its floor, what real held-out pictures score. They depend on the features, which are
    named: never compare them with numbers from elsewhere. KID and coverage are also measured in the
    features of a second network of another make: a model can be good at the features of one,
    particularly if it was trained with them, without its pictures being good.

    What is found of a model against the pictures it was trained on is kept with it, for its card
    and for `imagegen report`.

    Examples:

        imagegen evaluate smileys
        imagegen evaluate smileys --against other
        imagegen evaluate --pictures out/ sprites/ --json
    """
    check_features(features)
    if pictures is not None:
        if data is not None:
            raise SettingsError(
                "--pictures takes DATA alone, no MODEL", "imagegen evaluate --pictures FOLDER DATA"
            )
        for flag, given in (("--against", against), ("--set", sets)):
            if given:
                raise SettingsError(f"{flag} has no effect with --pictures", "it needs a model")
        if model is None:
            raise SettingsError(
                "no real pictures to measure against", "imagegen evaluate --pictures FOLDER DATA"
            )

    from imagegen import durable, registry
    from imagegen.cli import console, sink
    from imagegen.evaluate import subject
    from imagegen.images import grid, metadata

    if pairs is not None:
        sink.check_file(pairs, "--pairs")
    with console.progress(as_json) as report:
        if pictures is not None:
            assert model is not None
            subjects = [subject.pictures(pictures, model, features, report)]
        else:
            names = [registry.find(name) for name in (model, against)[: 1 + (against is not None)]]
            seeds = range(seed, seed + count)
            subjects = [subject.model(names[0], data, seeds, features, sets or [], report)]
            subjects += [
                subject.model(other, data, seeds, features, sets or [], report, like=subjects[0])
                for other in names[1:]
            ]
    record = subjects[0].evaluation.record
    if against is not None:
        record = {**record, **subject.difference(*subjects)}
    for one in subjects:
        one.keep()
    if pairs is not None:
        sheet = grid.sheet(subjects[0].pairs())
        durable.write(pairs, metadata.encode(sheet, {"version": 1, "pairs": record["pairs"]}))
    if as_json:
        console.emit_json(record)
        return
    for line in _described(record):
        console.emit(line)
    if against is not None:
        for line in _compared(record):
            console.emit(line)
    if pairs is not None:
        console.say(f"pairs: {pairs}")
    if subjects[0].model is not None:
        console.say(f"on one page: imagegen report {subjects[0].name}")


def check_features(name: str) -> None:
    """Raise SettingsError unless there is such a feature network, or it is `auto`."""
    if name != "auto":  # importing the networks takes a second
        from imagegen.evaluate.features import check

        check(name)


MEANINGS = {
    "frechet": ("Frechet distance", "lower is better"),
    "precision": ("precision", "quality: share that could be real"),
    "density": ("density", "quality: how much in their midst"),
    "recall": ("recall", "variety: share of the real that could be drawn"),
    "coverage": ("coverage", "variety: share of the real that has one near"),
    "vendi": ("Vendi score", "variety: different pictures it amounts to"),
}


def _described(record: dict[str, Any]) -> Iterator[str]:
    what = record.get("model") or record["pictures"]
    yield (
        f"{what}: {record['n_generated']:,} pictures against {record['n_real']:,} real ones; "
        f"floor: {record['n_held_out']:,} other real ones"
    )
    second = record["second"]
    yield f"features: {record['features']}; not to be compared with numbers from elsewhere"
    yield f"second network: {second['features']}"
    for warning in record["warnings"]:
        yield f"warning: {warning}"
    yield ""
    yield f"{'':26}{record['network']:36}{second['network']}"
    for key, name in (("kid", "KID (lower is better)"), ("floor", "  floor")):
        yield f"{name:26}{_ranged(record, key):36}{_ranged(second, key)}"
    yield f"{'coverage':26}{_coverage(record):36}{_coverage(second)}"
    equal = record["equal_sizes"]
    if equal is not None:
        yield ""
        n = f"at {equal['n']:,} pictures each"
        yield f"{n:26}{'generated':>10}{'real':>10}"
    for key, (name, meaning) in MEANINGS.items():
        if equal is None:
            yield f"{name:26}{record[key]:>10.4g}  {meaning}"
        else:
            pair = "".join(f"{equal[side][key]:>10.4g}" for side in ("generated", "real"))
            yield f"{name:26}{pair}  {meaning}"
    yield ""
    low, high = record["copies_interval"]
    copies = f"{record['copies']:.1%} ({low:.1%} to {high:.1%})"
    if record["copies_among_real"] is not None:
        copies += f"; {record['copies_among_real']:.1%} of other real ones would count as such"
    yield f"{'copies of real pictures':26}{copies}"
    if (likelihood := record.get("likelihood")) is not None:
        yield (
            f"{'negative log-likelihood':26}{likelihood['nats']:.4g} +- "
            f"{likelihood['nats_error']:.2g} nats, {likelihood['bits_per_dim']:.3g} bits per "
            f"dimension, of {likelihood['n']} other real ones"
        )
    for key, name in (("fidelity", "label recognised"), ("text_fidelity", "text told from nine")):
        if (fidelity := record[key]) is not None:
            shares = [f"{fidelity[side] or 0:.0%}" for side in ("generated", "held_out", "chance")]
            yield (
                f"{name:26}{shares[0]} of the pictures, {shares[1]} of other real ones, "
                f"{shares[2]} by chance"
            )
    if record["labels"]:
        yield ""
        yield f"{'label':26}{'drawn':>7}{'real':>7}{'seen as':>9}{'coverage':>10}{'KID':>10}"
    for name, one in record["labels"].items():
        seen = f"{one['fidelity']:.0%}" if "fidelity" in one else ""
        rest = "   too few to measure"
        if "kid" in one:
            rest = f"{one['coverage']:>10.2f}{one['kid']:>10.4g}  {_interval(one['kid_interval'])}"
        yield f"{name[:25]:26}{one['n_generated']:>7}{one['n_real']:>7}{seen:>9}{rest}"


def _ranged(record: dict[str, Any], key: str) -> str:
    if record[key] is None:
        return "unknown"
    return f"{record[key]:.4g}  {_interval(record[f'{key}_interval'])}"


def _coverage(record: dict[str, Any]) -> str:
    equal = record["equal_sizes"]
    if equal is None:
        return f"{record['coverage']:.4g}"
    return f"{equal['generated']['coverage']:.4g}  real {equal['real']['coverage']:.4g}"


def _interval(values: list[float]) -> str:
    return f"[{values[0]:.4g}, {values[1]:.4g}]"


def _compared(record: dict[str, Any]) -> Iterator[str]:
    ours, other = record["model"], record["against"]
    yield ""
    for warning in other["warnings"]:
        if warning not in record["warnings"]:
            yield f"warning: {other['model']}: {warning}"
    yield f"{other['model']}: KID {_ranged(other, 'kid')}, copies {other['copies']:.1%}"
    second = other["second"]
    yield f"{'':{len(other['model'])}}  second network: KID {_ranged(second, 'kid')}"
    verdicts = [
        _verdict(ours, other["model"], record[f"{prefix}kid_difference_interval"])
        for prefix in ("", "second_")
    ]
    yield f"{verdicts[0]}: the KIDs differ by {_ranged(record, 'kid_difference')}"
    agrees = "agrees" if verdicts[0] == verdicts[1] else f"says: {verdicts[1]}"
    yield (
        f"the second network {agrees}; in its features they differ by "
        f"{_ranged(record, 'second_kid_difference')}"
    )


def _verdict(ours: str, other: str, interval: list[float]) -> str:
    """Return which model is better, by the interval of our KID less the other's."""
    low, high = interval
    if low > 0:
        return f"{other} is better"
    if high < 0:
        return f"{ours} is better"
    return "too near to tell; more pictures (-n) would narrow it"
