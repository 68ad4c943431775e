"""Launching studies: resolve them, check what they stand on, run what has no result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar, cast

from semisweep.checks.validation import check_place, check_study, sample_trials
from semisweep.cluster.connection import Connection
from semisweep.cluster.job import Job
from semisweep.cluster.machine_data import check_machines
from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.prometheus import SweepMetrics
from semisweep.cluster.sweep import sweep
from semisweep.evaluation.pseudo_label_results import measure, measured_keys
from semisweep.running.cost_forecast import remember
from semisweep.running.job_sources import JobList, job_for, metrics_of
from semisweep.running.preparation import Prepared, Say, has_all_results, prepare
from semisweep.store.store import Store
from semisweep.store.study_origin import note_origin
from semisweep.study.catalogue import find_study, origin_of
from semisweep.study.declaration import Search, Study
from semisweep.study.plan import trial_names
from semisweep.study.request import AUTO, Request
from semisweep.study.resolve import Splits
from semisweep.study.tuned_rows import tuned_rows
from semisweep.tables.image_tests import image_tests
from semisweep.tracking.following import Follow, check_logging, check_searches, following

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named

Wanted = TypeVar("Wanted", bound=Study | Search)


def run(names: Sequence[Named], request: Request, say: Say = lambda text: None) -> Store:
    """Bring every trial of some studies to a result or a failure; return the store that has them.

    `say` gets warnings. Ray starts before the studies are imported, unless the store has all
    results already, or the request has options that must be checked first.
    """
    for name in names:
        check_place(name, request)
    check_logging(request)
    store = Store.open(request.store, create=True)
    if request.smoke:
        from semisweep.study.smoke import smoke_roots

        request = replace(request, roots=smoke_roots(request))
    with following(request, store, say) as follow:
        _run(names, request, store, say, follow)
    return store


def _run(names: Sequence[Named], request: Request, store: Store, say: Say, follow: Follow) -> None:
    with Connection(request.resources) as connection:
        if is_plain(request) and not all(has_all_results(name, request, store) for name in names):
            connection.connect()
        found = [find_study(name) for name in names]
        for name, study in zip(names, found, strict=True):
            note_origin(store.root, study.name, origin_of(name))
        studies = [to_run(study, request) for study in found]
        check_searches(studies, request)
        adaptive = [study for study in studies if is_adaptive(study, request)]
        splits = Splits(request.roots, store.keys())
        tables: list[Prepared] = []
        searches: list[Search] = []  # of tuned rows
        for study in studies:
            if isinstance(study, Study) and not is_adaptive(study, request):
                check_study(study, request, splits)
                searches += tune(study, request, connection, store, splits, say)
                tables.append(prepare(study, request, splits, store, say))
        connection.pack = packer(request, store, tables, adaptive, say)
        follow([*studies, *searches])
        run_tables(tables, request, connection, store)
        measure_finished(tables, request, store, say)
        for study in adaptive:
            check_study(study, request, splits)
        if adaptive and not tables:
            run_search_or_race(adaptive.pop(0), request, connection, store, say)
    for study in adaptive:
        with Connection(request.resources) as own:
            own.pack = packer(request, store, [], [study], say)
            run_search_or_race(study, request, own, store, say)


def is_adaptive(study: Study | Search, request: Request) -> bool:
    """Return whether which trials are next depends on finished ones."""
    return isinstance(study, Search) or request.race or study.steps is not None


def run_table(
    study: Study, request: Request, connection: Connection, store: Store, say: Say
) -> None:
    """Run one table whose rows are known now."""
    splits = Splits(request.roots, store.keys())
    check_study(study, request, splits)
    prepared = prepare(study, request, splits, store, say)
    run_tables([prepared], request, connection, store)
    measure_finished([prepared], request, store, say)


def tune(
    study: Study,
    request: Request,
    connection: Connection,
    store: Store,
    splits: Splits,
    say: Say,
) -> list[Search]:
    """Run the searches of a study's tuned rows and return them; none where it has no such row."""
    if not tuned_rows(study, request.scale):
        return []
    from semisweep.running.tuning_run import run_tuning
    from semisweep.search.tuning_choice import searches_of

    searches = list(searches_of(study, request).values())
    connection.pack = packer(request, store, [], searches, say)
    if run_tuning(study, request, connection, store, splits, say):
        connection.disconnect()  # its slots are those of a sweep that is over
        connection.resources = request.resources
    return searches


