"""Steps in a row: what they are read from, how they are checked, and in which order they run."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from imagegen.errors import SettingsError
from imagegen.post.chain import build_chain, parse_step


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("sharpen", {"sharpen": {}}),
        ("sharpen:amount=2e-1", {"sharpen": {"amount": 0.2}}),
        ("a:b=1,c=-2.5,d=yes,e=true", {"a": {"b": 1, "c": -2.5, "d": "yes", "e": True}}),
        ("a:b=[1,2],c='x,y'", {"a": {"b": [1, 2], "c": "x,y"}}),
        ("a:region=!sky:3", {"a": {"region": "!sky:3"}}),
        (" a : b = 1 ", {"a": {"b": 1}}),
    ],
)
def test_steps_are_read(text: str, step: object) -> None:
    name = next(iter(step))  # type: ignore[call-overload]
    parsed = parse_step(text)
    assert {key.strip(): value for key, value in parsed.items()} == step
    assert name


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (["nix"], "unknown operation 'nix'"),
        (["sharpn"], "unknown operation 'sharpn'; did you mean 'sharpen'?"),
        (["sharpen:amont=1"], "sharpen: unknown setting 'amont'; did you mean 'amount'?"),
        (["sharpen:amount=much"], "sharpen: amount: expected a number from 0 up to 10, got 'much'"),
        (["sharpen:amount=true"], "sharpen: amount: expected a number from 0 up to 10, got True"),
        (["sharpen:amount=11"], "sharpen: amount: expected a number from 0 up to 10, got 11"),
        (["sharpen:amount"], "sharpen: expected key=value, got 'amount'"),
        (["sharpen:amount=1,amount=2"], "sharpen: amount is given twice"),
        (["sharpen:x=[1"], "sharpen: a quote or bracket is not closed"),
        (["median:size=4"], "median: size: expected an odd number, got 4"),
        (["levels:black=9,white=9"], "levels: black: expected less than white (9), got 9"),
        (["gaussian:region=sky"], "gaussian: region: no earlier segment step has as=sky"),
        (["gaussian:region=#"], "gaussian: region: expected all, subject, background,"),
        (["gaussian:feather=3"], "gaussian: feather: would be ignored without a region"),
        (["gaussian:strength=1.5"], "gaussian: strength: expected a number from 0 up to 1"),
        (["segment"], "segment: as: missing; expected text"),
        (["segment:as=9"], "segment: as: expected"),
        (["segment:as=a", "segment:as=a"], "an earlier step has the name 'a' already"),
        (["segment:as=a,method=magic"], "segment: method: expected one of slic, kmeans"),
        (["segment:as=a,method=threshold,scale=3"], "scale: would be ignored by method=threshold"),
        (["gaussian:region=a", "segment:as=a"], "no earlier segment step has as=a"),
        ([{"sharpen": {"amount": "x"}}], "sharpen: amount: expected a number"),
        ([{"sharpen": 3}], "expected a step such as"),
        ([{"sharpen": {}, "median": {}}], "expected a step such as"),
        ([7], "expected a step such as"),
        ([""], "expected an operation"),
    ],
)
def test_mistakes(steps: list[str], expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build_chain(steps)
    assert expected in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint.startswith("imagegen ops")


def test_order_matters() -> None:
    image = Image.new("L", (1, 1), 100)
    darker = "levels:out_white=128"
    assert build_chain(["levels:black=50", darker])(image) != build_chain(
        [darker, "levels:black=50"]
    )(image)


def test_records_hold_every_setting() -> None:
    chain = build_chain(["segment:as=it", {"sharpen": {"amount": 2, "region": "it"}}])
    assert len(chain) == 2
    assert chain.records[1] == {
        "op": "sharpen",
        "amount": 2.0,
        "radius": 1.5,
        "threshold": 0.0,
        "region": "it",
        "expand": 0,
        "feather": 0.0,
        "strength": 1.0,
    }


def test_the_same_twice() -> None:
    image = Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50).convert("RGB")
    for method in ("slic", "kmeans", "threshold"):
        steps = [f"segment:as=it,method={method}", "gaussian:region=it"]
        assert build_chain(steps)(image) == build_chain(steps)(image)


def test_without_torch() -> None:
    code = (
        "import sys; from PIL import Image; from imagegen.post.chain import build_chain;"
        "chain = build_chain(['segment:as=a', 'gaussian:region=a', 'auto-contrast']);"
        "chain(Image.new('RGB', (9, 9)));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
