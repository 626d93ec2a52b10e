"""Rectified flow, against known answers."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from imagegen.errors import SettingsError
from imagegen.families.autoencoder import Autoencoder
from imagegen.families.flow import Flow
from imagegen.family import Batch, Condition
from imagegen.nn import flow
from imagegen.nn.blocks import around
from imagegen.nn.draws import Draws
from imagegen.nn.unet import Unet, preconditioned
from imagegen.sample.noise import Noise
from tests.telling import told

POINT = torch.linspace(-1, 1, 3 * 4 * 4).view(1, 3, 4, 4)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def knows(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """Guess right: there is only one picture."""
    return POINT.expand(len(z), -1, -1, -1)


def test_times_are_between_noise_and_picture_and_some_are_even() -> None:
    t = flow.times(Draws(1, 20_000))
    assert t.shape == (20_000,)
    assert 0 < t.min() < 0.02
    assert 0.98 < t.max() < 1
    assert t.median() < 0.5  # more of them where the picture shows


def test_a_way_is_straight() -> None:
    x, noise = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert torch.equal(flow.mix(x, noise, torch.tensor([0.0, 1.0]))[0], x[0])
    assert torch.equal(flow.mix(x, noise, torch.tensor([0.0, 1.0]))[1], noise[1])
    t = torch.tensor([0.3, 0.8])
    velocity = flow.velocity(x, flow.mix(x, noise, t), t)
    assert torch.allclose(velocity, noise - x, atol=1e-5)


def test_what_has_broken_down_is_paired_somehow() -> None:
    x, noise = torch.rand(4, 3, 4, 4), torch.randn(4, 3, 4, 4)
    for broken in (float("nan"), float("inf")):
        x[1] = broken
        assert len(torch.unique(flow.pair(x, noise, None)[:, 0, 0, 0])) == 4


def test_knowing_the_picture_is_no_error() -> None:
    x, noise, t = POINT.expand(5, -1, -1, -1), torch.randn(5, 3, 4, 4), torch.rand(5)
    assert flow.matching_loss(knows, x, noise, t).max() < 1e-9
    guess_nothing = flow.matching_loss(lambda z, t, s: 0 * z, x, noise, torch.full((5,), 0.5))
    assert torch.allclose(guess_nothing, (POINT / 0.5).square().mean().expand(5))


@pytest.mark.parametrize("solver", get_args(flow.Solver))
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_every_solver_arrives_where_the_way_is_straight(
    solver: flow.Solver, steps: int, shift: float
) -> None:
    drawn = flow.solve(knows, torch.randn(2, 3, 4, 4), steps, solver, shift)
    assert torch.allclose(drawn, POINT.expand(2, -1, -1, -1), atol=1e-5)


@pytest.mark.parametrize("solver", get_args(flow.SolverOrJump))
def test_shifted_steps_are_shortest_where_there_is_most_noise(solver: flow.SolverOrJump) -> None:
    seen = []

    def network(z: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        seen.append(t[0].item())
        return z

    flow.solve(network, torch.randn(1, 3, 4, 4), 4, solver, 3.0)
    times = seen if solver in ("euler", "multistep", "jump") else seen[::2]
    expected = [1, 0.75, 0.5, 0.25] if solver == "jump" else [1, 0.9, 0.75, 0.5]
    assert times[:4] == pytest.approx(expected)


def test_second_order_solvers_are_nearer_on_a_bend() -> None:
    # Pictures of variance 1/4: the best guess is z (1-t)/4 / ((1-t)^2/4 + t^2), and z ends at z/2.
    def gaussian(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
        t = t.view(-1, 1, 1, 1)
        return z * (1 - t) / 4 / ((1 - t) ** 2 / 4 + t**2)

    start = torch.randn(4, 1, 8, 8)
    errors = {
        solver: (flow.solve(gaussian, start, 8, solver) - start / 2).abs().mean().item()
        for solver in get_args(flow.Solver)
    }
    assert errors["midpoint"] < errors["euler"] / 2
    assert errors["heun"] < errors["euler"] / 2
    assert errors["multistep"] < errors["euler"] / 2  # and looks as often as Euler


def test_pairs_are_nearest_in_all() -> None:
    x = torch.arange(8.0).view(8, 1, 1, 1).expand(-1, 1, 8, 8)
    noise = x[[3, 2, 1, 0, 7, 6, 5, 4]] + 0.1
    assert torch.allclose(flow.pair(x, noise, None), x + 0.1)


def test_noise_stays_within_a_label() -> None:
    x = torch.arange(4.0).view(4, 1, 1, 1).expand(-1, 1, 8, 8)
    noise = x.flip(0).contiguous()
    paired = flow.pair(x, noise, told([0, 1, 1, 0], 2))[:, 0, 0, 0].tolist()
    assert sorted([paired[0], paired[3]]) == [0, 3]
    assert paired == [0, 1, 2, 3]


def test_jumps_end_where_all_is_known() -> None:
    x, noise = POINT.expand(6, -1, -1, -1), torch.randn(6, 3, 4, 4)
    assert flow.jump_loss(knows, knows, x, noise, torch.rand(6, 2)).max() < 1e-4
    for steps in (1, 2, 4):
        drawn = flow.solve(knows, noise, steps, "jump")
        assert torch.allclose(drawn, x, atol=1e-5)


def test_jumps_are_even_parts_of_the_way() -> None:
    seen: list[tuple[float, float]] = []

    def network(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            seen.extend(zip(t.tolist(), s.tolist(), strict=True))
        return z

    x = torch.zeros(400, 1, 2, 2)
    flow.jump_loss(network, network, x, x, torch.rand(400, 2))
    ways = {(1 - k / n, 1 - (k + 1) / n) for n in flow.JUMPS for k in range(n)}
    assert set(seen) == ways


def test_the_shortest_jumps_are_of_second_order_and_long_ones_of_two_halves() -> None:
    def teacher(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return z - t.view(-1, 1, 1, 1) * (t + 10 * (t - s)).view(-1, 1, 1, 1)  # its velocity

    def student(z: Tensor, t: Tensor, s: Tensor) -> Tensor:
        length = t - s
        middle = t - length / 2
        halves = (t + 5 * length + middle + 5 * length) / 2
        goal = torch.where(length == 1 / flow.JUMPS[-1], middle, halves)
        return z - (t * goal).view(-1, 1, 1, 1)

    x = torch.zeros(100, 1, 2, 2)
    assert flow.jump_loss(student, teacher, x, x, torch.rand(100, 2)).max() < 1e-8


def model(labels: tuple[str, ...] = (), **changes: object) -> Flow:
    return Flow(Flow.Model(width=16, **changes), (3, 16, 16), Condition(labels))


def batch(family: Flow, progress: float) -> Batch:
    images = Draws(5, 8).uniform(-1, 1, *family.shape)
    return Batch(images, None, 10, progress, 100, Draws(1, 8))


def test_the_last_stage_learns_jumps_too() -> None:
    family = model(jumps=0.25)
    assert set(family.loss(batch(family, 0.7), "network")[1]) == {"matching"}
    assert set(family.loss(batch(family, 0.8), "network")[1]) == {"matching", "jumping"}
    assert "jumping" not in model(jumps=0).loss(batch(family, 0.99), "network")[1]


def test_jumps_are_learnt_from_the_average() -> None:
    family, other = model(jumps=1), model(jumps=1)
    for weight in other.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    alone, taught = (
        family.loss(replace(batch(family, 0.5), average=average), "network")[1]
        for average in (None, other)
    )
    assert taught["matching"] == alone["matching"]
    assert taught["jumping"] != alone["jumping"]


def test_guidance_leads_away_from_the_picture_without_a_label() -> None:
    family = model(("a", "b")).eval()
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    known = told([1, 1], 2)

    def drawn(guidance: float) -> Tensor:
        options = Flow.Sampling(steps=1, solver="euler", guidance=guidance)
        return family.sample(Noise([1, 2]), known, options)

    plain, labelled, guided = drawn(0), drawn(1), drawn(2)
    assert not torch.allclose(plain, labelled)
    assert torch.allclose(guided - labelled, labelled - plain, atol=1e-5)


@pytest.mark.parametrize(("side", "hint"), [(31, "30 or 32"), (66, "64 or 68")])
def test_a_size_it_cannot_make_is_an_error(side: int, hint: str) -> None:
    with pytest.raises(SettingsError, match=r"data\.size") as error:
        Flow(Flow.Model(width=16), (3, side, side), Condition())
    assert hint in (error.value.hint or "")


def test_the_network_takes_oblong_pictures() -> None:
    network = Unet(3, (16, 24), 2, 16, 1, None)
    x, t = torch.randn(2, 3, 16, 24), torch.rand(2)
    assert network(x, t, t, None).shape == x.shape


def test_what_tiles_goes_round_in_all_it_does() -> None:
    """Noise that is rolled by half a side gives the same picture, rolled."""
    drawn = {}
    for tile in (True, False):
        family = model(tile=tile).eval()
        for parameter in family.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        start = torch.randn(2, 3, 16, 16)

        def network(z: Tensor, t: Tensor, s: Tensor, family: Flow = family) -> Tensor:
            return family.network(z, t, s, None)

        with around(family) if tile else nullcontext(), torch.no_grad():
            plain = flow.solve(network, start, 2, "euler")
            rolled = flow.solve(network, start.roll((8, 8), (2, 3)), 2, "euler")
        drawn[tile] = (plain.roll((8, 8), (2, 3)) - rolled).abs().max().item()
    assert drawn[True] < 1e-4
    assert drawn[False] > 1e-2


def test_a_network_is_itself_again_after_going_round() -> None:
    family = model(tile=True)
    before = [(m.padding_mode) for m in family.modules() if isinstance(m, torch.nn.Conv2d)]
    assert "replicate" in before
    with around(family):
        assert family.network.first.padding_mode == family.network.edge == "circular"
    after = [(m.padding_mode) for m in family.modules() if isinstance(m, torch.nn.Conv2d)]
    assert after == before
    assert family.network.edge == "replicate"


@pytest.mark.parametrize("steps", [3, 10, 16])
def test_only_jumps_that_are_learnt_are_taken(steps: int) -> None:
    with pytest.raises(ValueError, match="jumps are 1, 2, 4, 8, not"):
        Flow.Sampling(solver="jump", steps=steps)
    options = Flow.Sampling(solver="jump", steps=8)
    with pytest.raises(SettingsError, match="has not learnt to jump"):
        model(jumps=0).sample(Noise([1]), None, options)
    assert model(jumps=0.1).sample(Noise([1]), None, options).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("width", [8, 24, 104, 112])
def test_any_eight_channels_more_make_a_network(width: int) -> None:
    network = Unet(3, (16, 16), 2, width, 1, None)
    x, t = torch.randn(2, 3, 16, 16), torch.rand(2)
    network(x, t, t, None).sum().backward()


def test_a_width_between_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        Flow.Model(width=33)


def test_errors_are_logged_as_means_over_the_pictures_they_are_of() -> None:
    family = model(jumps=0.25)
    now, later = (family.loss(batch(family, progress), "network")[1] for progress in (0.7, 0.8))
    assert later["matching"] == pytest.approx(now["matching"], rel=0.5)  # of four of the eight


def test_what_is_drawn_over_tokens_is_made_of_tokens() -> None:
    below = Autoencoder(
        Autoencoder.Model(kind="fsq", levels=(5, 3), width=8, blocks=1), (3, 16, 16), Condition()
    )
    seen = []
    below.decode = lambda latents: seen.append(latents) or torch.zeros(len(latents), 3, 16, 16)
    family = Flow(Flow.Model(width=16), (3, 16, 16), Condition(), below)
    family.sample(Noise([1, 2]), None, Flow.Sampling(steps=2))
    assert torch.equal(seen[0], below.latents(below.tokens(seen[0])))
    assert len(seen[0].unique()) <= 5


def test_without_anything_told_guidance_is_no_second_look() -> None:
    family = model(("a", "b")).eval()
    looks = []
    family.network.register_forward_hook(lambda *_: looks.append(1))
    for known, count in ((told([1], 2), 2), (told([1], 2).nothing(), 1), (None, 1)):
        looks.clear()
        if known is None:
            known = family.condition.nothing(1, torch.device("cpu"))
        family.sample(Noise([1]), known, Flow.Sampling(steps=1, solver="euler", guidance=3))
        assert len(looks) == count


def test_a_preconditioned_network_starts_at_the_best_linear_guess() -> None:
    torch.manual_seed(0)
    deviation = torch.linspace(0.2, 4, 8)
    x, noise = torch.randn(2, 64, 8, 8, 8)
    x = x * deviation.view(-1, 1, 1)
    t = torch.linspace(0.02, 0.98, 64)
    wide = t.view(-1, 1, 1, 1)
    z = (1 - wide) * x + wide * noise
    network = Unet(8, (8, 8), 1, 16, 1, None, deviation=deviation)
    with torch.no_grad():
        network.last.bias.zero_()
        guess = network(z, t, t, None)
    # The error of the best linear guess of Gaussians is d^2 t^2 / ((1 - t)^2 d^2 + t^2).
    d = deviation.view(1, -1, 1, 1)
    expected = (d * wide).square() / (((1 - wide) * d).square() + wide.square())
    error = (guess - x).square() / expected
    assert torch.allclose(error.mean((1, 2, 3)), torch.ones(64), rtol=0.3)
    assert torch.allclose(error.mean((0, 2, 3)), torch.ones(8), rtol=0.1)
    residual = (x - guess) / expected.sqrt()
    assert torch.allclose(preconditioned(z, residual, t, deviation.view(-1, 1, 1)), x, atol=1e-4)
