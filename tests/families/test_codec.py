"""The codec: one set of weights for images of any channels and size."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from imagegen.errors import SettingsError
from imagegen.families.codec import Codec, _random_crops
from imagegen.family import Batch, Condition, Shape
from imagegen.nn.draws import Draws
from imagegen.sample.noise import Noise


def cells(count: int = 64, rank: int = 6) -> torch.Tensor:
    """Return RGBA images of 16x16 pixels, with cells in a space of `rank` dimensions."""
    torch.manual_seed(0)
    basis = torch.randn(rank, 4 * 8 * 8) / 16
    return F.pixel_shuffle((torch.randn(count, 2, 2, rank) @ basis + 0.1).movedim(-1, 1), 8)


def codec(shape: Shape = (4, 64, 64), *, trained: bool = True, **settings: object) -> Codec:
    torch.manual_seed(0)
    family = Codec(
        Codec.Model(**{"channels": 6, "width": 32, "blocks": 1, **settings}), shape, Condition()
    )
    family.initialize(cells())
    if trained:
        for parameter in family.codec.parameters():  # some begin as zeros, which would hide much
            torch.nn.init.normal_(parameter, std=0.05)
    return family


def test_it_starts_as_the_best_linear_codec() -> None:
    family, images = codec((4, 16, 16), trained=False), cells()
    latents = family.encode(images)
    decoded = family.codec.decode(latents)
    assert torch.allclose(decoded, images, atol=1e-3)
    assert torch.allclose(latents.mean((0, 2, 3)), torch.zeros(6), atol=1e-3)
    deviation = latents.std((0, 2, 3), correction=0)
    assert torch.allclose(deviation, family.latent_deviation, rtol=1e-2)
    assert (family.latent_deviation.diff() <= 0).all()  # the strongest come first
    assert family.latent_deviation.square().mean() == pytest.approx(1, rel=1e-3)
    distances = [torch.cdist(x.flatten(1)[:8], x.flatten(1)[:8]) for x in (latents, images)]
    ratios = (distances[0] / distances[1])[~torch.eye(8, dtype=torch.bool)]
    assert torch.allclose(ratios, ratios[0].expand(56), rtol=1e-2)


def test_flat_images_make_no_infinite_weights() -> None:
    family = codec((1, 16, 16), trained=False)
    flat = torch.full((4, 1, 16, 16), 0.3)
    family.initialize(flat)
    assert all(value.isfinite().all() for value in family.state_dict().values())
    assert torch.allclose(family.again(flat), flat, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 64, 96), (4, 24, 8), (4, 128, 128)])
def test_the_same_weights_work_for_any_channels_and_size(shape: Shape) -> None:
    large, other = codec(), codec(shape)
    other.load_state_dict(large.state_dict())
    images = torch.rand(2, *shape) * 2 - 1
    latents = other.encode(images)
    assert latents.shape[1:] == other.latent_shape == (6, shape[1] // 8, shape[2] // 8)
    assert other.again(images).shape == images.shape


def test_opaque_and_grey_images_are_those_of_rgba() -> None:
    grey = torch.rand(2, 1, 16, 16) * 2 - 1
    rgb = grey.expand(-1, 3, -1, -1)
    rgba = torch.cat([rgb, torch.ones(2, 1, 16, 16)], dim=1)
    latents = codec((4, 16, 16)).encode(rgba)
    assert torch.equal(codec((3, 16, 16)).encode(rgb), latents)
    assert torch.equal(codec((1, 16, 16)).encode(grey), latents)
    decoded = codec((4, 16, 16)).decode(latents)
    assert torch.equal(codec((3, 16, 16)).decode(latents), decoded[:, :3])
    again = codec((1, 16, 16)).decode(latents)
    assert torch.allclose(again, decoded[:, :3].mean(1, keepdim=True), atol=1e-6)


def test_other_sides_are_refused_with_the_nearest_that_work() -> None:
    with pytest.raises(SettingsError, match="multiples of 8 pixels, not 28") as caught:
        codec((4, 28, 28))
    assert "24 or 32" in (caught.value.hint or "")


def test_colors_are_premultiplied_and_extremes_exact() -> None:
    family = codec((4, 16, 16))
    decoded = family.decode(3 * torch.randn(4, 6, 2, 2))
    assert (decoded[:, :3] <= decoded[:, 3:]).all()
    assert decoded.min() == -1
    assert decoded.max() == 1
    assert not ((decoded.abs() > 0.98) & (decoded.abs() < 1)).any()


def test_of_sides_shorter_than_a_crop_all_is_trained_on() -> None:
    images = torch.rand(3, 4, 32, 16)
    crops = _random_crops(images, 24, Draws(0, 3))
    assert crops.shape == (3, 4, 24, 16)
    windows = images.unfold(2, 24, 1).movedim(-1, 3)  # every place that they could come from
    assert all((windows[row] == crops[row][:, None]).all((0, 2, 3)).any() for row in range(3))


def test_it_cannot_generate_and_says_what_can() -> None:
    with pytest.raises(SettingsError, match="can't generate") as caught:
        codec().sample(Noise([1]), None, Codec.Sampling())
    assert "latent-flow" in (caught.value.hint or "")


@pytest.mark.parametrize("shape", [(1, 16, 16), (4, 32, 48)])
def test_only_the_decoder_learns(shape: Shape) -> None:
    family = codec(shape, perceptual=0.2, crop=16)
    before = family.encode(torch.ones(1, *shape))
    images = torch.rand(8, *shape) * 2 - 1
    loss, logs = family.loss(Batch(images, None, 3, 0.6, 100, Draws(3, 8)), "codec")
    loss.backward()
    assert loss.isfinite()
    assert all(not value.requires_grad for value in logs.values())
    for name, parameter in family.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
    with torch.no_grad():
        for parameter in family.parameters():
            parameter -= 0.1 * parameter.grad
    assert torch.equal(family.encode(torch.ones(1, *shape)), before)


def test_clamped_values_have_gradients() -> None:
    family = codec((4, 16, 16))
    with torch.no_grad():
        family.codec.decoder.last.bias.fill_(-9)
    loss, _ = family.loss(Batch(torch.rand(8, 4, 16, 16), None, 0, 0, 9, Draws(0, 8)), "codec")
    loss.backward()
    gradient = family.codec.decoder.last.bias.grad
    assert gradient is not None
    assert gradient.any()


def test_the_loss_of_a_batch_is_the_mean_of_its_parts() -> None:
    family = codec((4, 32, 32), crop=16)
    images = torch.rand(8, 4, 32, 32) * 2 - 1
    whole = family.loss(Batch(images, None, 0, 0.1, 100, Draws(0, 8)), "codec")[0]
    parts = [
        family.loss(Batch(images[rows], None, 0, 0.1, 100, Draws(0, 8, rows)), "codec")[0]
        for rows in (slice(0, 4), slice(4, 8))
    ]
    assert torch.allclose(whole, torch.stack(parts).mean(), rtol=1e-4)
