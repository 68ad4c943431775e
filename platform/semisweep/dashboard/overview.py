"""The first page: how far each study is, what runs now, what has failed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from semisweep.dashboard.store_watch import StoreWatch
from semisweep.dashboard.trial_states import FailedTrial, failed_trials
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.trial_log import read_faults
from semisweep.study.plan import trial_names
from semisweep.tables.status import Running, end_text, shown_name, status_of

FAILURES_SHOWN = 50
FAULTS_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class StudyLine:
    """A study and how far it is."""

    place: str
    name: str
    title: str
    kind: str
    finished: int
    wanted: int
    failed: int
    running: int
    end: str


@dataclass(frozen=True, kw_only=True)
class Overview:
    """What the first page shows."""

    studies: list[StudyLine]
    running: list[Running]
    failed: list[FailedTrial]
    more_failed: int
    faults: list[str]


def overview(watch: StoreWatch) -> Overview:
    """Return how far the studies of a store are."""
    lines: list[StudyLine] = []
    running: dict[str, Running] = {}
    failed: dict[str, FailedTrial] = {}
    now, standing = time.time(), watch.standing()
    for own in watch.studies:
        study, keys = own.study, own.study.keys
        state = status_of(study, standing, now)
        line = StudyLine(
            place=str(own.place),
            name=shown_name(own),
            title=study.title or study.name,
            kind="search" if isinstance(study, ResolvedSearch) else "table",
            finished=state.finished,
            wanted=len(keys),
            failed=state.failed,
            running=len(state.running),
            end=end_text(state, now),
        )
        lines.append(line)
        running |= {trial.key: trial for trial in state.running}
        if state.failed:
            names = {key: f"{line.name}: {name}" for key, name in trial_names(study).items()}
            failed |= {trial.key: trial for trial in failed_trials(watch, names)}
    kept = list(failed.values())
    return Overview(
        studies=lines,
        running=list(running.values()),
        failed=kept[:FAILURES_SHOWN],
        more_failed=max(0, len(kept) - FAILURES_SHOWN),
        faults=list(_faults(watch)),
    )


def _faults(watch: StoreWatch) -> Iterator[str]:
    """Yield what ended workers too early, the newest first."""
    yield from read_faults(watch.store)[: -FAULTS_SHOWN - 1 : -1]
