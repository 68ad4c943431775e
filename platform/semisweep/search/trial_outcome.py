"""How the trials of a search ended, from what the store has of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, NamedTuple

from semisweep.core.errors import ConfigError
from semisweep.store import stopped_trial
from semisweep.store.query import results
from semisweep.store.resolved_search import ResolvedSearch, RungDecision
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Result


class Observation(NamedTuple):
    """How a trial ended: one value an objective if it finished, and those of its rungs by step."""

    state: Literal["finished", "stopped", "failed", "running"]
    values: tuple[float, ...] = ()
    on_the_way: Mapping[int, float] = {}


def outcomes(
    store: Store, search: ResolvedSearch, finished: Mapping[str, Result] | None = None
) -> dict[str, Observation]:
    """Return the outcomes of those trials of a search that have ended, by key.

    `finished`: the results of the trials, where they have been read.
    """
    finished = results(store, search.suggested_keys) if finished is None else finished
    found = {
        key: of_row(search, key, finished[key])
        if key in finished
        else of_unfinished(search, store.trial(key))
        for key in search.suggested_keys
    }
    return {key: outcome for key, outcome in found.items() if outcome.state != "running"}


def outcome_of(search: ResolvedSearch, folder: TrialFolder) -> Observation:
    """Return the outcome of one trial of a search."""
    row = folder.result(search.metrics)
    return of_unfinished(search, folder) if row is None else _checked(search, folder, row)


def of_row(search: ResolvedSearch, key: str, row: Result) -> Observation:
    """Return the outcome that a result is; a number that is not finite makes it a failure.

    Raises `ConfigError` for an objective that the result does not have.
    """
    values = {metric: row.number(metric) for metric in search.metrics}
    for metric, value in values.items():
        if value is None:
            near = get_close_matches(metric, sorted(row), n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"a result must have the search's metrics, got metric={metric!r}, key={key}{hint}"
            )
    found = tuple(float(value) for value in values.values() if value is not None)
    whole = all(math.isfinite(value) for value in found)
    return Observation("finished", found) if whole else Observation("failed")


def of_unfinished(search: ResolvedSearch, folder: TrialFolder) -> Observation:
    """Return the outcome of a trial without a result: stopped by this search, failed or neither."""
    if folder.failure() is not None:
        return Observation("failed")
    decisions = rungs_of(search, folder)
    if any(own.stop for own in decisions) and stopped_trial.stopped(folder) is not None:
        values = {own.step: own.value for own in decisions}
        return Observation("stopped", (), values)
    return Observation("running")


def rungs_of(search: ResolvedSearch, folder: TrialFolder) -> list[RungDecision]:
    """Return what was decided at the rungs that a trial of a search has reached."""
    if search.halving is None:
        return []
    return [own for own in stopped_trial.read_rungs(folder) if own.search == search.identity]


def _checked(search: ResolvedSearch, folder: TrialFolder, row: Result) -> Observation:
    if any(metric not in row for metric in search.metrics):
        row = folder.result() or row  # all of its names, for the error
    return of_row(search, folder.key, row)
