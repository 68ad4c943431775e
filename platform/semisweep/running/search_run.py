"""Searches: Optuna suggests, Ray Tune runs, and the store is the whole state.

The sampler is made anew for every suggestion, from a seed that depends on the study and the trial's
number, and sees what the store has. So a search that is killed and started again goes on as if it
had not been; one trial at a time, it suggests the same sequence. Several at a time, it does so with
a `lag`: suggestion k then sees the results up to k - lag, waits for them, and sees no others.

The study's table in the store holds the space, every suggestion with what it saw, what was decided
at its rungs, and the Pareto front where there are several objectives.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from semisweep.cluster.connection import Connection
from semisweep.cluster.job import WAIT, Job, Outcome, Wait
from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.prometheus import SweepMetrics
from semisweep.cluster.sweep import sweep
from semisweep.core.config import digest, replace
from semisweep.running.job_sources import job_for, keep_failure, outcome_note
from semisweep.running.preparation import Say
from semisweep.search import sampling
from semisweep.search.trial_outcome import Observation, outcome_of, outcomes, rungs_of
from semisweep.store import stopped_trial
from semisweep.store.store import Store
from semisweep.study.declaration import Search
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, make_trial, preset_of
from semisweep.study.scales import at_scale
from semisweep.study.search_space import fields_of
from semisweep.training.trial import Trial

# What a stored table must agree in with the search, to be gone on with; and what it has of it where
# it was written before there was anything else.
SAME: Mapping[str, Any] = {
    **dict.fromkeys(("space", "template", "metric", "direction")),
    "sampler": "tpe",
    "also": [],
    "halving": None,
}


TELLING = ("finished", "stopped")
TURN_SECONDS = 2.0  # between looks whether another process is done with the search


def run_search(search: Search, request: Request, connection: Connection, say: Say) -> None:
    """Suggest and run trials until the search has as many as it asks for.

    One process at a time: others would suggest without knowing of each other. The next one goes on
    where that ends, however it does.
    """
    store = Store.open(request.store, create=True)

    def wait() -> None:
        say(f"{search.name}: waits, as another process goes on with it in store={store.root}")
        connection.disconnect()  # else workers that do nothing could be in the way of its own

    with turn(store, search.name, request.scale, wait) as confirm:
        _run(search, request, connection, store, confirm)


@contextmanager
def turn(
    store: Store, name: str, scale: str, wait: Callable[[], object]
) -> Iterator[Callable[[], None]]:
    """Hold the right to go on with a search; `wait` is called once if another process has it.

    Yields what raises `LeaseError` when another process has taken the right over.
    """
    folder, waits = f"searches/{digest([name, scale])}", False
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
    confirm: Callable[[], None],
) -> None:
    lag = 0
    if request.deterministic:
        if request.resources.slots is None:
            connection.connect()
        lag = request.resources.slots or connection.slots
    source = Suggestions(search, request, store, lag, confirm)
    if source.total:
        with SweepProgress(source.total, source.names) as progress:
            source.progress = progress
            # A suggestion sees what was finished before it.
            watch = SweepMetrics(search.name, progress)
            sweep(source, connection, watch, in_order=True, retries=request.retry_failed)


class Suggestions:
    """A sweep's source that asks for the next trial, given what the store has finished.

    `lag`: of a search that is to repeat itself; the table keeps it, and resuming goes by the table.
    """

    def __init__(
        self,
        search: Search,
        request: Request,
        store: Store,
        lag: int = 0,
        confirm: Callable[[], None] = lambda: None,
    ) -> None:
        self.search, self.request, self.store, self.confirm = search, request, store, confirm
        self.splits = Splits(request.roots)
        preset = preset_of(search, request.scale)
        fields = at_scale(search.set, request.scale, {})
        self.template = make_trial(preset, search.method, fields, request.changes)
        self.space = dict(at_scale(search.space, request.scale, {}))
        self.table = self._table(lag)
        self.lag = int(self.table.get("lag", 0))
        self.limit = limit(search, request, self.table)
        self.trials = {entry["key"]: self.trial(entry["params"]) for entry in self.entries}
        self.names = {entry["key"]: self.name(entry) for entry in self.entries}
        self.outcomes = outcomes(store, self.table)
        self.waiting = self._unfinished()
        self.pending = {entry["key"] for entry in self.waiting}
        self.total = len(self.waiting) + max(0, self.limit - len(self.entries))
        self.progress: SweepProgress | None = None
        self._keep_table()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Return what has been suggested so far, in order."""
        return self.table["trials"]  # type: ignore[no-any-return]

    def trial(self, values: Mapping[str, Any]) -> Trial:
        """Return the trial of some suggested values."""
        return replace(self.template, fields_of(self.space, values))

    def name(self, entry: Mapping[str, Any]) -> str:
        """Return how a suggested trial is called on the screen."""
        values = (f"{path.rpartition('.')[2]}={_short(v)}" for path, v in entry["params"].items())
        return f"#{entry['number']} " + " ".join(values)

    def next(self) -> Job | Wait | None:
        """Return the next job: first what an earlier run left, then new suggestions.

        `WAIT` while a suggestion must see a trial that has not ended yet.
        """
        entry = self.waiting.pop(0) if self.waiting else self._suggest()
        if entry is None or isinstance(entry, Wait):
            return entry
        key, label = entry["key"], f"{self.search.name}: {self.name(entry)}"
        job = job_for(key, self.trials[key], self.store, self.splits, self.request, label)
        return dataclasses.replace(job, halving=self._halving(entry["number"]))

    def done(self, outcome: Outcome) -> None:
        """Take note of the outcome of a job, and show it."""
        key, status = outcome.key, outcome.status
        if status == "failed":
            keep_failure(self.store, outcome, self.trials[key].encoded())
        self.pending.discard(key)
        self.outcomes[key] = outcome_of(self.table, self.store.trial(key))
        if self.search.halving or self.search.also:
            self._keep_table(key)
        if self.progress:
            stopped = stopped_trial.stopped(self.store.trial(key)) if status == "stopped" else None
            note = outcome_note(self.store, outcome, self.search.metric)
            self.progress.finished(key, status, stopped["stopped.reason"] if stopped else note)

    def _suggest(self) -> dict[str, Any] | Wait | None:
        while len(self.entries) < self.limit:
            number = len(self.entries)
            sight = self._sight(number)
            if self.lag and any(e["key"] in self.pending for e in self.entries[:sight]):
                return WAIT
            seen = self._seen()
            values = sampling.suggest(self.table, seen, sight)
            trial = self.trial(values)
            key = self.splits.key(trial)
            told = {found for found, outcome in seen.items() if outcome.state in TELLING}
            saw = [e["number"] for e in self.entries[:sight] if e["key"] in told]
            entry = {"number": number, "params": values, "key": key, "saw": saw}
            known = key in self.trials or self.store.trial(key).finished
            self.entries.append(entry)
            self.trials[key] = trial
            self.names[key] = self.name(entry)
            if not known:
                self.pending.add(key)
                self._write_table()
                return entry
            self._known(key)
        return None

    def _known(self, key: str) -> None:
        """Take a suggestion that is trained already, here or for another study."""
        if key not in self.pending:
            self.done(Outcome(key, "known"))
        elif self.progress:
            self.progress.finished(key, "known", "is being trained")
        self._write_table()

    def _sight(self, number: int) -> int:
        """Return how many trials, from the first, a suggestion may know the end of."""
        return max(0, number - self.lag + 1) if self.lag else number

    def _seen(self) -> dict[str, Observation]:
        """Return how trials ended, by key; of those being trained, if the store has the result."""
        for key in self.pending if not self.lag else ():
            if self.store.trial(key).finished:  # which this sweep has yet to hear of
                self.outcomes[key] = outcome_of(self.table, self.store.trial(key))
        return {
            key: outcome
            for key, outcome in self.outcomes.items()
            if key not in self.pending or outcome.state == "finished"
        }

    def _unfinished(self) -> list[dict[str, Any]]:
        """Return, once a key, the suggestions that are to be run before there are new ones."""
        again = {"running"}
        again |= {"failed"} if self.request.retry_failed else set()
        again |= {"stopped"} if self.request.continue_stopped else set()
        first = {entry["key"]: entry for entry in reversed(self.entries)}
        found = sorted(first.values(), key=lambda entry: int(entry["number"]))
        states = {key: outcome.state for key, outcome in self.outcomes.items()}
        return [
            entry
            for entry in found
            if states.get(entry["key"], "running") in again
            and not self.store.trial(entry["key"]).finished
        ]

    def _halving(self, number: int) -> dict[str, Any] | None:
        """Return what a worker needs to know of a trial's rungs; nothing where it is to finish."""
        halving = self.search.halving
        if halving is None or self.request.continue_stopped:
            return None
        return {
            **{name: self.table[name] for name in ("identity", "name", "scale", "direction")},
            **self.table["halving"],
            "among": self._among(number),
        }

    def _among(self, number: int) -> list[str] | None:
        """Return the keys that a trial's rungs look at; None: of all there are by then."""
        if not self.lag:
            return None
        return [entry["key"] for entry in self.entries[: self._sight(number)]]

    def _table(self, lag: int) -> dict[str, Any]:
        search, scale = self.search, self.request.scale
        halving = search.halving
        table = {
            "format": 1,
            "kind": "search",
            **{name: getattr(search, name) for name in ("name", "title", "metric", "direction")},
            "scale": scale,
            "sampler": search.sampler,
            "also": [vars(item) for item in search.also],
            "halving": {**vars(halving), "rungs": list(halving.rungs)} if halving else None,
            "space": sampling.describe(self.space),
            "template": digest(self.template.encoded()),
            "changes": dict(self.request.changes),
            "trials": [],
        }
        table = dict(json.loads(json.dumps(table)))
        table["identity"] = digest([table[name] for name in ("name", "scale", *SAME)])
        stored = self.store.read_study(search.name, scale) or {}
        if all(stored.get(name, default) == table[name] for name, default in SAME.items()):
            table["trials"] = stored["trials"]
            lag = stored.get("lag") or lag
        return table | ({"lag": lag} if lag else {})

    def _keep_table(self, key: str | None = None) -> None:
        """Write the table with the front, and what is decided of a trial by now, or of each."""
        for entry in self.entries if self.search.halving else ():
            if entry["key"] in self.outcomes and key in (None, entry["key"]):
                decided = rungs_of(self.table, self.store.trial(entry["key"]))
                entry["rungs"] = [
                    {name: row[name] for name in row if name != "search"} for row in decided
                ]
        if self.search.also:
            self.table["front"] = sampling.front(self.table, self.outcomes)
        self._write_table()

    def _write_table(self) -> None:
        self.confirm()
        self.store.write_study(self.search.name, self.request.scale, self.table)


def limit(search: Search, request: Request, table: Mapping[str, Any]) -> int:
    """Return how many trials a search is to have."""
    wanted = request.trials or search.trials
    if search.sampler == "grid":
        points = sampling.grid_size(table)
        return points if wanted is None else min(points, wanted)
    assert wanted is not None  # as `check_search` has made sure of
    return wanted


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
