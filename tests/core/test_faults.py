"""How often anything is tried again, and how a fault is told; faults that tests inject."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from semisweep import Store
from semisweep.cluster.mailbox import SlotState
from semisweep.cluster.supervisor import START_SECONDS, hangs
from semisweep.core.fault_injection import FAULT, LEDGER, TIMES, point
from semisweep.core.faults import TRIES, Fault, Retries, failed_text, last_lines
from semisweep.store.trial_log import KEPT_FAULTS, keep_fault, read_faults, read_logs

TRACEBACK = """Traceback (most recent call last):
  File "method.py", line 3, in step
    1 / 0
ZeroDivisionError: division by zero"""


def test_each_thing_is_tried_three_times_in_a_row() -> None:
    retries = Retries()
    for count in (retries.attempt, retries.start, retries.loss):
        assert [count("a") for _ in range(TRIES)] == [True, True, False]
        assert count("b"), "each is counted on its own"


def test_an_outcome_makes_up_for_attempts_and_losses_before() -> None:
    retries = Retries()
    for _ in range(TRIES - 1):
        retries.attempt("a")
        retries.loss("slot")
    retries.ended("a", "slot")
    assert [retries.attempt("a"), retries.loss("slot")] == [True, True]


def test_a_fault_is_told_by_its_trial_and_the_last_lines_of_its_error() -> None:
    fault = Fault(slot="slot-1", text=TRACEBACK, what="attempt 2 of 3", key="0123456789", label="s")

    assert fault.shown() == "s 01234567, attempt 2 of 3: ZeroDivisionError: division by zero"
    assert fault.shown("ours, 0/1") == (
        "ours, 0/1, attempt 2 of 3: ZeroDivisionError: division by zero"
    )
    assert Fault(slot="slot-1", text="gone", what="start 1 of 3").shown() == (
        "slot-1, start 1 of 3: gone"
    )


def test_an_error_of_several_lines_is_told_by_the_last_three() -> None:
    assert last_lines(TRACEBACK + "\nwith a note") == [
        "ZeroDivisionError: division by zero",
        "with a note",
    ]
    assert last_lines("1\n2\n3\n4\n") == ["2", "3", "4"]
    assert last_lines("") == []


def test_a_failed_trial_has_its_traceback_or_how_often_its_processes_ended() -> None:
    assert failed_text(TRACEBACK) == TRACEBACK
    assert "got attempts=3, the last one: it is gone; --retry-failed" in failed_text("it is gone")


def test_a_fault_is_kept_for_the_store_and_in_the_log_of_its_trial(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    keep_fault(store, Fault(slot="slot-1", text="no driver", what="start 1 of 3"))
    trial = {"key": "aaaa", "label": "ours", "store": str(store.root)}
    for number in (1, 2):
        what = f"attempt {number} of 3"
        keep_fault(store, Fault(slot="slot-1", text=TRACEBACK, what=what, **trial))

    first, second, third = read_faults(store)
    assert "slot-1, start 1 of 3:\nno driver\n" in first
    assert "ours aaaa, attempt 1 of 3:" in second
    assert TRACEBACK in third
    (log,) = read_logs(store.trial("aaaa")).values()
    assert log.count(TRACEBACK) == 2


def test_so_many_faults_are_kept_and_no_more(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    for number in range(KEPT_FAULTS + 3):
        keep_fault(store, Fault(slot="s", text=f"fault {number}", what="start 1 of 3"))

    kept = read_faults(store)
    assert len(kept) == KEPT_FAULTS
    assert "fault 3\n" in kept[0]


@pytest.mark.parametrize(
    ("said", "limit", "told"),
    [
        ({"quiet_seconds": 31}, 30, "got no further for 30 s"),
        ({"quiet_seconds": 29}, 30, ""),
        ({"quiet_seconds": 10**6}, 0, ""),
        ({"starting_seconds": 31}, 30, ""),
        ({"starting_seconds": 61}, 30, "its start got no further for 60 s"),
        ({"starting_seconds": 119}, 120, ""),
        ({"starting_seconds": START_SECONDS + 1}, 10**6, "its start got no further for 600 s"),
        ({"starting_seconds": START_SECONDS + 1}, 0, "its start got no further for 600 s"),
        ({"starting_seconds": START_SECONDS - 1}, 0, ""),
        ({"closed_seconds": 61}, 30, "did not end within 60 s"),
    ],
)
def test_workers_that_hang_are_found_wherever_they_do(
    said: dict[str, float], limit: float, told: str
) -> None:
    found = hangs(SlotState(**said), limit)

    assert (told in found) if told else not found


def test_a_fault_is_injected_where_and_as_often_as_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FAULT, "train:raises:1")
    monkeypatch.setenv(LEDGER, str(tmp_path / "ledger"))
    monkeypatch.setenv(TIMES, "2")
    point("data", 1)
    point("train", 0)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="an injected fault at point=train"):
            point("train", 1)
    point("train", 1)
    assert len((tmp_path / "ledger").read_text().splitlines()) == 2
    monkeypatch.delenv(FAULT)
    point("train", 1)


def test_an_injected_kill_is_a_kill() -> None:
    code = "from semisweep.core.fault_injection import point; point('train')"
    environment = {**os.environ, FAULT: "train:killed"}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == (
        -signal.SIGKILL
    )
