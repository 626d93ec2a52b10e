"""The GAN's parts, against known answers."""

import pytest
import torch
from torch import Tensor

from imagegen.errors import SettingsError
from imagegen.families.gan import Gan
from imagegen.family import Batch, Condition
from imagegen.nn.augment import CHANGES, augment, roll
from imagegen.nn.blocks import Residual, enlarge, halve, leaky, pyramid, width_at
from imagegen.nn.conditioner import Told
from imagegen.nn.discriminator import (
    _deviation,
    discriminator_loss,
    generator_loss,
    group_of,
)
from imagegen.nn.draws import Draws
from imagegen.sample.noise import Noise
from tests.telling import only, told

SMALL = Gan.Model(z=8, width=16)
TOLD = torch.tensor([True, True, True, False])


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def gan(shape=(3, 16, 16), labels=(), **changes) -> Gan:
    return Gan(SMALL.model_copy(update=changes), shape, Condition(labels))


def batch(images: Tensor, known: Told | None = None, **changes) -> Batch:
    others = {"step": 0, "progress": 0.0, "dataset_size": 100}
    return Batch(images, known, **{**others, "draws": Draws(1, len(images)), **changes})


def pictures(count=4, channels=3, side=16) -> Tensor:
    x = torch.rand(count, channels, side, side)
    if channels == 4:
        x[:, :3] *= x[:, 3:]
    return x * 2 - 1


@pytest.mark.parametrize("side", [28, 32, 48, 52, 64, 128])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_makes_the_shape_asked_for(channels, side):
    model = gan((channels, side, side))
    drawn = model.sample(Noise([1, 2]), None, Gan.Sampling())
    assert drawn.shape == (2, channels, side, side)
    assert model.discriminator(drawn, None, 2).shape == (2,)


def test_makes_oblong_pictures():
    model = gan((3, 32, 48))
    assert model.sample(Noise([1]), None, Gan.Sampling()).shape == (1, 3, 32, 48)


@pytest.mark.parametrize(
    ("side", "hint"), [(31, "28 or 32"), (66, "64 or 68"), (8, "16"), (300, "256")]
)
def test_a_size_it_cannot_make_is_an_error(side, hint):
    with pytest.raises(SettingsError, match=r"data\.size") as error:
        gan((3, side, side))
    assert hint in error.value.hint


def test_grids_halve_to_seven_cells_or_fewer():
    assert pyramid((28, 28)) == [(28, 28), (14, 14), (7, 7)]
    assert pyramid((13, 32)) == [(13, 32), (7, 16), (4, 8), (2, 4)]


def test_no_grid_costs_more_than_that_of_eight_cells():
    assert [width_at(96, grid) for grid in pyramid((64, 64))] == [16, 24, 48, 96, 96]


def test_blocks_start_as_the_identity():
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(Residual(8, style=3)(x, torch.randn(2, 3)), x)


def test_pictures_start_without_a_checkerboard():
    """A constant stays constant on the way up, so no pixel is treated unlike its neighbours."""
    assert torch.equal(enlarge(torch.ones(1, 1, 5, 7), (10, 13)), torch.ones(1, 1, 10, 13))
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    slopes = enlarge(ramp, (16, 16))[..., 1:-1].diff()  # linear inside, so no 2-pixel steps
    torch.testing.assert_close(slopes, torch.full_like(slopes, 0.5))
    assert halve(torch.ones(1, 1, 5, 5)).equal(torch.ones(1, 1, 3, 3))


def test_the_generator_draws_no_frame():
    """What is the same in every cell stays so up to the edge, which zero padding would darken."""
    block = Residual(8, edge="replicate")
    torch.nn.init.normal_(block.last.weight)
    y = block(torch.randn(1, 8, 1, 1).expand(1, 8, 6, 6))
    torch.testing.assert_close(y, y[..., :1, :1].expand_as(y))
    generator = gan((3, 32, 32)).generator
    edges = {block.last.padding_mode for block in generator.blocks}
    assert edges | {generator.last.padding_mode} == {"replicate"}


def test_deviation_is_zero_only_for_equal_pictures():
    x = torch.randn(8, 50)
    x[:4] = x[0]
    x[4:] = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    deviation = _deviation(x, 4).squeeze(1)
    torch.testing.assert_close(deviation[:4], torch.full((4,), 1e-4))
    torch.testing.assert_close(deviation[4:], torch.ones(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8])
def test_any_number_of_pictures_is_a_batch(count):
    for phase in Gan.phases:
        loss, _ = gan().loss(batch(pictures(count)), phase)
        assert loss.isfinite()


