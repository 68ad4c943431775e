"""Which backbones exist, without the seconds that importing timm takes."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path


def is_surely_known(backbone: str) -> bool:
    """Return True where timm's source defines the backbone; False says nothing."""
    name = backbone.partition(".")[0]
    return name.isidentifier() and any(f"\ndef {name}(" in text for text in _sources())


@cache
def _sources() -> tuple[str, ...]:
    specification = find_spec("timm")
    if specification is None or specification.origin is None:
        return ()
    folder = Path(specification.origin).parent / "models"
    return tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))
