"""The universal codec: one set of weights for pictures of any channels and size."""

from __future__ import annotations

import pytest
import torch

from imagegen.errors import SettingsError
from imagegen.families.autoencoder import BOUND, OVERSHOOT, Autoencoder, _random_crops
from imagegen.family import Batch, Condition, Shape
from imagegen.nn.draws import Draws
from imagegen.sample.noise import Noise


def codec(shape: Shape = (4, 64, 64), **settings: object) -> Autoencoder:
    torch.manual_seed(0)
    given = {"kind": "universal", "channels": 6, "width": 32, "blocks": 1, **settings}
    family = Autoencoder(Autoencoder.Model(**given), shape, Condition())
    for parameter in family.codec.parameters():  # some begin as zeros, which would hide much
        torch.nn.init.normal_(parameter, std=0.05)
    return family


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 96), (4, 24, 8), (4, 128, 128)])
def test_the_same_weights_work_for_any_channels_and_size(shape: Shape) -> None:
    large, other = codec(), codec(shape)
    other.load_state_dict(large.state_dict())
    images = torch.rand(2, *shape) * 2 - 1
    latents = other.encode(images)
    assert latents.shape[1:] == other.latent_shape == (6, shape[1] // 8, shape[2] // 8)
    assert other.again(images).shape == images.shape


def test_opaque_and_grey_pictures_are_those_of_rgba() -> None:
    grey = torch.rand(2, 1, 16, 16) * 2 - 1
    rgb = grey.expand(-1, 3, -1, -1)
    rgba = torch.cat([rgb, torch.ones(2, 1, 16, 16)], dim=1)
    latents = codec((4, 16, 16)).encode(rgba)
    assert torch.equal(codec((3, 16, 16)).encode(rgb), latents)
    assert torch.equal(codec((1, 16, 16)).encode(grey), latents)
    decoded = codec((4, 16, 16)).decode(latents)
    assert torch.equal(codec((3, 16, 16)).decode(latents), decoded[:, :3])
    assert torch.allclose(
        codec((1, 16, 16)).decode(latents), decoded[:, :3].mean(1, keepdim=True), atol=1e-6
    )


def test_other_sides_are_refused_with_the_nearest_that_work() -> None:
    with pytest.raises(SettingsError, match="multiples of 8 pixels, not 28") as caught:
        codec((4, 28, 28))
    assert "24 or 32" in (caught.value.hint or "")


def test_colours_are_premultiplied_and_extremes_exact() -> None:
    family = codec((4, 16, 16))
    with torch.no_grad():
        for parameter in family.codec.parameters():
            parameter.mul_(3)
        decoded = family.decode(torch.randn(4, 6, 2, 2))
    assert (decoded[:, :3] <= decoded[:, 3:]).all()
    assert decoded.min() == -1
    assert decoded.max() == 1
    decoded = family.decode(torch.randn(4, 6, 2, 2))
    decoded.sum().backward()
    assert family.codec.last.bias.grad is not None
    assert family.codec.last.bias.grad.isfinite().all()


def test_of_sides_shorter_than_a_square_all_is_trained_on() -> None:
    images = torch.rand(3, 4, 32, 16)
    crops = _random_crops(images, 24, Draws(0, 3))
    assert crops.shape == (3, 4, 24, 16)
    windows = images.unfold(2, 24, 1).movedim(-1, 3)  # every place that they could come from
    assert all((windows[row] == crops[row][:, None]).all((0, 2, 3)).any() for row in range(3))


@pytest.mark.parametrize("setting", [{"crop": 8}, {"perceptual": 0.1}, {"freeze_encoder": True}])
def test_what_only_a_universal_codec_has_is_refused_elsewhere(setting: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="not for kind kl"):
        Autoencoder(Autoencoder.Model(width=8, **setting), (4, 16, 16), Condition())


def test_latents_are_bounded() -> None:
    family = codec((4, 16, 16))
    with torch.no_grad():
        family.codec.latent.weight.mul_(1e4)
    assert family.encode(torch.rand(2, 4, 16, 16)).abs().max() <= BOUND


def test_it_cannot_generate_and_says_what_can() -> None:
    with pytest.raises(SettingsError, match="can't generate") as caught:
        codec().sample(Noise([1]), None, Autoencoder.Sampling())
    assert "latent-flow" in (caught.value.hint or "")


@pytest.mark.parametrize("shape", [(1, 16, 16), (4, 32, 48)])
def test_both_phases_learn_their_own_parameters(shape: Shape) -> None:
    family = codec(shape, perceptual=0.2, adversarial=0.1, adversarial_from=0.5, crop=16)
    assert family.due(0.4) == ("codec",)
    assert family.due(0.6) == ("discriminator", "codec")
    images = torch.rand(8, *shape) * 2 - 1
    for phase in family.phases:
        family.zero_grad(set_to_none=True)
        family.requires_grad_(False)
        getattr(family, phase).requires_grad_(True)
        loss, logs = family.loss(Batch(images, None, 3, 0.6, 100, Draws(3, 8)), phase)
        loss.backward()
        assert loss.isfinite()
        assert all(not value.requires_grad for value in logs.values())
        for name, parameter in family.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.any())
            assert reached == name.startswith(f"{phase}."), name


