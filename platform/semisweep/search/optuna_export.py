"""A search that has run, written into one of Optuna's own storages, which its dashboard opens."""

from __future__ import annotations

import logging
from pathlib import Path

from semisweep.core.errors import ConfigError
from semisweep.search.optuna_storage import OptunaStorage, check_ending, url_of
from semisweep.store import files
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.store import Store
from semisweep.store.study_choice import choose
from semisweep.study.catalogue import stored_name

logger = logging.getLogger(__name__)


def export_search(store: Store, name: str, scale: str, output: Path) -> tuple[int, str, str]:
    """Write a search into a new file; return its number of trials, its name and Optuna's URL.

    Trials have their keys as attributes, the study its title, the names of its metrics, and the
    scores of the best that were trained again: "again #7" -> replicate -> score.
    The file is whole or absent. Raises `ConfigError` for a study that is no search or was never
    run, and for a file that exists or has another ending.
    """
    search, note = choose(store, stored_name(name, store), scale)
    if note:
        logger.warning("%s", note)
    if not isinstance(search, ResolvedSearch):
        stored = store.study_files.all()
        known = [str(own.place) for own in stored if isinstance(own.study, ResolvedSearch)]
        raise ConfigError(
            f"a search must have been run to be exported, got search={name!r}, "
            f"scale={scale!r}; this store has: {', '.join(known) or 'none'}"
        )
    check_ending(output)
    if output.exists():
        raise ConfigError(f"a file to export into must be new, got output={output}, which exists")
    with files.writing(output), files.temporary_beside(output.absolute()) as temporary:
        storage = OptunaStorage(temporary, output.suffix)
        storage.refresh(store, search)
        storage.close()
        temporary.rename(output)
    return len(search.trials), f"{search.name}@{search.scale}", url_of(output)
