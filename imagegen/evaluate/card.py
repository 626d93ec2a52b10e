"""A model's card: what it is, for people, in a page of Markdown."""

from __future__ import annotations

from imagegen import registry
from imagegen.evaluate import facts
from imagegen.evaluate.facts import Facts, NetworkScores


def text(model: registry.Model) -> str:
    """Return a model's card, made from the files in its folder alone. torch is not needed.

    Raises:
        UserError: if the model has no weights yet, or they or its settings are damaged.
    """
    known = facts.gather(model)
    config = known.config
    took = "" if known.seconds is None else f" in {facts.duration(known.seconds)}"
    parts = [
        f"# {_plain(known.name)}",
        f"A `{config.family}` model made by imagegen. It "
        f"{'encodes and decodes' if known.is_codec else 'draws'} pictures of {facts.kind(known)}.",
        facts.verdict(known) if known.state == "current" else "",
        "## Training",
        _items(
            *_data(known),
            f"{known.step:,} steps of {config.train.batch_size} pictures{took}, "
            f"seed {config.train.seed}",
            f"weights of {known.trained}, sha256 `{known.weights}`",
        ),
        "## Evidence",
        _evidence(known),
        "## Use",
        _use(known),
        _items(*facts.uses(known)),
        "## Limits",
        _items(*facts.limits(known)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _use(known: Facts) -> str:
    if known.is_codec:
        use = f"imagegen train DATA --preset latent-flow --set autoencoder.name={known.name}"
        return f"    {use}\n    imagegen features {known.name} DATA"
    lines = [f"imagegen generate -m {known.name} --seed 42 -n 16"]
    if known.words:
        lines += [
            f'imagegen generate "WORDS" -m {known.name} --seed 42 -n 16',
            f"imagegen models show {known.name} --words",
        ]
    lines.append(f"imagegen report {known.name}")
    return "\n".join(f"    {line}" for line in lines)


def _data(known: Facts) -> list[str]:
    data = known.data
    count = "an unknown number of" if data.pictures is None else f"{data.pictures:,}"
    held = f", {data.held_out:,} of them held out to measure with" if data.held_out else ""
    labels = ", ".join(f"{_plain(label)} ({count:,})" for label, count in data.labels.items())
    lines = [
        f"{count} pictures from {_code(data.source or 'an unknown place')}{held}",
        f"labels of those trained on: {labels or 'none'}",
        f"words of their captions: {known.words:,}" if known.words else "no captions",
    ]
    if data.skipped:
        files = "file" if len(data.skipped) == 1 else "files"
        lines.append(f"{len(data.skipped):,} {files} skipped")
    if data.fingerprint:
        lines.append(f"fingerprint of the pictures `{data.fingerprint[:16]}`")
    return lines


def _evidence(known: Facts) -> str:
    if known.is_codec:
        return (
            "See what comes back from it: `imagegen postprocess FILE --op "
            f"reconstruct:model={known.name} -o out.png`"
        )
    measured = known.evaluation
    if measured is None or known.state != "current":
        was = "Measured with older weights" if known.state == "stale" else "Not measured yet"
        return f"{was}. Measure it: `imagegen evaluate {known.name}`"
    rows = [
        ("kernel distance (KID), lower is better", *_kid(measured)),
        *_shares(measured),
        *_second(measured.second),
        (
            "copies of training pictures",
            facts.percent(measured.copies),
            facts.percent(measured.copies_among_real),
        ),
    ]
    told = {
        "right label": measured.fidelity,
        "text told from nine others": measured.text_fidelity,
    }
    for what, one in told.items():
        if one:
            rows.append((what, facts.percent(one.generated), facts.percent(one.held_out)))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    sizes = measured.equal_sizes
    equal = f" Precision to Vendi: {sizes.n:,} of each." if sizes and sizes.n else ""
    networks = [measured, *([measured.second] if measured.second else [])]
    features = ", second: ".join(_plain(one.features or "unknown features") for one in networks)
    warnings = [f"**{_plain(warning)}**" for warning in measured.warnings]
    return "\n\n".join(
        [
            f"| | generated | real, held out |\n|---|---|---|\n{table}",
            f"In {features}; not to be compared with published numbers.{equal}",
            *([_items(*warnings)] if warnings else []),
        ]
    )


def _second(measured: NetworkScores | None) -> list[tuple[str, str, str]]:
    """Return the rows of the second feature network, none if there was none."""
    if measured is None:
        return []
    coverage = [row for row in _shares(measured) if row[0] == "coverage"]
    rows = [("KID", *_kid(measured)), *coverage]
    return [(f"{name}, second network", ours, real) for name, ours, real in rows]


def _kid(measured: NetworkScores) -> tuple[str, str]:
    return (
        _with_interval(measured.kid, measured.kid_interval),
        _with_interval(measured.floor, measured.floor_interval),
    )


def _with_interval(value: float | None, interval: facts.Interval | None) -> str:
    shown = facts.number(value)
    return f"{shown} ({' to '.join(map(facts.number, interval))})" if interval else shown


def _shares(measured: NetworkScores) -> list[tuple[str, str, str]]:
    if measured.equal_sizes is None:
        return []
    ours, real = measured.equal_sizes.generated, measured.equal_sizes.real
    return [
        (name, facts.number(getattr(ours, key)), facts.number(getattr(real, key)))
        for name, key in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("coverage", "coverage"),
            ("different pictures (Vendi)", "vendi"),
        )
    ]


def _items(*lines: str) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _plain(words: str) -> str:
    """Return somebody's words so that Markdown shows them as they are, in one line."""
    return "".join(f"\\{c}" if c in r"\`*_[]<>#|" else c for c in " ".join(words.split()))


def _code(words: str) -> str:
    """Return somebody's words as code, whatever backticks they hold."""
    words = " ".join(words.split())
    fence = "`"
    while fence in words:
        fence += "`"
    room = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{room}{words}{room}{fence}"