def test_the_loss_of_a_batch_is_the_mean_of_its_parts() -> None:
    family = codec((4, 32, 32), crop=16)
    images = torch.rand(8, 4, 32, 32) * 2 - 1
    whole = family.loss(Batch(images, None, 0, 0.1, 100, Draws(0, 8)), "codec")[0]
    parts = [
        family.loss(Batch(images[rows], None, 0, 0.1, 100, Draws(0, 8, rows)), "codec")[0]
        for rows in (slice(0, 4), slice(4, 8))
    ]
    assert torch.allclose(whole, torch.stack(parts).mean(), rtol=1e-4)


def test_it_starts_as_the_best_linear_codec() -> None:
    torch.manual_seed(0)
    basis = torch.randn(6, 4 * 8 * 8) / 16
    cells = torch.randn(40, 2, 2, 6) @ basis + 0.1
    images = torch.nn.functional.pixel_shuffle(cells.movedim(-1, 1), 8)
    family = Autoencoder(
        Autoencoder.Model(kind="universal", channels=6, width=16, blocks=1),
        (4, 16, 16),
        Condition(),
    )
    family.initialize(images)
    with torch.no_grad():
        latents = family.codec.encode(images)
        decoded = OVERSHOOT * family.codec.decode(latents)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(6), atol=1e-3)
    assert torch.allclose(latents.var((0, 2, 3), correction=0), torch.ones(6), rtol=1e-2)
    assert torch.allclose(decoded, images, atol=1e-3)


def test_flat_pictures_make_no_infinite_weights() -> None:
    family = Autoencoder(
        Autoencoder.Model(kind="universal", channels=6, width=16, blocks=1),
        (1, 16, 16),
        Condition(),
    )
    family.initialize(torch.full((4, 1, 16, 16), 0.3))
    assert all(parameter.isfinite().all() for parameter in family.parameters())
    assert torch.allclose(family.again(torch.full((1, 1, 16, 16), 0.3)), torch.tensor(0.3))


def test_a_frozen_encoder_does_not_learn() -> None:
    family = codec((4, 32, 32), freeze_encoder=True)
    batch = Batch(torch.rand(8, 4, 32, 32) * 2 - 1, None, 0, 0.1, 100, Draws(0, 8))
    family.loss(batch, "codec")[0].backward()
    learned = {name.split(".")[1] for name, p in family.named_parameters() if p.grad is not None}
    assert learned == {"unlatent", "up", "widen", "finer", "detail", "last", "linear_decoder"}
