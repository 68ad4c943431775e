"""A tuned ablation on Ray, killed in the middle of its searches, ends as one that was not."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import driving
import pytest

from semisweep import Store, export
from semisweep.store.resolved_study import ResolvedStudy

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(1500)]
CRASH = Path(__file__).parent.parent / "crash"
PLACES = [("full", "8 labelled"), ("low", "8 labelled")]


class Run:
    """The study in a store of its own, two trials at a time, run by processes of their own."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "ledger").touch()
        self.environment = driving.environment(CRASH, folder / "ledger", OMP_NUM_THREADS="1")
        study = ["run", "tuned_studies:tuned", "--store", "store", "--data", f"shapes={data}"]
        self.command = driving.command(*study, "--slots", "2", "--deterministic")

    def start(self) -> driving.Driver:
        return driving.Driver(self.command, self.folder, self.environment)

    def finish(self) -> str:
        """Run to the end and return the table without what its searches took."""
        driver = self.start()
        assert driver.wait(700) == 0, driver.errors
        lines = driver.output.replace(str(self.folder), "").splitlines()
        return "\n".join(re.sub(r"\([\d.e-]+ h\)", "", line) for line in lines)

    @property
    def store(self) -> Store:
        return Store.open(self.folder / "store")

    def results(self) -> dict[str, float]:
        """Return when the result of each trial was written."""
        found = (self.folder / "store" / "trials").glob("*/result.parquet")
        return {path.parent.name: path.stat().st_mtime for path in found}

    def table(self) -> ResolvedStudy:
        found = self.store.read_study("tuned", "mini")
        assert isinstance(found, ResolvedStudy)
        return found


def test_a_tuned_ablation_that_is_killed_trains_each_trial_once_and_has_the_same_table(
    tmp_path: Path, tiny_shapes: Path
) -> None:
    whole, killed = (Run(tmp_path / name, tiny_shapes) for name in ("whole", "killed"))
    table = whole.finish()
    driver = killed.start()

    def is_amid() -> bool:
        time.sleep(0.05)
        begun = (killed.folder / "store" / "trials").glob("*/history*")
        done = killed.results()
        return len(done) >= 2 and any(path.parent.name not in done for path in begun)

    driver.until(is_amid, 400)
    driver.send(signal.SIGKILL)
    driver.wait()
    driver.end_family()
    before = killed.results()
    attempts = {key: killed.store.trial(key).attempts for key in before}
    assert 2 <= len(before) < 6, "it was not killed in the middle of its searches"
    assert killed.store.read_study("tuned", "mini") is None

    assert killed.finish() == table
    after = killed.results()
    assert {key: after[key] for key in before} == before, "a finished trial was trained again"
    assert len(after) == 2 * 3 + 2 * 2
    assert {key: killed.store.trial(key).attempts for key in before} == {
        key: attempts[key] for key in before
    }
    again = [key for key in after if killed.store.trial(key).attempts > 1]
    assert 1 <= len(again) <= 2, "those that were in training are begun anew, and no others"
    assert export(killed.store) == export(whole.store)
    for row, column in PLACES:
        name = f"tuned~{row}~{column}"
        searches = [own.store.read_search(name, "mini") for own in (whole, killed)]
        assert searches[0] is not None
        assert searches[0] == searches[1]
        chosen = [own.table().at[row, column].tuning for own in (whole, killed)]
        assert chosen[0] is not None
        assert chosen[1] is not None
        assert chosen[0].ended == 3
        assert (chosen[0].number, chosen[0].params) == (chosen[1].number, chosen[1].params)
