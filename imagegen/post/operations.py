"""What an operation is: one decorated function, from whose signature and docstring all follows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from reprlib import repr as short
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from PIL import Image

from imagegen.catalog import Catalog
from imagegen.errors import SettingsError, did_you_mean
from imagegen.images.pixels import Floats, Pixels
from imagegen.images.reading import MAX_PIXELS
from imagegen.post.region import EVERYWHERE, Labels, mask, parse_color, remember, share

Kind = Literal["filter", "color", "alpha", "geometry", "segment", "report"]
Values = dict[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])

Moved = tuple[Pixels, Callable[[Labels], Labels]]
"""What a geometry operation returns: the new picture, and how a label map follows it."""


@dataclass
class Picture:
    """A picture on its way through a chain, with all that the steps have found and made.

    Attributes:
        pixels: the picture itself.
        max_pixels: steps with a larger result are refused.
        maps: label maps by name, as large as the picture.
        reports: what report steps say, in order.
        extras: more files to write beside the output; the key ends their name: `mask.png`.
        notes: what people should know of the steps, such as that a region was empty.
    """

    pixels: Pixels
    max_pixels: int = MAX_PIXELS
    maps: dict[str, Labels] = field(default_factory=dict)
    reports: list[Values] = field(default_factory=list)
    extras: dict[str, Image.Image | bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def no_settings() -> None:
    """Take nothing for free."""


def written(*, file: str | None = None) -> None:
    """Settings of reports on the whole picture.

    Args:
        file: A file to add the report to, as a line of JSON; without it, the terminal.
    """


def where(*, region: str = EVERYWHERE, file: str | None = None) -> None:
    """Settings of reports that ask for `inside`.

    Args:
        region: What of the picture to look at: subject, label:3, NAME and the like, or all.
        file: A file to add the report to, as a line of JSON; without it, the terminal.
    """


# The keyword arguments of these are the settings that operations of a kind take for free.
FREE: dict[Kind, Callable[..., Any]] = {
    "filter": share,
    "color": share,
    "alpha": share,
    "geometry": no_settings,
    "segment": remember,
    "report": written,
}

TYPE_NAMES = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}
BOUND_NAMES = {"ge": "from", "gt": "over", "le": "up to", "lt": "under"}


@dataclass(frozen=True)
class Setting:
    """One setting of an operation, as help shows it and as values are checked against it."""

    name: str
    type: str
    default: Any
    required: bool
    range: str
    help: str
    annotation: Any


class Operation:
    """A function on pictures with its name, help and checks. `operation` makes them.

    Attributes:
        name: the function's name, with hyphens.
        kind: `filter` and `color` give new colours, `alpha` new transparency, `geometry` a picture
            of another size or shape, `segment` a label map, `report` facts.
        summary: first line of the docstring.
        about: what stands between that and the settings: method, colour space, cost.
        steps: what to write after `--op` to try it.
        example: a command line that works.
    """

    def __init__(
        self, run: Callable[..., Any], kind: Kind, steps: str, check: Callable[[Values], None]
    ) -> None:
        self.run = run
        self.kind = kind
        self.name = run.__name__.replace("_", "-")
        self.summary, _, rest = (inspect.getdoc(run) or "").partition("\n")
        self.about = rest.partition("Args:\n")[0].strip()
        self.steps = steps
        self.example = f"imagegen postprocess photo.png --op {steps} -o out.png"
        self._check = check

    @cached_property
    def inputs(self) -> list[str]:
        """What the function asks for: see `operation`."""
        parameters = inspect.signature(self.run).parameters.values()
        return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

    @cached_property
    def settings(self) -> list[Setting]:
        """All settings in order, those that it takes for free last."""
        return _settings_of(self.run) + _settings_of(self._free)

    @property
    def _free(self) -> Callable[..., Any]:
        looks_inside = self.kind == "report" and "inside" in self.inputs
        return where if looks_inside else FREE[self.kind]

    @property
    def hint(self) -> str:
        """The command that helps with a mistake in the settings."""
        return f"imagegen ops {self.name}"

    def check(self, values: Mapping[str, Any]) -> Values:
        """Return all settings, converted and with defaults, or raise a SettingsError."""
        names = [setting.name for setting in self.settings]
        for name in values:
            if name not in names:
                near = did_you_mean(str(name), names)
                raise SettingsError(f"{self.name}: unknown setting '{name}'{near}", self.hint)
        try:
            settings = {s.name: _value(s, values.get(s.name, _ABSENT)) for s in self.settings}
            if self.kind == "report":
                _check_report_file(settings["file"])
            self._check(settings)
        except ValueError as error:
            raise SettingsError(f"{self.name}: {error}", self.hint) from None
        return settings

    def __call__(self, picture: Picture, settings: Values) -> None:
        """Take one step with a picture, with checked settings."""
        # Not only for speed: before + 0 * after is no number where after is none.
        if settings.get("strength") == 0:
            return
        free = _arguments(self._free, settings)
        inside = self._inside(picture, free)
        if inside is not None and not inside.any():
            picture.notes.append(f"{self.name}: the region {settings['region']} is empty")
            if self.kind == "report":
                picture.reports.append({"op": self.name, "region": settings["region"], "pixels": 0})
            return
        result = self.run(*self._given(picture, inside), **_arguments(self.run, settings))
        if self.kind == "segment":
            remember(result, picture.maps, **free)
        elif self.kind == "report":
            picture.reports.append({"op": self.name, **result})
        elif self.kind == "geometry":
            picture.pixels, follow = result
            picture.maps = {name: follow(labels) for name, labels in picture.maps.items()}
        else:
            _lay_over(picture, result, self.kind, inside)

    def _inside(self, picture: Picture, free: Values) -> Floats | None:
        """Draw where to work and how much; None is everywhere."""
        if free.get("region", EVERYWHERE) == EVERYWHERE and free.get("strength", 1) == 1:
            return None
        if self.kind == "report":
            return mask(free["region"], picture.pixels, picture.maps)
        return share(picture.pixels, picture.maps, **free)

    def _given(self, picture: Picture, inside: Floats | None) -> list[Any]:
        pixels = picture.pixels
        offers: dict[str, Callable[[], Any]] = {
            "pixels": lambda: pixels,
            "color": lambda: pixels.color,
            "alpha": lambda: pixels.alpha,
            "depth": lambda: pixels.depth,
            "max_pixels": lambda: picture.max_pixels,
            "maps": lambda: picture.maps,
            "extras": lambda: picture.extras,
            "inside": lambda: np.ones_like(pixels.color[..., :1]) if inside is None else inside,
        }
        return [offers[name]() for name in self.inputs]


def _check_report_file(file: str | None) -> None:
    if file is not None and not file.endswith((".json", ".jsonl")):
        raise ValueError(f"file: expected a name that ends with .jsonl, got {file!r}")


def _lay_over(picture: Picture, result: Any, kind: Kind, inside: Floats | None) -> None:
    """Blend new colours, new alpha or both into a picture of the same size, where it is inside."""
    pixels = picture.pixels
    color, alpha = pixels.color, pixels.alpha
    if isinstance(result, tuple):
        color, alpha = result
    elif kind == "alpha":
        alpha = result
    else:
        color = result

    def mixed(before: Floats, after: Floats) -> Floats:
        after = after.clip(0, 1)
        # Unlike before + inside * (after - before), this form is exact at both ends.
        return after if inside is None else (1 - inside) * before + inside * after

    new = Pixels(pixels.color, pixels.alpha, pixels.depth)
    if color is not pixels.color:
        new.color = mixed(pixels.color, color)
    if alpha is not pixels.alpha:
        opaque = np.ones_like(pixels.color[..., :1])
        before, after = (opaque if one is None else one for one in (pixels.alpha, alpha))
        new.alpha = mixed(before, after)
        if (pixels.alpha is None or alpha is None) and (new.alpha == 1).all():
            new.alpha = None
    picture.pixels = new


def are_colors(*names: str, read: Callable[[str], Any] = parse_color) -> Callable[[Values], None]:
    """Return a check that settings of these names are None or colours, as `read` takes them."""

    def check(settings: Values) -> None:
        for name in names:
            try:
                if settings[name] is not None:
                    read(settings[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None

    return check


def settle(settings: Values, defaults: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill in what depends on the method; raise ValueError for what it would ignore.

    Args:
        settings: of an operation with a `method`; what was not given is None.
        defaults: for each setting that only some methods have, their defaults.
    """
    method = settings["method"]
    for name, by_method in defaults.items():
        if settings[name] is None:
            settings[name] = by_method.get(method)
        elif method not in by_method:
            raise ValueError(f"{name}: would be ignored by method={method}")


