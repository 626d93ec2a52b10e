"""Trained models on disk: a folder is a model, its name is the folder's name, there is no index.

$IMAGEGEN_HOME/models/NAME/
    config.yaml         the settings, every one
    model.safetensors   averaged weights; the config again in its header; .sha256 beside it
    card.md             what it is, for people
    data.json           what it was trained on
    index.safetensors   what tells a copy of a training picture, without the pictures
    evaluation.json     what `imagegen evaluate` measured
    metrics.jsonl       the curves
    samples/            sheets of the same seeds while it learned
    state/              what training needs to go on
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from imagegen import durable, presets
from imagegen.errors import NotFoundError, SettingsError, UserError, did_you_mean
from imagegen.home import home

if TYPE_CHECKING:
    from imagegen.family import Condition, Family, Shape
    from imagegen.settings import AutoencoderSettings, Config

SEE = "imagegen models ls"
BUILTIN = "builtin:"
"""What the names of the models that come with imagegen begin with."""
WEIGHTS = "model.safetensors"
INDEX = "index.safetensors"
EVALUATION = "evaluation.json"
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(1, 10))}


def models_folder() -> Path:
    """Return the folder of the models, which need not exist yet."""
    return home() / "models"


def builtin_folder() -> Path:
    """Return the folder of the models that come with imagegen; it is only read."""
    return Path(__file__).parent / "builtin"


def check_name(name: str) -> str:
    """Return a name that is safe as a folder's name on every system.

    Raises:
        SettingsError: for anything else, such as `../x`.
    """
    good = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name) and not name.endswith(".")
    if not good or name.split(".")[0].lower() in _RESERVED:
        raise SettingsError(
            f"'{name}' can't be the name of a model",
            "use up to 64 letters, digits, '.', '_' and '-', starting with a letter or digit",
        )
    return name


def name_from(text: str) -> str:
    """Return the nearest valid name to any text, such as the name of a folder of pictures."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:64].rstrip(".-") or "model"


