"""A search as a study in one of Optuna's own storages, which its dashboard can open.

Together with `sampling` the only file that imports `optuna`.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError
from semisweep.search.sampling import as_study
from semisweep.search.trial_outcome import outcomes
from semisweep.store import files
from semisweep.store.query import results
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.store import Store
from semisweep.store.study_choice import choose
from semisweep.study.catalogue import stored_name

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

logger = logging.getLogger(__name__)

SQLITE = (".db", ".sqlite", ".sqlite3")
JOURNAL = (".log", ".jsonl")


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
    if output.suffix not in SQLITE + JOURNAL:
        raise ConfigError(
            f"a file for Optuna must end in {', '.join(SQLITE)} (SQLite) or "
            f"{', '.join(JOURNAL)} (journal), got output={output}"
        )
    if output.exists():
        raise ConfigError(f"a file to export into must be new, got output={output}, which exists")
    found, named = outcomes(store, search), f"{search.name}@{scale}"
    with files.writing(output), files.temporary_beside(output.absolute()) as temporary:
        storage = _storage(temporary, output.suffix)
        study = as_study(search, found, storage=storage, study_name=named)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            study.set_metric_names(search.metrics)
        study.set_user_attr("title", search.title)
        for number, scores in _again(store, search).items():
            study.set_user_attr(f"again #{number}", scores)
        storage.remove_session()
        temporary.rename(output)
    return len(search.trials), named, _opened(output)


def _again(store: Store, search: ResolvedSearch) -> dict[int, dict[str, float]]:
    """Return the scores of the trials that confirm the best, by number and replicate."""
    chosen = {number: own for each in search.confirmations for number, own in each.chosen.items()}
    rows = results(store, [key for trials in chosen.values() for key in trials.values()])
    return {
        number: {
            replicate: rows[key].needed(search.metric)
            for replicate, key in trials.items()
            if key in rows
        }
        for number, trials in chosen.items()
    }


def _storage(path: Path, ending: str) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if ending in SQLITE:
        return RDBStorage(f"sqlite:///{path}")
    return JournalStorage(JournalFileBackend(str(path)))


def _opened(output: Path) -> str:
    """Return what a command of Optuna's takes for the file."""
    return f"sqlite:///{output}" if output.suffix in SQLITE else str(output)
