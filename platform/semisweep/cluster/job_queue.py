"""Handing out a sweep's jobs, so that what several sweeps want at the same time is trained once.

A trial that another process trains is asked about now and then: one day it has a result, which is
this sweep's too, or the right to train it is free again, because its owner has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from semisweep.cluster.job import Job, Outcome, Wait
from semisweep.core.errors import SemisweepError, StoreError, SweepError
from semisweep.core.faults import TRIES, Retries
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Failure

POLL_SECONDS = 0.5  # between two questions to the store about what others train


class Source(Protocol):
    """Where a sweep's jobs come from and its outcomes go to."""

    total: int

    def next(self) -> Job | Wait | None:
        """Return the next job, `WAIT` where one has to end first, or None: there are no more."""

    def done(self, outcome: Outcome) -> None:
        """Take the outcome of a job."""


@dataclass
class TrainedElsewhere:
    """A job that another process trains, and the failure that it had at that time."""

    job: Job
    failure: Failure | None


class JobQueue:
    """The jobs of a source that this sweep runs itself.

    `in_order`: the source's next job depends on all outcomes so far, so it is not asked for one
    while another process trains a job of it. `retries`: failed trials are run again.
    """

    def __init__(
        self,
        source: Source,
        *,
        in_order: bool = False,
        retries: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source, self.clock = source, clock
        self.in_order, self.retries = in_order, retries
        self.exhausted = False  # the source has no more jobs
        self.error: BaseException | None = None  # what ends the whole sweep
        self.halted = False  # the sweep is about to end: what was handed out comes back undone
        self._retries = Retries()
        self._returned: list[Job] = []
        self._ready: list[Job] = []
        self._out: dict[str, Job] = {}
        self._elsewhere: dict[str, TrainedElsewhere] = {}
        self._polled = -POLL_SECONDS
        self._stores: dict[str, Store] = {}

    @property
    def elsewhere(self) -> list[str]:
        """Return the keys of the trials that other processes train."""
        return list(self._elsewhere)

    @property
    def place(self) -> str | None:
        """Return the store of the jobs so far, None before there was one."""
        return next(iter(self._stores), None)

    @property
    def outstanding(self) -> int:
        """Return how many jobs were handed out and have no outcome yet."""
        return len(self._out)

    @property
    def ended(self) -> bool:
        """Return whether nothing is left to hand out, now or later."""
        over = self.exhausted and not self._ready and not self._returned
        over = over and not self._elsewhere and not self._out
        return self.error is not None or self.halted or over

    def end(self, error: BaseException) -> None:
        """Hand out nothing more; the first error is what the sweep ends with."""
        self.error = self.error or error

    def take(self) -> Job | None:
        """Return the next job to run, or None when there is none at the moment; see `ended`."""
        if not self.has_job():
            return None
        job = (self._returned or self._ready).pop(0)
        self._out[job.key] = job
        return job

    def has_job(self) -> bool:
        """Return whether there is a job to run; asks the store what others have finished."""
        try:
            if self.error is None and not self.halted:
                self._take_back()
                self._ready = [job for job in self._ready if self._is_ours(job)]
                self._refill()
        except SemisweepError as error:
            self.end(error)
        return not self.ended and bool(self._returned or self._ready)

    def done(self, outcome: Outcome) -> None:
        """Take the outcome of a job that was handed out."""
        job, status = self._out.pop(outcome.key), outcome.status
        try:
            if status == "busy":
                self._leave_to_others(job)
            elif status == "unwritable":
                self.end(StoreError(outcome.error))
            elif status == "interrupted":
                self.halted = True
            elif status == "broken":
                self.end(RuntimeError(outcome.error))
            elif status == "failed" and self._folder(job).finished:  # it failed after that
                self.source.done(Outcome(job.key, "known"))
            else:
                self._retries.ended(job.key)
                self.source.done(outcome)
        except SemisweepError as problem:  # the store cannot be written: nothing more can be run
            self.end(problem)

    def lost(self, key: str) -> None:
        """Take a job back whose Tune actor was lost, to give it to another one.

        The job's workers may train it meanwhile. After three losses in a row the sweep ends.
        """
        self._returned.append(self._out.pop(key))
        if not self._retries.loss(key):
            self.end(
                SweepError(
                    f"the actors of Ray Tune must live, got {TRIES} losses in a row for "
                    f"trial={key}; nothing finished is lost, run the same command again"
                )
            )

    def _refill(self) -> None:
        while not self._ready and not self.exhausted:
            if self.in_order and self._elsewhere:
                return
            job = self.source.next()
            if job is None:
                self.exhausted = True
            elif isinstance(job, Wait):
                return
            elif self._is_ours(job):
                self._ready.append(job)

    def _is_ours(self, job: Job) -> bool:
        """Return whether to run a job here; if not, it has its result, or is trained elsewhere."""
        folder = self._folder(job)
        if folder.finished:
            self.source.done(Outcome(job.key, "known"))
        elif folder.in_training:
            self._leave_to_others(job)
        elif not self.retries and (failure := folder.failure()) is not None:
            self.source.done(Outcome(job.key, "failed", failure.error))
        else:
            return True
        return False

    def _leave_to_others(self, job: Job) -> None:
        self._elsewhere[job.key] = TrainedElsewhere(job, self._folder(job).failure())

    def _take_back(self) -> None:
        """Take note of trials elsewhere that were finished, failed or given up there."""
        if not self._elsewhere or self.clock() - self._polled < POLL_SECONDS:
            return
        self._polled = self.clock()
        for key, other, folder in self._free():
            failure = folder.failure()
            del self._elsewhere[key]
            if folder.finished:
                self.source.done(Outcome(key, "known"))
            elif failure is not None and failure != other.failure:
                self.source.done(Outcome(key, "failed", failure.error))
            else:
                self._ready.append(other.job)

    def _free(self) -> Iterator[tuple[str, TrainedElsewhere, TrialFolder]]:
        for key, other in list(self._elsewhere.items()):
            folder = self._folder(other.job)
            if folder.finished or _is_free(folder):
                yield key, other, folder

    def _folder(self, job: Job) -> TrialFolder:
        store = self._stores.get(job.store)
        if store is None:
            store = self._stores[job.store] = Store.open(job.store)
        return store.trial(job.key)


def _is_free(folder: TrialFolder) -> bool:
    """Return whether no process has the right to train a trial; take a dead process's right away.

    A lease can be taken only by a process that has watched it for its time to live, which the
    worker that gets the trial has not.
    """
    if folder.in_training:
        return False
    with folder.try_lock() as held:
        return held
