"""What a study wants, what of it is there, and what would run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from semisweep.store import Store


@dataclass(frozen=True)
class Plan:
    """The trials of some studies: `wanted` cells' replicates, distinct `keys` and their state."""

    wanted: int
    finished: tuple[str, ...]
    failed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def distinct(self) -> int:
        """Return how many different trainings the wanted trials are."""
        return len(self.finished) + len(self.failed) + len(self.missing)

    @property
    def shared(self) -> int:
        """Return how many trainings are saved because equal trials run once."""
        return self.wanted - self.distinct


def plan(tables: Iterable[Mapping[str, Any]], store: Store | None) -> Plan:
    """Return the plan of resolved studies against a store; None is an empty store."""
    wanted = 0
    keys: dict[str, None] = {}
    for table in tables:
        for cell in table.get("cells", ()):
            wanted += len(cell["trials"])
            keys |= dict.fromkeys(cell["trials"].values())
        for entry in table.get("trials", ()):
            wanted += 1
            keys[entry["key"]] = None
    finished = store.finished() if store else set()
    failed = set(store.failures()) - finished if store else set()
    return Plan(
        wanted,
        tuple(key for key in keys if key in finished),
        tuple(key for key in keys if key in failed),
        tuple(key for key in keys if key not in finished and key not in failed),
    )
