"""How quickly does each family draw, beside one pass of its own network?

    make bench-sample

Timed are pictures drawn as `generate` draws them, up to the finished picture; and, turn by turn in
the same run, single passes of the network that draws over batches of the same size. "Looks" is how
often a picture takes such a pass: what is lost beside it is the share of all other work. A
recurrent network would take a pass a token, if it kept no states.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import torch

from imagegen.families import FAMILIES
from imagegen.families.autoencoder import Autoencoder
from imagegen.families.rnn import Rnn
from imagegen.family import Condition, Family
from imagegen.sample.draw import BATCH, draw

ROUNDS, BATCHES = 5, 4
CODER = {"kind": "fsq", "levels": (8, 8)}


def build(name: str, size: int) -> Family:
    """Return an untrained model of default size, as its preset has it."""
    shape, none = (3, size, size), Condition()
    kind = FAMILIES[name]
    coder = Autoencoder(Autoencoder.Model(**CODER), shape, none) if kind is Rnn else None
    return kind(kind.Model(), shape, none, coder).eval()


def passes(family: Family) -> tuple[Callable[[], object], int]:
    """Return a function that takes a batch through the network once, and how often drawing does."""
    if isinstance(family, Rnn):
        tokens = torch.zeros(BATCH, *family.grid, dtype=torch.int64)
        return lambda: family.prior(tokens, None), math.prod(family.grid)
    network, calls = getattr(family, family.drawn_by[-1]), []
    hook = network.register_forward_pre_hook(lambda module, given: calls.append(given))
    list(draw(family, range(BATCH), family.Sampling()))
    hook.remove()
    return lambda: network(*calls[0]), len(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", default=["gan", "flow", "autoencoder", "rnn"])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| family | drawn in the time of one pass | looks | of what the looks alone would give |")
    print("|---|---|---|---|")
    for name in options.families:
        family = build(name, options.size)
        one, looks = passes(family)
        ratios = []
        for number in range(ROUNDS):  # in turn, so that a busy machine slows both alike
            with torch.inference_mode():
                start = time.perf_counter()
                for _ in range(BATCHES):
                    one()
                alone = time.perf_counter() - start
            seeds = range(number * BATCH * BATCHES, (number + 1) * BATCH * BATCHES)
            start = time.perf_counter()
            for _ in draw(family, seeds, family.Sampling()):
                pass
            ratios.append(alone / (time.perf_counter() - start))
        ratio = statistics.median(ratios)
        print(f"| {name} | {ratio:.3f} | {looks} | {ratio * looks:.2f} |", flush=True)


if __name__ == "__main__":
    main()
