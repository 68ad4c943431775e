"""Launching a study: resolve it, check what it stands on, run what has no result, show the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from semisweep.catalogue import check_study_name, find_study, short
from semisweep.config import digest, settings
from semisweep.data.dataset import check, open_dataset
from semisweep.data.shapes import make
from semisweep.engine import Engine
from semisweep.errors import DataError
from semisweep.job import Job
from semisweep.plan import plan
from semisweep.progress import SweepProgress
from semisweep.files import replacing
from semisweep.request import Request
from semisweep.store import Store
from semisweep.study import Search, Splits, Study, preset_of, resolve
from semisweep.sweep import sweep
from semisweep.trial import Trial


def run(name: str, request: Request) -> None:
    """Bring every trial of a study to a result or a failure.

    Ray starts first, and its workers while the study is still being imported, unless the store says
    that nothing is left to run.
    """
    check_study_name(name)
    with Engine(request.resources) as engine:
        if not looks_finished(name, request):
            engine.connect()
        study = find_study(name)
        prepare_data(study, request)
        if isinstance(study, Search):
            from semisweep.search import run_search

            run_search(study, request, engine)
        else:
            run_study(study, request, engine)


def looks_finished(name: str, request: Request) -> bool:
    """Return whether the store has all results of the study as it ran last; reads a few files."""
    if request.changes or request.seeds or request.retry_failed or not Path(request.store).exists():
        return False
    store = Store.open(request.store)
    table = store.read_study(short(name), request.scale)
    return table is not None and not plan([table], store).missing


def run_study(study: Study, request: Request, engine: Engine) -> None:
    """Run the trials of a table that have no result, on Ray."""
    splits = Splits(request.roots)
    resolved = resolve(study, request.scale, splits, request.changes, request.seeds)
    check_networks(resolved.trials.values())
    store = Store.open(request.store, create=True)
    store.write_study(study.name, request.scale, resolved.table)
    state = plan([resolved.table], store)
    missing = list(state.missing) + (list(state.failed) if request.retry_failed else [])
    if not missing:
        return
    with SweepProgress(len(missing), trial_names(resolved.table)) as progress:
        jobs = [job_for(key, resolved.trials[key], store, splits, request) for key in missing]
        sweep(Grid(jobs, progress, store, resolved.table["metric"]), engine, progress.watch)


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

    def next(self) -> dict[str, Any] | None:
        """Return the next job, or None when there are no more."""
        job = next(self._jobs, None)
        return None if job is None else job.as_dict()

    def done(self, key: str, status: str, error: str) -> None:
        """Show the outcome of a job."""
        self.progress.finished(key, status, outcome_note(self.store, key, self.metric, error))


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


def check_networks(trials: Iterable[Trial]) -> None:
    """Raise `ConfigError` now for backbones and weights that do not exist, rather than in a trial."""
    from semisweep.network import NetworkConfig

    found: dict[NetworkConfig, None] = {}
    for trial in trials:
        values = (value for _, value, _ in settings(trial.config))
        found |= dict.fromkeys(value for value in values if isinstance(value, NetworkConfig))
    for network in found:
        network.check()


def prepare_data(study: Study | Search, request: Request) -> None:
    """Make the embedded data set if it is wanted and not there; refuse a data set with faults.

    A data set found whole is remembered beside the store's trials by its files' sizes and times.
    """
    name = preset_of(study, request.scale).data.name
    root = request.roots.of(name)
    if name == "shapes" and not root.exists():
        make(root)
    dataset = open_dataset(name, root)
    stamp = stamp_of(root)
    seen = Path(request.store) / "checked" / f"{name}-{stamp}.json"
    if seen.exists():
        return
    problems = check(dataset)
    if problems:
        more = f" (and {len(problems) - 1} more: semisweep data check)" if problems[1:] else ""
        raise DataError(problems[0] + more)
    Store.open(request.store, create=True)
    seen.parent.mkdir(exist_ok=True)
    with replacing(seen) as file:
        file.write(b"{}\n")


def stamp_of(root: Path) -> str:
    """Return a digest of names, sizes and times of all files below a folder."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest(
        [[str(path.relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    )
