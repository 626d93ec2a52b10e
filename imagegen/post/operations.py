"""What an operation is: one decorated function, from whose signature and docstring all follows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from reprlib import repr as short
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from imagegen.catalog import Catalog
from imagegen.errors import SettingsError, did_you_mean
from imagegen.post.region import blend, remember

Kind = Literal["filter", "color", "segment"]
Values = dict[str, Any]
Function = TypeVar("Function", bound=Callable[..., Any])

# What becomes of an operation's result; the keyword arguments are settings it takes for free.
FINISH: dict[Kind, Callable[..., Any]] = {"filter": blend, "color": blend, "segment": remember}

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
    """A function on colours with its name, help and checks. `operation` makes them.

    Attributes:
        name: the function's name, with hyphens.
        kind: `filter` and `color` give a new picture, `segment` a label map.
        summary: first line of the docstring.
        example: a command line that works.
    """

    def __init__(
        self, run: Callable[..., Any], kind: Kind, steps: str, check: Callable[[Values], None]
    ) -> None:
        self.run = run
        self.kind = kind
        self.name = run.__name__.replace("_", "-")
        self.summary = (inspect.getdoc(run) or "").partition("\n")[0]
        self.example = f"imagegen postprocess photo.png --op {steps} -o out.png"
        self._check = check

    @cached_property
    def inputs(self) -> list[str]:
        """What of the picture the function asks for: `color`, `alpha`, `depth`."""
        parameters = inspect.signature(self.run).parameters.values()
        return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

    @cached_property
    def settings(self) -> list[Setting]:
        """All settings in order, those that it takes for free last."""
        return _settings_of(self.run) + _settings_of(FINISH[self.kind])

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
            self._check(settings)
        except ValueError as error:
            raise SettingsError(f"{self.name}: {error}", self.hint) from None
        return settings

    def __call__(
        self, picture: Mapping[str, Any], maps: dict[str, Any], settings: Mapping[str, Any]
    ) -> Any:
        """Work on `picture` (what `inputs` can ask for), with checked settings; gives colours."""
        own = _arguments(self.run, settings)
        result = self.run(*(picture[name] for name in self.inputs), **own)
        if self.kind != "segment":
            result = result.clip(0, 1)
        finish = FINISH[self.kind]
        return finish(picture["color"], result, maps, **_arguments(finish, settings))


OPERATIONS: Catalog[Operation] = Catalog("operation", see="imagegen ops")


def operation(
    kind: Kind, example: str, check: Callable[[Values], None] = lambda settings: None
) -> Callable[[Function], Function]:
    """File a function as the operation of its name (`white_balance` is `white-balance`).

    What the function takes before the `*` is the picture: `color` (H, W, 1 or 3) float32 sRGB in
    [0, 1], and if it wants them `alpha` (H, W, 1) or None, and `depth`, 255 or 65535. What comes
    after the `*` are its settings. It returns new colours (the chain clips them) or, of kind
    `segment`, a label map.

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