@dataclass(frozen=True)
class Model:
    """One model's folder. Making this object reads nothing."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name; of a model that comes with imagegen, `builtin:NAME`."""
        is_builtin = self.path.parent == builtin_folder()
        return f"{BUILTIN}{self.path.name}" if is_builtin else self.path.name

    @property
    def is_begun(self) -> bool:
        """Whether a training was begun in it."""
        return (self.path / "config.yaml").exists()

    @property
    def weights(self) -> Path:
        """The file of averaged weights."""
        return self.path / WEIGHTS

    @property
    def index(self) -> Path:
        """The file that `imagegen.evaluate.copies` reads; older models have none."""
        return self.path / INDEX

    @property
    def state(self) -> Path:
        """The folder of what training needs to go on."""
        return self.path / "state"

    @property
    def samples(self) -> Path:
        """The folder of the sheets drawn while training."""
        return self.path / "samples"

    def settings(self) -> presets.Layer:
        """Return the model's own settings, as the lowest layer for another stage.

        Raises:
            UserError: if config.yaml is missing or damaged.
        """
        path = self.path / "config.yaml"
        if not path.is_file():
            raise UserError(f"model {self.name} is incomplete: {path} is missing", SEE)
        layer = presets.load(path)
        _complete(layer.values)
        return layer

    def header(self) -> dict[str, Any]:
        """Return what the weights file says of itself, without reading the weights.

        Keys: `config` (the settings), `shape` (C, H, W), `labels`, `step`, and in newer files
        `depth` (bits of a channel). There is no date in it, so that the same training gives the
        same file.

        Raises:
            UserError: if the file is missing or is not one of ours.
        """
        try:
            with self.weights.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                if not 2 <= size <= 64 << 20:
                    raise ValueError
                text = json.loads(file.read(size))["__metadata__"]["imagegen"]
            header = dict(json.loads(text))
            if not header.keys() >= {"config", "shape", "labels", "step"}:
                raise ValueError
            _complete(header["config"])
            return header
        except FileNotFoundError:
            raise _no_weights(self) from None
        except OSError as error:
            raise UserError(f"cannot read {self.weights}: {error.strerror}", SEE) from None
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{self.weights} is damaged: its header can't be read", SEE) from None

    def size(self) -> int:
        """Return the bytes that the whole folder takes."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


def _complete(config: dict[str, Any]) -> None:
    """Add what was not yet a setting when an older model was trained, as it was then."""
    data, sample = config.get("data"), config.get("sample")
    if isinstance(data, dict):
        data.setdefault("held_out", 0)
    if config.get("family") == "autoencoder" and isinstance(sample, dict):
        sample.setdefault("shift", 1.0)
        sample.setdefault("guidance", 1.0)


def models() -> list[Model]:
    """Return every folder that holds a model or a training begun, by name."""
    return _models_in(models_folder())


def builtins() -> list[Model]:
    """Return the models that come with imagegen, by name."""
    return _models_in(builtin_folder())


def _models_in(folder: Path) -> list[Model]:
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if not p.name.startswith(".") and _is_model(p)]
    return [Model(path) for path in sorted(found)]


def _is_model(path: Path) -> bool:
    return (path / "config.yaml").is_file() or (path / WEIGHTS).is_file()


def find(name: str | None) -> Model:
    """Return the model of a name, or the newest trained one for None.

    Raises:
        SettingsError: if the name could not be one.
        NotFoundError: if there is no such model, or none at all.
    """
    if name is None:
        return newest()
    if name.startswith(BUILTIN):
        known = {model.name: model for model in builtins()}
        if name not in known:
            raise NotFoundError(
                f"unknown model '{name}'{did_you_mean(name, known)}",
                f"built-in models: {', '.join(known) or 'none'}",
            )
        return known[name]
    model = Model(models_folder() / check_name(name))
    if not _is_model(model.path):
        others = [m.name for m in models()]
        hint = SEE if others else "train one: imagegen train sample:smileys"
        raise NotFoundError(f"unknown model '{name}'{did_you_mean(name, others)}", hint)
    return model


def newest() -> Model:
    """Return the model whose weights were trained last.

    Raises:
        NotFoundError: if no model has weights yet.
    """

    trained = [model for model in models() if model.weights.is_file()]
    if not trained:
        raise NotFoundError("no model has been trained yet", "imagegen train sample:smileys")

    def age(model: Model) -> tuple[int, int]:
        known = model.weights.stat()
        return known.st_mtime_ns, -known.st_ctime_ns  # a copy keeps the time: take the original

    return max(trained, key=age)


def read_weights(model: Model) -> tuple[bytes, str]:
    """Return the file of a model's weights, not yet parsed, and its sha256.

    Raises:
        UserError: if it is missing or damaged.
    """
    if not model.weights.is_file():
        raise _no_weights(model)
    try:
        return durable.read_checked(model.weights)
    except durable.DamagedError as error:
        raise UserError(
            f"model {model.name}: {error.message}",
            "import it again, from an export of it or of a model that stands on it; or train it "
            f"anew, after: imagegen models rm {model.name}",
        ) from None
    except UserError as error:
        hint = "see whether the file is there, and whether you may read it; or import it again"
        raise UserError(f"model {model.name}: {error.message}", hint) from None


def _no_weights(model: Model) -> UserError:
    return UserError(
        f"model {model.name} has no weights yet", f"imagegen train --resume {model.name}"
    )


def load(model: Model, shape: Shape | None = None) -> tuple[Family, str]:
    """Return a model ready to draw, on the CPU, and the sha256 of its weights.

    Args:
        model: which one.
        shape: of the pictures, for a model that fits any (`Family.fits_any_shape`); others keep
            their own.

    Raises:
        UserError: if the weights are missing or damaged, or do not fit the settings.
    """
    from safetensors.torch import load as parse

    from imagegen.families import FAMILIES
    from imagegen.family import shapes

    content, digest = read_weights(model)
    header = model.header()
    layer = presets.Layer(header["config"], {(): f"model {model.name}"})
    config = presets.check(layer)
    kind = FAMILIES[config.family]
    settings = presets.check_section(kind.Model, "model", layer)
    channels, height, width = header["shape"]
    if shape is not None and kind.fits_any_shape:
        channels, height, width = shape
    autoencoder = None
    if config.autoencoder is not None:
        try:
            autoencoder = load_foundation(config.autoencoder, (channels, height, width))
        except UserError as error:
            raise UserError(f"model {model.name}: {error.message}", error.hint) from None
    family = kind(settings, (channels, height, width), condition_of(header), autoencoder)
    family.depth = header.get("depth", 8)
    weights = parse(content)
    if shapes(weights) != shapes(family.drawn()):
        raise UserError(f"model {model.name}: its weights do not fit this version of imagegen", SEE)
    family.load_state_dict(weights, strict=False)
    return family.eval().requires_grad_(False), digest


def condition_of(header: Mapping[str, Any]) -> Condition:
    """Return what the model of a file's header can be told."""
    from imagegen.data.words import Vocabulary
    from imagegen.family import Condition

    words = header.get("vocabulary")
    return Condition(
        tuple(header["labels"]),
        None if words is None else Vocabulary.read(words),
        header["config"].get("data", {}).get("turned", 0) > 0,
    )


