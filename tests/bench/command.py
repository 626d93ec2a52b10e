"""The real command, for benchmarks that train and measure with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SETS = Path(os.environ.get("SETS", Path(__file__).parents[3] / "shared" / "data"))
"""Where the zips of pictures are."""


def imagegen(home: Path, *words: object) -> str:
    """Run a command with its models in `home`; return what it printed, or end with its error."""
    done = subprocess.run(
        [sys.executable, "-m", "imagegen", *map(str, words)],
        env={**os.environ, "IMAGEGEN_HOME": str(home)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"imagegen {' '.join(map(str, words))}\n{done.stderr[-2000:]}")
    return done.stdout
