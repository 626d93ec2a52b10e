"""Muon: steps in which all directions of a matrix count alike; Adam for everything else.

Gradients of a small batch have a few large directions and many small ones. Adam follows the large
ones; here a step is the orthogonal matrix nearest to the gradients' moving sum, so that what is
rarely seen is learnt as well (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

SMALLEST = 16
"""Rows and columns of a matrix, at least: smaller ones have few directions."""
MOMENTUM = 0.95
SIZE = 0.2
"""Root mean square of a step's elements, in units of the rate: that of Adam's (Liu et al. 2025,
arXiv 2502.16982, section 2.2), so that both can have one rate."""
TURNS = 5
SLOPE, CUBIC, QUINTIC = 3.4445, -4.7750, 2.0315
"""A polynomial that takes all of (0, 1] near 1 in five turns, with errors of up to 0.3 (Jordan)."""


class Muon(torch.optim.Optimizer):
    """Muon for the weights of convolutions and linear layers, Adam for all other parameters."""

    def __init__(self, network: nn.Module, lr: float, betas: tuple[float, float]) -> None:
        """Take the parameters of a network.

        Args:
            network: all of its parameters are trained.
            lr: the learning rate, of both.
            betas: decay rates of Adam's two moments.
        """
        matrices = list(map(id, _matrices(network)))
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for parameter in network.parameters():
            parts[id(parameter) in matrices].append(parameter)
        groups = [{"params": parts[part], "is_muon": part} for part in parts if parts[part]]
        super().__init__(groups, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            parameters = [one for one in group["params"] if one.grad is not None]
            (self._orthogonal if group["is_muon"] else self._adam)(parameters, group)

    def _orthogonal(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum = state["momentum"].mul_(MOMENTUM).add_(gradient)
            matrix = gradient.add(momentum, alpha=MOMENTUM).flatten(1)  # Nesterov's
            step = orthogonal(matrix).view(parameter.shape)
            parameter.add_(step, alpha=-SIZE * max(matrix.shape) ** 0.5 * group["lr"])

    def _adam(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        states = [self.state[parameter] for parameter in parameters]
        averages, squares, steps = (
            [state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step")
        )
        beta1, beta2 = group["betas"]
        adam(
            parameters,
            [one.grad for one in parameters if one.grad is not None],
            averages,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def orthogonal(matrix: Tensor) -> Tensor:
    """Return U V^T of U S V^T, but for errors of up to 0.3 in what should be 1 in place of S.

    By Newton and Schulz's iteration, on the smaller of M M^T and M^T M alone: of 128 x 1152 that
    takes half of the time.

    Args:
        matrix: (R, C).
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.mT).mT
    matrix = matrix / (matrix.norm() + 1e-7)
    square = matrix @ matrix.mT
    turned = factor = _factor(square)
    for _ in range(TURNS - 1):
        square = factor @ square @ factor
        factor = _factor(square)
        turned = factor @ turned
    return turned @ matrix


def _factor(square: Tensor) -> Tensor:
    """Return what one turn multiplies by, of the product of a matrix and its transpose."""
    factor = CUBIC * square + QUINTIC * (square @ square)
    factor.diagonal().add_(SLOPE)
    return factor


def _matrices(network: nn.Module) -> list[Tensor]:
    """Return the weights of convolutions and linear layers that are large enough."""
    layers = (one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear))
    weights = (layer.weight for layer in layers)
    return [one for one in weights if min(one.shape[0], one[0].numel()) >= SMALLEST]
