"""Conditioning on image embeddings: what is kept, mixed and withheld."""

from __future__ import annotations

import pytest
import torch

from imagegen.errors import SettingsError
from imagegen.families.codec import Codec
from imagegen.families.flow import Flow
from imagegen.family import Batch, Condition
from imagegen.nn import embedding
from imagegen.nn.draws import Draws
from imagegen.nn.embedding import ImageConditioner
from imagegen.sample.noise import Noise


def conditioner(labels: int = 0, count: int = 40) -> tuple[ImageConditioner, torch.Tensor]:
    """Return a conditioner that has seen `count` images of labels in turn, and their embeddings."""
    torch.manual_seed(0)
    images = ImageConditioner(12, labels, 16)
    values = torch.randn(count, 12)
    shares = torch.eye(labels)[torch.arange(count) % labels] if labels else None
    images.remember(values, shares)
    return images, values


def flow(labels: tuple[str, ...] = (), **model: object) -> Flow:
    torch.manual_seed(0)
    codec = Codec(Codec.Model(channels=4, width=16, blocks=1), (3, 32, 32), Condition())
    family = Flow(
        Flow.Model(width=16, embedding="latents", **model), (3, 32, 32), Condition(labels), codec
    )
    for parameter in family.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return family


def batch(family: Flow, step: int = 0) -> Batch:
    draws = Draws(step, 8)
    with torch.no_grad():
        images = family.prepare(draws.uniform(-1, 1, *family.shape))
    return Batch(images, family.condition.nothing(8, family.device), step, 0.5, 100, draws)


def test_an_embedding_is_the_means_of_the_quarters() -> None:
    latents = torch.randn(2, 3, 4, 6)
    expected = latents[:, :, :2, :3].mean((2, 3)) * embedding.SCALE
    assert torch.allclose(embedding.pooled(latents).view(2, 3, 4)[:, :, 0], expected, atol=1e-6)


@pytest.mark.parametrize(("grid", "size"), [((2, 3), 12), ((2, 3), 7), ((8, 8), 64)])
def test_embeddings_travel_behind_the_latents(grid: tuple[int, int], size: int) -> None:
    latents, values = torch.randn(2, 3, *grid), torch.randn(2, size)
    joined = embedding.attached(latents, values)
    assert joined.shape[2:] == grid
    back, again = embedding.detached(joined, 3, size)
    assert torch.equal(back, latents)
    assert torch.equal(again, values)


def test_noise_keeps_the_variance() -> None:
    torch.manual_seed(0)
    values = torch.randn(4000, 8)
    noisy = embedding.with_noise(values, torch.full((4000,), 0.6), torch.randn(4000, 8))
    assert noisy.std().item() == pytest.approx(1, abs=0.02)
    assert (noisy * values).mean().item() == pytest.approx(0.8, abs=0.02)


def test_the_oldest_embeddings_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BANK", 10)
    images, values = conditioner(count=8)
    images.remember(values[:4], None)
    assert torch.equal(images.bank[8:], values[:2])
    assert torch.equal(images.bank[:2], values[2:4])


def test_without_noise_a_sample_is_a_mixture_of_those_kept() -> None:
    images, known = conditioner()
    values = images.sample(Noise(range(50)), None, 0.0).values
    assert (values.amax(0) <= known.amax(0) + 1e-5).all()
    assert (values.amin(0) >= known.amin(0) - 1e-5).all()
    assert torch.cdist(values, known).min() > 0.01, "none is the embedding of one image"


def test_a_sample_depends_on_its_own_seed_alone() -> None:
    images, _ = conditioner()
    several = images.sample(Noise([3, 4, 5]), None, 0.35).values
    assert torch.equal(images.sample(Noise([4]), None, 0.35).values[0], several[1])


def test_samples_of_a_label_are_mixtures_of_that_label() -> None:
    images, every = conditioner(labels=2)
    known = every[1::2]
    asked = torch.tensor([[0.0, 1.0]]).expand(20, -1)
    values = images.sample(Noise(range(20)), asked, 0.0).values
    # In the span of those of the label, with weights that sum up to 1.
    span = torch.cat([known.T, torch.ones(1, len(known))])
    found = torch.linalg.lstsq(span, torch.cat([values.T, torch.ones(1, 20)])).solution
    others = images.sample(Noise(range(20)), None, 0.0).values
    assert (values - others).abs().max() > 0.1
    assert torch.allclose(found.sum(0), torch.ones(20), atol=1e-3)


def test_some_embeddings_are_withheld_in_training() -> None:
    images, _ = conditioner()
    known = images.of_training(torch.randn(4000, 12), Draws(0, 4000))
    assert known.present.float().mean().item() == pytest.approx(1 - embedding.DROPOUT, abs=0.02)
    assert known.noise.max() < embedding.NOISIEST
    assert torch.equal(images(known.null()), images.missing.expand(4000, -1))


@pytest.mark.parametrize("labels", [(), ("ant", "bee")])
def test_a_flow_learns_from_embeddings_and_samples_with_them(labels: tuple[str, ...]) -> None:
    family = flow(labels)
    loss, _ = family.loss(batch(family), "network")
    loss.backward()
    images = family.network.image_conditioner
    assert images is not None
    assert int(images.seen) == 8
    assert all(p.grad is not None and p.grad.any() for p in images.network.parameters())
    options = [Flow.Sampling(steps=2, guidance=g) for g in (0, 1, 2)]
    told = family.condition.nothing(2, family.device)
    with torch.no_grad():
        drawn = [family.eval().sample(Noise([1, 2]), told, one) for one in options]
    assert all(one.shape == (2, 3, 32, 32) for one in drawn)
    assert (drawn[0] - drawn[1]).abs().max() > 1e-4, "it guides without labels"


def test_pixels_have_no_embedding() -> None:
    with pytest.raises(SettingsError, match="only a flow over latents"):
        Flow(Flow.Model(width=16, embedding="latents"), (3, 32, 32), Condition())
