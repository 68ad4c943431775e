"""The folder of what this machine remembers for its user, and could find out again."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SEMISWEEP_CACHE"


def cache_folder() -> Path:
    """Return $SEMISWEEP_CACHE, or semisweep in $XDG_CACHE_HOME or ~/.cache; it may not exist."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "semisweep"