OPERATIONS: Catalog[Operation] = Catalog("operation", see="imagegen ops")


def operation(
    kind: Kind, example: str, check: Callable[[Values], None] = lambda settings: None
) -> Callable[[Function], Function]:
    """File a function as the operation of its name (`white_balance` is `white-balance`).

    What the function takes before the `*` it gets, by name, in any order:

    - `color` (H, W, 1 or 3) float32 sRGB in [0, 1]; `alpha` (H, W, 1) or None; `depth`, 255 or
      65535; `pixels`, all three as one. They must not be written to.
    - `max_pixels`: what a result may have at most; `check_size` of geometry.py refuses more.
    - `maps`: the label maps so far, by name. `inside`: the mask of the setting `region`.
    - `extras`: a dict to put more files into (see `Picture`), images or ready bytes. A key that
      two steps may use must hold something of their settings.

    What comes after the `*` are its settings. What it returns depends on its kind:

    - `filter`, `color`: new colours of the same size, or a tuple of colours and alpha.
    - `alpha`: new alpha of the same size, or a tuple of colours and alpha.
    - `geometry`: `Pixels` of any size, and a function that moves a label map along (see `Moved`).
    - `segment`: a label map. `report`: a dict that JSON can hold.

    Colours and alpha are clipped, and laid over what was there by `region` and `strength`.

    Args:
        kind: which sort of operation it is; decides the settings it takes for free.
        example: what to write after `--op` to try it.
        check: looks at all settings together; raises ValueError for those that do not agree, and
            may fill in what depends on others.
    """

    def file(run: Function) -> Function:
        entry = Operation(run, kind, example, check)
        OPERATIONS.register(entry.name)(entry)
        return run

    return file


