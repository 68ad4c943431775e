"""Bringing one trial to its result in this process, wherever this process runs.

The same function serves the workers of a cluster, `semisweep debug` and the tests.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from semisweep.cluster.job import Job, Outcome, Status
from semisweep.cluster.machine_data import check_same, machine_root
from semisweep.core.config import flatten
from semisweep.core.device import peak_memory, peak_reserved
from semisweep.core.errors import LeaseError, SemisweepError, StoreError
from semisweep.core.fault_injection import point
from semisweep.core.provenance import machine, provenance
from semisweep.core.training_code import training_code
from semisweep.data.base import DataSet
from semisweep.data.content import content_of
from semisweep.data.registry import open_dataset
from semisweep.data.splits import Split, make_split
from semisweep.evaluation.scored_again import kept_of, scored, take_over
from semisweep.search.halving import Rungs, listener
from semisweep.store import stopped_trial
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_log import describe, logging_to
from semisweep.store.trial_records import TrialProgress
from semisweep.training import distributed
from semisweep.training.kept_state import Keep, keep_for
from semisweep.training.trainer import (
    SELECTION_PART,
    STOP,
    Report,
    Training,
    TrainingInterrupted,
    TrainingState,
    fit,
)
from semisweep.training.trial import Trial, decode_trial, trial_identity

LEDGER = "SEMISWEEP_LEDGER"
BUSY = "another process trains it"
T = TypeVar("T")
logger = logging.getLogger(__name__)


def execute(
    job: Job,
    report: Report,
    *,
    raise_errors: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Bring a trial to its result, going on from its newest checkpoint; failures become rows.

    Every worker of a group calls this with the same job; the first one reads and writes the store.
    The lock is the kernel's: it is free again as soon as the process that holds it is gone. While
    another process has it the outcome is "busy" and nothing is waited for. A failure on one of
    several workers leaves the others waiting for it: the group is to be renewed then. A store that
    cannot be written is no failure of the trial: the outcome is "unwritable".

    What is a failure here is what users can mend, which is the same each time. Anything else is
    logged and raised: it costs the trial an attempt, see `semisweep.core.faults`.

    `interrupted` is asked after every step whether to write a checkpoint and end so.
    """
    try:
        own = _Execution(job, report, raise_errors, interrupted)
    except StoreError as error:  # it was there when the sweep began
        if raise_errors:
            raise
        return Outcome(job.key, "unwritable", str(error), unexpected=distributed.world()[1] > 1)
    return own.outcome()


