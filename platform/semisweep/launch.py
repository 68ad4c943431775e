"""Launching studies: resolve them, check what they stand on, run what has no result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from semisweep.catalogue import find_study
from semisweep.compaction import compact_after_sweep
from semisweep.engine import Engine
from semisweep.image_tests import image_tests
from semisweep.job import Job
from semisweep.label_rows import measure, measured_keys
from semisweep.machine_data import check_machines, known_digest
from semisweep.metrics import SweepMetrics
from semisweep.plan import trial_names
from semisweep.prepare import Prepared, Say, looks_finished, prepare
from semisweep.progress import SweepProgress
from semisweep.prospect import remember
from semisweep.request import AUTO, Request
from semisweep.store import Store
from semisweep.study import Search, Splits, Study
from semisweep.sweep import sweep
from semisweep.trial import Trial
from semisweep.validation import check_place, check_study, sample_trials


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
        apart = [study for study in studies if request.race or isinstance(study, Search)]
        tables = [
            prepare(study, request, check_study(study, request), say)
            for study in studies
            if isinstance(study, Study) and not request.race
        ]
        engine.pack = packer(request, tables, apart, say)
        run_tables(tables, request, engine)
        look_closer(tables, request, say)
        for study in apart:
            check_study(study, request)
        if apart and not tables:
            run_apart(apart.pop(0), request, engine, say)
    for study in apart:
        with Engine(request.resources) as own:
            own.pack = packer(request, [], [study], say)
            run_apart(study, request, own, say)
    compact_after_sweep(Store.open(request.store))


def packer(
    request: Request, tables: Sequence[Prepared], apart: Sequence[Study | Search], say: Say
) -> Callable[[Any], float | None]:
    """Return what tells, of a cluster, which share of a GPU the trials of a request need."""

    def pack(ray: Any) -> float | None:
        from semisweep.packing import gpu_share, smallest_gpu

        room = smallest_gpu(ray)
        trials = [table.trials[key] for table in tables for key in table.missing]
        races = [study for study in apart if not isinstance(study, Search)]
        trials += [trial for study in races for trial in sample_trials(study, request)]
        share, why = None, "a trial like one of these was never measured on one"
        if request.resources.workers > 1:
            why = "several workers must have one each"
        elif len(races) < len(apart):
            why = "what a search will ask for is not known"
        else:
            share = gpu_share(trials, Store.open(request.store, create=True), room)
        if room and share is None:
            say(f"warning: a GPU for each worker, got gpus={AUTO}: {why}")
        return share

    return pack


def look_closer(tables: Sequence[Prepared], request: Request, say: Say) -> None:
    """Measure of finished trials what tables show beside results: pseudo-labels, other images."""
    store = Store.open(request.store)
    finished = store.finished()
    for prepared in tables:
        if measured_keys(prepared.table):
            measure(prepared.table, store, request.roots, say)
        image_tests(prepared.table, store, finished, make=True)


def wanted(study: Study | Search, request: Request) -> Study | Search:
    """Return what is to be run of a study: all, or as much as shows that it runs."""
    if request.smoke and isinstance(study, Study):
        from semisweep.smoke import reduced

        return reduced(study, request.scale)
    return study


def run_apart(study: Study | Search, request: Request, engine: Engine, say: Say) -> None:
    """Run a search, or race the rows of a table: what comes next depends on what has ended."""
    if isinstance(study, Search):
        from semisweep import search as searching

        searching.run_search(study, request, engine, say)
        return
    from semisweep.precheck import check_before
    from semisweep.racing import run_race

    splits = check_study(study, request)
    if request.check:
        store = Store.open(request.store, create=True)
        for finding in check_before(study, request.scale, request.changes, splits, store):
            say(f"warning: {study.name}: {finding}")
    run_race(study, request, engine, splits)


def is_plain(request: Request) -> bool:
    """Return whether hardly anything in a request could be wrong that needs the study to tell."""
    plain = not request.changes and request.resources.workers == 1
    plain = plain and request.resources.gpus != AUTO
    if request.smoke or not plain:
        return plain
    of_some_studies = (
        request.race or request.trials or request.deterministic or request.continue_stopped
    )
    return not (request.roots.named or request.top_up or of_some_studies)


def run_tables(tables: Sequence[Prepared], request: Request, engine: Engine) -> None:
    """Run the trials of tables that have no result, on Ray; those of several tables once."""
    store = Store.open(request.store)
    jobs: dict[str, Job] = {}
    names: dict[str, str] = {}
    metrics: dict[str, str] = {}
    study = tables[0].table["name"] if len(tables) == 1 else "several"
    for prepared in reversed(tables):
        own = trial_names(prepared.table)
        prefix = f"{prepared.table['name']}, " if len(tables) > 1 else ""
        names |= {key: prefix + name for key, name in own.items()}
        metrics |= dict.fromkeys(own, prepared.table["metric"])
    for prepared in tables:
        for key in prepared.missing:
            label = f"{study}: {names[key]}"
            jobs[key] = job_for(key, prepared.trials[key], store, prepared.splits, request, label)
    if not jobs:
        return
    for prepared in tables:
        trials = {key: prepared.trials[key] for key in prepared.missing}
        if trials:
            remember(store, prepared.table["name"], trials, prepared.splits, request)
    if request.resources.address:
        engine.connect()
        for dataset in dict.fromkeys(job.trial["data"]["name"] for job in jobs.values()):
            check_machines(engine.ray, dataset, request)
    with SweepProgress(len(jobs), names) as progress:
        source = Grid(list(jobs.values()), progress, store, metrics)
        watch = SweepMetrics(study, progress)
        sweep(source, engine, watch, retries=request.retry_failed)


def job_for(
    key: str, trial: Trial, store: Store, splits: Splits, request: Request, label: str = ""
) -> Job:
    """Return what a worker needs to know of a trial; `label` is what people know it by."""
    return Job(
        key=key,
        trial=trial.encoded(),
        store=str(store.root),
        data_root=str(splits.roots.of(trial.data.name)),
        data_digest=known_digest(trial.data.name, request),
        threads=request.resources.threads,
        label=label,
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
    if not folder.finished and (folder.failure() or {}).get("error") != error:
        folder.fail({"key": key, "error": error, "attempts": folder.attempts, "trial": trial})


def outcome_note(store: Store, key: str, metric: str, error: str) -> str:
    """Return the score of a finished trial, or the error of a failed one, in one line."""
    row = store.trial(key).result()
    if row is None:
        return error.strip().splitlines()[-1] if error.strip() else "no result"
    return f"{metric} {100 * float(row[metric]):.2f}  {float(row['run.seconds']):.0f} s"