_ABSENT = object()


def _value(setting: Setting, value: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if value is _ABSENT:
        if setting.required:
            raise ValueError(f"{setting.name}: missing; expected {setting.type}")
        return setting.default
    try:
        # Python counts True as 1, people do not.
        if isinstance(value, bool) and setting.type != TYPE_NAMES[bool]:
            raise ValueError
        adapter = TypeAdapter(setting.annotation, config=ConfigDict(allow_inf_nan=False))
        return adapter.validate_python(value)
    except (ValidationError, ValueError):
        expected = f"{setting.type} {setting.range}".rstrip()
        raise ValueError(f"{setting.name}: expected {expected}, got {short(value)}") from None


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Settings by name. `as_` is the setting `as`, a word that Python keeps for itself."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name.rstrip("_"): p for p in parameters if p.kind is p.KEYWORD_ONLY}


def _arguments(function: Callable[..., Any], settings: Mapping[str, Any]) -> Values:
    return {p.name: settings[name] for name, p in _parameters(function).items()}


def _settings_of(function: Callable[..., Any]) -> list[Setting]:
    annotations = get_type_hints(function, include_extras=True)
    texts = _help_texts(function)
    found = []
    for name, parameter in _parameters(function).items():
        annotation = annotations[parameter.name]
        kind, bounds = _describe(annotation)
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        text = texts[parameter.name]
        found.append(Setting(name, kind, default, required, bounds, text, annotation))
    return found


def _describe(annotation: Any) -> tuple[str, str]:
    """Name a type and its range in words."""
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(get_args(annotation)), ""
    if get_origin(annotation) is Annotated:
        plain, field = get_args(annotation)
        bounds = [
            f"{word} {getattr(bound, key):g}"
            for bound in field.metadata
            for key, word in BOUND_NAMES.items()
            if hasattr(bound, key)
        ]
        return TYPE_NAMES[plain], " ".join(bounds)
    if type(None) in get_args(annotation):
        return _describe(get_args(annotation)[0])
    return TYPE_NAMES[annotation], ""


def _help_texts(function: Callable[..., Any]) -> dict[str, str]:
    """Read the `Args:` of a docstring, by name."""
    texts: dict[str, str] = {}
    name = ""
    for line in (inspect.getdoc(function) or "").partition("\nArgs:\n")[2].splitlines():
        if not line.startswith("    "):
            break
        if line.startswith("     "):
            texts[name] += " " + line.strip()
        else:
            name, text = line.strip().split(": ", 1)
            texts[name] = text
    return texts