class _Execution:
    """One worker's share of bringing a job's trial to its result; the first one has the store."""

    def __init__(
        self, job: Job, report: Report, raise_errors: bool, interrupted: Callable[[], bool]
    ) -> None:
        self.job, self.report = job, report
        self.raise_errors, self.interrupted = raise_errors, interrupted
        self.rank, world = distributed.world()
        self.first, self.alone = self.rank == 0, world == 1
        self.store = Store.open(job.store)
        self.folder = self.store.trial(job.key)
        self.attempt = 0
        self.keep = Keep()

    def outcome(self) -> Outcome:
        """Return how the job ended here."""
        try:
            with self.folder.try_lock() if self.first else _nothing() as held:
                there = self._share(lambda: self._what_is_there(held))
                return self._ended(there) if there else self._logged()
        except StoreError as error:
            if self.raise_errors:
                raise
            if isinstance(error, LeaseError):  # it was taken for dead, and is somebody else's now
                return self._ended("busy", renew=not self.alone)
            return Outcome(self.job.key, "unwritable", str(error), unexpected=not self.alone)

    def _ended(self, status: Status, error: str = "", *, renew: bool = False) -> Outcome:
        error = error or (BUSY if status == "busy" else "")
        return Outcome(self.job.key, status, error, unexpected=renew)

    def _share(self, value: Callable[[], T]) -> T:
        """Return on every worker what the first one has."""
        return distributed.share(value() if self.first else None)

    def _note(self, event: str) -> None:
        note(self.job.key, event, self.first)

    def _what_is_there(self, held: bool) -> Literal["", "busy", "known"]:
        """Return "busy" or "known" for a trial that is not to be trained here, else nothing."""
        if not held:
            return "busy"
        if not self.folder.finished:
            return ""
        self.folder.clean()
        return "known"

    def _logged(self) -> Outcome:
        """Attempt the trial; the first worker keeps all that is said as the attempt's log."""
        self.attempt = self._share(self.folder.start_attempt)
        self._note("started")
        if self.raise_errors or not self.first:  # for a debugger, streams stay as they are
            return self._attempted()
        with logging_to(self.folder, self.attempt) as log:
            report = self.report

            def report_and_log(told: TrialProgress) -> object:
                log.say(describe(told))
                return report(told)

            self.report = report_and_log
            outcome = self._attempted()
            log.say(f"{outcome.status}: {outcome.error}" if outcome.error else outcome.status)
            return outcome

    def _attempted(self) -> Outcome:
        try:
            row, stopped_at = self._train()
        except TrainingInterrupted:
            return self._ended("interrupted")
        except SemisweepError as error:
            if self.raise_errors or is_unwritable(error) or isinstance(error, LeaseError):
                raise
            return self._failed(str(error))
        except Exception as error:
            if not self.raise_errors:
                text = "attempt %d at trial %s failed"
                logger.error(text, self.attempt, self.job.key, exc_info=error)
            raise
        return self._complete(row, stopped_at)

    def _complete(self, row: Mapping[str, object], stopped_at: int | None) -> Outcome:
        """Keep a trial's row: its result, or what it had when its search stopped it at a step."""
        stopped = stopped_at is not None
        point("complete", self.rank)
        if self.first:
            if stopped_at is not None:
                stopped_trial.stop(self.folder, stopped_at, row)
            else:
                if self.folder.complete(row):
                    self.folder.keep_weights(self.keep.names)
            self.folder.forget_failure()
            self._note("stopped" if stopped else "finished")
        distributed.barrier()
        return self._ended("stopped" if stopped else "finished")

    def _failed(self, text: str) -> Outcome:
        """Keep why a trial failed, in one line."""
        job = self.job
        self.folder.fail(
            {"key": job.key, "error": text, "attempts": self.attempt, "trial": job.trial}
        )
        note(job.key, "failed")
        return self._ended("failed", text, renew=not self.alone)

    def _train(self) -> tuple[dict[str, object], int | None]:
        """Train from the newest checkpoint on; return the trial's row, and where it was stopped."""
        job, trial = self.job, decode_trial(self.job.trial)
        point("data", self.rank)
        here = str(machine_root(trial.data.name, job.data_root))
        dataset = _dataset(trial.data.name, here, job.seen, job.test)
        split = make_split(dataset, trial.data)
        check_same(trial, dataset, split, job)
        if self.first:
            self.folder.describe(_description(trial, split, job.key))
        if job.scored_from and (row := self._scored_again(trial, dataset)) is not None:
            return row, None
        point("network", self.rank)
        training_code(
            trial.method
        )  # of the files as they were imported, not as they are at the end
        training = Training(
            trial, dataset, split, job.device, job.data_workers, compiled=job.compiled
        )
        self.keep = keep_for(training.method, job.keep, job.read_weights, labels=job.reads_labels)
        self._resume(training)
        self.report(
            TrialProgress(
                step=training.step,
                total_steps=training.total_steps,
                device=job.device,
                compiles=training.compiled,
            )
        )
        self._note("training")
        started = time.monotonic()
        metrics = self._fit(training)
        row = _row(job, trial, split, training, metrics) | {
            "run.attempts": self.attempt,
            "run.seconds": training.seconds,
            "run.device_seconds": training.seconds * training.world,
            "run.finished_at": time.time(),
            "run.final_attempt_seconds": time.monotonic() - started,
        }
        return row, training.step if training.step < training.total_steps else None

    def _scored_again(self, trial: Trial, dataset: DataSet) -> dict[str, object] | None:
        """Return the row of a trial whose weights another one has; None where they are gone."""
        job, source = self.job, self.store.trial(self.job.scored_from)
        started = time.monotonic()
        kept = self._share(lambda: kept_of(source, job.read_weights))
        if kept is None:
            return None
        row, confusions = scored(kept, trial, dataset, job.device)
        if self.first:
            take_over(source, self.folder, kept)
            for name, counts in confusions.items():
                self.folder.write_confusion(name, counts)
        seconds = time.monotonic() - started
        times = {"run.finished_at": time.time(), "run.final_attempt_seconds": seconds}
        return row | times | {"data.test_digest": job.test, "run.attempts": self.attempt}

    def _resume(self, training: Training) -> None:
        checkpoint = self._share(self.folder.read_checkpoint)
        step = 0
        if checkpoint is not None:
            step, data = checkpoint
            training.restore(TrainingState.from_bytes(data))
        if self.first:
            self.folder.rewind(step)

    def _fit(self, training: Training) -> dict[str, object]:
        """Train to the end, or to the rung at which the job's search stops the trial."""
        rungs = None
        if self.job.halving and self.first:
            rungs = Rungs(self.job.halving, self.store, self.folder)
            rungs.place(training.evaluation_steps(), training.total_steps)
        if not self.job.halving or not self._share(lambda: self._stopped_before(rungs)):
            report = listener(rungs, self.report, STOP)
            metrics = fit(
                training, self.folder, report, keep=self.keep, interrupted=self.interrupted
            )
            if metrics is not None:
                return dict(metrics)
        return dict(self._share(lambda: _budget(training, rungs, self.folder)))

    def _stopped_before(self, rungs: Rungs | None) -> bool:
        """Return whether a rung that the trial has passed stops it; it is judged where new."""
        return rungs is not None and any(map(rungs.judge, self.folder.evaluations()))


