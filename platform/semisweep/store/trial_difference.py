"""In which fields some trials differ: first what decides their keys, last what varies anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semisweep.core.config import flatten
from semisweep.store.result_file import VOLATILE
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder

ABSENT = "-"
SECTIONS = {
    "identity": "what decides the key",
    "configuration": "further fields, which do not decide the key",
    "result": "what came out",
    "volatile": "times, attempts, machines",
}


@dataclass(frozen=True)
class Difference:
    """One field that differs; a trial without it has `ABSENT`."""

    section: str
    field: str
    values: tuple[str, ...]


def differences(store: Store, *keys: str) -> list[Difference]:
    """Return the fields in which the trials of keys, or starts of keys, differ, by section.

    Raises `StoreError` where a key is not there, or several begin so.
    """
    trials = [_sections(store.trial(store.find(key))) for key in keys]
    return [
        Difference(section, field, values)
        for section in SECTIONS
        for field, values in _differing([trial[section] for trial in trials])
    ]


def to_text(found: Sequence[Difference], keys: Sequence[str]) -> str:
    """Return differences as aligned lines under the names of their sections."""
    widths = [
        max(map(len, column))
        for column in zip(("", *keys), *((d.field, *d.values) for d in found), strict=True)
    ]
    lines = [_line(["", *keys], widths)]
    for section, about in SECTIONS.items():
        own = [item for item in found if item.section == section]
        lines.append(f"{section}: {about}" if own else f"{section}: equal")
        lines += [_line([item.field, *item.values], widths) for item in own]
    return "\n".join(lines)


def _sections(folder: TrialFolder) -> dict[str, dict[str, Any]]:
    failure, row, described = folder.failure(), folder.result(), folder.find_description()
    known = described or failure
    trial = flatten(known.trial) if known else {}
    identity = flatten(described.identity) if described and described.identity else trial
    outcome = {
        name: value
        for name, value in (row or {}).items()
        if name != "key" and name not in trial and not name.startswith(VOLATILE)
    }
    if not row and failure:
        outcome["error"] = failure.error
    volatile = {name: value for name, value in (row or {}).items() if name.startswith(VOLATILE)}
    return {
        "identity": identity,
        "configuration": {name: trial[name] for name in trial if name not in identity},
        "result": outcome,
        "volatile": volatile,
    }


def _differing(trials: Sequence[Mapping[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    names = dict.fromkeys(name for trial in trials for name in trial)
    texts = {name: tuple(_text(trial.get(name, ABSENT)) for trial in trials) for name in names}
    return [(name, values) for name, values in texts.items() if len(set(values)) > 1]


def _text(value: Any) -> str:
    lines = str(value).splitlines() or [""]
    return lines[-1] if len(lines) > 1 else lines[0]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  " + "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
