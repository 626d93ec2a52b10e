"""Results as JSON lines, each with the machine, the commit and the day they come from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).parent / "results"


def append(name: str, records: Iterable[Mapping[str, Any]]) -> Path:
    """Append records to results/NAME.jsonl; floats are rounded to six digits."""
    path = FOLDER / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    origin = {
        "date": date.today().isoformat(),
        "commit": commit(),
        "machine": machine(),
        "torch": torch.__version__,
    }
    with path.open("a") as file:
        for record in records:
            file.write(json.dumps(_rounded({**origin, **record})) + "\n")
    return path


def commit() -> str:
    """Return the commit of the code, with a plus sign if it was changed since."""
    git = ["git", "-C", str(FOLDER.parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", "../../imagegen", "*.py"],
        capture_output=True,
        text=True,
    )
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def machine() -> str:
    """Return the kind of processor, and how many cores of it there are."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