def is_unwritable(error: Exception) -> bool:
    """Return whether the store's disk refuses: no fault of a trial, which can go on another day."""
    return isinstance(error, StoreError) and isinstance(error.__cause__, OSError)


@lru_cache(maxsize=2)
def _dataset(name: str, root: str, seen: str, test: str) -> DataSet:
    """Return a data set, the same for trials that follow each other: it knows what it has read.

    What it has decoded is of the fingerprint that its files had.
    """
    dataset = open_dataset(name, Path(root))
    content_of(dataset).settled = bool(dataset.generator())  # which counts, and not its files
    return dataset


def _budget(training: Training, rungs: Rungs | None, folder: TrialFolder) -> dict[str, object]:
    """Return what a stopped trial's row says of how far it came, and its last evaluation."""
    assert rungs is not None
    row, part = folder.evaluations()[-1].values, f"{SELECTION_PART}."
    rung, reason = rungs.stopping()
    return {
        "budget.steps": training.step,
        "budget.total_steps": training.total_steps,
        "stopped.rung": rung,
        "stopped.reason": reason,
    } | {f"last.{name}": value for name, value in row.items() if name.startswith(part)}


def _description(trial: Trial, split: Split, key: str) -> dict[str, object]:
    return {
        "format": 1,
        "key": key,
        "trial": trial.encoded(),
        "identity": trial_identity(trial, split),
        "labelled": list(split.labelled),
    }


def _row(
    job: Job, trial: Trial, split: Split, training: Training, metrics: Mapping[str, object]
) -> dict[str, object]:
    row: dict[str, object] = {"key": job.key} | flatten(trial.encoded())
    row |= {
        "data.labelled_digest": split.labelled_digest,
        "data.unlabelled_digest": split.unlabelled_digest,
        "data.seen_digest": job.seen,
        "data.test_digest": job.test,
        "total_steps": training.total_steps,
        "parameters": sum(item.numel() for item in training.method.parameters()),
        "run.workers": training.world,
        "run.device": job.device,
        "run.peak_memory_bytes": peak_memory(job.device),
    }
    if reserved := peak_reserved(job.device):
        row |= {"run.peak_reserved_bytes": reserved}
    if training.compiled:
        row |= {"run.compiled": True}
    return row | dict(metrics) | provenance(trial.method) | machine(job.device)


def note(key: str, event: str, first: bool = True) -> None:
    """Append a line to the ledger of executions that tests judge the store by, if one is kept."""
    path = os.environ.get(LEDGER)
    if path and first:
        with open(path, "a", encoding="utf-8") as ledger:
            ledger.write(f"{key} {event} {os.getpid()} {time.time():.3f}\n")


@contextmanager
def _nothing() -> Iterator[bool]:
    yield False
