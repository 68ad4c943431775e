"""Trials that share a GPU, as many as by what was measured of their kinds will fit."""

import dataclasses
import io

import pyarrow.parquet
import pytest

from semisweep import DataConfig, Store, TrainingConfig, Trial
from semisweep.cluster.connection import fit_slots
from semisweep.cluster.gpu_sharing import CONTEXT_BYTES, RESERVE, alike, gpu_here, gpu_share
from semisweep.core.config import flatten, replace
from semisweep.store.result_file import encode_row
from semisweep.study.request import Resources
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.supervised import SupervisedConfig

GIB = 2**30
TRIAL = Trial(
    method="semisweep_methods.supervised:Supervised",
    config=SupervisedConfig(network=tiny_network()),
    data=DataConfig(name="shapes", labelled=8),
    training=TrainingConfig(steps=6, labelled_batch=4, unlabelled_batch=4, crop_pixels=32),
    seed=0,
)
LARGE = dataclasses.replace(TRIAL, training=dataclasses.replace(TRIAL.training, crop_pixels=64))


@pytest.fixture
def store(tmp_path):
    return Store.open(tmp_path / "store", create=True)


def measured(store, trial, peak, device="cuda:0", **more):
    """Keep the result of a trial whose tensors needed so much."""
    key = f"{len(store.keys()):04d}"
    row = (
        flatten(trial.encoded())
        | {
            "key": key,
            "run.device": device,
            "run.workers": 1,
            "run.seconds": 1.0,
            "run.peak_memory_bytes": int(peak),
        }
        | more
    )
    store.trial(key).complete(row)


def plain_row(fields):
    """Return a row as it comes back from a store."""
    return pyarrow.parquet.read_table(io.BytesIO(encode_row(fields))).to_pylist()[0]


def test_as_many_share_a_gpu_as_fit_beside_the_largest(store):
    measured(store, TRIAL, 2 * GIB)
    measured(store, TRIAL, 4 * GIB)
    measured(store, LARGE, 20 * GIB)

    assert gpu_share([TRIAL], store, 80 * GIB) == 0.125, "no more than eight"
    assert gpu_share([TRIAL], store, 16 * GIB) == 0.5
    share = gpu_share([TRIAL, LARGE], store, 80 * GIB)
    assert share == 0.3333
    slots, worker = fit_slots([{"CPU": 16.0, "GPU": 1.0}], Resources(gpus=share))
    assert slots == 3
    assert 3 * (RESERVE * 20 * GIB + CONTEXT_BYTES) < 80 * GIB
    assert worker["GPU"] == share


def test_what_the_allocator_took_counts_where_a_row_tells(store):
    measured(store, TRIAL, 2 * GIB, **{"run.peak_reserved_bytes": 9 * GIB})
    assert gpu_share([TRIAL], store, 80 * GIB) == 0.125
    assert gpu_share([TRIAL], store, 40 * GIB) == 0.25
    measured(store, TRIAL, 15 * GIB)
    assert gpu_share([TRIAL], store, 40 * GIB) == 0.5, "the most that any row tells"


def test_a_row_is_like_the_trial_that_it_is_of():
    fields = flatten(TRIAL.encoded()) | {"config.names": ["a", "b"], "config.none": None}

    assert alike(fields) == alike(plain_row(fields))


def test_what_needs_more_than_there_is_has_a_gpu_to_itself(store):
    measured(store, TRIAL, 79 * GIB)

    assert gpu_share([TRIAL], store, 80 * GIB) == 1


@pytest.mark.parametrize(
    ("changes", "tells"),
    [
        ({"seed": 3}, True),
        ({"training.steps": 60}, True),
        ({"training.optimizer.learning_rate": 0.5}, True),
        ({"training.optimizer.name": "adamw"}, False),
        ({"training.crop_pixels": 40}, False),
        ({"training.precision": "bf16"}, False),
        ({"config.network.channels": 32}, False),
        ({"config.supervised_loss": "ohem"}, False),
    ],
)
def test_only_trials_that_are_alike_tell(store, changes, tells):
    measured(store, TRIAL, 2 * GIB)

    assert (gpu_share([replace(TRIAL, changes)], store, 80 * GIB) is not None) == tells


def test_what_was_measured_on_a_cpu_or_an_unknown_gpu_tells_nothing(store):
    measured(store, TRIAL, 2 * GIB, device="cpu")
    assert gpu_share([TRIAL], store, 80 * GIB) is None
    measured(store, TRIAL, 2 * GIB)
    assert gpu_share([TRIAL], store, 80 * GIB) is not None
    assert gpu_share([TRIAL, LARGE], store, 80 * GIB) is None
    assert gpu_share([TRIAL], store, 0) is None
    assert gpu_share([], store, 80 * GIB) is None


def test_the_driver_of_gpus_is_asked(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 81559\necho 24576\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_here() == 24 * GIB
    program.write_text("#!/bin/sh\necho no devices were found\n")
    assert gpu_here() == 0
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpu_here() == 0
