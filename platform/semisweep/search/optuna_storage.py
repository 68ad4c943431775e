"""A search as a study in one of Optuna's own storages, kept up to date while it runs.

Its trials begin and end when ours did, as the store says, and have their validation scores as
intermediate values. What Optuna does not let change, a trial that has ended and was trained again
or whose end was seen late, is written anew with the whole study, so that no trial stands twice.

Together with `sampling` the only file that imports `optuna`.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import ConfigError
from semisweep.search.sampling import distributions_of, frozen
from semisweep.search.trial_outcome import Observation, outcome_of
from semisweep.store import stopped_trial
from semisweep.store.query import results
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

SQLITE = (".db", ".sqlite", ".sqlite3")
JOURNAL = (".log", ".jsonl")
MARK = "semisweep"  # the attribute of a study that we have made: the search's identity
LATE_SECONDS = 10.0  # after an end that is still taken for now
VALIDATION = "val.miou"


def check_ending(path: Path) -> None:
    """Raise `ConfigError` for a file whose ending does not say what it is to be."""
    if path.suffix not in SQLITE + JOURNAL:
        raise ConfigError(
            f"a file for Optuna must end in {', '.join(SQLITE)} (SQLite) or "
            f"{', '.join(JOURNAL)} (journal), got output={path}"
        )


def url_of(path: Path) -> str:
    """Return what a command of Optuna's takes for a file."""
    return f"sqlite:///{path}" if path.suffix in SQLITE else str(path)


class OptunaStorage:
    """A file of Optuna's that has searches; one process at a time writes to it."""

    def __init__(self, path: Path, ending: str | None = None) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.storage = _opened(path, ending or path.suffix)
        self.path = path
        self.studies: dict[str, _Study] = {}

    def refresh(self, store: Store, search: ResolvedSearch) -> int:
        """Bring a search up to date; return how many trials and values were written.

        Raises `ConfigError` where the file has a study of this name that somebody else has made.
        """
        name = f"{search.name}@{search.scale}"
        if name not in self.studies:
            self.studies[name] = _Study(self.storage, name, self.path)
        return self.studies[name].refresh(store, search)

    def close(self) -> None:
        """Close the file."""
        self.storage.remove_session()