def packer(
    request: Request,
    store: Store,
    tables: Sequence[Prepared],
    adaptive: Sequence[Study | Search],
    say: Say,
) -> Callable[[ModuleType], float | None]:
    """Return a function that tells which share of a cluster's GPU the trials of a request need."""

    def pack(ray: ModuleType) -> float | None:
        from semisweep.cluster.gpu_sharing import gpu_share, smallest_gpu

        room = smallest_gpu(ray)
        trials = [table.trials[key] for table in tables for key in table.missing]
        races = [study for study in adaptive if not isinstance(study, Search)]
        trials += [trial for study in races for trial in sample_trials(study, request)]
        share, why = None, "a trial like one of these was never measured on one"
        if request.resources.workers > 1:
            why = "several workers must have one each"
        elif len(races) < len(adaptive):
            why = "what a search will ask for is not known"
        else:
            share = gpu_share(trials, store, room)
        if room and share is None:
            say(f"warning: a GPU for each worker, got gpus={AUTO}: {why}")
        return share

    return pack


def measure_finished(tables: Sequence[Prepared], request: Request, store: Store, say: Say) -> None:
    """Measure what tables show of finished trials beside results: pseudo-labels, image tests."""
    finished = {key for prepared in tables for key in prepared.finished}
    trained = {key for prepared in tables for key in prepared.missing}
    finished |= store.ends(trained).finished if trained else set()
    for prepared in tables:
        if measured_keys(prepared.table):
            measure(prepared.table, store, request.roots, say)
        image_tests(prepared.table, store, finished, make=True)


def to_run(study: Wanted, request: Request) -> Wanted:
    """Return the study to run: a smoke run's is reduced."""
    if request.smoke and isinstance(study, Study):
        from semisweep.study.smoke import reduced

        return cast(Wanted, reduced(study, request.scale))
    return study


def run_search_or_race(
    study: Study | Search, request: Request, connection: Connection, store: Store, say: Say
) -> None:
    """Run a search, a path, or a race of rows: the next trials depend on finished ones."""
    if isinstance(study, Search):
        from semisweep.running import search_run as searching

        searching.run_search(study, request, connection, store, say)
        return
    if study.steps is not None:
        from semisweep.running.path_run import walk

        def run_step(step: Study, asked: Request) -> None:
            if asked.race:
                run_search_or_race(step, asked, connection, store, say)
            else:
                run_table(to_run(step, asked), asked, connection, store, say)

        found = to_run(walk(study, request, store, run_step, say), request)
        run_table(found, request, connection, store, say)
        return
    from semisweep.checks.remembered_checks import check_before
    from semisweep.running.race_run import run_race

    splits = Splits(request.roots, store.keys())
    check_study(study, request, splits)
    if request.check:
        for finding in check_before(study, request.scale, request.changes, splits, store):
            say(f"warning: {study.name}: {finding}")
    run_race(study, request, connection, store, splits)


def is_plain(request: Request) -> bool:
    """Return whether a request has no options that must be checked against the study."""
    plain = not request.changes and request.resources.workers == 1
    plain = plain and request.resources.gpus != AUTO
    if request.smoke or not plain:
        return plain
    of_some_studies = (
        request.race or request.trials or request.deterministic or request.continue_stopped
    )
    of_some_studies = of_some_studies or request.optuna_storage is not None
    return not (request.roots.named or request.top_up or request.retrain or of_some_studies)


def run_tables(
    tables: Sequence[Prepared], request: Request, connection: Connection, store: Store
) -> None:
    """Run the trials of tables that have no result, on Ray; those of several tables once."""
    jobs: dict[str, Job] = {}
    names: dict[str, str] = {}
    metrics: dict[str, str] = {}
    study = tables[0].table.name if len(tables) == 1 else "several"
    for prepared in reversed(tables):
        named = trial_names(prepared.table)
        prefix = f"{prepared.table.name}, " if len(tables) > 1 else ""
        names |= {key: prefix + name for key, name in named.items()}
        metrics |= dict.fromkeys(named, prepared.table.metric)
    read: dict[str, set[str]] = {}
    for prepared in tables:
        for key, own_metrics in metrics_of(prepared.table).items():
            read.setdefault(key, set()).update(own_metrics)
    for prepared in tables:
        for key in prepared.missing:
            trial, label = prepared.trials[key], f"{study}: {names[key]}"
            jobs[key] = job_for(
                key, trial, store, prepared.splits, request, label, metrics=read[key]
            )
    if not jobs:
        return
    for prepared in tables:
        if prepared.missing:
            own = {key: prepared.trials[key] for key in prepared.missing}
            remember(store, prepared.table.name, own, prepared.splits, request)
    if request.resources.address:
        connection.connect()
        trials = (table.trials[key] for table in tables for key in table.missing)
        for dataset in dict.fromkeys(trial.data.name for trial in trials):
            check_machines(connection.ray, dataset, request)
    with SweepProgress(len(jobs), names) as progress:
        source = JobList(list(jobs.values()), progress, store, metrics)
        watch = SweepMetrics(study, progress)
        sweep(source, connection, watch, retries=request.retry_failed)