def test_leaky_has_no_second_derivative_and_the_right_first():
    x = torch.randn(5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(leaky, x)
    assert torch.autograd.gradgradcheck(leaky, x)


def test_penalty_of_a_linear_discriminator_is_the_square_of_its_slope(monkeypatch):
    model = gan(augment=(), gamma=2.0, penalty_every=1)
    slope = torch.randn(3, 16, 16)
    monkeypatch.setattr(model.discriminator, "forward", lambda x, *_: (x * slope).sum((1, 2, 3)))
    _, logs = model.loss(batch(pictures()), "discriminator")
    torch.testing.assert_close(logs["penalty"], 2 * slope.square().sum())


def test_penalty_is_lazy():
    model = gan(penalty_every=4)
    logged = [model.loss(batch(pictures(), step=s), "discriminator")[1] for s in range(5)]
    assert ["penalty" in logs for logs in logged] == [True, False, False, False, True]


@pytest.mark.parametrize("labels", [(), ("a", "b")])
@pytest.mark.parametrize("phase", Gan.phases)
def test_a_phase_trains_all_of_its_parameters_and_no_other(phase, labels):
    model = gan(labels=labels)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1)
        parameter.requires_grad_(name.startswith(phase))
    model.loss(batch(pictures(), only(told([0, 1, 0, 1], 2), TOLD)), phase)[0].backward()
    for name, parameter in model.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.any())
        assert reached == name.startswith(phase), name


