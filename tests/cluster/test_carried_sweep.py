"""A sweep that begins here, goes on in a store elsewhere, and comes back: no trial twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import driving
import pytest
from driving import Driver
from undisturbed import train_undisturbed

from semisweep import Store, export
from semisweep.data.shapes import make
from semisweep.store.store_archive import pack
from semisweep.store.store_merge import merge

STUDY = "crash_studies:handful"
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]


def test_no_trial_is_trained_twice_in_two_stores(tmp_path: Path) -> None:
    data = make(tmp_path / "shapes", train=24, val=4, test=4, size=32)
    ledger = tmp_path / "ledger"
    ledger.touch()
    folder = Path(__file__).parent.parent / "crash"
    variables = driving.environment(folder, ledger, OMP_NUM_THREADS="1")
    here, there = tmp_path / "here", tmp_path / "there"

    def run(store: Path) -> Driver:
        options = ["--store", store, "--data", f"shapes={data}", "--slots", "2"]
        return Driver(driving.command("run", STUDY, *map(str, options)), tmp_path, variables)

    def events(name: str) -> Counter[str]:
        return Counter(line.key for line in driving.read_ledger(ledger) if line.event == name)

    first = run(here)
    first.until(lambda: len(events("finished")) >= 3)
    first.end()
    pack(Store.open(here), tmp_path / "to.tar.xz")
    merge(tmp_path / "to.tar.xz", there)
    second = run(there)
    assert second.wait() == 0, second.errors
    pack(Store.open(there), tmp_path / "from.tar.xz")
    merged = merge(tmp_path / "from.tar.xz", here)
    began = events("started")
    third = run(here)
    assert third.wait() == 0, third.errors

    expected, _ = train_undisturbed(STUDY, tmp_path / "undisturbed", data)
    assert merged.left_out == merged.notes == []
    assert events("started") == began, "what came back is not trained again"
    assert events("finished") == Counter(list(expected.finished()))
    assert export(Store.open(here)) == export(expected)