def known_words(header: Mapping[str, Any]) -> int:
    """Return how many words a model knows, by its header."""
    vocabulary = header.get("vocabulary")
    return 0 if vocabulary is None else len(vocabulary["words"])


def is_whole(model: Model) -> bool:
    """Say whether a model's weights can be read, and fit their sum."""
    try:
        read_weights(model)
    except UserError:
        return False
    return True


def foundation(settings: AutoencoderSettings) -> Model | None:
    """Return the model that another one stands on, whatever its name is by now; None if it is gone.

    It is the one whose weights are the same; if there are several, a whole one, of that name if it
    can be.
    """
    same = with_weights(settings.weights or "")
    if len(same) > 1:
        return min(same, key=lambda model: (not is_whole(model), model.name != settings.name))
    return same[0] if same else None


def load_foundation(settings: AutoencoderSettings, shape: Shape) -> Family:
    """Return the autoencoder that a model stands on.

    Args:
        settings: which one it is, by name and weights.
        shape: of the model's pictures; an autoencoder that fits any shape takes it.

    Raises:
        UserError: if it is not there any more, or damaged.
    """
    found = foundation(settings)
    if found is None:
        name = settings.name or ""
        now = Model(models_folder() / name).weights.is_file() or name.startswith(BUILTIN)
        what = "has been trained anew since" if now else "is not there"
        raise UserError(
            f"the autoencoder '{settings.name}', to stand on, {what}",
            "import it again (an export of the model has both), or train the model anew",
        )
    return load(found, shape)[0]


def standing_on(model: Model) -> list[str]:
    """Return the names of the models that stand on this one, and can't draw without it."""
    weights = _sum(model)
    if any(is_whole(other) for other in with_weights(weights) if other.name != model.name):
        return []  # they can stand on its copy
    names = []
    for other in models():
        try:
            config = presets.check(other.settings())
        except UserError:
            continue
        if weights and config.autoencoder and config.autoencoder.weights == weights:
            names.append(other.name)
    return names


def with_weights(digest: str) -> list[Model]:
    """Return the models whose weights have this sha256."""
    every = [*models(), *builtins()]
    return [model for model in every if digest and _sum(model) == digest]


def _sum(model: Model) -> str:
    """Return the sha256 of a model's weights, as it was written down if it was; empty if none."""
    try:
        known = durable.known_sum(model.weights)
        return known or hashlib.sha256(model.weights.read_bytes()).hexdigest()
    except OSError:
        return ""


def data(model: Model) -> dict[str, Any]:
    """Return what is known of the pictures a model was trained on; empty if nothing is."""
    return _object(model.path / "data.json")


def evaluation(model: Model) -> dict[str, Any]:
    """Return what was measured of a model; empty if nothing was, or it can't be read.

    Its `weights` are the sha256 of those that were measured; they may have changed since.
    """
    return _object(model.path / EVALUATION)


