"""How the trials of a search ended, from what the store has of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

from semisweep.core.errors import ConfigError
from semisweep.store import stopped_trial
from semisweep.store.query import results
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder

Table = Mapping[str, Any]


class Observation(NamedTuple):
    """How a trial ended: one value an objective if it finished, and those of its rungs by step."""

    state: Literal["finished", "stopped", "failed", "running"]
    values: tuple[float, ...] = ()
    on_the_way: Mapping[int, float] = {}


def outcomes(store: Store, table: Table) -> dict[str, Observation]:
    """Return the outcomes of those trials of a search that have ended, by key."""
    keys = list(dict.fromkeys(entry["key"] for entry in table["trials"]))
    finished = results(store, keys)
    found = {
        key: of_row(table, key, finished[key])
        if key in finished
        else of_unfinished(table, store.trial(key))
        for key in keys
    }
    return {key: outcome for key, outcome in found.items() if outcome.state != "running"}


def outcome_of(table: Table, folder: TrialFolder) -> Observation:
    """Return the outcome of one trial of a search."""
    row = folder.result(metrics(table))
    return of_unfinished(table, folder) if row is None else _checked(table, folder, row)


def of_row(table: Table, key: str, row: Mapping[str, Any]) -> Observation:
    """Return the outcome that a result is; a number that is not finite makes it a failure.

    Raises `ConfigError` for an objective that the result does not have.
    """
    for metric in metrics(table):
        if row.get(metric) is None:
            near = get_close_matches(metric, sorted(row), n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"a result must have the search's metrics, got metric={metric!r}, key={key}{hint}"
            )
    values = tuple(float(row[metric]) for metric in metrics(table))
    whole = all(math.isfinite(value) for value in values)
    return Observation("finished", values) if whole else Observation("failed")


def of_unfinished(table: Table, folder: TrialFolder) -> Observation:
    """Return the outcome of a trial without a result: stopped by this search, failed or neither."""
    if folder.failure() is not None:
        return Observation("failed")
    decisions = rungs_of(table, folder)
    if any(row["stop"] for row in decisions) and stopped_trial.stopped(folder) is not None:
        values = {int(row["step"]): float(row["value"]) for row in decisions}
        return Observation("stopped", (), values)
    return Observation("running")


def rungs_of(table: Table, folder: TrialFolder) -> list[dict[str, Any]]:
    """Return what was decided at the rungs that a trial of a search has reached."""
    if not table.get("halving"):
        return []
    return [row for row in stopped_trial.read_rungs(folder) if row["search"] == table["identity"]]


def metrics(table: Table) -> list[str]:
    """Return the metric of each objective of a search."""
    return [table["metric"], *(item["metric"] for item in table.get("also", ()))]


def _checked(table: Table, folder: TrialFolder, row: Mapping[str, Any]) -> Observation:
    if any(metric not in row for metric in metrics(table)):
        row = folder.result() or {}  # all of its names, for the error
    return of_row(table, folder.key, row)
