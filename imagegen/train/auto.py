"""Which preset to train by, when nobody says: the best on the most similar set measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2

from imagegen import presets
from imagegen.data.store import Channels, glance
from imagegen.families import FAMILIES
from imagegen.families.flow import SMALL
from imagegen.settings import Config, seconds

OTHER_KIND = 3
"""How unlike pictures of another kind are: as much as 2**3 times as many of the same. A guess."""


@dataclass(frozen=True)
class Compared:
    """What was measured of presets on the same pictures and time (tests/bench/RESULTS.md).

    Attributes:
        name: of the set.
        pictures: how many it has.
        kind: of the pictures.
        minutes: that each preset was given, on one CPU core.
        kid: of each preset's pictures; lower is better. `autoencoder`, which others draw with, is
            not here.
        aside: what is to be said of the others.
    """

    name: str
    pictures: int
    kind: Channels
    minutes: float
    kid: Mapping[str, float]
    aside: str = ""


COMPARED = (
    Compared(
        "mnist",
        10_000,
        "grey",
        10,
        {"rnn": 0.020, "flow": 0.021, "latent-flow": 0.048, "gan": 0.355},
    ),
    Compared(
        "textures",
        2_720,
        "rgb",
        10,
        {"flow": 0.092, "rnn": 0.158, "latent-flow": 0.160, "gan": 0.580},
    ),
    Compared(
        "dcss", 2_406, "rgba", 10, {"rnn": 0.315, "flow": 0.348, "latent-flow": 0.349, "gan": 0.476}
    ),
    Compared("emoji", 3_758, "rgba", 10, {"rnn": 0.264, "latent-flow": 0.273, "gan": 0.686}),
    Compared(
        "dcss500", 500, "rgba", 6, {"rnn": 0.235, "latent-flow": 0.335, "flow": 0.418, "gan": 0.628}
    ),
    Compared("smileys", 207, "rgba", 6, {"latent-flow": 0.171, "gan": 1.024}, "rnn copied"),
    Compared("smileys", 207, "rgba", 10, {"flow": 0.260}, "rnn and latent-flow copied"),
    Compared(
        "mnist",
        10_000,
        "grey",
        30,
        {"flow": 0.015, "rnn": 0.016, "latent-flow": 0.019, "gan": 0.066},
    ),
    Compared(
        "textures",
        2_720,
        "rgb",
        30,
        {"flow": 0.072, "latent-flow": 0.110, "rnn": 0.123, "gan": 0.301},
    ),
    Compared(
        "dcss",
        2_406,
        "rgba",
        30,
        {"latent-flow": 0.257, "rnn": 0.307},
        "gan and flow had 0.21 of pictures that look worse",
    ),
)


MEASURED = tuple(dict.fromkeys(name for one in COMPARED for name in one.kid))
"""The presets of the table."""


def like(layer: presets.Layer) -> str | None:
    """Return the preset of this table that a model with these settings was trained by, if any."""
    for name in MEASURED:
        preset = presets.load_with_parents(name)
        stands = [one.get(("autoencoder",)) is not None for one in (preset, layer)]
        if preset.get(("family",)) == layer.get(("family",)) and stands[0] == stands[1]:
            return name
    return None


def choose(layer: presets.Layer, source: str) -> tuple[str, str]:
    """Choose a preset for pictures that nobody chose one for.

    Args:
        layer: all that is set.
        source: the pictures.

    Returns:
        Its name, and the reason.

    Raises:
        UserError: if the pictures can't be read.
        SettingsError: if what is set is wrong.
    """
    config = presets.check(layer)
    count, kind = glance(source, config.data)
    minutes = None if config.train.steps else seconds(config.train.budget) / 60
    able = [name for name in MEASURED if _takes(name, config)]
    # Where none is, the first will say what it does not know.
    return pick(count, kind, minutes, able or MEASURED)


def _takes(name: str, config: Config) -> bool:
    """Say whether all that is set can be set for a preset, and it draws pictures of that size."""
    family = FAMILIES[presets.load_with_parents(name).get(("family",))]
    known = (config.model, family.Model), (config.sample, family.Sampling)
    fits = name != "flow" or max(config.data.sides) <= SMALL
    return fits and all(given.keys() <= section.model_fields.keys() for given, section in known)


def pick(
    pictures: int, kind: Channels, minutes: float | None, able: Sequence[str]
) -> tuple[str, str]:
    """Return the name of a preset, and the reason, for a set of pictures and the time there is.

    Args:
        pictures: how many there are.
        kind: of most of them.
        minutes: to train for; None where steps are counted instead.
        able: the presets that come into question, at least one.
    """

    def distance(one: Compared) -> float:
        other = OTHER_KIND * (one.kind != kind.removesuffix("16"))
        time = 0 if minutes is None else abs(log2(one.minutes / minutes))
        return abs(log2(one.pictures / pictures)) + time + other

    nearest = min((one for one in COMPARED if one.kid.keys() & set(able)), key=distance)
    first, *others = sorted(nearest.kid.keys() & set(able), key=lambda name: nearest.kid[name])
    than = f" where {others[0]} had {nearest.kid[others[0]]:.3g}" if others else ""
    aside = f" ({nearest.aside})" if nearest.aside else ""
    return first, (
        f"KID {nearest.kid[first]:.3g}{than}{aside}, on the most similar set that was measured: "
        f"{nearest.pictures:,} pictures ({nearest.kind}), {nearest.minutes:g} minutes"
    )