class _Study:
    """One study of the storage, and what it has."""

    def __init__(self, storage: BaseStorage, name: str, path: Path) -> None:
        self.storage, self.name, self.path = storage, name, path
        self.identity: int | None = None
        self.trials: list[FrozenTrial] = []
        self.attributes: dict[str, object] = {}
        with suppress(KeyError):
            self.identity = storage.get_study_id_from_name(name)
            self.trials = storage.get_all_trials(self.identity)
            self.attributes = storage.get_study_user_attrs(self.identity)
        if self.identity is not None and MARK not in self.attributes:
            raise ConfigError(
                f"a file for Optuna must be new, or semisweep's own, got path={path} with a study "
                f"{name} from elsewhere; name another file"
            )

    def refresh(self, store: Store, search: ResolvedSearch) -> int:
        """Bring the study up to date; return how much was written."""
        again = _again(store, search)
        if self.identity is None or not self._goes_on(search):
            self._begin(search)
        count = self._write_trials(store, search)
        if count is None:
            self._begin(search)
            count = self._write_trials(store, search)
        for number, scores in again.items():
            self._set(f"again #{number}", scores)
        return count or 0

    def _goes_on(self, search: ResolvedSearch) -> bool:
        """Return whether the study has the first trials of a search, and no others."""
        keys = [entry.key for entry in search.trials]
        own = [trial.user_attrs.get("key") for trial in self.trials]
        return self.attributes.get(MARK) == search.identity and own == keys[: len(own)]

    def _begin(self, search: ResolvedSearch) -> None:
        """Make the study, without trials, in place of what was there."""
        import optuna

        if self.identity is not None:
            self.storage.delete_study(self.identity)
        directions = [objective.direction for objective in search.objectives]
        made = optuna.create_study(
            storage=self.storage, study_name=self.name, directions=directions
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Optuna calls experimental
            made.set_metric_names(search.metrics)
        self.identity = self.storage.get_study_id_from_name(self.name)
        self.trials, self.attributes = [], {}
        self._set(MARK, search.identity)
        self._set("title", search.title)

    def _write_trials(self, store: Store, search: ResolvedSearch) -> int | None:
        """Write what is new of each trial; None where the study must be written anew for it."""
        from optuna.trial import TrialState

        assert self.identity is not None
        count, distributions = 0, distributions_of(search)
        complete = {own.number for own in self.trials if own.state == TrialState.COMPLETE}
        left = [entry for entry in search.trials if entry.number not in complete]
        folders = store.survey(entry.key for entry in left)
        for entry in left:
            folder = folders[entry.key]
            outcome = outcome_of(search, folder)
            trial = frozen(entry, distributions, outcome)
            _describe(trial, search, folder, outcome)
            if entry.number >= len(self.trials):
                trial._trial_id = self.storage.create_new_trial(self.identity, trial)
                self.trials.append(trial)
                count += 1
                continue
            written = self._update(self.trials[entry.number], trial)
            if written is None:
                return None
            count += written
        return count

    def _update(self, old: FrozenTrial, new: FrozenTrial) -> int | None:
        """Write what a trial has more than before; None where Optuna does not let it change."""
        if old.state.is_finished():
            return 0 if old.state == new.state else None
        begins = old.datetime_start is None
        seen_late = (begins and _is_past(new.datetime_start)) or _is_past(new.datetime_complete)
        if seen_late or (begins and new.state.is_finished()):
            return None  # Optuna would take the time of now
        if begins and new.datetime_start is not None:
            self.storage.set_trial_state_values(old._trial_id, new.state)
            old.state, old.datetime_start = new.state, new.datetime_start
        values = new.intermediate_values
        more = {
            step: value for step, value in values.items() if step not in old.intermediate_values
        }
        for step, value in more.items():
            self.storage.set_trial_intermediate_value(old._trial_id, step, value)
            old.intermediate_values[step] = value
        if new.state.is_finished():
            self.storage.set_trial_state_values(old._trial_id, new.state, new.values)
            old.state = new.state
            return len(more) + 1
        return len(more)

    def _set(self, name: str, value: object) -> None:
        assert self.identity is not None
        if self.attributes.get(name) != value:
            self.storage.set_study_user_attr(self.identity, name, value)
            self.attributes[name] = value


def _describe(
    trial: FrozenTrial, search: ResolvedSearch, folder: TrialFolder, outcome: Observation
) -> None:
    """Give a trial its intermediate values, of a search with one objective, and its times."""
    if not search.also:
        trial.intermediate_values |= _on_the_way(search, folder)
    from optuna.trial import TrialState

    ended = _ended_at(folder, outcome)
    started = folder.started_at or ended
    if started is None:
        trial.state = TrialState.WAITING
    trial.datetime_start = None if started is None else datetime.fromtimestamp(started)
    trial.datetime_complete = None if ended is None else datetime.fromtimestamp(ended)


def _on_the_way(search: ResolvedSearch, folder: TrialFolder) -> dict[int, float]:
    """Return what was measured on the way that stands for the objective, by step."""
    own = search.metric.partition(".")[2]  # of last. and best.
    names = [search.halving.metric] if search.halving else [own, VALIDATION]
    found: dict[int, float] = {}
    for row in folder.evaluations():
        values = (row.number(name) for name in names)
        value = next((value for value in values if value is not None), None)
        if value is not None and math.isfinite(value):
            found[row.step] = value
    return found


def _ended_at(folder: TrialFolder, outcome: Observation) -> float | None:
    """Return when a trial ended, in seconds since 1970; None of one that runs."""
    if outcome.state == "running":
        return None
    row = folder.result(["run.finished_at"]) or stopped_trial.stopped(folder, ["run.finished_at"])
    found = row.finished_at if row is not None else folder.failed_at
    return time.time() if found is None else found


def _is_past(moment: datetime | None) -> bool:
    """Return whether a moment is too long ago to be taken for now."""
    return moment is not None and time.time() - moment.timestamp() > LATE_SECONDS


def _again(store: Store, search: ResolvedSearch) -> Mapping[int, dict[str, Any]]:
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


def _opened(path: Path, ending: str) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if ending in SQLITE:
        return RDBStorage(f"sqlite:///{path}")
    return JournalStorage(JournalFileBackend(str(path)))
