"""What trials take, by their numbers of parameters, against what they take when they are there."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from method_configs import CONFIGS

from semisweep import DataConfig, OptimizerConfig, TrainingConfig, Trial
from semisweep.core.config import replace
from semisweep.data.registry import open_dataset
from semisweep.data.splits import make_split
from semisweep.running.job_sources import Reads
from semisweep.running.size_forecast import size_lines, size_of, sizes_of
from semisweep.training.kept_state import kept_state, state_bytes
from semisweep.training.trainer import Training, to_bytes
from semisweep_methods.gps import GPS
from semisweep_methods.mean_teacher import MeanTeacher

BEST = Reads(("best",), labels=False)
TRIAL = Trial(
    method=MeanTeacher.name,
    config=CONFIGS["mean_teacher"],
    data=DataConfig(name="shapes", labelled=8),
    training=TrainingConfig(
        steps=2,
        labelled_batch=2,
        unlabelled_batch=2,
        crop_pixels=32,
        evaluations=1,
        optimizer=OptimizerConfig(learning_rate=0.01),
    ),
    seed=0,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training.optimizer.name": "adamw"},
        {"training.optimizer.momentum": 0.0},
        {"config.network.frozen": True},
    ],
    ids=["sgd", "adamw", "no momentum", "frozen"],
)
def test_sizes_are_those_of_a_trial_in_training(tiny_shapes: Path, changes: dict[str, Any]) -> None:
    trial = replace(TRIAL, changes)
    dataset = open_dataset("shapes", tiny_shapes)
    training = Training(trial, dataset, make_split(dataset, trial.data))
    for batch in training.loader.batches(0, 1):
        training.advance(batch)
    found = size_of(trial, len(dataset.classes), "both", BEST)
    trained = [own for own in training.method.parameters() if own.requires_grad]
    written = len(to_bytes(vars(training.state())))

    assert found.kept == 2 * state_bytes(kept_state(training.method))
    assert found.weights == state_bytes(training.method.state_dict())
    assert found.gradients == sum(own.numel() * own.element_size() for own in trained)
    assert found.checkpoint == found.weights + found.optimizer
    # A file has names besides, and AdamW counts its steps.
    assert found.checkpoint <= written <= found.checkpoint + 700 * len(training.method.state_dict())


def test_a_group_with_its_own_optimizer_has_its_own_copies() -> None:
    own = dataclasses.replace(
        TRIAL.training, group_optimizers={"teacher": OptimizerConfig(name="adamw")}
    )
    gps = dataclasses.replace(TRIAL, method=GPS.name, config=CONFIGS["gps"])
    plain, mixed = (
        size_of(dataclasses.replace(gps, training=t), 4, "best", BEST)
        for t in (TRIAL.training, own)
    )

    assert plain.optimizer == plain.gradients
    assert mixed.optimizer == pytest.approx(4 / 3 * mixed.gradients)  # one of three networks


def test_nothing_is_made_in_memory_and_no_draw_is_made() -> None:
    before = torch.get_rng_state()
    size_of(TRIAL, 4, "auto", BEST)

    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_device().type == "cpu"


def test_choices_decide_what_is_kept() -> None:
    kept = {choice: size_of(TRIAL, 4, choice, BEST).kept for choice in ("auto", "best", "all")}
    whole = size_of(TRIAL, 4, "best", Reads(("best",), labels=True)).kept

    assert kept["auto"] == 2 * kept["best"]
    assert kept["all"] == 4 * kept["best"], "the student too"
    assert whole == 2 * kept["best"]


def test_sizes_add_up_over_trials_and_the_largest_decides_memory() -> None:
    large = replace(TRIAL, {"config.network.channels": 64})
    small = size_of(TRIAL, 4, "auto", BEST)
    most = size_of(large, 4, "auto", BEST)
    found = sizes_of([(TRIAL, 4, BEST)] * 3 + [(large, 4, BEST)], "auto", together=2)

    assert found is not None
    assert found.kept == 3 * small.kept + most.kept
    assert found.in_training == small.in_training + most.in_training
    assert (found.resident, found.host) == (most.resident, most.checkpoint)
    assert most.resident > small.resident
    assert sizes_of([], "auto", together=2) is None
    alone = sizes_of([(TRIAL, 4, BEST)], "auto", together=8)
    assert alone is not None
    assert alone.together == 1


def test_lines_say_what_is_on_top() -> None:
    found = sizes_of([(TRIAL, 4, BEST)] * 3, "auto", together=2)
    assert found is not None
    cpu, gpu = (size_lines(found, device) for device in ("cpu", "cuda"))

    assert [line.split("  ")[1] for line in cpu[1:]] == ["disk", "memory of a process"]
    assert [line.split("  ")[1] for line in gpu[1:]] == [
        *("disk", "GPU memory of a process", "host memory of a process")
    ]
    assert "kept by 3 trials when finished" in cpu[1]
    assert "activations come on top" in cpu[2]
    assert "activations come on top" in gpu[2]
