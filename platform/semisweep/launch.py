"""Launching a study: resolve it, check what it stands on, run what has no result, show the table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from semisweep.config import digest
from semisweep.data.dataset import check, open_dataset
from semisweep.data.shapes import make
from semisweep.errors import DataError
from semisweep.job import Job
from semisweep.plan import plan
from semisweep.progress import SweepProgress
from semisweep.files import replacing
from semisweep.request import Request
from semisweep.store import Store
from semisweep.study import Resolved, Search, Splits, Study, preset_of, resolve
from semisweep.sweep import sweep
from semisweep.trial import Trial, method_class


def run(study: Study | Search, request: Request) -> Resolved:
    """Bring every trial of a study to a result or a failure and return the resolved study."""
    prepare_data(study, request)
    if isinstance(study, Search):
        from semisweep.search import run_search

        return run_search(study, request)
    splits = Splits(request.roots)
    resolved = resolve(study, request.scale, splits, request.changes, request.seeds)
    build_networks(resolved.trials.values(), splits)
    store = Store.open(request.store, create=True)
    store.write_study(study.name, request.scale, resolved.table)
    run_trials(store, resolved, splits, request)
    return resolved


def run_trials(store: Store, resolved: Resolved, splits: Splits, request: Request) -> None:
    """Run the trials that have no result, on Ray."""
    state = plan([resolved.table], store)
    missing = list(state.missing) + (list(state.failed) if request.retry_failed else [])
    if not missing:
        return
    names = trial_names(resolved.table)
    with SweepProgress(len(missing), names) as progress:
        jobs = [job_for(key, resolved.trials[key], store, splits, request) for key in missing]
        sweep(Grid(jobs, progress, store, resolved.table["metric"]), request.resources, progress.watch)


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


def build_networks(trials: Any, splits: Splits) -> None:
    """Raise `ConfigError` now for networks that cannot be built, rather than in every trial.

    Modules are made on torch's meta device: no memory, no weights.
    """
    import torch

    seen = set()
    for trial in trials:
        identity = digest(trial.encoded()["config"]) + trial.method
        if identity not in seen:
            seen.add(identity)
            classes = len(splits.dataset(trial.data.name).classes)
            with torch.device("meta"):
                method_class(trial.method)(trial.config, classes)


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
