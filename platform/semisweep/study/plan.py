"""What a study wants, what of it is there, and what would run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from semisweep.store.store import Store


@dataclass(frozen=True)
class Plan:
    """The trials of some studies: `wanted` cells' replicates, distinct `keys` and their state.

    `stopped` are those that only searches want, and of those the ones that fell behind.
    """

    wanted: int
    finished: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]
    stopped: tuple[str, ...] = ()

    @property
    def distinct(self) -> int:
        """Return how many different trainings the wanted trials are."""
        return len(self.finished) + len(self.failed) + len(self.missing) + len(self.stopped)

    @property
    def shared(self) -> int:
        """Return how many trainings are saved because equal trials run once."""
        return self.wanted - self.distinct


def plan(tables: Iterable[Mapping[str, Any]], store: Store | None) -> Plan:
    """Return the plan of resolved studies against a store; None is an empty store."""
    wanted = 0
    keys: dict[str, None] = {}
    in_full: set[str] = set()
    behind: set[str] = set()
    for table in tables:
        for cell in table.get("cells", ()):
            wanted += len(cell["trials"])
            keys |= dict.fromkeys(cell["trials"].values())
            in_full |= set(cell["trials"].values())
        for entry in table.get("trials", ()):
            wanted += 1
            keys[entry["key"]] = None
            if any(row["stop"] for row in entry.get("rungs", ())):
                behind.add(entry["key"])
    finished = store.finished() if store else set()
    failed = set(store.failures()) - finished if store else set()
    stopped = behind - in_full - finished - failed
    ended = finished | failed | stopped
    return Plan(
        wanted,
        tuple(key for key in keys if key in finished),
        tuple(key for key in keys if key in failed),
        tuple(key for key in keys if key not in ended),
        tuple(key for key in keys if key in stopped),
    )


def trial_names(table: Mapping[str, Any]) -> dict[str, str]:
    """Return "row, column, replicate" for each key of a resolved table, "#number" of a search."""
    several = len(table.get("columns", ())) > 1
    names = {
        key: ", ".join([cell["row"], *([cell["column"]] if several else []), replicate])
        for cell in reversed(table.get("cells", ()))
        for replicate, key in cell["trials"].items()
    }
    return names | {entry["key"]: f"#{entry['number']}" for entry in table.get("trials", ())}
