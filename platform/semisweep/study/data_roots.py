"""Where the data sets of a machine lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Roots:
    """Where the data sets of this machine lie."""

    default: Path
    named: Mapping[str, Path] = field(default_factory=dict)

    def of(self, name: str) -> Path:
        """Return the absolute folder of a data set."""
        return Path(self.named.get(name, self.default / name)).absolute()
