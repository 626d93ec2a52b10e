"""Orthogonal steps, and what is stepped otherwise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from imagegen.train import checkpoint
from imagegen.train.muon import SIZE, Muon, orthogonal


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(16, 32, 3), nn.Conv2d(32, 4, 3), nn.Flatten(), nn.Linear(4, 4)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def trained(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        x = torch.randn(8, 16, 5, 5)
        optimizer.zero_grad()
        (network(x) - x[:, :4, 0, 0]).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(16, 16), (24, 300), (300, 24)])
def test_a_matrix_becomes_nearly_orthogonal(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    ours = u.mT @ orthogonal(matrix) @ v.mT
    assert (ours.diagonal() - 1).abs().max() < 0.35
    assert (ours - ours.diagonal().diag()).abs().max() < 1e-3


def test_a_gradient_of_zero_is_no_step() -> None:
    assert orthogonal(torch.zeros(16, 32)).eq(0).all()


def test_all_directions_of_a_matrix_count_alike(network) -> None:
    before = network[0].weight.detach().clone()
    trained(network, Muon(network, 1e-2, (0.9, 0.99)), 1)
    step = (network[0].weight.detach() - before).flatten(1)
    sizes = torch.linalg.svdvals(step) / (1e-2 * SIZE * 144**0.5)
    assert sizes[0] < 1.3
    assert sizes[15] > 0.6  # a small batch has few directions
    gradient = torch.linalg.svdvals(network[0].weight.grad.flatten(1))
    assert gradient[15] < gradient[0] / 4


def test_all_else_is_stepped_as_by_adam(network) -> None:
    """Biases, and matrices with fewer than 16 rows."""
    names = [name for name, _ in network.named_parameters() if name != "0.weight"]
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    torch.manual_seed(1)
    trained(network, Muon(network, 1e-3, (0.9, 0.99)), 1)
    ours = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    network.load_state_dict(before)
    torch.manual_seed(1)
    trained(network, torch.optim.Adam(network.parameters(), 1e-3, (0.9, 0.99), fused=True), 1)
    theirs = dict(network.named_parameters())
    for name in names:
        assert torch.equal(ours[name], theirs[name]), name
    assert not torch.allclose(ours["0.weight"], theirs["0.weight"])


def test_the_loss_falls(network) -> None:
    torch.manual_seed(1)
    x = torch.randn(256, 16, 5, 5)

    def error() -> float:
        return (network(x) - x[:, :4, 0, 0]).square().mean().item()

    before = error()
    trained(network, Muon(network, 1e-2, (0.9, 0.99)), 100)
    assert error() < before * 0.7


def test_a_saved_state_goes_on_bit_for_bit(network, tmp_path) -> None:
    optimizer = Muon(network, 1e-2, (0.9, 0.99))
    trained(network, optimizer, 3)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    state = checkpoint.State(3, 0.0, {}, weights, {}, {"net": optimizer.state_dict()})
    checkpoint.save(tmp_path, state)
    torch.manual_seed(2)
    trained(network, optimizer, 3)
    straight = {name: value.clone() for name, value in network.state_dict().items()}
    loaded = checkpoint.load(tmp_path, 3)
    network.load_state_dict(loaded.family)
    fresh = Muon(network, 1e-2, (0.9, 0.99))
    checkpoint.restore(fresh, loaded.optimizers["net"])
    torch.manual_seed(2)
    trained(network, fresh, 3)
    for name, value in network.state_dict().items():
        assert torch.equal(value, straight[name]), name
