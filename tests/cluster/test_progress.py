"""What a sweep says while it runs, in a log."""

from __future__ import annotations

import io

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
