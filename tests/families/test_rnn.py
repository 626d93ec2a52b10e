"""What only the recurrent family promises: an order, an exact likelihood, a picture completed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from imagegen.errors import SettingsError
from imagegen.families.autoencoder import Autoencoder
from imagegen.families.rnn import Rnn, _pick_token
from imagegen.family import Batch, Condition, Shape
from imagegen.nn.conditioner import Told
from imagegen.nn.draws import Draws
from imagegen.sample.noise import Noise
from tests.telling import told

GREY: Shape = (1, 16, 16)


def bits(shape: Shape = GREY, labels: tuple[str, ...] = (), **model: object) -> Rnn:
    torch.manual_seed(0)
    settings = Rnn.Model(tokens="bits", width=16, layers=2, **model)
    family = Rnn(settings, shape, Condition(labels)).eval()
    torch.nn.init.normal_(family.prior.head[1].weight, std=0.3)  # far from even chances
    return family


def coder(kind: str = "fsq") -> Autoencoder:
    torch.manual_seed(0)
    model = Autoencoder.Model(kind=kind, levels=(3, 3), width=8, blocks=1)
    return Autoencoder(model, GREY, Condition()).eval()


def test_a_token_depends_on_those_before_it_alone() -> None:
    family = bits()
    tokens = torch.randint(0, 16, (1, 8, 8))
    before = family.prior(tokens, None)
    for row, column in ((0, 0), (3, 0), (3, 7), (4, 2)):
        changed = tokens.clone()
        changed[0, row, column] = (changed[0, row, column] + 1) % 16
        moved = ~torch.isclose(family.prior(changed, None), before, atol=1e-6).all(-1)[0].flatten()
        place = row * 8 + column
        assert not moved[: place + 1].any()
        # The next one, and the one below, see it. So do both ends of the row below.
        assert moved[(place + 1 if column < 7 else place + 8) :].any()
        assert moved[place + 8]


def test_drawing_step_by_step_is_drawing_from_the_whole() -> None:
    family = bits(labels=("a", "b"))
    noise, known = [3, 4], told([0, 1], 2)
    with torch.no_grad():
        images = family.sample(Noise(noise), known, Rnn.Sampling(guidance=1))
        tokens = family._tokens(images)
        logits = family.prior(tokens, family.prior.listen(known))
    chances = torch.from_numpy(Noise(noise).uniform(8, 8))
    assert torch.equal(_pick_token(logits, chances, Rnn.Sampling()), tokens)


def test_noise_changes_what_is_heard_and_not_what_is_to_be_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = (torch.rand(400, *GREY) > 0.5) * 2.0 - 1

    def trained(noise: float, seen: int = 20) -> tuple[torch.Tensor, torch.Tensor | None]:
        family, calls = bits(noise=noise), []
        nats = family._nats
        monkeypatch.setattr(family, "_nats", lambda *args: (calls.append(args), nats(*args))[1])
        family.loss(Batch(images, None, seen, 0.0, 400, Draws(1, 400)), "prior")
        ((tokens, _, _, heard),) = calls
        return tokens, heard

    tokens, heard = trained(0.0)
    assert torch.equal(tokens, heard)
    same, heard = trained(0.2)
    assert torch.equal(same, tokens)
    wrong = (heard != tokens).float().mean((1, 2)) * 16 / 15  # by chance some stay the same
    assert wrong.mean().item() == pytest.approx(0.2, abs=0.02)
    assert wrong.min() < 0.05
    assert 0.3 < wrong.max() < 0.65
    tokens, heard = trained(0.2, seen=10)  # a set that was seen seldom is not known by heart
    assert torch.equal(tokens, heard)
    tokens, heard = trained(0.2, seen=15)
    assert (heard != tokens).float().mean().item() * 16 / 15 == pytest.approx(0.1, abs=0.02)


def test_pictures_are_judged_and_bits_by_their_likelihood() -> None:
    assert bits().judged_by == "held_out"
    assert Rnn(Rnn.Model(width=16), GREY, Condition(), coder()).judged_by == "kid"


def test_likelihoods_of_all_pictures_sum_to_one() -> None:
    family = bits((1, 2, 4))
    every = torch.tensor([[int(b) for b in f"{n:08b}"] for n in range(256)])
    images = every.view(256, 1, 2, 4) * 2.0 - 1
    with torch.no_grad():
        nats = family.likelihood(images)
    assert torch.exp(-nats.double()).sum().item() == pytest.approx(1, abs=1e-5)
    assert nats.std() > 0.1


def test_bits_are_a_bijection() -> None:
    family = bits()
    images = (torch.rand(3, *GREY) > 0.5) * 2.0 - 1
    assert torch.equal(family._pictures(family._tokens(images)), images)


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([0.1, 0.6, 0.0, 0.3]).log()
    chances = (torch.arange(1000) + 0.5) / 1000
    drawn = _pick_token(logits.expand(1000, 4), chances, Rnn.Sampling())
    assert torch.bincount(drawn, minlength=4).tolist() == pytest.approx([100, 600, 0, 300], abs=1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Rnn.Sampling(top_k=1), [0, 1000, 0, 0]),
        (Rnn.Sampling(top_k=2), [0, 667, 0, 333]),
        (Rnn.Sampling(top_k=9), [100, 600, 0, 300]),
        (Rnn.Sampling(top_p=0.5), [0, 1000, 0, 0]),
        (Rnn.Sampling(top_p=0.7), [0, 667, 0, 333]),
        (Rnn.Sampling(temperature=0.5), [22, 783, 0, 196]),
    ],
)
def test_unlikely_tokens_can_be_cut_off(options: Rnn.Sampling, expected: list[int]) -> None:
    logits = torch.tensor([0.1, 0.6, 0.0, 0.3]).log()
    chances = (torch.arange(1000) + 0.5) / 1000
    drawn = _pick_token(logits.expand(1000, 4), chances, options)
    assert torch.bincount(drawn, minlength=4).tolist() == pytest.approx(expected, abs=1)


@torch.no_grad()
def test_guidance_leads_away_from_what_is_drawn_without_a_label() -> None:
    family, asked = bits(labels=("a", "b")), told([0, 1], 2)

    def drawn(guidance: float, of: Told = asked) -> torch.Tensor:
        return family.sample(Noise([5, 6]), of, Rnn.Sampling(guidance=guidance))

    assert torch.equal(drawn(0), drawn(1, asked.nothing()))
    assert not torch.equal(drawn(1), drawn(0))
    strong = drawn(30)
    # What was drawn is now much likelier with the label than without, as seen by the network.
    with_label, without = (family.likelihood(strong, one) for one in (asked, asked.nothing()))
    gained = (without - with_label).mean()
    with_label, without = (family.likelihood(drawn(1), one) for one in (asked, asked.nothing()))
    assert gained > (without - with_label).mean() + 1
    untold = bits()  # nothing to lead to
    one, other = (untold.sample(Noise([5]), None, Rnn.Sampling(guidance=g)) for g in (1, 3))
    assert torch.equal(one, other)


@pytest.mark.parametrize("guidance", [1, 2])
@pytest.mark.parametrize("height", [1, 7, 8, 15])
def test_the_known_part_of_a_picture_stays(height: int, guidance: float) -> None:
    family = bits(labels=("a", "b"))
    known = torch.rand(2, 1, height, 16) * 2 - 1
    with torch.no_grad():
        one, other = (
            family.complete(Noise(seeds), known, told([0, 1], 2), Rnn.Sampling(guidance=guidance))
            for seeds in ([1, 2], [3, 4])
        )
    assert one.shape == (2, *GREY)
    assert torch.equal(one[:, :, :height], known)
    assert torch.equal(other[:, :, :height], known)
    assert not torch.equal(one, other)


def test_a_completed_picture_goes_on_from_its_known_tokens() -> None:
    family = bits()
    with torch.no_grad():
        whole = family.sample(Noise([5]), None, Rnn.Sampling())
        again = family.complete(Noise([5]), whole[:, :, :6], None, Rnn.Sampling())
    assert torch.equal(again, whole)


def test_it_completes_with_an_autoencoder() -> None:
    family = Rnn(Rnn.Model(width=16, layers=1), GREY, Condition(), coder()).eval()
    known = torch.rand(2, 1, 9, 16) * 2 - 1
    with torch.no_grad():
        made = family.complete(Noise([1, 2]), known, None, Rnn.Sampling())
    assert made.shape == (2, *GREY)
    assert torch.equal(made[:, :, :9], known)


def test_greys_are_chances_of_white() -> None:
    from imagegen.family import Batch
    from imagegen.nn.draws import Draws

    family = bits()
    grey = torch.full((64, *GREY), -0.5)
    grey[:, :, :8], grey[:, :, 8:10] = -1, 1
    batch = Batch(grey, None, 0, 0.0, 64, Draws(0, 64))
    drawn = family._binarised(batch)
    assert set(np.unique(drawn).tolist()) == {-1.0, 1.0}
    assert (drawn[:, :, :8] == -1).all()
    assert (drawn[:, :, 8:10] == 1).all()
    assert (drawn[:, :, 10:] > 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert not torch.equal(drawn, family._binarised(batch))


def test_checks_tell_nats_and_bits_per_dimension() -> None:
    from imagegen.family import Batch
    from imagegen.nn.draws import Draws

    family = bits()
    images = (torch.rand(4, *GREY) > 0.5) * 2.0 - 1
    batch = Batch(images, None, 0, 0.0, 4, Draws(0, 4))
    found = family.check(batch, batch)
    with torch.no_grad():
        assert found["held_out"] == pytest.approx(family.likelihood(images).mean().item())
    assert found["bits_per_dim"] == pytest.approx(found["held_out"] / math.log(2) / 256)


@pytest.mark.parametrize(
    ("tokens", "shape", "kind", "words"),
    [
        ("autoencoder", GREY, None, "no autoencoder"),
        ("autoencoder", GREY, "kl", "kind kl has none"),
        ("bits", GREY, "fsq", "bits need no autoencoder"),
        ("bits", (3, 16, 16), None, "grey pictures"),
        ("bits", (1, 17, 17), None, "data.size"),
    ],
)
def test_what_it_cannot_stand_on_is_said(
    tokens: str, shape: Shape, kind: str | None, words: str
) -> None:
    below = None if kind is None else coder(kind)
    with pytest.raises(SettingsError, match=words):
        Rnn(Rnn.Model(tokens=tokens), shape, Condition(), below)
