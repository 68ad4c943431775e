"""A sweep on Ray whose store is object storage that is late, refuses, and loses answers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import driving
import pytest
from driving import Driver
from object_storage import ObjectStorage
from undisturbed import train_undisturbed

from semisweep import Store, export
from semisweep.data.shapes import make

STUDY = "crash_studies:handful"
FAULTS = 0.1  # of all requests
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def training(ledger: Path, since: float = 0.0) -> list[int]:
    """Return the processes that are between a trial's start and its end, and so hold its lease."""
    last = {line.key: line for line in driving.read_ledger(ledger) if line.at > since}
    return [line.process for line in last.values() if line.event == "started"]


def test_a_killed_sweep_goes_on_and_ends_as_one_on_a_disk_that_nothing_happened_to(
    s3: ObjectStorage, tmp_path: Path
) -> None:
    data = make(tmp_path / "shapes", train=24, val=4, test=4, size=32)
    ledger, url = tmp_path / "ledger", s3.new()
    ledger.touch()
    variables = driving.environment(
        Path(__file__).parent.parent / "crash",
        ledger,
        SEMISWEEP_LEASE_SECONDS="5",
        OMP_NUM_THREADS="1",
    )
    arguments = ["run", STUDY, "--store", url, "--data", f"shapes={data}", "--slots", "2"]

    def start() -> Driver:
        return Driver(driving.command(*arguments), tmp_path, variables)

    def finished() -> Counter[str]:
        return Counter(line.key for line in driving.read_ledger(ledger) if line.event == "finished")

    s3.faults(FAULTS, seed=1)
    first = start()
    first.until(lambda: len(finished()) >= 3 and training(ledger))
    first.end()
    second = start()
    worker, *_ = second.until(lambda: training(ledger, second.started))
    os.kill(worker, signal.SIGKILL)
    assert second.wait() == 0, second.errors
    s3.faults(0)
    store = Store.open(url)
    expected, _ = train_undisturbed(STUDY, tmp_path / "undisturbed", data)

    assert store.finished() == expected.finished()
    assert not store.failures()
    assert export(store) == export(expected)
    assert finished() == Counter(list(expected.finished())), "each was brought to its end once"
    assert "(8)" in second.output
