"""One step, however the batch is shared out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from imagegen.data.split import held_out
from imagegen.data.store import load_pictures, to_tensor, turned
from imagegen.errors import SettingsError, UserError
from imagegen.families import FAMILIES
from imagegen.families.autoencoder import Autoencoder
from imagegen.families.flow import Flow
from imagegen.family import Condition
from imagegen.settings import Config, DataSettings, TrainSettings
from imagegen.train.learner import Learner, build, condition_of
from imagegen.train.parallel import Order, World
from tests import double
from tests.standing import foundation


@pytest.fixture(scope="module")
def smileys():
    return load_pictures("sample:smileys", DataSettings(size=16))


@pytest.fixture
def float64() -> Iterator[None]:
    with double.precision():
        yield


@pytest.fixture(params=sorted(FAMILIES))
def make(request: pytest.FixtureRequest, smileys):
    """Return a function that makes a small learner of each family."""

    def learner(batch_size: int = 16, **train: object) -> Learner:
        config = Config(family=request.param, train=TrainSettings(batch_size=batch_size, **train))
        kind = FAMILIES[request.param]
        small = {"width": 8} if "width" in kind.Model.model_fields else {}
        below = foundation(request.param, smileys.shape)
        family = build(kind, kind.Model(**small), config, smileys, below)
        return Learner(family, smileys, config)

    return learner


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.family.parameters()])


def steps(learner: Learner, count: int = 3) -> dict[str, torch.Tensor]:
    logs: dict[str, torch.Tensor] = {}
    for step in range(count):
        logs = learner.step(Order(step, step / count, strength=0.5))  # a flow's last jumps too
    return logs


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
@pytest.mark.parametrize("parts", [2, 4, 16])
@pytest.mark.usefixtures("float64")
def test_a_batch_in_parts_gives_the_same(make, parts: int, optimizer: str) -> None:
    whole, split = make(optimizer=optimizer), make(optimizer=optimizer)
    split.parts = parts
    ours, theirs = steps(whole), steps(split)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert theirs[name].item() == pytest.approx(value.item(), rel=1e-9)
    assert (weights(whole) - weights(split)).abs().max() < 1e-9


@pytest.mark.parametrize(
    "words",
    ["DefaultCPUAllocator: can't allocate memory: you tried to", "could not create a primitive"],
)
@pytest.mark.usefixtures("float64")
def test_where_memory_is_short_the_batch_is_split(
    make, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    learner, whole = make(), make()
    real = learner.family.loss

    def loss(batch, phase):
        if len(batch.images) > 4:
            raise RuntimeError(words)
        return real(batch, phase)

    monkeypatch.setattr(learner.family, "loss", loss)
    ours, theirs = steps(learner), steps(whole)
    assert learner.parts == 4
    for name, value in ours.items():
        assert theirs[name].item() == pytest.approx(value.item(), rel=1e-9)


def test_without_any_memory_it_says_so(make, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make()

    def loss(batch, phase):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(learner.family, "loss", loss)
    with pytest.raises(UserError, match="not enough memory") as error:
        learner.step(Order(0))
    assert "data.size" in error.value.hint


def test_other_errors_are_not_taken_for_it(make, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = make()

    def loss(batch, phase):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(learner.family, "loss", loss)
    with pytest.raises(RuntimeError, match="mat1"):
        learner.step(Order(0))


def test_half_the_rate_is_half_the_step(make) -> None:
    start, full, half = make(), make(), make()
    full.step(Order(0, rate=1.0))
    half.step(Order(0, rate=0.5))
    first = start.family.phases[0]  # the others see its step
    before, far, near = (
        torch.cat([p.detach().flatten() for p in getattr(one.family, first).parameters()])
        for one in (start, full, half)
    )
    moved = (far - before).abs().sum().item()
    assert (near - before).abs().sum().item() == pytest.approx(moved / 2, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_weights_shrink_and_biases_do_not(make, optimizer: str) -> None:
    start, whole, shrunk = (
        make(optimizer=optimizer, weight_decay=decay, warmup=0) for decay in (0, 0, 10)
    )
    whole.step(Order(0))
    shrunk.step(Order(0))
    first = start.family.phases[0]  # the others see its step
    before, without, after = (
        dict(getattr(one.family, first).named_parameters()) for one in (start, whole, shrunk)
    )
    for name, parameter in after.items():
        stepped = without[name].grad is not None and parameter.ndim > 1
        lost = 10 * TrainSettings().lr * before[name] if stepped else torch.zeros(())
        assert torch.allclose(parameter, without[name] - lost, rtol=0, atol=1e-6), name
    assert not torch.equal(weights(whole), weights(shrunk))


def test_weights_decay_towards_those_at_the_start_also_after_a_resume(make) -> None:
    settings = {"weight_decay": 10, "decay_towards": "start", "warmup": 0}
    free, held = make(warmup=0), make(**settings)
    start = weights(held)
    steps(free, 2)
    steps(held, 2)
    assert (weights(held) - start).norm() < (weights(free) - start).norm()
    resumed = make(**settings)
    with torch.no_grad():
        for phase in resumed.family.phases:  # it is built with other weights than it had
            for parameter in getattr(resumed.family, phase).parameters():
                parameter.add_(1)
    resumed.restore(held.state(2, 1.0, {}))
    order = Order(2, 0.7)
    held.step(order)
    resumed.step(order)
    assert torch.equal(weights(held), weights(resumed))


def test_a_state_of_other_networks_is_refused(make) -> None:
    learner, state = make(), make().state(7, 1.0, {})
    before = weights(learner)
    name, tensor = next(iter(state.average.items()))
    other = replace(state, average=state.average | {name: tensor.new_zeros(*tensor.shape, 2)})
    with pytest.raises(UserError, match="step 7 does not fit this version"):
        learner.restore(other)
    assert torch.equal(weights(learner), before)


def test_a_state_brings_everything_back(make) -> None:
    one, other = make(), make()
    steps(one, 2)
    other.restore(one.state(2, 1.0, {}))
    one.step(Order(2))
    other.step(Order(2))
    assert torch.equal(weights(one), weights(other))
    beginning = make().state(0, 0.0, {})
    one.restore(beginning)
    steps(one, 3)
    fresh = make()
    steps(fresh, 3)
    assert torch.equal(weights(one), weights(fresh))


def test_shares_of_a_batch() -> None:
    assert World().rows(15, 4) == slice(0, 15)
    assert World(1, 2).rows(16, 4) == slice(8, 16)
    with pytest.raises(SettingsError, match="can't be shared by 2 processes") as error:
        World(1, 2).rows(12, 4)
    assert "multiple of 8" in error.value.hint


def test_mixed_precision_gives_about_the_same(make) -> None:
    """Losses are made of numbers of 8 bits, and must not be rounded to 8 bits once more."""
    whole, mixed = make(), make()
    for step in range(3):
        order = Order(step, step / 3, strength=0.5)
        ours, theirs = whole.step(order), mixed.step(replace(order, mixed=True))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert theirs[name].dtype == torch.float32
            assert theirs[name].item() == pytest.approx(value.item(), rel=0.02, abs=0.01), name
    assert mixed.is_finite()
    assert not torch.equal(weights(whole), weights(mixed))


def test_what_an_autoencoder_makes_of_pictures_is_remembered(smileys) -> None:
    data = DataSettings(size=16, mirror=True)
    config = Config(family="flow", data=data, train=TrainSettings(batch_size=6))

    def latent_flow() -> Learner:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            below = Autoencoder(Autoencoder.Model(width=8, blocks=1), smileys.shape, Condition())
        family = build(Flow, Flow.Model(width=8), config, smileys, below)
        return Learner(family, smileys, config)

    learner, again = latent_flow(), latent_flow()
    prepared = []
    encode = learner.family.prepare
    learner.family.prepare = lambda images: (prepared.append(len(images)), encode(images))[1]
    epoch = 2 * len(smileys) // 6
    for step in range(epoch + 10):
        learner.step(Order(step, 0.0))
    # Each picture and its twin once, always as many at a time.
    assert prepared == [2] * 3 * epoch

    # What is remembered is what would be computed, to the last bit, wherever training goes on.
    again.step(Order(3, 0.0))  # some are known before, in another order
    for order in (Order(7, 0.0), Order(1, 0.0)):
        arrays, chosen = smileys.batch(0, order.step, 6, mirror=True)
        ours, theirs = (one._see(arrays, chosen) for one in (learner, again))
        assert torch.equal(ours, theirs)
    mixed = smileys.batch(0, 3, 3, mirror=True), smileys.batch(0, 20, 3, mirror=True)
    arrays = np.concatenate([one[0] for one in mixed])
    chosen = np.concatenate([one[1] for one in mixed])
    assert torch.equal(learner._see(arrays, chosen), again._see(arrays, chosen))


@pytest.mark.parametrize(("size", "ways"), [(16, 8), ("32x16", 4)])
def test_turned_pictures_are_said_to_be_turned(size: int | str, ways: int) -> None:
    data = DataSettings(size=size, mirror=True, turned=0.9, labels="none", captions="none")
    pictures = load_pictures("sample:smileys", data)
    config = Config(family="flow", data=data, train=TrainSettings(batch_size=200))
    family = build(Flow, Flow.Model(width=8), config, pictures)
    learner, batches = Learner(family, pictures, config), []
    loss = family.loss
    family.loss = lambda batch, phase: (batches.append(batch), loss(batch, phase))[1]
    for step in (5, 11, 21):  # after about so many looks at each picture
        learner.step(Order(step, 0.0))
    turns = [batch.told.turned for batch in batches]
    shares = [(one > 0).float().mean().item() for one in turns]
    assert shares == pytest.approx([0, 0.06, 0.9], abs=0.06)
    assert shares[0] == 0 < shares[1]
    assert set(turns[2].tolist()) == set(range(ways))
    images, _ = pictures.batch(0, 21, 200, mirror=True)
    assert torch.equal(batches[2].images, to_tensor(turned(images, turns[2].numpy())))
    assert (learner.look(pictures, 4, Order(21, 0.5)).told.turned == 0).all()


def test_turned_pictures_are_remembered_as_they_lie() -> None:
    data = DataSettings(size=16, turned=0.9)
    pictures = load_pictures("sample:smileys", data)
    config = Config(family="flow", data=data, train=TrainSettings(batch_size=8))
    below = foundation("rnn", pictures.shape)
    learner = Learner(build(Flow, Flow.Model(width=8), config, pictures, below), pictures, config)
    for step in range(1000, 1010):
        learner.step(Order(step, 0.0))
    ways = {number // (2 * len(pictures)) for number in learner._seen}
    assert ways == set(range(8))
    number = next(n for n in learner._seen if n > 14 * len(pictures))
    picture = pictures.images[None, number % (2 * len(pictures))]
    expected = learner._prepared(turned(np.repeat(picture, 2, 0), np.array([7, 7])))[0]
    assert torch.equal(learner._seen[number], expected)


def test_what_is_remembered_has_an_end(smileys, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(family="flow", train=TrainSettings(batch_size=8))
    below = foundation("rnn", smileys.shape)
    learner = Learner(build(Flow, Flow.Model(width=8), config, smileys, below), smileys, config)
    size = learner._prepared(smileys.images[:1]).numel()
    monkeypatch.setattr("imagegen.train.learner.MOST_SEEN", 12 * size)
    for step in range(4):
        learner.step(Order(step, 0.0))
    assert len(learner._seen) == 16


def test_words_that_are_only_said_of_held_out_pictures_are_not_known(smileys) -> None:
    held = held_out(smileys, 0.2)
    words = [f"{'zebra' if out else 'ant'} face" for out in held]
    said = replace(smileys, texts=tuple(words))
    condition = condition_of(said, DataSettings(held_out=0.2))
    assert condition.vocabulary is not None
    assert condition.vocabulary.words == {"face": (~held).sum(), "ant": (~held).sum()}
    assert condition.labels == smileys.label_names
    assert condition_of(smileys, DataSettings(turned=0.5)).turned


@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - {"autoencoder", "codec"}))
def test_every_network_hears_how_pictures_lie(kind: str, smileys) -> None:
    family = FAMILIES[kind]
    small = {"width": 8} if "width" in family.Model.model_fields else {}
    below = foundation(kind, smileys.shape)
    made = family(family.Model(**small), smileys.shape, Condition(turned=True), below)
    heard = [name for name, _ in made.named_parameters() if name.endswith("conditioner.turns")]
    assert {name.split(".")[0] for name in heard} == set(made.phases)
