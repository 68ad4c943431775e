"""How far the studies of a store have come, from the store alone: another process may be at it.

A trial runs where some process holds the right to train it. How far it is, its history tells, and
when its newest attempt began; imports neither torch nor Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from semisweep.store.resolved_search import StudyOrSearch
from semisweep.store.store import Ends, Store
from semisweep.store.study_choice import told
from semisweep.store.study_files import StoredStudy, variant_of
from semisweep.store.trial_folder import TrialFolder
from semisweep.study.plan import plan_after, trial_names

SAMPLE = 50  # finished trials that say how long one takes


@dataclass(frozen=True)
class Running:
    """A trial that some process trains now."""

    key: str
    name: str
    step: int  # of the newest row of its history
    total_steps: int | None  # None where they are counted in epochs
    score: float  # of its newest evaluation; NaN without one
    seconds: float  # since its newest attempt began

    @property
    def for_text(self) -> str:
        """How long its newest attempt has run, in words."""
        return duration(self.seconds)

    def __str__(self) -> str:
        steps = f"step {self.step}" + (f" of {self.total_steps}" if self.total_steps else "")
        score = "" if math.isnan(self.score) else f"  val mIoU {100 * self.score:.1f}"
        return f"{self.key[:8]}  {self.name}  {steps}{score}  for {self.for_text}"


@dataclass(frozen=True)
class Status:
    """Where a study stands; its trials are finished, failed, running or waiting."""

    finished: int
    failed: int
    running: tuple[Running, ...]
    waiting: int
    seconds_left: float | None  # as long as as many run as now; None where nothing tells


class Standing:
    """What is known of the trials of some studies: how they ended, and which are in training."""

    def __init__(self, store: Store, ends: Ends, active: Collection[str]) -> None:
        self.store, self.ends, self.active = store, ends, active
        self._seconds: dict[str, float | None] = {}

    @classmethod
    def read(cls, store: Store, studies: Sequence[StudyOrSearch]) -> Standing:
        """Return what a store says now; each trial is asked once."""
        keys = dict.fromkeys(key for study in studies for key in study.keys)
        ends = store.ends(keys)
        unfinished = (key for key in keys if key not in ends.finished)
        return cls(store, ends, frozenset(k for k in unfinished if store.trial(k).in_training))

    def seconds(self, key: str) -> float | None:
        """Return how long a finished trial took, None where it does not say."""
        if key not in self._seconds:
            row = self.store.trial(key).result(["run.seconds"])
            self._seconds[key] = row.seconds if row else None
        return self._seconds[key]


def study_status(store: Store, study: StudyOrSearch, now: float | None = None) -> Status:
    """Return where a resolved study stands."""
    return status_of(study, Standing.read(store, [study]), time.time() if now is None else now)


def status_of(study: StudyOrSearch, standing: Standing, now: float) -> Status:
    """Return where a resolved study stands, from what is known of its trials."""
    state = plan_after([study], standing.ends)
    names = trial_names(study)
    open_keys = [*state.failed, *state.missing]
    active = [key for key in open_keys if key in standing.active]
    running = tuple(running_trial(standing.store, key, names.get(key, ""), now) for key in active)
    waiting = len(set(state.missing) - set(active))
    typical = _trial_seconds(standing, state.finished) if running else None
    left = _seconds_left(typical, running, waiting)
    failed = len(set(state.failed) - set(active))
    return Status(len(state.finished), failed, running, waiting, left)


def running_trial(store: Store, key: str, name: str, now: float) -> Running:
    """Return how far a trial is that some process trains now."""
    folder = store.trial(key)
    rows = folder.evaluations()
    newest = next(reversed(rows), None)
    scores = (row.number("val.miou") for row in reversed(rows))
    score = next((number for number in scores if number is not None), None)
    return Running(
        key,
        name,
        newest.step if newest else 0,
        _total_steps(folder),
        math.nan if score is None else score,
        max(0.0, now - (folder.attempted_at or now)),
    )


def _total_steps(folder: TrialFolder) -> int | None:
    found = folder.find_description()
    return None if found is None else found.steps  # none where it has only just begun


def _trial_seconds(standing: Standing, finished: Sequence[str]) -> float | None:
    """Return how long a trial took on average, None before any has finished."""
    some = finished[:: max(1, len(finished) // SAMPLE)]
    seconds = [took for key in some if (took := standing.seconds(key)) is not None]
    return mean(seconds) if seconds else None


def _seconds_left(typical: float | None, running: Sequence[Running], waiting: int) -> float | None:
    if not running:
        return None if waiting else 0.0
    if typical is None:
        guesses = list(_guesses(running))
        if not guesses:
            return None
        typical = mean(guesses)
    left = sum(typical * (1 - _share(own, typical)) for own in running)
    return (left + waiting * typical) / len(running)


def _guesses(running: Sequence[Running]) -> Iterator[float]:
    """Yield how long each running trial would take at the pace that it has had so far."""
    for own in running:
        if own.step and own.total_steps:
            yield own.seconds * own.total_steps / own.step


def _share(own: Running, typical: float) -> float:
    """Return what part of a running trial is done."""
    by_time = own.seconds / typical if typical else 0.0
    by_steps = own.step / own.total_steps if own.total_steps else 0.0
    return min(1.0, max(by_time, by_steps))


def duration(seconds: float) -> str:
    """Return seconds in words, to about two digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def status_lines(store: Store, now: float | None = None) -> Iterator[str]:
    """Yield what `semisweep status` prints: a line a study, and below it one a running trial."""
    now = time.time() if now is None else now
    yield f"{'study':32} {'finished':>8} {'failed':>7} {'running':>8} {'waiting':>8}  estimated end"
    studies = store.study_files.all()
    standing = Standing.read(store, [stored.study for stored in studies])
    for stored in studies:
        shown = shown_name(stored)
        state = status_of(stored.study, standing, now)
        counts = f"{state.finished:8} {state.failed:7} {len(state.running):8} {state.waiting:8}"
        yield f"{shown:32} {counts}  {end_text(state, now)}"
        for own in state.running:
            yield f"    {own}"


def shown_name(stored: StoredStudy) -> str:
    """Return a study's name and scale, and what tells it from others of its name."""
    (name, scale, variant), study = stored
    if variant and variant != variant_of(study.changes):
        name = f"{name}@{variant}"
    return f"{name} {scale} {told(stored)}".strip()


def end_text(state: Status, now: float) -> str:
    """Return when a study will have ended, in words."""
    if not state.running and not state.waiting:
        return "complete"
    if state.seconds_left is None:
        return "unknown" if state.running else "nothing runs"
    end = time.localtime(now + state.seconds_left)
    form = "%H:%M" if state.seconds_left < 12 * 3600 else "%Y-%m-%d %H:%M"
    return f"{time.strftime(form, end)}, in {duration(state.seconds_left)}"
