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
from typing import Any

from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.machine_data import check_same, machine_name, machine_root
from semisweep.core.config import flatten
from semisweep.core.device import peak_memory, peak_reserved
from semisweep.core.errors import DataError, LeaseError, SemisweepError, StoreError
from semisweep.core.fault_injection import point
from semisweep.core.provenance import machine, provenance
from semisweep.data.base import DataSet
from semisweep.data.registry import open_dataset
from semisweep.data.splits import Split, make_split
from semisweep.search.halving import RungRule, Rungs, listener
from semisweep.store import stopped_trial
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_log import describe, logging_to
from semisweep.training import distributed
from semisweep.training.trainer import (
    SELECTION_PART,
    STOP,
    Report,
    Training,
    TrainingInterrupted,
    fit,
    from_bytes,
)
from semisweep.training.trial import Trial, decode_trial, trial_identity, trial_key

LEDGER = "SEMISWEEP_LEDGER"
BUSY = "another process trains it"
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
        return _execute(job, report, raise_errors, interrupted)
    except StoreError as error:
        if raise_errors:
            raise
        if isinstance(error, LeaseError):  # it was taken for dead, and is somebody else's now
            return Outcome(job.key, "busy", BUSY, unexpected=distributed.world()[1] > 1)
        return Outcome(job.key, "unwritable", str(error), unexpected=distributed.world()[1] > 1)


def _execute(
    job: Job, report: Report, raise_errors: bool, interrupted: Callable[[], bool]
) -> Outcome:
    first = distributed.world()[0] == 0
    folder = Store.open(job.store).trial(job.key)
    with folder.try_lock() if first else _nothing() as held:
        there = distributed.share(_what_is_there(folder, held) if first else None)
        if there:
            return Outcome(job.key, there, BUSY if there == "busy" else "")
        attempt = distributed.share(folder.start_attempt() if first else None)
        note(job.key, "started", first)
        if raise_errors or not first:  # for a debugger, streams stay as they are
            return _attempt(job, folder, attempt, report, raise_errors, interrupted)
        with logging_to(folder, attempt) as log:

            def report_and_log(said: Mapping[str, Any]) -> object:
                log.say(describe(said))
                return report(said)

            outcome = _attempt(job, folder, attempt, report_and_log, raise_errors, interrupted)
            log.say(f"{outcome.status}: {outcome.error}" if outcome.error else outcome.status)
            return outcome


def _attempt(
    job: Job,
    folder: TrialFolder,
    attempt: int,
    report: Report,
    raise_errors: bool,
    interrupted: Callable[[], bool],
) -> Outcome:
    first = distributed.world()[0] == 0
    try:
        row = _train(job, folder, attempt, report, interrupted)
    except TrainingInterrupted:
        return Outcome(job.key, "interrupted")
    except SemisweepError as error:
        if raise_errors or is_unwritable(error) or isinstance(error, LeaseError):
            raise
        return _failed(job, folder, attempt, error)
    except Exception as error:
        if not raise_errors:
            logger.error("attempt %d at trial %s failed", attempt, job.key, exc_info=error)
        raise
    if "stopped.rung" in row:
        if first:
            stopped_trial.stop(folder, row["budget.steps"], row)
            folder.forget_failure()
            note(job.key, "stopped", first)
        distributed.barrier()
        return Outcome(job.key, "stopped")
    point("complete", distributed.world()[0])
    if first:
        folder.complete(row)
        folder.forget_failure()
        note(job.key, "finished", first)
    distributed.barrier()
    return Outcome(job.key, "finished")


def is_unwritable(error: Exception) -> bool:
    """Return whether the store's disk refuses: no fault of a trial, which can go on another day."""
    return isinstance(error, StoreError) and isinstance(error.__cause__, OSError)


def _what_is_there(folder: TrialFolder, held: bool) -> str:
    """Return "busy" or "known" for a trial that is not to be trained here, else nothing."""
    if not held:
        return "busy"
    if not folder.finished:
        return ""
    folder.clean()
    return "known"


