"""How much of the machine's convolution rate training reaches, for each convolutional family.

    make bench-train
    python -m tests.bench.train_rate --families fine-tuning --threads 1

Counted are the multiply-adds of the convolutions and linear layers that gradients take: forward,
backward, and the second backward of a GAN's gradient penalties. Timed are whole training steps,
with augmentation, Muon and everything else; and, turn by turn in the same run, the plain 3x3
convolutions of the same networks, widths and grids, forward and backward. Also said is the share of
a step's time that is spent in kernels of convolutions and matrix products, by torch's profiler.

`fine-tuning` is a flow of preset `general` over latents of 64x64 pixels.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from imagegen import presets, registry
from imagegen.device import prepare_processor
from imagegen.families import FAMILIES
from imagegen.family import Batch, Condition, Family
from imagegen.nn.draws import Draws
from imagegen.train.muon import Muon
from tests.telling import told

ROUNDS = 7
STEPS = 8
"""Steps a round; a whole number of times that a GAN's penalties come round."""


@torch.no_grad()
def prepared(family: Family, count: int) -> torch.Tensor:
    """Return what the loss sees of random images."""
    images = family.prepare(Draws(0, count).uniform(-1, 1, *family.shape))
    return images.contiguous(memory_format=torch.channels_last)


def batch(images: torch.Tensor, number: int) -> Batch:
    count = len(images)
    known = told((torch.arange(count) % 2).tolist(), 2)
    return Batch(images, known, number, 0.5, 250, Draws(number, count))


def training_step(family: Family, count: int, follow: bool = True) -> Callable[[int], None]:
    """Return a function that trains step number n; without `follow` it stops at the gradients."""
    images = prepared(family, count)
    optimizers = {phase: Muon(getattr(family, phase), 1e-5, (0.9, 0.99)) for phase in family.phases}

    def step(number: int) -> None:
        for phase, optimizer in optimizers.items():
            family.requires_grad_(False)
            getattr(family, phase).requires_grad_(True)
            loss, _ = family.loss(batch(images, number), phase)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if follow:
                optimizer.step()

    return step


def plain_convolutions(family: Family, count: int) -> Callable[[int], None]:
    """Return a function that runs each 3x3 convolution of a step forward and backward."""
    work = []

    def remember(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            x = torch.randn_like(inputs[0]).requires_grad_()
            plain = nn.Conv2d(module.in_channels, module.out_channels, 3, padding=1)
            work.append((plain.to(memory_format=torch.channels_last), x, torch.randn_like(output)))

    hooks = [module.register_forward_hook(remember) for module in family.modules()]
    images = prepared(family, count)
    for phase in family.phases:
        family.loss(batch(images, 1), phase)
    for hook in hooks:
        hook.remove()

    def run(number: int) -> None:
        for conv, x, gradient in work:
            torch.autograd.backward(conv(x), gradient)

    return run


class Counter(TorchDispatchMode):
    """Counts the floating-point operations of convolutions and linear layers."""

    counted = ("convolution", "convolution_backward", "mm", "addmm")
    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        packet = function._overloadpacket
        if packet.__name__ in self.counted:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=result)
        return result


KERNELS = (
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
    "aten::baddbmm",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
)


def kernel_share(work: Callable[[int], None], steps: int) -> float:
    """Return the share of the time that is spent in kernels of convolutions and products."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for number in range(steps):
            work(number)
    times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    return sum(times.get(key, 0) for key in KERNELS) / sum(times.values())


def built(name: str, size: int) -> Family:
    """Return a new family, or the flow of preset `general`."""
    condition = Condition(("a", "b"))
    if name != "fine-tuning":
        kind = FAMILIES[name]
        return kind(kind.Model(), (4, size, size), condition)
    layer = presets.resolve(["general"], [], {})
    kind = FAMILIES["flow"]
    codec, _ = registry.load(registry.find("builtin:codec"), (4, 64, 64))
    return kind(presets.check_section(kind.Model, "model", layer), (4, 64, 64), condition, codec)


def multiply_adds(work: Callable[[int], None], steps: int) -> float:
    """Return the mean multiply-adds of a step."""
    with Counter() as counter:
        for number in range(steps):
            work(number)
    return counter.total / 2 / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", default=["gan", "flow", "autoencoder"])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    prepare_processor()
    for name in options.families:
        family = built(name, options.size)
        jobs = {
            "training": training_step(family, options.batch_size),
            "plain 3x3": plain_convolutions(family, options.batch_size),
        }
        counted = jobs | {"training": training_step(family, options.batch_size, follow=False)}
        counts = {job: multiply_adds(work, STEPS) for job, work in counted.items()}
        rates: dict[str, list[float]] = {job: [] for job in jobs}
        for _ in range(ROUNDS):  # in turn, so that a busy machine slows both alike
            for job, work in jobs.items():
                start = time.perf_counter()
                for number in range(STEPS):
                    work(number)
                rates[job].append(counts[job] * STEPS / (time.perf_counter() - start))
        ratios = [a / b for a, b in zip(rates["training"], rates["plain 3x3"], strict=True)]
        print(name)
        for job, values in rates.items():
            print(
                f"{job:>10}: {counts[job] / 1e9:6.2f} G multiply-adds a step, "
                f"{statistics.median(values) / 1e9:5.1f} G/s"
            )
        share = kernel_share(jobs["training"], STEPS)
        print(f"  kernels: {share:.2f} of the time of a step is spent in them")
        print(
            f"training reaches {statistics.median(ratios):.2f} of the plain convolutions' rate "
            f"(rounds: {min(ratios):.2f} to {max(ratios):.2f}; {options.size} px, "
            f"batch {options.batch_size}, {options.threads} threads)",
            flush=True,
        )


if __name__ == "__main__":
    main()
