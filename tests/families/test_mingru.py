"""The scan in both forms, and layers that go on from a state as if there had been no break."""

from __future__ import annotations

import pytest
import torch

from imagegen.nn.mingru import Layer, MinGRU, scan_by_doubling, scan_by_loop


def numbers(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(*shape).requires_grad_(), torch.randn(*shape).requires_grad_()


def test_the_scan_is_the_recurrence() -> None:
    a, b = numbers(5, 1)
    h, expected = 0.0, []
    for x, y in zip(a[:, 0].tolist(), b[:, 0].tolist(), strict=True):
        h = x * h + y
        expected.append(h)
    assert scan_by_loop(a, b)[:, 0].tolist() == pytest.approx(expected)


def test_the_loop_has_the_right_gradient() -> None:
    a, b = (x.detach().double().requires_grad_() for x in numbers(6, 2, 3))
    assert torch.autograd.gradcheck(scan_by_loop, (a, b))


@pytest.mark.parametrize("steps", [2, 7, 64, 196])
def test_both_forms_agree(steps: int) -> None:
    a, b = numbers(steps, 3, 8)
    weights = torch.randn(steps, 3, 8)
    results = []
    for scan in (scan_by_loop, scan_by_doubling):
        h = scan(a, b)
        results.append((h, *torch.autograd.grad((h * weights).sum(), (a, b))))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_layer_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    layer = Layer(16, 4, 3)
    x = torch.randn(2, 9, 5, 16)
    whole, _ = layer(x)
    state, parts = None, []
    for part in x.split([1, 1, 4, 1, 2], dim=1):
        y, state = layer(part, None, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)
    assert state is not None
    assert [tuple(one.shape) for one in state] == [(2, 5, 16), (2, 3, 5, 16)]


def test_a_layer_sees_nothing_ahead() -> None:
    torch.manual_seed(0)
    layer = Layer(16, 4, 3)
    x = torch.randn(2, 9, 5, 16)
    before, _ = layer(x)
    x[:, 6:] += 1
    after, _ = layer(x)
    assert torch.equal(after[:, :6], before[:, :6])
    assert not torch.allclose(after[:, 6:], before[:, 6:])


def test_features_remember_for_different_times() -> None:
    gru = MinGRU(32)
    half_lives = torch.log(torch.tensor(0.5)) / torch.log(1 - torch.sigmoid(gru.both.bias[:32]))
    assert half_lives.min().item() == pytest.approx(1, rel=0.05)
    assert half_lives.max().item() == pytest.approx(32, rel=0.05)
