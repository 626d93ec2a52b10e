"""Steps in a row: read them, check them all, then run them on pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from reprlib import repr as short
from typing import Any

from PIL import Image

from imagegen.errors import SettingsError, did_you_mean
from imagegen.images.pixels import Floats, Pixels, to_image, to_pixels
from imagegen.images.reading import MAX_PIXELS, BadPictureError
from imagegen.post.operations import OPERATIONS, Operation, Picture
from imagegen.post.region import EVERYWHERE, check_name, parse_region, share

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


Watch = Callable[[int, str, Picture, Floats | None], None]
"""Is shown each step of a chain."""


class Chain:
    """Checked steps; call it with a picture. `build_chain` makes one."""

    def __init__(self, steps: list[tuple[Operation, dict[str, Any]]]) -> None:
        self._steps = steps

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return the picture after all steps, and forget what else they make."""
        return to_image(self.run(to_pixels(image)).pixels)

    def run(
        self, pixels: Pixels, watch: Watch | None = None, max_pixels: int = MAX_PIXELS
    ) -> Picture:
        """Return the picture after all steps, with the reports and extra files of the steps.

        Args:
            pixels: the picture before.
            watch: is called after each step with its number from 1, its name, what has become of
                the picture, and the mask of the step's region if it has one.
            max_pixels: a step with a larger result is refused.

        Raises:
            BadPictureError: if a step can't be done with this picture.
        """
        picture = Picture(pixels, max_pixels)
        for number, (operation, settings) in enumerate(self._steps, start=1):
            inside = None
            if watch and settings.get("region", EVERYWHERE) != EVERYWHERE:
                inside = _mask(picture, settings)
            try:
                operation(picture, settings)
            except BadPictureError as error:
                raise BadPictureError(f"{operation.name}: {error}", error.hint) from error
            if watch:
                watch(number, operation.name, picture, inside)
        return picture

    def __len__(self) -> int:
        return len(self._steps)

    @property
    def report_files(self) -> list[str | None]:
        """The file of each report step in order, None for those without."""
        return [values["file"] for operation, values in self._steps if operation.kind == "report"]

    @property
    def records(self) -> list[dict[str, Any]]:
        """Each step as plain ASCII data, defaults included, for the picture's metadata."""
        return [{"op": operation.name, **settings} for operation, settings in self._steps]


def build_chain(steps: Sequence[str | Mapping[str, Any]]) -> Chain:
    """Resolve and check all steps, before any picture is read.

    A step is text as on the command line (`"sharpen"`, `"sharpen:amount=0.3"`) or, as in YAML, a
    mapping of one name to its settings (`{"sharpen": {"amount": 0.3}}`).
    """
    checked = []
    names: list[str] = []
    for step in steps:
        name, values = take_apart(step)
        operation = OPERATIONS[name]
        settings = operation.check(values)
        try:
            _check_regions(settings, names)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}", operation.hint) from None
        checked.append((operation, settings))
    return Chain(checked)


def parse_step(text: str) -> dict[str, dict[str, Any]]:
    """Read `name:key=value,key=value` into the form that YAML gives.

    Numbers are those of YAML 1.2 (`2e-4` is one), `true` and `false` the only booleans. Commas in
    brackets or quotes do not separate.
    """
    name, _, rest = text.strip().partition(":")
    if not name:
        raise SettingsError(f"expected an operation such as sharpen:amount=1, got {text!r}", _SEE)
    values: dict[str, Any] = {}
    for part in _split(rest, name) if rest.strip() else []:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (key and equals):
            raise SettingsError(f"{name}: expected key=value, got {part!r}", f"imagegen ops {name}")
        if key in values:
            raise SettingsError(f"{name}: {key} is given twice", f"imagegen ops {name}")
        values[key] = _scalar(value, name)
    return {name: values}


_SEE = "imagegen ops"


def take_apart(step: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a step and its settings, as they are written."""
    form = parse_step(step) if isinstance(step, str) else step
    if isinstance(form, Mapping) and len(form) == 1:
        [(name, values)] = form.items()
        values = {} if values is None else values
        if isinstance(name, str) and isinstance(values, Mapping):
            return name, values
    raise SettingsError(
        f"expected a step such as 'sharpen' or {{sharpen: {{amount: 0.3}}}}, got {short(step)}",
        _SEE,
    )


def _mask(picture: Picture, settings: Mapping[str, Any]) -> Floats:
    """Draw the region of a step as its blend does."""
    chosen = {key: settings[key] for key in ("region", "expand", "feather") if key in settings}
    return share(picture.pixels, picture.maps, **chosen)


def _check_regions(settings: Mapping[str, Any], names: list[str]) -> None:
    """Check that regions are named before they are used, and once; adds to `names`."""
    for key in ("region", "keep"):
        if key in settings:
            parse_region(settings[key], tuple(names))
    if settings.get("region") == EVERYWHERE:
        for key in ("expand", "feather"):
            if settings.get(key):
                raise ValueError(f"{key}: would be ignored without a region")
    if settings.get("of") is not None and settings["of"] not in names:
        near = did_you_mean(settings["of"], names)
        raise ValueError(f"of: no earlier segment step has as={settings['of']}{near}")
    if "as" in settings:
        check_name(settings["as"])
        if settings["as"] in names:
            raise ValueError(f"as: an earlier step has the name '{settings['as']}' already")
        names.append(settings["as"])


def _split(text: str, name: str) -> list[str]:
    """Split at commas outside brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[]":
            depth += 1 if letter == "[" else -1
        elif letter == "," and depth == 0:
            parts.append("")
            continue
        parts[-1] += letter
    if quote or depth:
        raise SettingsError(f"{name}: a quote or bracket is not closed in {text!r}", _SEE)
    return parts


def _scalar(text: str, name: str) -> Any:
    """Read one value as YAML 1.2 does."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.startswith("[") and text.endswith("]"):
        inner = text[1:-1].strip()
        return [_scalar(part, name) for part in _split(inner, name)] if inner else []
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
