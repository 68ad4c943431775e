"""Searches brought into a storage of Optuna's as they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semisweep.search.optuna_storage import OptunaStorage
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.store import Store
from semisweep.store.study_files import StoredStudy


class OptunaTracker:
    """Keeps the searches among some studies up to date in a file."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path, self.store = path, store
        self.storage: OptunaStorage | None = None
        self.logged = 0

    def look(self, studies: Sequence[StoredStudy]) -> None:
        """Write what has changed since the last look; raise what Optuna raises."""
        if self.storage is None:
            self.storage = OptunaStorage(self.path)
        for stored in studies:
            if isinstance(stored.study, ResolvedSearch):
                self.logged += self.storage.refresh(self.store, stored.study)

    def leave(self) -> None:
        """Close the file."""
        if self.storage is not None:
            self.storage.close()
