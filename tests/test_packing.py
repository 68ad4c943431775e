"""Trials that share a GPU, as many as by what was measured of their kinds will fit."""

import dataclasses
from pathlib import Path

import pytest

from semisweep.config import flatten
from semisweep.engine import fit_slots
from semisweep.launch import packed
from semisweep.packing import CONTEXT_BYTES, RESERVE, gpu_share
from semisweep.prepare import Prepared
from semisweep.rehearsal import tiny_network
from semisweep.request import AUTO, Request, Resources, Roots
from semisweep.store import Store
from semisweep.study import Splits
from semisweep.trial import DataConfig, TrainingConfig, Trial
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


def measured(store, trial, peak, device="cuda:0", capacity=80 * GIB):
    """Keep the result of a trial that needed so much."""
    key = f"{len(store.keys()):04d}"
    row = flatten(trial.encoded()) | {
        "key": key,
        "total_steps": 6,
        "run.device": device,
        "run.workers": 1,
        "run.seconds": 1.0,
        "run.finished_at": 0.0,
        "run.peak_memory_bytes": int(peak),
        "run.device_memory_bytes": capacity if device != "cpu" else 0,
    }
    store.trial(key).complete(row)


def asked(store, trials, **resources):
    """Return the request that becomes of one with --gpus auto, and what was said."""
    keys = tuple(str(index) for index in range(len(trials)))
    roots = Roots(Path("absent"))
    prepared = Prepared(
        table={}, trials=dict(zip(keys, trials, strict=True)), splits=Splits(roots), missing=keys
    )
    said = []
    request = Request(
        roots=roots, store=str(store.root), resources=Resources(gpus=AUTO, **resources)
    )
    return packed(request, [prepared], [], said.append).resources.gpus, said


def test_as_many_share_a_gpu_as_fit_beside_the_largest(store):
    measured(store, TRIAL, 2 * GIB)
    measured(store, TRIAL, 4 * GIB)
    measured(store, LARGE, 20 * GIB)
    room = {"CPU": 16.0, "GPU": 1.0}

    assert gpu_share([TRIAL], store) == 0.125, "no more than eight"
    share = gpu_share([TRIAL, LARGE], store)
    assert share == 0.3333
    slots, worker = fit_slots([room], Resources(gpus=share))
    assert slots == 3
    assert 3 * (RESERVE * 20 * GIB + CONTEXT_BYTES) < 80 * GIB
    assert worker["GPU"] == share


def test_the_smallest_gpu_that_was_seen_counts(store):
    measured(store, TRIAL, 4 * GIB, capacity=80 * GIB)
    measured(store, TRIAL, 4 * GIB, capacity=16 * GIB)

    assert gpu_share([TRIAL], store) == 0.5


def test_what_needs_more_than_there_is_has_a_gpu_to_itself(store):
    measured(store, TRIAL, 79 * GIB)

    assert gpu_share([TRIAL], store) == 1


def test_what_was_measured_on_a_cpu_or_of_other_kinds_tells_nothing(store):
    measured(store, TRIAL, 2 * GIB, device="cpu")
    assert gpu_share([TRIAL], store) is None
    measured(store, TRIAL, 2 * GIB)
    assert gpu_share([TRIAL], store) is not None
    assert gpu_share([TRIAL, LARGE], store) is None
    assert gpu_share([], store) is None


def test_a_request_is_packed_or_says_why_not(store):
    share, said = asked(store, [TRIAL])
    assert share is None
    assert "never measured" in said[0]
    measured(store, TRIAL, 4 * GIB)

    assert asked(store, [TRIAL]) == (0.125, [])
    share, said = asked(store, [TRIAL], workers=2)
    assert share is None
    assert "workers must have whole ones" in said[0]
    assert asked(store, []) == (None, [])
