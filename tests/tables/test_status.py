"""Where studies stand, told from the store while another process trains."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.tables.status import duration, status_lines, study_status

TABLE = table(cell([f"k{n}" for n in range(6)]))
NOW = 1_000_000.0
TRAINER = """
import sys
from pathlib import Path
from semisweep.store.trial_folder import TrialFolder

folder = TrialFolder(Path(sys.argv[1]))
with folder.lock():
    folder.start_attempt()
    folder.describe({"trial": {"training": {"steps": 100}}})
    for step in (10, 20):
        folder.append_history([{"step": step, "val.miou": step / 50}])
    print("ready", flush=True)
    input()
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which two trials took 40 and 60 s, one failed, and one was given up."""
    made = Store.open(tmp_path / "store", create=True)
    made.trial("k0").complete({"run.seconds": 40.0})
    made.trial("k1").complete({"run.seconds": 60.0})
    made.trial("k2").fail({"error": "no"})
    made.trial("k3").start_attempt()
    made.write_study("study", "mini", TABLE)
    return made


@pytest.fixture
def training(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process, which trains k4 since 10 s and has done 20 of 100 steps."""
    folder = store.trial("k4")
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINER, folder.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.utime(folder.path / "attempt-0001", (NOW - 10, NOW - 10))
    yield process
    process.kill()
    process.communicate()


def test_a_trial_runs_where_a_process_holds_its_lock(
    store: Store, training: subprocess.Popen[str]
) -> None:
    state = study_status(store, TABLE, NOW)

    assert (state.finished, state.failed, state.waiting) == (2, 1, 2)
    (running,) = state.running
    assert (running.key, running.name, running.step, running.total_steps) == (
        *("k4", "ours, 0/4", 20, 100),
    )
    assert (running.score, running.seconds) == (0.4, 10.0)


def test_the_newest_score_stands_beside_the_newest_step(
    store: Store, training: subprocess.Popen[str]
) -> None:
    """Between evaluations the history may have losses alone."""
    store.trial("k4").append_history([{"step": 25, "student.loss": 0.5}])
    (running,) = study_status(store, TABLE, NOW).running

    assert (running.step, running.score) == (25, 0.4)


def test_a_clock_that_was_set_back_gives_no_negative_times(
    store: Store, training: subprocess.Popen[str]
) -> None:
    (running,) = study_status(store, TABLE, NOW - 3600).running

    assert running.seconds == 0


def test_the_end_is_estimated_from_what_trials_took(
    store: Store, training: subprocess.Popen[str]
) -> None:
    """Of 50 s a trial, the running one has 20 % behind it and two are to follow."""
    state = study_status(store, TABLE, NOW)

    assert state.seconds_left == pytest.approx(0.8 * 50 + 2 * 50)


def test_before_any_trial_has_finished_the_pace_of_running_ones_counts(
    store: Store, training: subprocess.Popen[str]
) -> None:
    two = table(cell({"0/4": "k4", "0/5": "k5"}))

    assert study_status(store, two, NOW).seconds_left == pytest.approx(0.8 * 50 + 50)


def test_a_killed_trainer_leaves_a_trial_that_waits(
    store: Store, training: subprocess.Popen[str]
) -> None:
    training.kill()
    training.wait()
    state = study_status(store, TABLE, NOW)

    assert state.running == ()
    assert state.waiting == 3
    assert state.seconds_left is None


def test_a_failed_trial_that_is_run_again_runs(store: Store) -> None:
    with store.trial("k2").lock():
        state = study_status(store, TABLE, NOW)

    assert (state.failed, [own.key for own in state.running]) == (0, ["k2"])
    assert state.running[0].step == 0


def test_the_lines_name_studies_and_running_trials(
    store: Store, training: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    heading, study, trial = status_lines(store, NOW)

    assert heading.split() == [*("study", "finished", "failed", "running", "waiting"),
                               *("estimated", "end")]  # fmt: skip
    assert study.split() == ["study", "mini", "2", "1", "1", "2", "13:49,", "in", "2", "min"]
    assert trial == "    k4  ours, 0/4  step 20 of 100  val mIoU 40.0  for 10 s"
    monkeypatch.undo()
    time.tzset()


def test_a_study_of_which_nothing_runs_says_so(store: Store) -> None:
    assert list(status_lines(store, NOW))[1].endswith("nothing runs")
    for key in ("k3", "k4", "k5"):
        store.trial(key).complete({})
    assert list(status_lines(store, NOW))[1].endswith("complete")


def test_each_trial_is_asked_once_however_many_studies_want_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        store.write_study(f"study {number}", "mini", TABLE)
    asked: Counter[tuple[str, str]] = Counter()

    def counted(name: str, ask: Callable[..., Any]) -> Callable[..., Any]:
        def asking(folder: TrialFolder, *more: Any) -> Any:
            asked[name, folder.key] += 1
            return ask(folder, *more)

        return asking

    for name in ("failure", "result"):
        monkeypatch.setattr(TrialFolder, name, counted(name, getattr(TrialFolder, name)))
    for name in ("finished", "in_training"):
        ask = property(counted(name, getattr(TrialFolder, name).fget))
        monkeypatch.setattr(TrialFolder, name, ask)
    lines = list(status_lines(store, NOW))

    assert len(lines) == 7
    assert {key for name, key in asked if name == "finished"} == {f"k{n}" for n in range(6)}
    assert set(asked.values()) == {1}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5400, "2 h"), (3 * 86400, "3 days")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_asking_for_the_status_imports_neither_torch_nor_ray(store: Store) -> None:
    code = (
        "import sys; from semisweep.cli import main\n"
        f"try: main(['status', '--store', {str(store.root)!r}])\n"
        "finally: print(sorted({'torch', 'ray', 'pandas', 'optuna'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.splitlines()[-1] == "[]"