@pytest.mark.parametrize("phase", Gan.phases)
def test_the_same_batch_gives_the_same_bits(phase):
    model = gan()
    images = pictures()
    grads = []
    for _ in range(2):
        model.zero_grad()
        model.loss(batch(images), phase)[0].backward()
        grads.append([p.grad.clone() for p in getattr(model, phase).parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_picture_does_not_depend_on_its_batch():
    model = gan(labels=("a", "b"))
    many = model.sample(Noise([3, 4, 5]), told([0, 1, 0], 2), Gan.Sampling())
    one = model.sample(Noise([4]), told([1], 2), Gan.Sampling())
    torch.testing.assert_close(many[1:2], one)


def test_a_label_changes_the_picture():
    model = gan(labels=("a", "b"))
    a, b = (model.sample(Noise([1]), told([i], 2), Gan.Sampling()) for i in (0, 1))
    assert not torch.allclose(a, b)


def test_truncation_reduces_variety():
    model = gan()
    wide, narrow = (
        model.sample(Noise(range(8)), None, Gan.Sampling(truncation=t)).std(0).mean()
        for t in (1.0, 0.01)
    )
    assert narrow < 0.05 * wide


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_augmenting_keeps_shapes_and_pictures_differ(channels):
    x = pictures(1, channels).expand(2, -1, -1, -1)
    a, b = augment(x, CHANGES, Draws(0, len(x)))
    assert a.shape == x.shape[1:]
    assert not torch.allclose(a, b)


def test_color_keeps_alpha_and_adds_nothing_where_it_is_clear():
    x = pictures(4, 4)
    x[..., :8] = -1
    y = augment(x, ("color",), Draws(0, len(x)))
    assert torch.equal(y[:, 3], x[:, 3])
    torch.testing.assert_close(y[..., :8], x[..., :8])


def test_color_acts_alike_on_premultiplied_and_opaque_colors():
    """Half as much alpha everywhere means half of every premultiplied color, after as before."""
    opaque = torch.cat([torch.rand(4, 3, 16, 16), torch.ones(4, 1, 16, 16)], 1)
    full, half, rgb = (
        (augment(x * 2 - 1, ("color",), Draws(0, len(x))) + 1) / 2
        for x in (opaque, opaque / 2, opaque[:, :3])
    )
    torch.testing.assert_close(half, full / 2)
    torch.testing.assert_close(rgb, full[:, :3])


def test_translation_moves_a_pixel_by_an_eighth_at_most():
    x = torch.full((64, 4, 16, 16), -1.0)
    x[:, :, 8, 8] = 1
    moved = augment(x, ("translation",), Draws(0, len(x)))
    places = (moved[:, 0] == 1).nonzero()[:, 1:] - 8
    assert len(places) == 64
    assert set(places.flatten().tolist()) == {-2, -1, 0, 1, 2}


def test_cutout_blanks_a_square_of_half_a_side_at_most():
    x = torch.ones(64, 4, 16, 16)
    blank = (augment(x, ("cutout",), Draws(0, len(x))) == -1).all(1)
    assert blank.sum((1, 2)).max() == 64
    assert blank.any(2).sum(1).max() == blank.any(1).sum(1).max() == 8


def test_small_sets_are_augmented_more():
    assert [gan().strength([], n) for n in (100, 10_000, 100_000)] == [1, 0.5, 0]


def test_augmentation_follows_the_gap():
    def after(*gaps, count=10_000):
        return gan().strength([{"gap": gap} for gap in gaps], count)

    assert after(0.9) == 0.75
    assert after(0.1) == 0.25
    assert after(0.9, 0.9, 0.9, 0.1) == 0.75  # what was asked beyond all is forgotten
    assert after(*[0.1] * 5, 0.9) == 0.25
    assert gan().strength([{}], 100_000) == 0  # nothing held out: nothing to go by


@pytest.mark.parametrize("change", CHANGES)
def test_strength_is_the_share_of_changed_pictures(change):
    x = pictures(1).expand(400, -1, -1, -1)

    def share(strength):
        changed = augment(x, (change,), Draws(0, 400), strength) != x
        return changed.flatten(1).any(1).float().mean().item()

    assert share(0.0) == 0
    whole = 0.5 if change == "color" else 1.0
    assert share(1.0) == pytest.approx(whole, abs=0.07)  # some shifts are by nothing
    assert share(0.5) == pytest.approx(whole / 2, abs=0.07)


def test_a_collapse_is_answered_by_more_augmentation():
    model, x = gan(), pictures(64)
    gentle, firm = (
        model._augment(x, batch(x, strength=0.0, caution=caution)) for caution in (0, 3)
    )
    assert gentle.equal(x)
    assert not firm.equal(x)


def test_the_contest_has_two_sides_of_known_sizes():
    """A lead of 1 costs softplus(-1); the other side's loss is that of the opposite lead."""

    def mean(x: Tensor, known: Told | None, group: int) -> Tensor:
        return x.mean((1, 2, 3))

    reals, fakes = torch.ones(4, 1, 4, 4), torch.zeros(4, 1, 4, 4)
    lead, behind = torch.nn.functional.softplus(torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(discriminator_loss(mean, reals, fakes)[0], lead)
    torch.testing.assert_close(generator_loss(mean, reals, fakes)[0], behind)
    penalized, logs = discriminator_loss(mean, reals, fakes, gamma=3.0)
    torch.testing.assert_close(logs["penalty"], torch.tensor(2 / 16))  # a slope of 1/16 a pixel
    torch.testing.assert_close(penalized - lead, 3.0 / 2 * logs["penalty"])


@pytest.mark.parametrize(("count", "group"), [(1, 1), (3, 1), (6, 2), (8, 4)])
def test_groups_divide_the_batch(count, group):
    assert group_of(count) == group


def seam(model: Gan) -> float:
    """Return how large steps are from the last column to the first, for 1 inside."""
    x = model.sample(Noise(range(64)), None, Gan.Sampling())
    rows, columns = ((x.roll(-1, d) - x).abs() for d in (2, 3))
    across = torch.cat([rows[:, :, -1], columns[..., -1]], -1).mean()
    inside = torch.cat([rows[:, :, :-1].flatten(), columns[..., :-1].flatten()]).mean()
    return (across / inside).item()


@pytest.mark.parametrize("side", [28, 32, 52])
def test_pictures_that_tile_have_no_seam(side):
    seams = []
    for tile in (True, False):
        model = gan((3, side, side), tile=tile)
        for parameter in model.generator.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        seams.append(seam(model))
    assert seams[0] < 1.15
    assert seams[1] > 1.5


@pytest.mark.parametrize(("before", "after"), [(4, 8), (7, 13), (5, 9)])
def test_enlarging_around_knows_no_edge(before, after):
    """Of a picture laid out three times, it is the one in the middle."""
    x = torch.randn(2, 3, before, before)
    whole = enlarge(x.repeat(1, 1, 3, 3), (3 * after, 3 * after))
    middle = whole[:, :, after : 2 * after, after : 2 * after]
    torch.testing.assert_close(enlarge(x, (after, after), "circular"), middle)


def test_rolling_moves_each_picture_by_a_number_of_its_own():
    x = pictures(1).expand(32, -1, -1, -1)
    rolled = roll(x, Draws(0, 32))
    ways = {
        (down, right): x[0].roll((down, right), (1, 2)) for down in range(16) for right in range(16)
    }
    found = [next(way for way, moved in ways.items() if moved.equal(y)) for y in rolled]
    assert len(set(found)) > 20


def test_the_discriminator_sees_a_seam_anywhere(monkeypatch):
    """A generator whose pictures have a bright first column shows it in other places."""
    model = gan(tile=True, augment=())
    marked = torch.zeros(32, 3, 16, 16)
    marked[..., 0] = 1
    monkeypatch.setattr(model.generator, "forward", lambda z, known: marked)
    seen = model._made(batch(pictures(32)), None)
    assert len(set(seen[:, 0, 0].argmax(1).tolist())) > 8
