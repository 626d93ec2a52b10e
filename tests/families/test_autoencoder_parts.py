"""The autoencoder's parts, against known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imagegen.errors import SettingsError
from imagegen.families import autoencoder
from imagegen.families.autoencoder import Autoencoder
from imagegen.family import Batch, Condition
from imagegen.nn.blocks import around
from imagegen.nn.draws import Draws
from imagegen.nn.losses import reconstruction_loss, ssim


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def model(shape=(3, 16, 16), **changes) -> Autoencoder:
    return Autoencoder(
        Autoencoder.Model(width=8, blocks=1, prior_width=8, **changes), shape, Condition()
    ).eval()


@pytest.mark.parametrize(("side", "factor"), [(16, 4), (28, 4), (48, 4), (64, 8), (128, 16)])
@pytest.mark.parametrize("kind", ["kl", "fsq"])
def test_the_latent_grid_has_about_eight_cells_a_side(kind: str, side: int, factor: int) -> None:
    family = model((3, side, side), kind=kind)
    latents = family.encode(torch.rand(2, 3, side, side))
    assert latents.shape == (2, *family.latent_shape)
    assert family.latent_shape[1:] == (side // factor, side // factor)
    assert family.decode(latents).shape == (2, 3, side, side)


def test_kind_half_is_the_picture_at_half_the_size() -> None:
    family = model((3, 16, 24), kind="half")
    images = torch.rand(2, 3, 16, 24)
    small = family.encode(images)
    assert small.shape == (2, *family.latent_shape) == (2, 3, 8, 12)
    assert torch.allclose(small[..., 0, 0], images[..., :2, :2].mean((2, 3)))
    # Before training, it enlarges bilinearly.
    plain = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear")
    assert torch.allclose(family.decode(small), plain, atol=1e-6)
    assert family.decode(torch.rand(1, 3, 5, 9)).shape == (1, 3, 10, 18)


def test_it_takes_pictures_of_other_sizes() -> None:
    family = model()
    images = torch.rand(1, 3, 40, 24)
    assert family.decode(family.encode(images)).shape == images.shape


def test_tokens_and_latents_are_two_names_for_the_same() -> None:
    family = model(kind="fsq", levels=(4, 3, 5))
    assert family.codes == 60
    tokens = torch.arange(60).view(1, 6, 10)
    latents = family.latents(tokens)
    assert latents.shape == (1, 3, 6, 10)
    assert latents.unique().tolist() == pytest.approx([-1, -0.5, -1 / 3, 0, 1 / 3, 0.5, 1])
    assert torch.equal(family.tokens(latents), tokens)


def test_latents_of_kind_fsq_are_on_their_levels() -> None:
    family = model(kind="fsq", levels=(4, 3))
    latents = family.encode(torch.randn(4, 3, 16, 16) * 3)
    assert torch.allclose(family.latents(family.tokens(latents)), latents, atol=1e-6)
    assert latents.abs().max() <= 1


def test_rounding_passes_gradients_on() -> None:
    family = model(kind="fsq", levels=(4, 3))
    images = torch.randn(2, 3, 16, 16, requires_grad=True)
    family.encode(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_gaussian_latents_are_drawn_in_training_only() -> None:
    family = model(kind="kl")
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(family.encode(images), family.encode(images))
    batch = Batch(images, None, 0, 0.0, 2, Draws(1, 2))
    noisy, divergence = family._encode(images, batch)
    assert not torch.equal(noisy, family.encode(images))
    assert divergence > 0


def test_the_divergence_of_the_standard_normal_is_zero() -> None:
    family = model(kind="kl")
    for name, parameter in family.codec.named_parameters():
        if name.startswith(("latent.", "linear_encoder.")):
            torch.nn.init.zeros_(parameter)
    assert family._encode(torch.rand(1, 3, 16, 16), None)[1].item() == 0


def test_at_first_only_the_straight_way_leads_there_and_back() -> None:
    family = model(kind="kl")
    x, y = torch.rand(2, 1, 3, 16, 16)
    # Of a linear map with a constant, what two pictures add up to is what their sum gives.
    once = family.again(x) + family.again(y)
    assert torch.allclose(once, family.again(x + y) + family.again(0 * x), atol=1e-5)
    assert (family.again(x) - family.again(y)).abs().max() > 1e-3
    # Each cell of 4x4 pixels by itself.
    y[..., 4:] = x[..., 4:]
    assert torch.equal(family.again(x)[..., 4:], family.again(y)[..., 4:])


def test_structural_similarity() -> None:
    from skimage.metrics import structural_similarity

    x = np.random.default_rng(0).random((16, 16))
    y = (x + np.random.default_rng(1).random((16, 16))) / 2
    known = structural_similarity(
        x, y, data_range=1, win_size=7, use_sample_covariance=False, full=True
    )[1][3:-3, 3:-3].mean()
    ours = ssim(*(torch.tensor(one * 2 - 1)[None, None] for one in (x, y)))
    assert ours.item() == pytest.approx(known, abs=1e-6)


def test_like_pictures_are_not_unlike() -> None:
    x = torch.rand(2, 3, 16, 16)
    assert reconstruction_loss(x, x).item() == pytest.approx(0, abs=1e-6)
    assert reconstruction_loss(x, 1 - x) > reconstruction_loss(x, x + 0.01) > 0


def test_a_size_it_cannot_make_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"data\.size") as error:
        model((3, 30, 30))
    assert "28 or 32" in (error.value.hint or "")


def test_its_latents_leave_as_an_array() -> None:
    family = model()
    images = np.random.default_rng(0).integers(0, 256, (70, 3, 16, 16), np.uint8)
    latents = family.describe(images)
    assert latents.shape == (70, *family.latent_shape)
    alone = family.describe(images[69:])
    assert np.allclose(alone[0], latents[69], atol=1e-4)


@pytest.mark.parametrize("side", [48, 50, 54])
def test_an_upscaler_with_a_discriminator_takes_all_even_sizes(side: int) -> None:
    family = model(kind="half", adversarial=0.1, shape=(1, side, side))
    images = torch.rand(4, 1, side, side)
    loss, _ = family.loss(Batch(images, None, 1, 0.9, 4, Draws(1, 4)), "discriminator")
    assert loss.isfinite()


def test_a_discriminator_comes_in_late_and_trains_its_own_side() -> None:
    family = model(adversarial=0.1).train()
    assert family.due(0.5) == ("codec", "prior")
    assert family.due(0.9) == ("discriminator", "codec", "prior")
    images = torch.rand(4, 3, 16, 16)
    for phase, sees in {"discriminator": "penalty", "codec": "behind"}.items():
        family.zero_grad(set_to_none=True)
        family.requires_grad_(False)
        getattr(family, phase).requires_grad_(True)
        loss, logs = family.loss(Batch(images, None, 0, 0.9, 4, Draws(1, 4)), phase)
        assert sees in logs
        loss.backward()
        for name, parameter in family.named_parameters():
            assert (parameter.grad is not None) == name.startswith(phase), name
    early = family.loss(Batch(images, None, 0, 0.5, 4, Draws(1, 4)), "codec")[1]
    assert "behind" not in early
    assert not any(name.startswith("discriminator") for name in family.drawn())


def test_a_decoder_that_tiles_goes_round() -> None:
    family = model((3, 32, 32), tile=True)
    for parameter in family.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    latents = torch.randn(1, *family.latent_shape)
    with torch.no_grad():
        with around(family.codec):
            plain, rolled = family.decode(latents), family.decode(latents.roll(2, 3))
        flat = family.decode(latents)
    assert torch.allclose(plain.roll(8, 3), rolled, atol=1e-5)
    assert not torch.allclose(plain, flat, atol=1e-3)


def test_its_own_flow_learns_in_the_share_of_the_training_that_is_set() -> None:
    def due(share: float, progress: float) -> tuple[str, ...]:
        model = Autoencoder.Model(width=8, blocks=1, prior_width=8, prior_share=share)
        return Autoencoder(model, (1, 16, 16), Condition()).due(progress)

    assert due(1, 0) == ("codec", "prior")
    assert due(0.25, 0.7) == ("codec",)
    assert due(0.25, 0.8) == ("codec", "prior")


def test_more_tokens_than_can_be_learnt_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"model.levels: 64x64x64 levels"):
        model(kind="fsq", levels=(64, 64, 64))


@pytest.mark.parametrize(("kind", "counts"), [("kl", True), ("fsq", False), ("half", False)])
def test_the_colour_of_the_whole_counts_where_numbers_may_be_given_up(
    kind: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = []
    for weight in (autoencoder.WHOLE, 0.0):
        monkeypatch.setattr(autoencoder, "WHOLE", weight)
        torch.manual_seed(0)
        family = Autoencoder(Autoencoder.Model(kind=kind, width=8), (3, 16, 16), Condition())
        images = Draws(1, 4).uniform(-1, 1, 3, 16, 16)
        batch = Batch(images, None, 0, 0.1, 100, Draws(2, 4))
        lost.append(family.loss(batch, "codec")[0].item())
    assert (lost[0] > lost[1] + 1e-3) == counts
