"""Searches: Optuna suggests, Ray Tune runs, and the store is the whole state.

The sampler is made anew for every suggestion, from a seed that depends on the study and the trial's
number, and sees what the store has. So a search that is killed and started again goes on as if it
had not been; one trial at a time, it suggests the same sequence.

The only file that imports `optuna`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from semisweep.config import digest, replace
from semisweep.engine import Engine
from semisweep.launch import job_for, keep_failure, outcome_note
from semisweep.progress import SweepProgress
from semisweep.request import Request
from semisweep.scales import at_scale
from semisweep.seeding import derive
from semisweep.store import Store
from semisweep.study import Search, Splits, make_trial, preset_of
from semisweep.sweep import sweep
from semisweep.trial import Trial

STARTUP_TRIALS = 5


def run_search(search: Search, request: Request, engine: Engine) -> None:
    """Suggest and run trials until the search has as many as it asks for."""
    store = Store.open(request.store, create=True)
    source = Suggestions(search, request, store)
    if source.total:
        with SweepProgress(source.total, source.names) as progress:
            source.progress = progress
            sweep(source, engine, progress.watch)


class Suggestions:
    """A sweep's source that asks Optuna for the next trial, given what the store has finished."""

    def __init__(self, search: Search, request: Request, store: Store) -> None:
        self.search, self.request, self.store = search, request, store
        self.splits = Splits(request.roots)
        preset = preset_of(search, request.scale)
        fields = at_scale(search.set, request.scale, {})
        self.template = make_trial(preset, search.method, fields, request.changes)
        self.space = dict(at_scale(search.space, request.scale, {}))
        self.table = self._table()
        self.trials = {entry["key"]: self.trial(entry["params"]) for entry in self.entries}
        self.names = {entry["key"]: self.name(entry) for entry in self.entries}
        ended = store.finished()
        if not request.retry_failed:
            ended |= set(store.failures())
        self.waiting = [entry for entry in self.entries if entry["key"] not in ended]
        self.total = len(self.waiting) + max(0, search.trials - len(self.entries))
        self.progress: SweepProgress | None = None

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Return what has been suggested so far, in order."""
        return self.table["trials"]  # type: ignore[no-any-return]

    def trial(self, values: Mapping[str, Any]) -> Trial:
        """Return the trial of some suggested values."""
        return replace(self.template, values)

    def name(self, entry: Mapping[str, Any]) -> str:
        """Return how a suggested trial is called on the screen."""
        values = (f"{path.rpartition('.')[2]}={_short(v)}" for path, v in entry["params"].items())
        return f"#{entry['number']} " + " ".join(values)

    def next(self) -> dict[str, Any] | None:
        """Return the next job: first what an earlier run left, then new suggestions."""
        entry = self.waiting.pop(0) if self.waiting else self._suggest()
        if entry is None:
            return None
        trial = self.trials[entry["key"]]
        return job_for(entry["key"], trial, self.store, self.splits, self.request).as_dict()

    def done(self, key: str, status: str, error: str) -> None:
        """Show the outcome of a job."""
        if status == "failed":
            keep_failure(self.store, key, error, self.trials[key].encoded())
        if self.progress:
            note = outcome_note(self.store, key, self.search.metric, error)
            self.progress.finished(key, status, note)

    def _suggest(self) -> dict[str, Any] | None:
        while len(self.entries) < self.search.trials:
            number = len(self.entries)
            values, saw = self._ask(number)
            trial = self.trial(values)
            key = self.splits.key(trial)
            entry = {"number": number, "params": values, "key": key, "saw": saw}
            known = key in self.trials or self.store.trial(key).finished
            self.entries.append(entry)
            self.trials[key] = trial
            self.names[key] = self.name(entry)
            self.store.write_study(self.search.name, self.request.scale, self.table)
            if not known:
                return entry
            self.done(key, "known", "")
        return None

    def _ask(self, number: int) -> tuple[dict[str, Any], list[int]]:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        seed = derive("search", self.search.name, self.request.scale, number) % 2**32
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True
            )
        study = optuna.create_study(sampler=sampler, direction=self.search.direction)
        saw = []
        for entry in self.entries:
            value = self._value(entry["key"])
            if value is not None:
                saw.append(entry["number"])
            study.add_trial(
                optuna.trial.create_trial(
                    params=entry["params"],
                    distributions=self.space,
                    value=value,
                    state=optuna.trial.TrialState.COMPLETE
                    if value is not None
                    else optuna.trial.TrialState.RUNNING,
                )
            )
        return dict(study.ask(self.space).params), saw

    def _value(self, key: str) -> float | None:
        row = self.store.trial(key).result()
        return None if row is None else float(row[self.search.metric])

    def _table(self) -> dict[str, Any]:
        import optuna

        search, scale = self.search, self.request.scale
        space = {
            path: optuna.distributions.distribution_to_json(found)
            for path, found in self.space.items()
        }
        table = {
            "format": 1,
            "kind": "search",
            "name": search.name,
            "title": search.title,
            "scale": scale,
            "metric": search.metric,
            "direction": search.direction,
            "space": space,
            "template": digest(self.template.encoded()),
            "changes": dict(self.request.changes),
            "trials": [],
        }
        stored = self.store.read_study(search.name, scale) or {}
        if all(stored.get(name) == table[name] for name in ("space", "template", "metric")):
            table["trials"] = stored["trials"]
        self.store.write_study(search.name, scale, table)
        return table


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
