"""What a study trains at a scale, value by value, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator

from semisweep.core.config import encode, flatten
from semisweep.core.markdown import grid
from semisweep.study.declaration import Search, Study
from semisweep.study.resolve import column_preset, preset_of
from semisweep.study.scales import Preset

UNTOLD = ("training.steps", "training.epochs")  # the one of the two that is not given


def presets_of(study: Study | Search, scale: str) -> dict[str, Preset]:
    """Return the presets of a study at a scale by the columns they are of; raise `ConfigError`."""
    own = preset_of(study, scale)
    if isinstance(study, Search):
        return {"": own}
    found: dict[str, Preset] = {}
    for column in study.columns:
        if column.exists(scale):
            preset = column_preset(study, scale, column)
            name = next((name for name, other in found.items() if other == preset), column.name)
            found.setdefault(name, preset)
    return {"": own} if list(found.values()) == [own] else found


def preset_leaves(preset: Preset) -> Iterator[tuple[str, object]]:
    """Yield dotted field and value of everything that a preset decides."""
    sections = {"data": preset.data, "training": preset.training, "config": dict(preset.config)}
    for path, value in flatten({name: encode(item) for name, item in sections.items()}).items():
        if not (path in UNTOLD and value is None):
            yield path, value
    yield "metric", preset.metric


def sources_table(study: Study | Search, scale: str) -> str:
    """Return, for each preset of a study, each value and where it comes from."""
    parts = []
    for name, preset in presets_of(study, scale).items():
        lines = [["field", "used", "source"]]
        lines += [[path, str(value), preset.source(path)] for path, value in preset_leaves(preset)]
        heading = f"{study.title}" + (f", from column {name}" if name else "")
        parts.append(f"## {heading} ({scale} scale)\n\n{grid(lines)}")
    return "\n".join(parts)
