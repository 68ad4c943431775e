"""Forty trials through ten SIGKILLs; `make test-crash` sends 100 to a sweep of 200."""

from __future__ import annotations

from pathlib import Path

import pytest
from crashing import Crashing, Kills

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def test_ten_kills_lose_nothing_and_repeat_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    chosen = ["result-unnamed", "checkpoint-torn", "result-named", "part-torn"]

    report = Crashing(tmp_path, "few").run(Kills(workers=4, drivers=1, raylets=1, chosen=chosen))

    with capsys.disabled():
        print(f"\n{report}")
    assert report.done.total == 10, "7 workers, 2 drivers, of which one compacts, and a raylet"
    assert report.is_good
