"""What every family promises: a new one is tested by being there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imagegen import presets
from imagegen.data.words import Vocabulary
from imagegen.families import FAMILIES
from imagegen.family import Batch, Condition, Family
from imagegen.nn.draws import Draws
from imagegen.sample.draw import BATCH, draw, to_pictures
from imagegen.sample.noise import Noise
from imagegen.sample.tell import Ask
from tests.standing import foundation
from tests.telling import TEXTS, WORDS, only, told

LABELS = ("ant", "bee", "cat")
GENERATIVE = sorted(name for name in FAMILIES if FAMILIES[name].generates)


def build(
    name: str,
    channels: int = 3,
    side: int = 28,
    labels: tuple[str, ...] = (),
    words: Vocabulary | None = None,
) -> Family:
    torch.manual_seed(0)
    kind, shape = FAMILIES[name], (channels, side, side)
    family = kind(kind.Model(), shape, Condition(labels, words), foundation(name, shape))
    # Zeros at the start would hide much, and large weights would draw black and white alone.
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.07)
    return family


def batch(family: Family, count: int = 4, step: int = 0) -> Batch:
    draws = Draws(step, count)
    images = draws.uniform(-1, 1, *family.shape)
    known = None
    if family.condition.can_be_asked:
        numbers = (torch.arange(count) % len(LABELS)).tolist()
        known = told(numbers, len(LABELS), [TEXTS[number] for number in numbers])
        known = only(known, torch.arange(count) > 0)  # nothing is told of the first
    with torch.no_grad():
        return Batch(family.prepare(images), known, step, 0.5, 100, draws)


@pytest.fixture(params=GENERATIVE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_it_has_a_preset_of_its_name(name: str) -> None:
    config = presets.check(presets.resolve([name]))
    assert config.family == name
    assert config.description


def test_phases_hold_every_parameter_once(name: str) -> None:
    family = build(name, labels=LABELS)
    held = [id(p) for phase in family.phases for p in getattr(family, phase).parameters()]
    below = () if family.autoencoder is None else family.autoencoder.parameters()
    assert sorted(held) == sorted({id(p) for p in family.parameters()} - {id(p) for p in below})
    assert set(family.drawn_by) <= {part for part, _ in family.named_children()}


@pytest.mark.parametrize(("labels", "words"), [((), None), (LABELS, None), (LABELS, WORDS)])
def test_a_phase_trains_its_own_parameters_and_no_others(
    name: str, labels: tuple[str, ...], words: Vocabulary | None
) -> None:
    family = build(name, labels=labels, words=words)
    for phase in family.phases:
        family.zero_grad(set_to_none=True)
        family.requires_grad_(False)
        getattr(family, phase).requires_grad_(True)
        loss, logs = family.loss(batch(family, 16), phase)  # of some, labels and texts are not told
        assert loss.ndim == 0
        assert loss.isfinite()
        assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())
        loss.backward()
        for key, parameter in family.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.any())
            assert reached == key.startswith(f"{phase}."), key


def test_the_loss_falls_on_ten_pictures(name: str) -> None:
    kind = FAMILIES[name]
    torch.manual_seed(0)
    family = kind(kind.Model(width=16), (1, 16, 16), Condition(), foundation(name, (1, 16, 16)))
    shades = torch.linspace(-1, 1, 10)[:, None, None, None]
    images = (shades * torch.linspace(-1, 1, 16)).expand(10, 1, 16, 16)
    with torch.no_grad():
        images = family.prepare(images)
    for phase in family.phases:
        if len(family.phases) > 1 and phase == "generator":
            continue  # a contest: what one side gains the other loses
        family.requires_grad_(False)
        part = getattr(family, phase).requires_grad_(True)
        optimizer = torch.optim.Adam(part.parameters(), lr=3e-3)
        losses = []
        for step in range(60):
            loss, _ = family.loss(Batch(images, None, step, 0.5, 10, Draws(step, 10)), phase)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5]), phase


def test_pictures_need_not_be_square(name: str) -> None:
    kind, shape = FAMILIES[name], (3, 16, 24)
    family = kind(kind.Model(width=16), shape, Condition(LABELS), foundation(name, shape))
    for phase in family.phases:
        assert family.loss(batch(family), phase)[0].isfinite()
    drawn = next(iter(draw(family.eval(), [1], kind.Sampling())))[1]
    assert drawn.size == (24, 16)


def test_the_loss_draws_from_its_batch_alone(name: str) -> None:
    family = build(name)
    for phase in family.phases:
        losses = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            losses.append(family.loss(batch(family), phase)[0].item())
        assert losses[0] == losses[1]


@pytest.mark.parametrize("side", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_it_draws_what_it_was_built_for(name: str, channels: int, side: int) -> None:
    family = build(name, channels, side).eval()
    with torch.no_grad():
        images = family.sample(Noise([1, 2]), None, FAMILIES[name].Sampling())
    assert images.shape == (2, channels, side, side)
    assert images.isfinite().all()
    assert [p.mode for p in to_pictures(images)] == [{1: "L", 3: "RGB", 4: "RGBA"}[channels]] * 2


@pytest.mark.parametrize(("labels", "words"), [((), None), (LABELS, None), (LABELS, WORDS)])
def test_a_picture_belongs_to_its_seed(
    name: str, labels: tuple[str, ...], words: Vocabulary | None
) -> None:
    family = build(name, labels=labels, words=words).eval()
    options = FAMILIES[name].Sampling()
    seeds = [5, 3, 900, 3, *range(20, 20 + BATCH)]
    many = dict(draw(family, seeds, options))
    for seed in (3, 900, 21):
        ((again, alone),) = draw(family, [seed], options)
        assert again == seed
        assert alone.tobytes() == many[seed].tobytes()
    assert len({picture.tobytes() for picture in many.values()}) == len(set(seeds))


def test_what_is_asked_for_changes_the_picture(name: str) -> None:
    family = build(name, labels=LABELS, words=WORDS).eval()
    options = FAMILIES[name].Sampling()
    half = {LABELS[0]: 0.5, LABELS[1]: 0.5}
    asks = [*(Ask({label: 1}) for label in LABELS), Ask(half)]
    asks += [Ask(text=text) for text in TEXTS[:2]] + [Ask(half, TEXTS[0])]
    drawn = [next(draw(family, [1], options, ask))[1] for ask in asks]
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)
    for (_, one), alone in zip(draw(family, [1] * len(asks), options, asks), drawn, strict=True):
        # A text is read beside others of other lengths, which rounds in another way.
        differs = np.asarray(one).astype(int) - np.asarray(alone)
        assert (np.abs(differs) > 1).mean() < 0.02
    left_to_it = next(draw(family, [1], options))[1].tobytes()
    assert left_to_it in {picture.tobytes() for picture in drawn[: len(LABELS)]}


@pytest.mark.parametrize(
    "guided",
    [name for name in GENERATIVE if "guidance" in FAMILIES[name].Sampling.model_fields],
)
@torch.no_grad()
def test_guidance_is_for_what_is_told(guided: str) -> None:
    family = build(guided, labels=LABELS).eval()
    asked = told([0, 1], len(LABELS))
    ways = [family.Sampling.model_validate({"guidance": by}) for by in (1, 30)]
    plain, led = (family.sample(Noise([1, 2]), asked, way) for way in ways)
    assert not torch.equal(plain, led)
    plain, led = (family.sample(Noise([1, 2]), asked.nothing(), way) for way in ways)
    assert torch.equal(plain, led)


def test_tensors_become_pictures() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 4)
    assert np.asarray(to_pictures(values)[0]).tolist() == [[0, 128, 255, 255]]
    half_red = torch.tensor([0.0, -1.0, -1.0, 0.0]).reshape(1, 4, 1, 1)  # premultiplied
    assert to_pictures(half_red)[0].getpixel((0, 0)) == (255, 0, 0, 128)
    clear = torch.full((1, 4, 1, 1), -1.0)
    clear[0, 0] = -0.999
    assert to_pictures(clear)[0].getpixel((0, 0)) == (0, 0, 0, 0)


def test_grey_of_sixteen_bits_is_drawn_in_full(name: str) -> None:
    family = build(name, channels=1).eval()
    family.depth = 16
    ((_, picture),) = draw(family, [3], FAMILIES[name].Sampling())
    assert picture.mode == "I;16"
    assert len(np.unique(np.asarray(picture) % 257)) > 20  # not 8 bits spread out
