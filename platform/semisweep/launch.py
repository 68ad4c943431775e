"""Launching a study: resolve it, check what it stands on, run what has no result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from semisweep.catalogue import find_study, short
from semisweep.compaction import compact_after_sweep
from semisweep.engine import Engine
from semisweep.job import Job
from semisweep.plan import plan, trial_names
from semisweep.progress import SweepProgress
from semisweep.prospect import remember
from semisweep.request import Request
from semisweep.store import Store
from semisweep.study import Search, Splits, Study, resolve
from semisweep.sweep import sweep
from semisweep.trial import Trial
from semisweep.validation import check_place, check_study


def run(name: str, request: Request) -> None:
    """Bring every trial of a study to a result or a failure.

    Ray starts first, and its workers while the study is still being imported, unless the store says
    that nothing is left to run, or there are fields, data or workers of the user to be checked.
    """
    check_place(name, request)
    with Engine(request.resources) as engine:
        if is_plain(request) and not looks_finished(name, request):
            engine.connect()
        study = find_study(name)
        splits = check_study(study, request)
        if isinstance(study, Search):
            from semisweep.search import run_search

            run_search(study, request, engine)
        elif request.race:
            from semisweep.racing import run_race

            run_race(study, request, engine, splits)
        else:
            run_study(study, request, engine, splits)
    compact_after_sweep(Store.open(request.store))


def is_plain(request: Request) -> bool:
    """Return whether hardly anything in a request could be wrong that needs the study to tell."""
    of_some_studies = (
        request.race or request.trials or request.deterministic or request.continue_stopped
    )
    plain = not request.changes and not request.roots.named and not of_some_studies
    return plain and request.resources.workers == 1


def looks_finished(name: str, request: Request) -> bool:
    """Return whether the store has all results of the study as it ran last; reads a few files."""
    asks_more = request.retry_failed or request.continue_stopped or request.trials or request.race
    if request.changes or request.seeds or asks_more or not Store.exists(request.store):
        return False
    store = Store.open(request.store)
    table = store.read_study(short(name), request.scale)
    return table is not None and not plan([table], store).missing


def run_study(study: Study, request: Request, engine: Engine, splits: Splits) -> None:
    """Run the trials of a table that have no result, on Ray."""
    resolved = resolve(study, request.scale, splits, request.changes, request.seeds)
    store = Store.open(request.store, create=True)
    store.write_study(study.name, request.scale, resolved.table)
    state = plan([resolved.table], store)
    missing = list(state.missing) + (list(state.failed) if request.retry_failed else [])
    if not missing:
        return
    remember(store, study.name, {key: resolved.trials[key] for key in missing}, splits, request)
    with SweepProgress(len(missing), trial_names(resolved.table)) as progress:
        jobs = [job_for(key, resolved.trials[key], store, splits, request) for key in missing]
        source = Grid(jobs, progress, store, resolved.table["metric"])
        sweep(source, engine, progress.watch, retries=request.retry_failed)


def job_for(key: str, trial: Trial, store: Store, splits: Splits, request: Request) -> Job:
    """Return what a worker needs to know of a trial."""
    return Job(
        key=key,
        trial=trial.encoded(),
        store=str(store.root),
        data_root=str(splits.roots.of(trial.data.name)),
        threads=request.resources.threads,
    )


class Grid:
    """A sweep's source that hands out a list of jobs."""

    def __init__(self, jobs: list[Job], progress: SweepProgress, store: Store, metric: str) -> None:
        self.total = len(jobs)
        self.progress, self.store, self.metric = progress, store, metric
        self._jobs: Iterator[Job] = iter(jobs)
        self._trials = {job.key: job.trial for job in jobs}

    def next(self) -> dict[str, Any] | None:
        """Return the next job, or None when there are no more."""
        job = next(self._jobs, None)
        return None if job is None else job.as_dict()

    def done(self, key: str, status: str, error: str) -> None:
        """Show the outcome of a job."""
        if status == "failed":
            keep_failure(self.store, key, error, self._trials[key])
        self.progress.finished(key, status, outcome_note(self.store, key, self.metric, error))


def keep_failure(store: Store, key: str, error: str, trial: Mapping[str, Any]) -> None:
    """Write the failure of a trial whose worker could not do so itself."""
    folder = store.trial(key)
    if not folder.finished and folder.failure() is None:
        folder.fail({"key": key, "error": error, "attempts": folder.attempts, "trial": trial})


def outcome_note(store: Store, key: str, metric: str, error: str) -> str:
    """Return the score of a finished trial, or the error of a failed one, in one line."""
    row = store.trial(key).result()
    if row is None:
        return error.strip().splitlines()[-1] if error.strip() else "no result"
    return f"{metric} {100 * float(row[metric]):.2f}  {float(row['run.seconds']):.0f} s"
