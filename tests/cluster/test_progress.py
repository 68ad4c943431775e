"""What a sweep says while it runs, in a log."""

from __future__ import annotations

import io
import re

import pytest

from semisweep.cluster.progress import SweepProgress
from semisweep.store.trial_records import Evaluation, TrialProgress


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr("semisweep.cluster.progress.LINE_SECONDS", 0.0)
    return io.StringIO()


def last(log: io.StringIO) -> str:
    return log.getvalue().splitlines()[-1].partition(" s  ")[2]


def test_running_trials_are_named_with_how_far_they_are(log: io.StringIO) -> None:
    with SweepProgress(3, {"abcdefghij": "ours, 0/1"}, log) as progress:
        progress.watch({"abcdefghij": None})
        assert last(log) == "0 of 3 done; running: ours, 0/1 abcdefgh 0/?"
        reached = Evaluation(20, {"val.miou": 0.5})
        told = TrialProgress(step=20, total_steps=100, evaluation=reached)
        progress.watch({"abcdefghij": told})

    assert last(log) == "0 of 3 done; running: ours, 0/1 abcdefgh 20/100 val 50.0"


def test_what_other_sweeps_train_is_waited_for_and_said(log: io.StringIO) -> None:
    with SweepProgress(3, {}, log) as progress:
        progress.finished("k1", "known", "")
        progress.watch({}, 2)
        assert last(log) == "1 of 3 done, 2 trained by other sweeps"
        progress.watch({}, 0)
        assert last(log) == "1 of 3 done"


def test_a_line_is_said_as_it_is(log: io.StringIO) -> None:
    with SweepProgress(3, {}, log) as progress:
        progress.say("trial [bold]a[/bold], attempt 1 of 3: it broke")

    assert last(log) == "trial [bold]a[/bold], attempt 1 of 3: it broke"


def test_how_long_the_rest_takes_is_told_at_the_pace_so_far(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("semisweep.cluster.progress.time.monotonic", lambda: now)
    with SweepProgress(5, {}, log) as progress:
        progress.finished("k0", "known", "")
        progress.watch({"k1": TrialProgress(step=1, total_steps=100)})
        assert "left" not in last(log)
        now = 160.0
        progress.finished("k1", "finished", "")
        now = 161.0
        progress.watch({"k2": TrialProgress(step=0, total_steps=100)})

        assert "2 of 5 done, about 3 min left" in last(log)


def test_bars_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    screen = io.StringIO()
    with SweepProgress(3, {"abcdefghij": "a long name of a row, 8 labelled, 0/1"}, screen) as shown:
        told = TrialProgress(step=20, total_steps=100, evaluation=Evaluation(20, {"val.miou": 0.5}))
        shown.watch({"abcdefghij": told}, 2)
        shown.bars.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())

    assert "a long name" in plain
    assert "20/100 val 50.0" in plain
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= 80
