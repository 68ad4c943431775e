"""The page of one trial: how far it is, what it said, why it failed, what came out of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from semisweep.core.config import flatten
from semisweep.core.safe_text import printable
from semisweep.dashboard.class_scores import class_scores
from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.trial_states import (
    FailedTrial,
    Place,
    failed_trials,
    places_of,
    state_of,
)
from semisweep.report.figure import Figure
from semisweep.report.provenance_facts import facts
from semisweep.report.search_figures import shown
from semisweep.store.trial_log import read_logs
from semisweep.store.trial_records import Result
from semisweep.tables.status import Running, running_trial

LINES = 400  # of a log, its last ones


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """What the page of a trial shows."""

    key: str
    state: str
    places: list[Place]
    running: Running | None
    failure: FailedTrial | None
    scores: list[tuple[str, str]]  # metric, value
    classes: list[Figure]
    attempt: int
    attempts: list[int]  # that have a log
    log: str
    cut_lines: int  # before what is shown of the log
    settings: list[tuple[str, str]]
    facts: list[tuple[str, str]]


def trial_view(watch: StoreWatch, key: str, attempt: int | None = None) -> TrialView:
    """Return what is known of a trial, with the log of one attempt, by default the newest."""
    folder = watch.store.trial(key)
    state, row, places = state_of(watch, key), folder.result(), places_of(watch.studies, key)
    name = places[0].name if places else key[:8]
    logs = read_logs(folder)
    chosen = attempt if attempt in logs else max(logs, default=0)
    lines = logs.get(chosen, "").splitlines()
    described = folder.find_description()
    is_running = state == "running"
    return TrialView(
        key=key,
        state=state,
        places=places,
        running=running_trial(watch.store, key, name, time.time()) if is_running else None,
        failure=next(iter(failed_trials(watch, {key: name})), None),
        scores=_scores(row),
        classes=class_scores({name: row} if row else {}),
        attempt=chosen,
        attempts=list(logs),
        log="\n".join(lines[-LINES:]),
        cut_lines=max(0, len(lines) - LINES),
        settings=_texts(flatten(described.trial) if described else {}),
        facts=facts([row] if row else []),
    )


def _scores(row: Result | None) -> list[tuple[str, str]]:
    """Return mIoU and accuracies of a result as they are shown."""
    found = [] if row is None else [name for name in row if _is_summary(name)]
    values = [(name, row.number(name)) for name in found] if row else []
    return [(name, f"{shown(name, v):.2f}") for name, v in values if v is not None]


def _is_summary(name: str) -> bool:
    return name.endswith("miou") or "accuracy" in name


def _texts(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, printable(str(value))) for name, value in values.items()]
