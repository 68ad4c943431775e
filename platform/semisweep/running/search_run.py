"""Searches: Optuna suggests, Ray Tune runs, and the store is the whole state.

The sampler is made anew for every suggestion, from a seed that depends on the study and the trial's
number, and sees what the store has. So a search that is killed and started again goes on as if it
had not been; one trial at a time, it suggests the same sequence. Several at a time, it does so with
a `lag`: suggestion k then sees the results up to k - lag, waits for them, and sees no others.

The search in the store holds the space, every suggestion with what it saw, what was decided
at its rungs, and the Pareto front where there are several objectives. Each suggestion is noted in
the search's log before it is trained (`semisweep.store.suggestion_log`). When all have ended, the
best are trained again on new seeds (`semisweep.running.search_confirmation`).

A search whose space, or what else it must agree in, is another than in the store is another search,
with as many trials of its own as are asked for. It knows from the first what earlier ones of its
name have finished of its trials (`semisweep.search.earlier_trials`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from semisweep.cluster.connection import Connection
from semisweep.cluster.job import WAIT, Job, Outcome, Wait
from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.prometheus import SweepMetrics
from semisweep.cluster.sweep import sweep
from semisweep.core.config import replace
from semisweep.running.job_sources import job_for, keep_failure, outcome_note
from semisweep.running.preparation import Say
from semisweep.running.search_confirmation import Confirmations
from semisweep.search import sampling
from semisweep.search.earlier_trials import (
    declared,
    difference,
    short_identity,
    stored_search,
    taken_over,
    template_of,
)
from semisweep.search.halving import RungRule
from semisweep.search.trial_outcome import Observation, outcome_of, outcomes, rungs_of
from semisweep.store import stopped_trial, suggestion_log
from semisweep.store.resolved_search import ResolvedSearch, Suggestion, Value
from semisweep.store.store import Store
from semisweep.study.declaration import Search
from semisweep.study.plan import trial_names
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.study.scales import at_scale
from semisweep.study.search_space import fields_of
from semisweep.study.smoke import adapted
from semisweep.training.trial import Trial

TELLING = ("finished", "stopped")
TURN_SECONDS = 2.0  # between looks whether another process is done with the search


def run_search(
    search: Search, request: Request, connection: Connection, store: Store, say: Say
) -> None:
    """Suggest and run trials until the search has as many as it asks for.

    One process at a time runs a search: two would suggest without knowing of each other. Another
    process goes on when that one has ended or died.
    """

    def wait() -> None:
        say(f"{search.name}: waits, as another process goes on with it in store={store.root}")
        connection.disconnect()  # else workers that do nothing could be in the way of its own

    with turn(store, search.name, request.stored_scale, wait) as confirm:
        _run(search, request, connection, store, say, confirm)


@contextmanager
def turn(
    store: Store, name: str, scale: str, wait: Callable[[], object]
) -> Iterator[Callable[[], None]]:
    """Hold the lock of a search; `wait` is called once if another process has it.

    Yields a function that raises `LeaseError` when another process has taken it over.
    """
    folder, waits = suggestion_log.turn_folder(name, scale), False
    while True:
        with store.lock(folder, wait=False) as confirm:
            if confirm:
                yield confirm
                return
        if not waits:
            wait()
            waits = True
        time.sleep(TURN_SECONDS)


def _run(
    search: Search,
    request: Request,
    connection: Connection,
    store: Store,
    say: Say,
    confirm: Callable[[], None],
) -> None:
    source = Suggestions(search, request, store, lag_of(request, connection), confirm, say)
    if source.total:
        with SweepProgress(source.total, source.names) as progress:
            source.progress = progress
            # A suggestion sees what was finished before it.
            watch = SweepMetrics(search.name, progress)
            sweep(source, connection, watch, in_order=True, retries=request.retry_failed)


def lag_of(request: Request, connection: Connection) -> int:
    """Return of how many of its last trials a search must not know, 0 where it need not repeat."""
    if not request.deterministic:
        return 0
    if request.resources.slots is None:
        connection.connect()
    return request.resources.slots or connection.slots


class Suggestions:
    """A sweep's source that asks for the next trial, given what the store has finished.

    `lag`: of a search that is to repeat itself; the store keeps it, and resuming goes by that.
    """

    def __init__(
        self,
        search: Search,
        request: Request,
        store: Store,
        lag: int = 0,
        confirm: Callable[[], None] = lambda: None,
        say: Say = lambda text: None,
        called: str = "",
    ) -> None:
        self.called = f"{called}, " if called else ""  # before the names of trials
        self.search, self.request, self.store, self.confirm = search, request, store, confirm
        self.splits = Splits(request.roots, store.keys())
        self.template = template_of(search, request)
        self.space = dict(at_scale(search.space, request.scale, {}))
        self.resolved = self._resolved(lag, say)
        self.lag = self.resolved.lag
        self.limit = limit(search, request, self.resolved)
        self.trials = {entry.key: self.trial(entry.params) for entry in self.entries}
        self.names = {entry.key: self.name(entry) for entry in self.entries}
        self.outcomes = outcomes(store, self.resolved)
        self.waiting = self._unfinished()
        self.pending = {entry.key for entry in self.waiting}
        self.confirmations = Confirmations(search, store, self.splits, self.template, request)
        self.total = len(self.waiting) + max(0, self.limit - len(self.entries))
        self.total += self.confirmations.expected(self.resolved, self.outcomes, self.total)
        self.progress: SweepProgress | None = None
        self._keep()

    @property
    def entries(self) -> Sequence[Suggestion]:
        """Return what has been suggested so far, in order."""
        return self.resolved.trials

    def trial(self, values: Mapping[str, Value]) -> Trial:
        """Return the trial of some suggested values."""
        return adapted(replace(self.template, fields_of(self.space, values)), self.request)

    def name(self, entry: Suggestion) -> str:
        """Return how a suggested trial is called on the screen."""
        values = (f"{path.rpartition('.')[2]}={_short(v)}" for path, v in entry.params.items())
        return f"{self.called}#{entry.number} " + " ".join(values)

    def next(self) -> Job | Wait | None:
        """Return the next job: first what an earlier run left, then new suggestions.

        The best are trained again at last. `WAIT` while a suggestion must see a trial that has not
        ended yet, or the best are not known for that reason.
        """
        entry = self.waiting.pop(0) if self.waiting else self._suggest()
        if entry is None:
            return WAIT if self._must_wait() else self._confirm()
        key, label = entry.key, f"{self.search.name}: {self.name(entry)}"
        job = job_for(
            key,
            self.trials[key],
            self.store,
            self.splits,
            self.request,
            label,
            metrics=self.resolved.metrics,
        )
        return dataclasses.replace(job, halving=self._halving(entry.number))

    def done(self, outcome: Outcome) -> None:
        """Take note of the outcome of a job, and show it."""
        key, status = outcome.key, outcome.status
        if status == "failed":
            keep_failure(self.store, outcome, self.trials[key].encoded())
        if key in self.confirmations.trials:
            if self.progress:
                note = outcome_note(self.store, outcome, self.search.metric)
                self.progress.finished(key, status, note)
            return
        self.pending.discard(key)
        self.outcomes[key] = outcome_of(self.resolved, self.store.trial(key))
        if self.search.halving or self.search.also:
            self._keep(key)
        if self.progress:
            stopped = stopped_trial.stopped(self.store.trial(key)) if status == "stopped" else None
            note = outcome_note(self.store, outcome, self.search.metric)
            self.progress.finished(key, status, stopped.stopped_because if stopped else note)

    def _confirm(self) -> Job | Wait | None:
        """Return the next trial of the best on a new seed; None where there is none left."""
        if self.confirmations.jobs is None:
            if self.pending and self.confirmations.wanted(self.resolved):
                return WAIT
            self._begin_confirmation()
        return next(self.confirmations.jobs or iter(()), None)

    def _begin_confirmation(self) -> None:
        """Note which are the best now that all have ended, unless that was done."""
        new = self.confirmations.due(self.resolved, self.outcomes)
        if new is not None:
            self.confirm()
            suggestion_log.append_confirmation(self.store.root, self.resolved, new)
            known = self.resolved.confirmations
            self.resolved = dataclasses.replace(self.resolved, confirmations=(*known, new))
            self._write()
        self.confirmations.begin(self.resolved)
        self.trials |= self.confirmations.trials
        for key, name in trial_names(self.resolved).items():
            self.names.setdefault(key, name)

    def _suggest(self) -> Suggestion | None:
        """Return a new suggestion; None where there is none, or one must see further ends first."""
        while len(self.entries) < self.limit:
            number = len(self.entries)
            sight = self._sight(number)
            if self._must_wait():
                return None
            seen = self._seen()
            values = sampling.suggest(self.resolved, seen, sight)
            trial = self.trial(values)
            key = self.splits.key(trial)
            told = {found for found, outcome in seen.items() if outcome.state in TELLING}
            saw = tuple(e.number for e in self.entries[:sight] if e.key in told)
            entry = Suggestion(number=number, params=values, key=key, saw=saw)
            known = key in self.trials or self.store.trial(key).finished
            self.confirm()
            suggestion_log.append(self.store.root, self.resolved, entry)
            self.resolved = dataclasses.replace(self.resolved, trials=(*self.entries, entry))
            self.trials[key] = trial
            self.names[key] = self.name(entry)
            if not known:
                self.pending.add(key)
                self._write()
                return entry
            self._known(key)
        return None

    def _known(self, key: str) -> None:
        """Take a suggestion that is trained already, here or for another study."""
        if key not in self.pending:
            self.done(Outcome(key, "known"))
        elif self.progress:
            self.progress.finished(key, "known", "is being trained")
        self._write()

    def _must_wait(self) -> bool:
        """Return whether the next suggestion must see a trial that has not ended yet."""
        number = len(self.entries)
        seen = self.entries[: self._sight(number)] if self.lag and number < self.limit else ()
        return any(entry.key in self.pending for entry in seen)

    def _sight(self, number: int) -> int:
        """Return of how many trials, from the first, a suggestion may know the outcome."""
        return max(0, number - self.lag + 1) if self.lag else number

    def _seen(self) -> dict[str, Observation]:
        """Return how trials ended, by key; of those being trained, if the store has the result."""
        for key in self.pending if not self.lag else ():
            if self.store.trial(key).finished:  # which this sweep has yet to hear of
                self.outcomes[key] = outcome_of(self.resolved, self.store.trial(key))
        return {
            key: outcome
            for key, outcome in self.outcomes.items()
            if key not in self.pending or outcome.state == "finished"
        }

    def _unfinished(self) -> list[Suggestion]:
        """Return, once a key, the suggestions that are to be run before there are new ones."""
        again = {"running"}
        again |= {"failed"} if self.request.retry_failed else set()
        again |= {"stopped"} if self.request.continue_stopped else set()
        first = {entry.key: entry for entry in reversed(self.entries)}
        found = sorted(first.values(), key=lambda entry: entry.number)
        states = {key: outcome.state for key, outcome in self.outcomes.items()}
        return [
            entry
            for entry in found
            if states.get(entry.key, "running") in again
            and not self.store.trial(entry.key).finished
        ]

    def _halving(self, number: int) -> RungRule | None:
        """Return what a worker needs to know of a trial's rungs; nothing where it is to finish."""
        halving, resolved = self.resolved.halving, self.resolved
        if halving is None or self.request.continue_stopped:
            return None
        return RungRule(
            identity=resolved.identity,
            name=resolved.name,
            scale=resolved.scale,
            changes=resolved.changes,
            direction=resolved.direction,
            rungs=halving.rungs,
            reduction=halving.reduction,
            peers=halving.peers,
            metric=halving.metric,
            among=self._among(number),
        )

    def _among(self, number: int) -> list[str] | None:
        """Return the keys of the trials that rungs compare with; None: all there are by then."""
        if not self.lag:
            return None
        return [entry.key for entry in self.entries[: self._sight(number)]]

    def _resolved(self, lag: int, say: Say) -> ResolvedSearch:
        """Return the search as the store has it, or a new one where it has another or none."""
        new = declared(self.search, self.request, self.splits, lag)
        stored = self.store.read_search(new.name, new.scale, new.changes)
        known = stored_search(self.search, self.request, self.splits, self.store)
        if known is not None:
            known_lag, again = known.lag or lag, known.confirmations
            new = dataclasses.replace(new, trials=known.trials, lag=known_lag, confirmations=again)
        suggestion_log.begin(self.store.root, new)
        if stored is None or stored.is_same_as(new):
            return new
        others = [own.study for own in self.store.study_files.named(new.name, new.scale)]
        earlier = [own for own in others if isinstance(own, ResolvedSearch)]
        more = taken_over(self.store, new, earlier, lambda own: self.splits.key(self.trial(own)))
        for entry in more:
            self.confirm()
            suggestion_log.append(self.store.root, new, entry)
        say(_told_change(stored, new, len(more)))
        return dataclasses.replace(new, trials=(*new.trials, *more))

    def _keep(self, key: str | None = None) -> None:
        """Write the search with its front, and what is decided of a trial by now, or of each."""
        entries, front = self.entries, self.resolved.front
        if self.search.halving:
            entries = [self._with_rungs(e) if key in (None, e.key) else e for e in entries]
        self.resolved = dataclasses.replace(self.resolved, trials=tuple(entries))
        if self.search.also:
            front = tuple(sampling.front(self.resolved, self.outcomes))
        self.resolved = dataclasses.replace(self.resolved, front=front)
        self._write()

    def _with_rungs(self, entry: Suggestion) -> Suggestion:
        """Return a suggestion with what was decided of it at its rungs, once it has ended."""
        if entry.key not in self.outcomes:
            return entry
        decided = rungs_of(self.resolved, self.store.trial(entry.key))
        rungs = tuple(dataclasses.replace(decision, search="") for decision in decided)
        return dataclasses.replace(entry, rungs=rungs)

    def _write(self) -> None:
        self.confirm()
        self.store.write_study(self.search.name, self.resolved.scale, self.resolved)


def limit(search: Search, request: Request, resolved: ResolvedSearch) -> int:
    """Return how many trials a search is to have: its own, and those that it has taken over."""
    wanted = request.trials or search.trials
    if search.sampler == "grid":
        points = sampling.grid_size(resolved.space or {})
        return points if wanted is None else min(points, wanted)
    assert wanted is not None  # as `check_search` has made sure of
    return wanted + len(resolved.trials) - len(resolved.own)


def _told_change(old: ResolvedSearch, new: ResolvedSearch, taken: int) -> str:
    """Return a line on a search that is another than the store had under its name."""
    begun = f"goes on after its {len(new.own)} trials" if new.own else "begins"
    return (
        f"{new.name}: another search than before ({difference(old, new)}) {begun}; it knows "
        f"{taken} of the {len(old.suggested_keys)} earlier trials, and suggests as many of its own "
        f"as asked for; the earlier search stays as {old.name}@{short_identity(old)}"
    )


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
