"""Presets: YAML in, one checked `Config` out, and for each value where it came from."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from imagegen.errors import NotFoundError, SettingsError, did_you_mean
from imagegen.home import home
from imagegen.settings import Config, Settings

Keys = tuple[str, ...]
S = TypeVar("S", bound=Settings)

MAX_BYTES = 65_536  # a preset is a page of text; PyYAML needs minutes for megabytes
SEE = "imagegen presets ls"


@dataclass
class Layer:
    """Nested settings, and the origin ("file:line" or a flag) of each path in them."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Keys, str] = field(default_factory=dict)

    def put(self, keys: Keys, value: Any, origin: str) -> None:
        """Set one value; anything set below the same path before is forgotten."""
        here = self.values
        for key in keys[:-1]:
            if not isinstance(here.get(key), dict):
                here[key] = {}
            here = here[key]
        here[keys[-1]] = value
        for old in [old for old in self.origins if old[: len(keys)] == keys]:
            del self.origins[old]
        self.origins[keys] = origin

    def get(self, keys: Keys) -> Any:
        """Return the value at a path; None if it is not set."""
        here: Any = self.values
        for key in keys:
            if not isinstance(here, dict) or key not in here:
                return None
            here = here[key]
        return here

    def over(self, below: Layer) -> Layer:
        """Return this layer laid over another: mappings merge key by key, all else replaces."""
        merged = Layer(_copied(below.values), dict(below.origins))
        for keys, value in _leaves(self.values):
            merged.put(keys, value, self.origin(keys))
        return merged

    def origin(self, keys: Keys) -> str:
        """Return where the value at `keys`, the nearest around it, or one in it came from."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.origins:
                return self.origins[keys[:end]]
        inside = (where for path, where in self.origins.items() if path[: len(keys)] == keys)
        return next(inside, "default")


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, dict) else v for k, v in values.items()}


def _leaves(values: Mapping[str, Any], above: Keys = ()) -> Iterable[tuple[Keys, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


# --- YAML ---------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars: `2e-4` is a number, `on` and `12:30` are text; and no aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own protocol)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not used in presets", mark)
        return super().compose_node(parent, index)


_TAGS = {"map", "seq", "str", "null", "bool", "int", "float"}
_INT, _FLOAT = r"[-+]?[0-9]+", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: float(node.value))


def parse_scalar(text: str) -> Any:
    """Read the value of `--set key=VALUE` as YAML, or else as plain text.

    Such as a regular expression, which may begin with a bracket.
    """
    try:
        return _read(text, "")[0] if text else ""
    except SettingsError:
        return text


def load(path: Path) -> Layer:
    """Read a preset file, without its parents.

    Raises:
        SettingsError: unreadable, too large, not YAML, or a key twice; with the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise SettingsError(f"cannot read preset {path}: {error.strerror}", SEE) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not a text file in UTF-8", SEE) from None
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{path}: larger than {MAX_BYTES // 1024} KiB, too large for a preset")
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())  # shorter to read in errors and origins
    values, lines = _read(text, str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path}:1: a preset is a mapping of keys to values, like 'family: gan'"
        )
    return Layer(values, {keys: f"{path}:{line}" for keys, line in lines.items()})


