"""What training asks of the processor."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from imagegen.device import prepare_processor
if sys.argv[1] == "prepared":
    prepare_processor()
for number in range(30):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(20_000_000)  # 80 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", FAULTS, how]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="what is freed is kept where glibc is asked to")
def test_what_a_step_frees_is_kept_for_the_next() -> None:
    assert faults("prepared") < faults("as it is") / 10
