"""Launching studies: resolve them, check what they stand on, run what has no result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from semisweep.catalogue import find_study
from semisweep.compaction import compact_after_sweep
from semisweep.engine import Engine
from semisweep.image_tests import image_tests
from semisweep.job import Job
from semisweep.label_rows import measure, measured_keys
from semisweep.prepare import Prepared, Say, looks_finished, prepare
from semisweep.progress import SweepProgress
from semisweep.request import Request
from semisweep.store import Store
from semisweep.study import Search, Splits, Study
from semisweep.sweep import sweep
from semisweep.trial import Trial
from semisweep.validation import check_place, check_study


def run(names: Sequence[str], request: Request, say: Say = lambda text: None) -> None:
    """Bring every trial of some studies to a result or a failure; `say` gets warnings.

    Ray starts first, and its workers while the studies are still being imported, unless the store
    says that nothing is left to run, or there are fields, data or workers of the user to check.
    """
    for name in names:
        check_place(name, request)
    if request.smoke:
        from semisweep.smoke import smoke_roots

        request = replace(request, roots=smoke_roots(request))
    with Engine(request.resources) as engine:
        if is_plain(request) and not all(looks_finished(name, request) for name in names):
            engine.connect()
        studies = [wanted(find_study(name), request) for name in names]
        tables = [
            prepare(study, request, check_study(study, request), say)
            for study in studies
            if isinstance(study, Study)
        ]
        run_tables(tables, request, engine)
        look_closer(tables, request, say)
        searches = [study for study in studies if isinstance(study, Search)]
        for search in searches:
            check_study(search, request)
        if searches and not tables:
            run_search(searches.pop(0), request, engine)
    for search in searches:
        with Engine(request.resources) as own:
            run_search(search, request, own)
    compact_after_sweep(Store.open(request.store))


def look_closer(tables: Sequence[Prepared], request: Request, say: Say) -> None:
    """Measure of finished trials what tables show beside results: pseudo-labels, other images."""
    store = Store.open(request.store)
    for prepared in tables:
        if measured_keys(prepared.table):
            measure(prepared.table, store, request.roots, say)
        image_tests(prepared.table, store, make=True)


def wanted(study: Study | Search, request: Request) -> Study | Search:
    """Return what is to be run of a study: all, or as much as shows that it runs."""
    if request.smoke and isinstance(study, Study):
        from semisweep.smoke import reduced

        return reduced(study, request.scale)
    return study


def run_search(search: Search, request: Request, engine: Engine) -> None:
    """Run a search, whose module imports Optuna."""
    from semisweep import search as searching

    searching.run_search(search, request, engine)


def is_plain(request: Request) -> bool:
    """Return whether hardly anything in a request could be wrong that needs the study to tell."""
    if request.changes or request.roots.named or request.resources.workers > 1:
        return request.smoke and not request.changes and request.resources.workers == 1
    return not request.top_up


def run_tables(tables: Sequence[Prepared], request: Request, engine: Engine) -> None:
    """Run the trials of tables that have no result, on Ray; those of several tables once."""
    store = Store.open(request.store)
    jobs: dict[str, Job] = {}
    names: dict[str, str] = {}
    metrics: dict[str, str] = {}
    for prepared in reversed(tables):
        own = trial_names(prepared.table)
        prefix = f"{prepared.table['name']}, " if len(tables) > 1 else ""
        names |= {key: prefix + name for key, name in own.items()}
        metrics |= dict.fromkeys(own, prepared.table["metric"])
    for prepared in tables:
        for key in prepared.missing:
            jobs[key] = job_for(key, prepared.trials[key], store, prepared.splits, request)
    if not jobs:
        return
    with SweepProgress(len(jobs), names) as progress:
        sweep(Grid(list(jobs.values()), progress, store, metrics), engine, progress.watch)


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

    def __init__(
        self,
        jobs: list[Job],
        progress: SweepProgress,
        store: Store,
        metrics: Mapping[str, str],
    ) -> None:
        self.total = len(jobs)
        self.progress, self.store, self.metrics = progress, store, metrics
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
        self.progress.finished(key, status, outcome_note(self.store, key, self.metrics[key], error))


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


def trial_names(table: Mapping[str, Any]) -> dict[str, str]:
    """Return "row, column, replicate" for each key of a resolved study."""
    several = len(table["columns"]) > 1
    return {
        key: ", ".join([cell["row"], *([cell["column"]] if several else []), replicate])
        for cell in reversed(table["cells"])
        for replicate, key in cell["trials"].items()
    }
