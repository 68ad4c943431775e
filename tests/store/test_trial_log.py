"""What a trial said while it trained, and `semisweep logs`, which shows it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semisweep import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_log import (
    FIRST_CHARACTERS,
    KEPT_ATTEMPTS,
    LAST_CHARACTERS,
    LINE_CHARACTERS,
    logging_to,
    read_logs,
)


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return Store.open(tmp_path / "store", create=True).trial("abcd")


def said(folder: TrialFolder, attempt: int = 1) -> list[str]:
    """Return the lines of an attempt without their times."""
    return [line[20:] for line in read_logs(folder)[attempt].splitlines()]


def test_prints_warnings_and_records_are_kept_and_still_said(
    folder: TrialFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sys.stdout, sys.stderr
    with logging_to(folder, 1):
        print("a print\nof two lines")
        sys.stderr.write("an error in ")
        sys.stderr.write("two parts\n")
        warnings.warn("a warning", RuntimeWarning, stacklevel=1)
        logging.getLogger("a.library").warning("a record")
        logging.getLogger("a.library").info("too much detail")
        print("the end")
    shown = capsys.readouterr()
    lines = said(folder)

    assert lines[0].startswith("attempt 1 on ")
    assert lines[1:4] == ["a print", "of two lines", "an error in two parts"]
    assert "RuntimeWarning: a warning" in lines[4]
    assert lines[-2:] == ["WARNING a.library: a record", "the end"]
    assert sum("a record" in line for line in lines) == 1
    assert shown.out == "a print\nof two lines\nthe end\n"
    assert "an error in two parts\n" in shown.err
    assert (sys.stdout, sys.stderr) == before


def test_a_long_log_keeps_its_beginning_and_its_end(folder: TrialFolder) -> None:
    with logging_to(folder, 1) as log:
        log.say("x" * 10_000)
        for number in range(5_000):
            log.say(f"line {number}")
    text, lines = read_logs(folder)[1], said(folder)

    assert len(text) < FIRST_CHARACTERS + LAST_CHARACTERS + 100
    assert len(lines[1]) == LINE_CHARACTERS
    assert lines[2] == "line 0"
    assert lines[-1] == "line 4999"
    (gap,) = [line for line in text.splitlines() if line.endswith("lines left out ...")]
    assert int(gap.split()[1]) + len(lines) - 1 == 5_002


def test_what_was_said_before_a_process_died_is_there(folder: TrialFolder) -> None:
    with logging_to(folder, 1) as log:
        assert said(folder)[0].startswith("attempt 1 on ")
        log.say("before")
        log.flush()

        assert said(folder)[-1] == "before"


def test_the_newest_attempts_are_kept(folder: TrialFolder) -> None:
    for attempt in range(1, KEPT_ATTEMPTS + 3):
        with logging_to(folder, attempt):
            pass

    assert list(read_logs(folder)) == list(range(3, KEPT_ATTEMPTS + 3))


def test_the_command_shows_all_attempts_or_one(
    folder: TrialFolder, call: Callable[..., Any]
) -> None:
    for attempt in (1, 2):
        with logging_to(folder, attempt) as log:
            log.say(f"said in attempt {attempt}")
    store = folder.path.parent.parent

    both = call("logs", "ab", "--store", store)
    one = call("logs", "abcd", "--store", store, "--attempt", 1)
    assert both.code == one.code == 0
    assert "said in attempt 1" in both.out
    assert "said in attempt 2" in both.out
    assert "said in attempt 2" not in one.out


def test_the_command_says_which_logs_there_are_and_why_a_trial_failed(
    folder: TrialFolder, call: Callable[..., Any], refused: Callable[..., None]
) -> None:
    folder.fail({"key": "abcd", "error": "it\x1b[2J broke", "attempts": 1, "trial": {}})

    said = call("logs", "abcd", "--store", folder.path.parent.parent)
    refused(said, "attempts with a log=none", "it failed with: it\ufffd[2J broke")


def test_a_strangers_log_cannot_steer_the_terminal(folder: TrialFolder) -> None:
    with logging_to(folder, 1) as log:
        log.say("\x1b]0;title\x07 plain\tä")

    assert said(folder)[-1] == "\ufffd]0;title\ufffd plain\tä"


def test_a_record_that_other_handlers_write_to_a_stream_is_kept_once(folder: TrialFolder) -> None:
    class Loud(logging.StreamHandler):  # type: ignore[type-arg]
        def emit(self, record: logging.LogRecord) -> None:
            sys.stderr.write(self.format(record) + "\n")

    loud = Loud()
    logging.getLogger().addHandler(loud)
    try:
        with logging_to(folder, 1):
            logging.getLogger("a.library").warning("a record")
            print("heard again")
    finally:
        logging.getLogger().removeHandler(loud)

    assert said(folder)[1:] == ["WARNING a.library: a record", "heard again"]
