"""Training in float64, to compare courses that should be the same but for rounding.

What rounding makes differ grows from step to step, most in the contest of a GAN, and its beginning
depends on the kernels that a processor has. In float64 it begins 5e8 times smaller, so that a tight
tolerance checks the algorithm, not the processor.

As a script this is the command line in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from imagegen import cli
from imagegen.data.store import to_tensor
from imagegen.sample.noise import Noise


@contextmanager
def precision() -> Iterator[None]:
    """Make new networks, pictures and noise float64."""
    normal = Noise.normal
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "imagegen.train.learner.to_tensor", lambda images: to_tensor(images).double()
            )
            patch.setattr(Noise, "normal", lambda *shape: normal(*shape).astype(np.float64))
            yield
    finally:
        torch.set_default_dtype(before)


if __name__ == "__main__":
    with precision():
        cli.main()