def _read(text: str, where: str) -> tuple[Any, dict[Keys, int]]:
    """Return the plain value of a YAML text, and the line of each path in it."""
    loader = _Loader(text)
    lines: dict[Keys, int] = {}

    def plain(node: yaml.Node, keys: Keys) -> Any:
        lines[keys] = node.start_mark.line + 1
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, f"the tag {node.tag} is not used in presets", node.start_mark
            )
        if isinstance(node, yaml.MappingNode):
            result: dict[str, Any] = {}
            for key_node, value_node in node.value:
                line = key_node.start_mark.line + 1
                key = key_node.value
                if not isinstance(key_node, yaml.ScalarNode) or not key:
                    raise SettingsError(f"{where}:{line}: a key must be a word")
                if key in result:
                    raise SettingsError(f"{where}:{line}: '{key}' stands here a second time")
                result[key] = plain(value_node, (*keys, key))
                lines[(*keys, key)] = line
            return result
        if isinstance(node, yaml.SequenceNode):
            return [plain(child, (*keys, str(i))) for i, child in enumerate(node.value)]
        return loader.construct_object(node)

    try:
        node = loader.get_single_node()
        return (None if node is None else plain(node, ())), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SettingsError(f"{where}{line}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SettingsError(f"{where}: not valid YAML: {reason}") from None
    finally:
        loader.dispose()


# --- finding ------------------------------------------------------------------------------------


def folders() -> list[Path]:
    """Return where presets live: the user's own, then the ones that came with imagegen."""
    package = Path(__file__).parent
    shipped = package / "_presets"  # in a wheel; a checkout has them at its top
    return [home() / "presets", shipped if shipped.is_dir() else package.parent / "presets"]


def names() -> list[str]:
    """Return the names of all presets that `--preset` finds without a path."""
    found = {
        p.relative_to(d).with_suffix("").as_posix() for d in folders() for p in d.rglob("*.yaml")
    }
    return sorted(found)


def is_path(name: str) -> bool:
    """Say whether what names a preset is the path of its file."""
    return name.endswith((".yaml", ".yml"))


def find(name: str, beside: Path | None = None, seen: Sequence[Path] = ()) -> Path:
    """Return the file of a preset, from a path or from a name such as `gan` or `post/film`.

    Args:
        name: path or name.
        beside: the folder that a path is relative to.
        seen: files to take only if there is no other of that name, so that a preset of the user's
            can extend the shipped one that it is named after.

    Raises:
        NotFoundError: if there is none.
    """
    if is_path(name):
        path = Path(name) if beside is None else beside / name
        if path.is_file():
            return path
        raise NotFoundError(f"no such preset file: {path}", SEE)
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)*", name) and ".." not in name.split("/"):
        files = [folder / f"{name}.yaml" for folder in folders()]
        files = [file for file in files if file.is_file()]
        if files:
            return next((file for file in files if file.resolve() not in seen), files[0])
    raise NotFoundError(f"unknown preset '{name}'{did_you_mean(name, names())}", SEE)


def load_with_parents(name: str, beside: Path | None = None, seen: tuple[Path, ...] = ()) -> Layer:
    """Read a preset laid over all that it extends.

    Raises:
        NotFoundError: a preset or parent that does not exist.
        SettingsError: a file that can't be understood, or that extends itself.
    """
    path = find(name, beside, seen)
    if path.resolve() in seen:
        chain = " > ".join(p.stem for p in (*seen, path))
        raise SettingsError(f"{path}: presets extend each other in a circle: {chain}")
    layer = load(path)
    parent = layer.values.pop("extends", None)
    origin = layer.origins.pop(("extends",), "")
    if parent is None:
        return layer
    if not isinstance(parent, str):
        raise SettingsError(f"{origin}: extends: expected the name of one preset, got {parent!r}")
    try:
        below = load_with_parents(parent, path.parent, (*seen, path.resolve()))
    except NotFoundError as error:
        raise NotFoundError(f"{origin}: extends: {error.message}", error.hint) from None
    below.values.pop("description", None)  # a preset does not inherit what its parent is for
    return layer.over(below)


# --- resolving ----------------------------------------------------------------------------------


def resolve(
    presets: Sequence[str],
    sets: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
    base: Layer | None = None,
    sections: Sequence[str] = (),
) -> Layer:
    """Lay `base` < `$IMAGEGEN_SET` < presets < `--set` < flags over each other.

    Args:
        presets: names or paths, each laid over the one before.
        sets: texts `a.b=value`.
        flags: `{"--flag": ("a.b", value)}`; a value of None is a flag that was not given.
        base: what lies under the presets, such as a trained model's own settings.
        sections: if given, the only sections that `--set` may change here.

    Raises:
        NotFoundError, SettingsError: naming the preset, line or flag.
    """
    layer = base or Layer()
    try:
        environment = shlex.split(os.environ.get("IMAGEGEN_SET", ""))
    except ValueError as error:
        raise SettingsError(
            f"$IMAGEGEN_SET: {error}", "for example 'train.lr=3e-4 data.size=64'"
        ) from None
    for text in environment:
        keys, value = _assignment(text, "IMAGEGEN_SET")
        if keys[0] not in Config.model_fields:
            near = did_you_mean(keys[0], Config.model_fields)
            raise SettingsError(f"$IMAGEGEN_SET: {'.'.join(keys)}: unknown key{near}", SEE)
        if not sections or keys[0] in sections:  # the environment is for all commands
            layer.put(keys, value, "IMAGEGEN_SET")
    for name in presets:
        layer = load_with_parents(name).over(layer)
    for text in sets:
        keys, value = _assignment(text, "--set")
        if sections and keys[0] not in sections:
            raise SettingsError(
                f"--set {text}: has no effect in this command",
                f"this command reads {', '.join(sections)}",
            )
        layer.put(keys, value, f"--set {'.'.join(keys)}")
    for flag, (path, value) in (flags or {}).items():
        if value is not None:
            layer.put(tuple(path.split(".")), value, flag)
    return layer


