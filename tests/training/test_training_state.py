"""What a training is at a step survives a checkpoint: every field of its state, by name."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from falling_method import falling_trial
from torch import Tensor

from semisweep import DataConfig, OptimizerConfig, Store, TrainingConfig, Trial
from semisweep.cluster.job import Job
from semisweep.cluster.trial_execution import execute
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.store.trial_records import TrialProgress
from semisweep.training.method_fixtures import tiny_network
from semisweep.training.trainer import Training, TrainingState, fit
from semisweep.training.trial import trial_key
from semisweep_methods.mean_teacher import MeanTeacher, MeanTeacherConfig

FIELDS = [field.name for field in dataclasses.fields(TrainingState)]
DATA = DataConfig(name="shapes", labelled=8)
TRIAL = Trial(
    method=MeanTeacher.name,
    config=MeanTeacherConfig(network=tiny_network()),
    data=DATA,
    training=TrainingConfig(
        steps=6,
        labelled_batch=4,
        unlabelled_batch=4,
        crop_pixels=32,
        evaluations=3,
        optimizer=OptimizerConfig(name="adamw", learning_rate=0.01),
        precision="fp16",
    ),
    seed=3,
)
EARLIER_SECONDS = 5000.0


def fresh(root: Path, trial: Trial = TRIAL) -> Training:
    """Return a training that scales gradients, as on a GPU."""
    dataset = open_dataset("shapes", root)
    training = Training(trial, dataset, make_split(dataset, DATA))
    training.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return training


@pytest.fixture(scope="module")
def reached(tiny_shapes: Path) -> TrainingState:
    """Return the state after three steps, of which every field is another than at the start."""
    training = fresh(tiny_shapes)
    for batch in training.loader.batches(0, 3, 0, training.device):
        training.advance(batch)
    training.best_step, training.best_score, training.seconds = 2, 0.25, EARLIER_SECONDS
    return TrainingState.from_bytes(training.state().to_bytes())


def equal(first: Any, second: Any) -> bool:
    """Return whether two nested values are equal, tensors bit for bit."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_a_state_survives_a_checkpoint(
    tiny_shapes: Path, reached: TrainingState, field: str
) -> None:
    start = fresh(tiny_shapes)
    assert not equal(getattr(start.state(), field), getattr(reached, field)), "it shows nothing"
    start.restore(reached)
    again = TrainingState.from_bytes(start.state().to_bytes())

    assert equal(getattr(again, field), getattr(reached, field))


def test_whatever_number_of_a_training_a_restore_changes_is_a_field(
    tiny_shapes: Path, reached: TrainingState
) -> None:
    before, training = vars(fresh(tiny_shapes)), fresh(tiny_shapes)
    training.restore(reached)
    moved = {
        name
        for name, value in vars(training).items()
        if isinstance(value, (int, float, str)) and value != before[name]
    }

    assert moved == {"step", "best_step", "best_score", "seconds", "counted"}


def nothing(told: TrialProgress) -> None:
    """Take a report."""


def job_of(root: Path, store: Store) -> Job:
    trial = falling_trial(DATA)
    key = trial_key(trial, make_split(open_dataset("shapes", root), DATA))
    return Job(key=key, trial=trial.encoded(), store=str(store.root), data_root=str(root))


def test_the_seconds_of_a_result_are_those_of_all_attempts(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    """Of two that were interrupted after a step each, and of the one that went to the end."""
    store = Store.open(tmp_path / "store", create=True)
    job, attempts = job_of(tiny_shapes, store), 0.0
    folder = store.trial(job.key)
    for step in (1, 2):
        started = time.monotonic()
        assert execute(job, nothing, interrupted=lambda: True).status == "interrupted"
        attempts += time.monotonic() - started
        at, data = folder.read_checkpoint() or (0, b"")
        state = TrainingState.from_bytes(data)

        assert at == step
        assert (step - 1) * EARLIER_SECONDS < state.seconds <= attempts
        # As if this attempt had taken hours, of which the next one must know.
        state = dataclasses.replace(state, seconds=state.seconds + EARLIER_SECONDS)
        with folder.lock():
            folder.write_checkpoint(step, state.to_bytes())
        attempts += EARLIER_SECONDS
    started = time.monotonic()
    assert execute(job, nothing).status == "finished"
    attempts += time.monotonic() - started
    row = folder.result()

    assert row is not None
    assert row["run.attempts"] == 3
    assert 2 * EARLIER_SECONDS < row["run.seconds"] <= attempts
    assert row["run.device_seconds"] == row["run.seconds"] * row["run.workers"]
    assert row["run.final_attempt_seconds"] < EARLIER_SECONDS


@pytest.mark.parametrize("before", [0.0, EARLIER_SECONDS])
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_the_seconds_of_a_training_are_counted_once(
    tiny_shapes: Path, tmp_path: Path, before: float, checkpoint_seconds: float
) -> None:
    """With a checkpoint after each step or none, and from where an earlier attempt has ended."""
    training, folder = (
        fresh(tiny_shapes, falling_trial(DATA)),
        Store.open(tmp_path / "store", create=True).trial("aa"),
    )
    training.seconds = before
    slept: list[float] = []

    def sleep(told: TrialProgress) -> None:
        time.sleep(0.05)
        slept.append(0.05)

    started = time.monotonic()
    with folder.lock():
        fit(training, folder, sleep, checkpoint_seconds=checkpoint_seconds)
    whole = time.monotonic() - started

    assert len(slept) >= 3
    assert before + sum(slept) <= training.seconds <= before + whole
