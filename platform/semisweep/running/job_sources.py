"""Jobs made of trials, the source that hands out a list of them, and their outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.machine_data import known_digest
from semisweep.cluster.progress import SweepProgress
from semisweep.store.store import Store
from semisweep.study.request import Request
from semisweep.study.resolve import Splits
from semisweep.training.trial import Trial


def job_for(
    key: str, trial: Trial, store: Store, splits: Splits, request: Request, label: str = ""
) -> Job:
    """Return the job of a trial; `label` is its name for people."""
    return Job(
        key=key,
        trial=trial.encoded(),
        store=str(store.root),
        data_root=str(splits.roots.of(trial.data.name)),
        data_digest=known_digest(trial.data.name, request),
        threads=request.resources.threads,
        label=label,
    )


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
