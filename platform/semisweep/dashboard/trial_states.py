"""Trials as the pages list them: where they belong, how far they are, why they failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from semisweep.core.faults import last_lines
from semisweep.core.safe_text import printable
from semisweep.dashboard.store_watch import StoreWatch
from semisweep.report.search_figures import shown
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.snapshot import Snapshot
from semisweep.store.stopped_trial import stopped_path
from semisweep.store.study_files import StoredStudy
from semisweep.study.plan import trial_names
from semisweep.tables.status import Running, duration, running_trial, shown_name


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a trial stands: a study, and which trial of it."""

    study: str  # as an address has it
    title: str
    name: str


@dataclass(frozen=True, kw_only=True)
class FailedTrial:
    """A trial that has failed: the last line of its error, and all of it."""

    key: str
    name: str
    line: str
    text: str
    attempts: int


@dataclass(frozen=True, kw_only=True)
class TrialLine:
    """A trial of a study in a list of all."""

    key: str  # "" of trials that a race did not begin
    name: str
    state: str
    score: str  # of the study's metric
    took: str


def places_of(studies: Iterable[StoredStudy], key: str) -> list[Place]:
    """Return where a trial stands in some studies."""
    return [
        Place(study=str(own.place), title=shown_name(own), name=trial_names(own.study)[key])
        for own in studies
        if key in own.study.keys
    ]


def state_of(watch: StoreWatch, key: str) -> str:
    """Return "finished", "running", "failed" or "waiting", also of one that was interrupted."""
    if key in watch.finished:
        return "finished"
    if key in watch.active:
        return "running"
    return "failed" if key in watch.failures else "waiting"


def running_trials(watch: StoreWatch, names: Mapping[str, str], now: float) -> list[Running]:
    """Return how far each running trial is, of those that have names."""
    return [
        running_trial(watch.store, key, name, now)
        for key, name in names.items()
        if key in watch.active
    ]


def failed_trials(watch: StoreWatch, names: Mapping[str, str]) -> list[FailedTrial]:
    """Return why trials have failed, of those that have names and do not run again."""
    found = ((key, watch.failures.get(key)) for key in names if key not in watch.active)
    return [
        FailedTrial(
            key=key,
            name=names[key],
            line=printable(" | ".join(last_lines(failure.error))),
            text=printable(failure.error),
            attempts=failure.attempts,
        )
        for key, failure in found
        if failure is not None
    ]


def finished_lines(study: StudyOrSearch, stored: Snapshot) -> dict[str, TrialLine]:
    """Return the finished trials of a study, by key."""
    names, found = trial_names(study), {}
    for key, row in stored.results.items():
        score, seconds = row.number(study.metric), row.seconds
        found[key] = TrialLine(
            key=key,
            name=names[key],
            state="finished",
            score="" if score is None else f"{shown(study.metric, score):.2f}",
            took="" if seconds is None else duration(seconds),
        )
    return found


def trial_lines(
    watch: StoreWatch, study: StudyOrSearch, finished: Mapping[str, TrialLine]
) -> Iterator[TrialLine]:
    """Yield every trial of a study in its order, of which some are known to have finished."""
    names, stopped = trial_names(study), _stopped(study, watch)
    for key in study.keys:
        state = state_of(watch, key)
        state = "stopped" if state == "waiting" and key in stopped else state
        yield finished.get(key) or TrialLine(
            key=key, name=names[key], state=state, score="", took=""
        )
    if isinstance(study, ResolvedStudy) and study.race is not None:
        labels = {own.name: own.label for own in (*study.rows, *study.columns)}
        for row in study.race.stopped:
            name = f"{labels.get(row.row, row.row)}, {labels.get(row.column, row.column)}"
            name += f": {row.planned - row.replicates} further of {row.planned}, by the race"
            yield TrialLine(key="", name=name, state="stopped", score="", took="")


def _stopped(study: StudyOrSearch, watch: StoreWatch) -> set[str]:
    """Return the trials that a search has stopped at a rung, one that still runs too."""
    if not isinstance(study, ResolvedSearch) or study.halving is None:
        return set()
    ended = {entry.key for entry in study.trials if entry.was_stopped}
    waiting = (key for key in study.keys if state_of(watch, key) == "waiting")
    return ended | {key for key in waiting if stopped_path(watch.store.trial(key)) is not None}