def _object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object; empty if it is not there or holds something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


@contextmanager
def locked(model: Model) -> Iterator[None]:
    """Hold a model's training for this process alone.

    Raises:
        UserError: if another process trains it.
    """
    if not model.state.is_dir():
        yield
        return
    try:
        import fcntl
    except ImportError:  # Windows has other locks; there the user must take care
        yield
        return
    with (model.state / "lock").open("w") as file:
        if not _flock(file, fcntl.LOCK_EX):
            time.sleep(0.1)  # it may be `is_training`, which looks for a moment
            if not _flock(file, fcntl.LOCK_EX):
                raise UserError(
                    f"model '{model.name}' is being trained by another process",
                    "wait for it or stop it; a new training takes another name: --name NAME",
                )
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_training(model: Model) -> bool:
    """Say whether a process holds a model's training. Windows can't tell: there, no.

    The only way to ask is to take the lock, shared with others who ask, and let it go at once.
    """
    try:
        import fcntl

        with (model.state / "lock").open() as file:
            return not _flock(file, fcntl.LOCK_SH)
    except (ImportError, OSError):  # nobody has trained it here
        return False


def _flock(file: IO[str], kind: int) -> bool:
    """Try to take a lock; closing the file lets it go."""
    import fcntl

    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_removable(model: Model, but: Collection[str] = ()) -> None:
    """Check that no other model stands on this one.

    Args:
        model: which need not exist.
        but: the names of those that may.

    Raises:
        UserError: if one does, or it comes with imagegen.
    """
    if model.path.parent == builtin_folder():
        raise UserError(f"{model.name} comes with imagegen and can't be removed", SEE)
    if above := [name for name in standing_on(model) if name not in but]:
        raise UserError(
            f"model {above[0]} stands on {model.name} and can't draw without it",
            f"delete that one first: imagegen models rm {' '.join(above)}",
        )


def remove(model: Model) -> None:
    """Delete a model: out of sight at once, so that an interrupted removal leaves no half model.

    Raises:
        UserError: if it is being trained, or another model stands on it.
    """
    check_removable(model)
    doomed = model.path.with_name(f".removing-{model.name}")
    shutil.rmtree(doomed, ignore_errors=True)
    with locked(model):
        model.path.rename(doomed)
    shutil.rmtree(doomed)


def copy(model: Model, name: str) -> Model:
    """Copy a whole model, training state included, under a new name.

    Raises:
        UserError: if the name is taken.
    """
    return appear(name, lambda folder: shutil.copytree(model.path, folder, dirs_exist_ok=True))


def check_free(name: str) -> Path:
    """Return the folder of a model that does not exist yet.

    Raises:
        UserError: if it does.
    """
    target = models_folder() / check_name(name)
    if target.exists():
        raise UserError(
            f"a model named '{name}' exists already",
            "choose another name; import takes --name NAME",
        )
    return target


def appear(name: str, fill: Callable[[Path], object]) -> Model:
    """Make a model in a hidden folder, and give it its name only when it is whole."""
    target = check_free(name)
    hidden = target.with_name(f".making-{name}")
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir(parents=True)
    try:
        fill(hidden)
        hidden.rename(target)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    return Model(target)


def save_weights(path: Path, family: Family, config: Config, step: int) -> str:
    """Write the weights that draw, with all that is needed to rebuild the network; return the sum.

    Args:
        path: where to, such as `Model.weights`.
        family: the averaged network; its parts `drawn_by` are written.
        config: the settings it was trained with.
        step: optimiser steps done.
    """
    from safetensors.torch import save

    header = {
        "format": 1,
        "config": config.model_dump(mode="json"),
        "shape": list(family.shape),
        "labels": list(family.condition.labels),
        "vocabulary": words.record() if (words := family.condition.vocabulary) else None,
        "step": step,
        "depth": family.depth,
    }
    tensors = {k: v.detach().cpu().contiguous() for k, v in family.drawn().items()}
    text = json.dumps(header, ensure_ascii=True, sort_keys=True)
    return durable.write_checked(path, save(tensors, {"imagegen": text}))
