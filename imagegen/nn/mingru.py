"""minGRU: a recurrence whose gates see the input alone, so that its state is one linear scan.

Feng et al. 2024, arXiv 2410.01201, section 3.1. On a CPU a plain loop with a gradient of its own
is the quickest; where kernels take long to start, such as on a GPU, the scan is done by doubling
(Hillis and Steele 1986, "Data parallel algorithms").
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from imagegen.nn.blocks import in_float32

LONGEST = 32
"""Steps that the slowest features remember at first; the quickest forget after one."""


class _Loop(torch.autograd.Function):
    """The scan as a loop of multiply-adds, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = torch.empty_like(b)
        h[0] = b[0]
        for t in range(1, len(b)):
            torch.addcmul(b[t], a[t], h[t - 1], out=h[t])
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        g = torch.empty_like(h).copy_(grads[0])
        for t in range(len(g) - 2, -1, -1):
            g[t].addcmul_(a[t + 1], g[t + 1])
        slopes = torch.zeros_like(a)
        torch.mul(g[1:], h[:-1], out=slopes[1:])
        return slopes, g


def scan_by_loop(a: Tensor, b: Tensor) -> Tensor:
    """Return h[t] = a[t] h[t-1] + b[t] for (T, ...), with h[-1] = 0, one step after the other."""
    h: Tensor = _Loop.apply(a, b)  # type: ignore[no-untyped-call]
    return h


def scan_by_doubling(a: Tensor, b: Tensor) -> Tensor:
    """Return the same in log2(T) turns, each over all of (T, ...)."""
    shift = 1
    while shift < len(b):
        b = torch.cat([b[:shift], torch.addcmul(b[shift:], a[shift:], b[:-shift])])
        a = torch.cat([a[:shift], a[shift:] * a[:-shift]])
        shift *= 2
    return b


def scan(a: Tensor, b: Tensor) -> Tensor:
    """Return h[t] = a[t] h[t-1] + b[t] for (T, ...), the way that suits the device."""
    return scan_by_loop(a, b) if b.device.type == "cpu" else scan_by_doubling(a, b)


class MinGRU(nn.Module):
    """h[t] = (1 - z[t]) h[t-1] + z[t] c[t], where gate z and candidate c are linear in x[t]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.both = nn.Linear(width, 2 * width)
        # Half-lives from one step to LONGEST, geometrically.
        forget = 0.5 ** (1 / torch.logspace(0, 1, width, base=LONGEST))
        with torch.no_grad():
            self.both.bias[:width] = torch.logit(1 - forget)

    def forward(self, x: Tensor, before: Tensor | None = None) -> Tensor:
        """Map (T, ..., width), and the state (..., width) before it, to the states at each step."""
        # In bfloat16 the slowest gates would be a fifth off, and the states sum up errors.
        z, candidate = in_float32(self.both(x)).chunk(2, dim=-1)
        z = torch.sigmoid(z)
        a, b = 1 - z, z * candidate
        if before is not None:
            b = torch.cat([torch.addcmul(b[:1], a[:1], before[None]), b[1:]])
        return scan(a, b)


State = tuple[Tensor, Tensor]
"""What a layer remembers: its state, (N, S, width), and its last inputs, (N, K - 1, S, width)."""


class Layer(nn.Module):
    """x + minGRU(convolution(x)), then x + MLP(x), both of normalised x.

    It goes along one axis of a grid, and sees on it only what lies behind. The convolution, a
    feature at a time, also sees neighbours on the other axis, on both sides.
    """

    def __init__(self, width: int, behind: int, beside: int) -> None:
        """Build it for (N, T, S, width).

        Args:
            width: features.
            behind: steps on axis T that the convolution sees, this one included.
            beside: places on axis S that it sees, in all; odd.
        """
        super().__init__()
        self.behind = behind
        self.norm = nn.RMSNorm(width)
        self.conv = nn.Conv2d(
            width, width, (behind, beside), padding=(0, beside // 2), groups=width
        )
        self.gru = MinGRU(width)
        self.mlp = nn.Sequential(
            nn.RMSNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(
        self, x: Tensor, kept: Tensor | None = None, state: State | None = None
    ) -> tuple[Tensor, State]:
        """Map (N, T, S, width) to the same shape, and return what is remembered after it.

        Args:
            x: any number of steps.
            kept: (N, 1, 1, width), what dropout multiplies the changes with.
            state: after the steps before these; None at the beginning.
        """
        y = self.norm(x)
        h, last = state or (None, y.new_zeros(len(y), self.behind - 1, *y.shape[2:]))
        seen = torch.cat([last, y], dim=1)
        # (N, T, S, width) is a picture in channels_last: nothing is moved in memory.
        y = F.silu(self.conv(seen.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        y = self.gru(y.transpose(0, 1), h).transpose(0, 1)
        state = (y[:, -1], seen[:, seen.shape[1] - self.behind + 1 :])
        x = x + (y if kept is None else y * kept)
        y = self.mlp(x)
        return x + (y if kept is None else y * kept), state
