"""Presets: what they mean, where values come from, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagegen import presets
from imagegen.errors import NotFoundError, SettingsError
from imagegen.families import FAMILIES
from imagegen.post.chain import build_chain
from imagegen.settings import Config, seconds


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", presets.names())
def test_every_shipped_preset_is_valid_and_says_what_it_is_for(name: str) -> None:
    layer = presets.resolve([name])
    config = presets.check(layer)
    if config.family != "auto":  # as `base` and those of post/ leave it
        kind = FAMILIES[config.family]
        presets.check_section(kind.Model, "model", layer)
        presets.check_section(kind.Sampling, "sample", layer)
    build_chain(config.postprocess)
    assert config.description


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1e3", 1000.0),
        ("012", 12),
        ("-3", -3),
        ("on", "on"),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("2026-11-22", "2026-11-22"),
        ("true", True),
        ("null", None),
        ("[1, 2.5, a]", [1, 2.5, "a"]),
        ("'7'", "7"),
        ("[a-z]+_([0-9]+)", "[a-z]+_([0-9]+)"),
        ("", ""),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    result = presets.parse_scalar(text)
    assert result == value
    assert type(result) is type(value)


def test_order_of_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "parent.yaml", "train: {lr: 0.1, batch_size: 1, steps: 1, warmup: 1, seed: 1}")
    child = write(
        tmp_path, "child.yaml", "extends: parent.yaml\ntrain: {batch_size: 2, steps: 2}\n"
    )
    second = write(tmp_path, "second.yaml", "train: {steps: 3, warmup: 3}")
    monkeypatch.setenv("IMAGEGEN_SET", "train.warmup=4 train.seed=4 train.ema_half_life=9")
    layer = presets.resolve([child, second], ["train.seed=5"], {"--steps": ("train.steps", 6)})
    train = presets.check(layer).train
    assert (train.lr, train.batch_size, train.warmup, train.seed, train.steps) == (0.1, 2, 3, 5, 6)
    assert train.ema_half_life == 9
    assert layer.origin(("train", "batch_size")) == f"{child}:2"
    assert layer.origin(("train", "warmup")) == f"{second}:1"
    assert layer.origin(("train", "ema_half_life")) == "IMAGEGEN_SET"
    assert layer.origin(("train", "seed")) == "--set train.seed"
    assert layer.origin(("train", "steps")) == "--steps"
    assert layer.origin(("train", "ema_ramp")) == "default"


def test_lists_are_replaced_and_mappings_merged(tmp_path: Path) -> None:
    one = write(tmp_path, "one.yaml", "postprocess: [sharpen]\nmodel: {z: 8, gamma: 3}")
    two = write(tmp_path, "two.yaml", f"extends: {one}\npostprocess: [gaussian]\nmodel: {{z: 9}}")
    config = presets.check(presets.resolve([two]))
    assert config.postprocess == ["gaussian"]
    assert config.model == {"z": 9, "gamma": 3}


def test_printed_config_reads_back_as_the_same(tmp_path: Path) -> None:
    layer = presets.resolve(["smileys"], ["train.lr=3e-7", "description='on: # not a comment'"])
    config = presets.check(layer)
    for text in (presets.dump(config, layer), presets.dump(config)):
        again = presets.check(presets.resolve([write(tmp_path, "printed.yaml", text)]))
        assert again == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train:\n  lrr: 1", "{path}:2: train.lrr: unknown key; did you mean 'lr'?"),
        ("autoencoder:\n  nme: x", "{path}:2: autoencoder.nme: unknown key; did you mean 'name'?"),
        ("lr: 1", "{path}:1: lr: unknown key; did you mean 'train.lr'?"),
        ("train:\n  lr: fast", '{path}:2: train.lr: should be a valid number, got "fast"'),
        ("train: {steps: true}", "{path}:1: train.steps: should be a valid integer, got true"),
        ("train: {steps: 1.5}", "train.steps: should be a valid integer"),
        ("train: {steps: 0}", "train.steps: should be greater than or equal to 1, got 0"),
        ("train: {lr: 1e999}", "train.lr: should be a finite number"),
        ("train: {budget: soon}", "train.budget: should be a duration such as 90s, 10m or 2h"),
        ("data: {background: blurple}", "data.background: unknown color specifier"),
        ("data: {fit: strech}", "data.fit: should be 'crop' or 'pad', got \"strech\""),
        ("a: [", "{path}:1: not valid YAML"),
        ("a: 1\na: 2", "{path}:2: 'a' stands here a second time"),
        ("a: &x 1\nb: *x", "{path}:2: not valid YAML: aliases are not used in presets"),
        ("x: !!python/object:os.system {}", "not valid YAML"),
        ("- 1", "{path}:1: a preset is a mapping"),
        ("just text", "{path}:1: a preset is a mapping"),
        ("extends: nix", "{path}:1: extends: unknown preset 'nix'"),
        ("extends: [gan, base]", "{path}:1: extends: expected the name of one preset"),
        ("extends: bad.yaml", "presets extend each other in a circle"),
        ("[" * 3000, "not valid YAML"),
        ("# " + "x" * 70000, "larger than 64 KiB"),
    ],
)
def test_mistakes_name_the_line_and_help(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, "bad.yaml", text)
    with pytest.raises((SettingsError, NotFoundError)) as caught:
        presets.check(presets.resolve([path]))
    assert expected.replace("{path}", path) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("section", ["model", "sample"])
def test_a_family_checks_its_own_sections(section: str) -> None:
    layer = presets.resolve(["gan"], [f"{section}.nix=1"])
    kind = FAMILIES["gan"]
    with pytest.raises(SettingsError, match=rf"--set {section}.nix: {section}.nix: unknown key"):
        presets.check_section(kind.Model if section == "model" else kind.Sampling, section, layer)


@pytest.mark.parametrize(
    ("family", "setting", "least", "most"),
    [
        ("flow", "shift", 0.05, 20),
        ("flow", "guidance", 0, 100),
        ("rnn", "temperature", 0.01, 10),
        ("gan", "truncation", 0.001, 1),
    ],
)
def test_numbers_that_would_draw_nothing_are_refused(
    family: str, setting: str, least: float, most: float
) -> None:
    kind = FAMILIES[family]
    for value in (least, most):
        layer = presets.resolve([family], [f"sample.{setting}={value}"])
        assert getattr(presets.check_section(kind.Sampling, "sample", layer), setting) == value
    for value in (-0.001, most * 1.01, float("nan")):
        layer = presets.resolve([family], [f"sample.{setting}={value}"])
        with pytest.raises(SettingsError, match=f"sample.{setting}: should be"):
            presets.check_section(kind.Sampling, "sample", layer)


@pytest.mark.parametrize("text", ["train.lr", "=3", ".=3", "train..lr=3"])
def test_set_needs_a_path_and_a_value(text: str) -> None:
    with pytest.raises(SettingsError, match=r"expected a\.b=value"):
        presets.resolve([], [text])


def test_set_outside_of_the_command_is_an_error() -> None:
    with pytest.raises(SettingsError, match="has no effect in this command"):
        presets.resolve([], ["train.lr=1"], sections=("sample",))


def test_a_preset_can_extend_the_shipped_one_of_its_name(home: Path) -> None:
    (home / "presets").mkdir(parents=True)
    write(home / "presets", "gan.yaml", "extends: gan\ntrain: {lr: 7}")
    config = presets.check(presets.resolve(["gan"]))
    assert config.train.lr == 7
    assert config.data.size == 32


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a='b", "No closing quotation"),
        ("nix.a=1", "nix.a: unknown key"),
        ("x", "expected a.b=value"),
    ],
)
def test_mistakes_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: str
) -> None:
    monkeypatch.setenv("IMAGEGEN_SET", value)
    with pytest.raises(SettingsError, match="IMAGEGEN_SET") as caught:
        presets.resolve([], sections=("sample",))
    assert expected in caught.value.message


def test_unknown_preset_offers_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"unknown preset 'gam'; did you mean 'gan'\?"):
        presets.resolve(["gam"])
    with pytest.raises(NotFoundError):
        presets.resolve(["../../etc/passwd"])


def test_own_presets_come_first(home: Path) -> None:
    (home / "presets").mkdir(parents=True)
    write(home / "presets", "gan.yaml", "train: {lr: 7}")
    assert presets.check(presets.resolve(["gan"])).train.lr == 7


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400)]
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text) == value


def test_defaults_are_a_valid_config() -> None:
    assert presets.check(presets.Layer()) == Config()
