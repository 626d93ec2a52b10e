"""The folder of imagegen's own files: models and the user's presets."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """Return `$IMAGEGEN_HOME`, or the platform's folder for user data."""
    if chosen := os.environ.get("IMAGEGEN_HOME"):
        return Path(chosen).expanduser()
    from platformdirs import user_data_path

    return user_data_path("imagegen")