def _train(
    job: Job, folder: TrialFolder, attempt: int, report: Report, interrupted: Callable[[], bool]
) -> dict[str, Any]:
    rank = distributed.world()[0]
    trial = decode_trial(job.trial)
    point("data", rank)
    dataset = _dataset(trial.data.name, str(machine_root(trial.data.name, job.data_root)))
    check_same(dataset, job.data_digest)
    split = make_split(dataset, trial.data)
    first = rank == 0
    if trial_key(trial, split) != job.key:
        raise DataError(
            f"the images of {dataset.name!r} at {dataset.root} must be those the sweep was "
            f"planned with, got lists with digest {split.labelled_digest}, "
            f"machine={machine_name()}; "
            "copy the same data set there"
        )
    if first:
        folder.describe(_description(trial, split, job.key))
    point("network", rank)
    training = Training(trial, dataset, split, job.device, job.data_workers)
    _resume(training, folder, first)
    device = job.device
    report({"step": training.step, "total_steps": training.total_steps, "device": device})
    note(job.key, "training", first)
    started = time.time()
    metrics = _fit(job, training, folder, report, interrupted)
    return _row(job, trial, split, training, metrics) | {
        "run.attempts": attempt,
        "run.seconds": training.seconds,
        "run.device_seconds": training.seconds * training.world,
        "run.finished_at": time.time(),
        "run.final_attempt_seconds": time.time() - started,
    }


@lru_cache(maxsize=2)
def _dataset(name: str, root: str) -> DataSet:
    """Return a data set, the same for trials that follow each other: it knows what it has read."""
    return open_dataset(name, Path(root))


def _fit(
    job: Job,
    training: Training,
    folder: TrialFolder,
    report: Report,
    interrupted: Callable[[], bool],
) -> dict[str, Any]:
    """Train to the end, or to the rung at which the job's search stops the trial; see `halving`."""
    first = distributed.world()[0] == 0
    rungs = None
    if job.halving and first:
        rungs = Rungs(RungRule(**job.halving), Store.open(job.store), folder)
        rungs.place(training.evaluation_steps(), training.total_steps)
    if not job.halving or not distributed.share(_stopped_before(rungs, folder)):
        said = listener(rungs, report, STOP)
        metrics = fit(training, folder, said, interrupted=interrupted)
        if metrics is not None:
            return dict(metrics)
    return dict(distributed.share(_budget(training, rungs, folder) if first else None))


def _stopped_before(rungs: Rungs | None, folder: TrialFolder) -> bool:
    """Return whether a rung that the trial has passed already stops it; it is judged where new."""
    return rungs is not None and any(rungs.judge(row) for row in folder.read_history())


def _budget(training: Training, rungs: Rungs | None, folder: TrialFolder) -> dict[str, Any]:
    """Return what a stopped trial's row says of how far it came, and its last evaluation."""
    assert rungs is not None
    row, part = folder.read_history()[-1], f"{SELECTION_PART}."
    rung, reason = rungs.stopping()
    return {
        "budget.steps": training.step,
        "budget.total_steps": training.total_steps,
        "stopped.rung": rung,
        "stopped.reason": reason,
    } | {f"last.{name}": value for name, value in row.items() if name.startswith(part)}


def _resume(training: Training, folder: TrialFolder, first: bool) -> None:
    checkpoint = distributed.share(folder.read_checkpoint() if first else None)
    step = 0
    if checkpoint is not None:
        step, data = checkpoint
        training.restore(from_bytes(data))
    if first:
        folder.rewind(step)


def _description(trial: Trial, split: Split, key: str) -> dict[str, Any]:
    return {
        "format": 1,
        "key": key,
        "trial": trial.encoded(),
        "identity": trial_identity(trial, split),
        "labelled": list(split.labelled),
    }


def _row(
    job: Job, trial: Trial, split: Split, training: Training, metrics: Mapping[str, float]
) -> dict[str, Any]:
    row: dict[str, Any] = {"key": job.key} | flatten(trial.encoded())
    row |= {
        "data.labelled_digest": split.labelled_digest,
        "data.unlabelled_digest": split.unlabelled_digest,
        "total_steps": training.total_steps,
        "parameters": sum(item.numel() for item in training.method.parameters()),
        "run.workers": training.world,
        "run.device": job.device,
        "run.peak_memory_bytes": peak_memory(job.device),
    }
    if reserved := peak_reserved(job.device):
        row["run.peak_reserved_bytes"] = reserved
    return row | dict(metrics) | provenance(trial.method) | machine(job.device)


def _failed(job: Job, folder: TrialFolder, attempt: int, error: SemisweepError) -> Outcome:
    """Keep why a trial failed, in one line."""
    text = str(error)
    folder.fail({"key": job.key, "error": text, "attempts": attempt, "trial": job.trial})
    note(job.key, "failed")
    return Outcome(job.key, "failed", text, unexpected=distributed.world()[1] > 1)


def note(key: str, event: str, first: bool = True) -> None:
    """Append a line to the ledger of executions that tests judge the store by, if one is kept."""
    path = os.environ.get(LEDGER)
    if path and first:
        with open(path, "a", encoding="utf-8") as ledger:
            ledger.write(f"{key} {event} {os.getpid()} {time.time():.3f}\n")


@contextmanager
def _nothing() -> Iterator[bool]:
    yield False
