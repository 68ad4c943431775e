"""Sweeps through Ray that share a GPU, are killed and go on, and what their rows tell."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from gpu_studies import Patient, PatientMatch

from semisweep import Store, Study, Trial, export
from semisweep.cluster.gpu_sharing import gpu_here, gpu_share
from semisweep.core.device import ADVICE
from semisweep.store.query import results
from semisweep.study.catalogue import find_study
from semisweep.study.data_roots import Roots
from semisweep.study.resolve import Splits, resolve
from semisweep.training.trial import method_path

pytestmark = [pytest.mark.gpu, pytest.mark.ray, pytest.mark.timeout(600)]

# A GPU adds in no fixed order, so two runs of one trial differ in their last bits, and forty steps
# later by more: weights that differ by 1e-4 at the start give losses up to 0.006 apart on a CPU.
# Equal are losses within three hundredths, and mIoU within two points of 4 small images; trials
# that differ in their seed alone must be further apart (0.05 on a CPU), or this would tell nothing.
LOSS, MIOU = 3e-2, 0.02


def trials(place, changes: dict[str, Any] | None = None) -> dict[str, Trial]:
    study = find_study("gpu_studies:pair")
    assert isinstance(study, Study)
    splits = Splits(Roots(place.root, {"shapes": place.data}))
    return dict(resolve(study, "mini", splits, changes or {}).trials)


def history(store: Store, key: str) -> np.ndarray:
    """Return the losses of a trial's history [evaluations, terms]."""
    rows = [row.values for row in store.trial(key).evaluations()]
    names = sorted(name for name in rows[0] if name.startswith("network."))
    assert names
    return np.array([[row[name] for name in names] for row in rows])


def apart(first: np.ndarray, second: np.ndarray) -> float:
    """Return the largest difference of any term, relative to the largest value of that term."""
    assert first.shape == second.shape
    return float((abs(first - second) / abs(first).max(axis=0).clip(1e-12)).max())


@pytest.mark.usefixtures("studies")
def test_a_sweep_of_which_a_worker_and_the_driver_were_killed_equals_an_undisturbed_one(
    place, killed, say: Callable[..., None]
) -> None:
    driver = place.start("pair", "undisturbed", *place.together)
    assert driver.wait() == 0, driver.errors
    assert killed.code == 0, killed.again.errors
    first, second = (Store.open(place.root / name) for name in ("killed", "undisturbed"))
    expected, found = results(second, second.finished()), results(first, first.finished())

    assert 1 <= killed.finished < 4, "the driver was killed in mid-sweep"
    assert place.keys("training").count(killed.worker) > 2, "once more than in the other sweep"
    assert set(expected) == set(found) == set(trials(place))
    losses = max(apart(history(second, key), history(first, key)) for key in expected)
    scores = max(
        abs(expected[key][name] - found[key][name])
        for key in expected
        for name in ("last.test.miou", "last.val.miou", "best.val.miou")
    )
    say(
        "four trials, two at a time, killed and gone on",
        finished_before=killed.finished,
        losses_apart=losses,
        miou_apart=scores,
        export="equal" if export(first) == export(second) else "differs",
    )
    if place.device == "cpu":
        assert export(first) == export(second)
    assert losses <= LOSS
    assert scores <= MIOU
    for kind in (Patient, PatientMatch):
        keys = [key for key, own in trials(place).items() if own.method == method_path(kind)]
        for one, other in combinations(keys, 2):
            assert apart(history(second, one), history(second, other)) > LOSS
    for key in expected:
        exact = [n for n in expected[key] if not n.startswith(("run.", "last.", "best."))]
        assert [expected[key][n] for n in exact] == [found[key][n] for n in exact]


def overlap(place, keys: set[str]) -> int:
    """Return how many of some trials were trained at one time, by the ledger."""
    begun = {o.key: o.at for o in place.lines() if o.event == "training" and o.key in keys}
    ended = {o.key: o.at for o in place.lines() if o.event == "finished" and o.key in keys}
    assert set(begun) == set(ended) == keys
    return max(sum(begun[o] <= at < ended[o] for o in keys) for at in begun.values())


@pytest.mark.usefixtures("studies", "killed")
def test_after_a_first_sweep_trials_share_a_gpu_by_what_was_measured(
    place, say: Callable[..., None]
) -> None:
    """The new trials are longer, which needs no more memory, so that several are seen at once."""
    shutil.copytree(place.root / "killed", place.root / "auto")
    store, wanted = Store.open(place.root / "auto"), trials(place, {"training.steps": 160})
    share = gpu_share(wanted.values(), store, gpu_here())
    options = ("--gpus", "auto", "--set", "training.steps=160")
    driver = place.start("pair", "auto", *options)

    assert driver.wait() == 0, driver.errors
    assert wanted.keys() <= store.finished()
    together = overlap(place, set(wanted))
    say("--gpus auto after a first sweep", share=share, at_a_time=together)
    if place.device == "cuda":
        assert share is not None
        assert 0 < share < 1
        assert together >= 2
    assert "warning: a GPU for each worker" not in driver.errors


@pytest.mark.usefixtures("killed")
def test_rows_tell_device_driver_and_peak_memory(place, say: Callable[..., None]) -> None:
    store = Store.open(place.root / "killed")
    rows = list(results(store, store.finished()).values())
    row = rows[0]

    say(
        "a row",
        device=row["run.device"],
        name=row.get("run.device_name", "none"),
        driver=row.get("run.driver", "none"),
        peak_MiB=row["run.peak_memory_bytes"] / 2**20,
        reserved_MiB=row.get("run.peak_reserved_bytes", 0) / 2**20,
    )
    for row in rows:
        assert row["run.peak_memory_bytes"] > 2**20
        if place.device == "cuda":
            assert row["run.device"] == "cuda:0"
            assert row["run.device_name"]
            assert row["run.driver"][0].isdigit()
            assert row["run.peak_reserved_bytes"] >= row["run.peak_memory_bytes"]
            assert row["run.peak_memory_bytes"] < 2**30, "that of a network of some kilobytes"
        else:
            assert "run.driver" not in row


@pytest.mark.usefixtures("studies")
def test_a_trial_that_runs_out_of_memory_fails_with_advice(place, say: Callable[..., None]) -> None:
    driver = place.start("greedy", "greedy", *place.together)
    code = driver.wait()
    (failure,) = Store.open(place.root / "greedy").failures().values()

    say("out of memory in a sweep", code=code, attempts=failure.attempts)
    assert code == 1
    assert "allocate" in failure.error
    assert failure.error.splitlines()[-1] == ADVICE
    assert ADVICE in driver.errors
