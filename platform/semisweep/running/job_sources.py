"""Jobs made of trials, the source that hands out a list of them, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.progress import SweepProgress
from semisweep.core import own_code
from semisweep.data.fingerprint import Fingerprint
from semisweep.evaluation.pseudo_label_results import MEASURED, WEIGHTS
from semisweep.evaluation.rescoring import NAMES
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.trial_name import TrialName
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.training.trial import Trial


class Reads(NamedTuple):
    """What tables read of a trial's weights: which ones, and whether to ask for pseudo-labels."""

    weights: tuple[str, ...]
    labels: bool


def reads_of(metrics: Iterable[str]) -> Reads:
    """Return what metrics such as "best.val.miou" and "labels.mix.miou" read."""
    names = set(metrics)
    labels = any(name.startswith(MEASURED) for name in names)
    read = {name.partition(".")[0] for name in names} | ({WEIGHTS} if labels else set())
    return Reads(tuple(name for name in NAMES if name in read), labels)


def job_for(
    key: str,
    trial: Trial,
    store: Store,
    splits: Splits,
    request: Request,
    label: str = "",
    *,
    metrics: Iterable[str] = (),
) -> Job:
    """Return the job of a trial; `label` is its name for people, `metrics` what is read of it."""
    reads, data = reads_of(metrics), splits.fingerprint(trial)
    if TrialName.parse(key).data != data.suffix:  # what an earlier version has begun to train on
        data = Fingerprint("")
    return Job(
        key=key,
        trial=trial.encoded(),
        store=str(store.root),
        data_root=str(splits.roots.of(trial.data.name)),
        seen=data.seen,
        test=data.test,
        scored_from=splits.same_weights(key, store),
        threads=request.resources.threads,
        label=label,
        keep=request.keep,
        read_weights=reads.weights,
        reads_labels=reads.labels,
        code=own_code.folders(),
    )


def metrics_of(table: ResolvedStudy) -> dict[str, set[str]]:
    """Return by key the metrics that the cells of a table read of each trial."""
    found: dict[str, set[str]] = {}
    for cell in table.cells:
        for key in cell.trials.values():
            found.setdefault(key, set()).add(cell.metric or table.metric)
    return found


class JobList:
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

    def next(self) -> Job | None:
        """Return the next job, or None when there are no more."""
        return next(self._jobs, None)

    def done(self, outcome: Outcome) -> None:
        """Show the outcome of a job."""
        key = outcome.key
        if outcome.status == "failed":
            keep_failure(self.store, outcome, self._trials[key])
        note = outcome_note(self.store, outcome, self.metrics[key])
        self.progress.finished(key, outcome.status, note)


def keep_failure(store: Store, outcome: Outcome, trial: Mapping[str, object]) -> None:
    """Write the failure of a trial whose worker could not do so itself."""
    key, error, folder = outcome.key, outcome.error, store.trial(outcome.key)
    known = folder.failure()
    if not folder.finished and (known is None or known.error != error):
        folder.fail({"key": key, "error": error, "attempts": folder.attempts, "trial": trial})


def outcome_note(store: Store, outcome: Outcome, metric: str) -> str:
    """Return the score of a finished trial, or the error of a failed one, in one line."""
    row, error = store.trial(outcome.key).result(), outcome.error
    if row is None:
        return error.strip().splitlines()[-1] if error.strip() else "no result"
    return f"{metric} {100 * row.needed(metric):.2f}  {row.needed('run.seconds'):.0f} s"