def _assignment(text: str, where: str) -> tuple[Keys, Any]:
    path, equals, value = text.partition("=")
    keys = tuple(path.strip().split("."))
    if not equals or not all(keys):
        raise SettingsError(
            f"{where} {text}: expected a.b=value", "for example --set train.lr=3e-4"
        )
    return keys, parse_scalar(value)


def check(layer: Layer) -> Config:
    """Turn settings into a `Config`; the family's own sections stay unchecked.

    Raises:
        SettingsError: for the first unknown key, wrong type or value out of range.
    """
    return _validated(Config, layer.values, (), layer)


def check_section(section: type[S], name: str, layer: Layer) -> S:
    """Check the `model` or `sample` section against a family's own settings.

    Raises:
        SettingsError: as `check`.
    """
    return _validated(section, layer.values.get(name, {}), (name,), layer)


def filled(config: Config, **sections: Settings) -> Config:
    """Return a config with a family's own sections (`model`, `sample`) complete."""
    values = {name: section.model_dump(mode="json") for name, section in sections.items()}
    return config.model_copy(update=values)


def _validated(model: type[S], values: Any, above: Keys, layer: Layer) -> S:
    try:
        # Strict JSON: whole numbers serve as floats and lists as tuples, but text is no number.
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first, *others = error.errors(include_url=False)
        keys = (*above, *(str(key) for key in first["loc"]))
        origin, path = layer.origin(keys), ".".join(keys)
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, tuple(str(k) for k in first["loc"][:-1]))
            problem = f"unknown key{_nearest_key(keys, known, above)}"
        else:
            message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
            problem = f"{message}, got {json.dumps(first['input'])}"
        more = f" (and {len(others)} more)" if others else ""
        family = layer.get(("family",)) if above else None  # whose own section it is
        hint = f"imagegen presets show {family or 'base'} lists every key"
        raise SettingsError(f"{origin}: {path}: {problem}{more}", hint) from None


def _known_keys(model: type[BaseModel], keys: Keys) -> list[str]:
    for key in keys:
        inner = model.model_fields[key].annotation
        inner = next((part for part in get_args(inner) if part is not type(None)), inner)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _nearest_key(keys: Keys, known: list[str], above: Keys) -> str:
    near = did_you_mean(keys[-1], known)
    if near or above:
        return near
    for section in ("data", "train", "output"):  # a key that belongs one level further down
        if keys[-1] in _known_keys(Config, (section,)):
            return f"; did you mean '{section}.{keys[-1]}'?"
    return ""


# --- printing -----------------------------------------------------------------------------------


def dump(config: Config, layer: Layer | None = None) -> str:
    """Return a config as YAML that reads back as the same config.

    Args:
        config: what to print, defaults included.
        layer: where its values came from; if given, each line says so in a comment.
    """
    lines: list[tuple[str, str]] = []

    def walk(values: Mapping[str, Any], keys: Keys) -> None:
        for key, value in values.items():
            path = (*keys, key)
            indent = "  " * len(keys)
            if isinstance(value, dict) and value:
                lines.append((f"{indent}{key}:", ""))
                walk(value, path)
            else:
                lines.append(
                    (f"{indent}{key}: {_scalar(value)}", layer.origin(path) if layer else "")
                )

    walk(config.model_dump(mode="json"), ())
    width = max(len(text) for text, _ in lines)
    return "".join(
        f"{text:<{min(width, 48)}}  # {origin}\n" if origin else f"{text}\n"
        for text, origin in lines
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w /.,-]*", value):
        plain = _read(value, "")[0]
        if plain == value:
            return value
    return json.dumps(value)
