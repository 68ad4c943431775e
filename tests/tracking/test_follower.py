"""Threads that follow a run: failures cost a warning, and one process of several logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.core.errors import ConfigError
from semisweep.store.study_files import StoredStudy, StudyPlace
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request, make_request
from semisweep.tracking import follower
from semisweep.tracking.follower import Follower
from semisweep.tracking.following import check_logging

PLACE = StudyPlace("quickstart", "mini")


class Tool:
    """A tool that fails so often, then counts the looks that found the study."""

    def __init__(self, failures: int = 0, wait: float = 0) -> None:
        self.failures, self.wait, self.logged, self.left = failures, wait, 0, False
        self.found = threading.Event()

    def look(self, studies: Sequence[StoredStudy]) -> None:
        time.sleep(self.wait)
        if self.failures:
            self.failures -= 1
            raise OSError("no network\nat all")
        self.logged += len(studies)
        if studies:
            self.found.set()

    def leave(self) -> None:
        self.left = True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(follower, "SECONDS", 0.05)
    made = Store.open(tmp_path / "store", create=True)
    made.write_study(
        "quickstart", "mini", table(cell({"0/0": "k0"}), name="quickstart", scale="mini")
    )
    return made


def follow(store: Store, tool: Tool, said: list[str], target: str = "here") -> Follower:
    return Follower("--logger wandb", target, tool, store, [PLACE], said.append)


def test_a_failure_is_said_once_and_tried_again(store: Store) -> None:
    tool, said = Tool(failures=3), list[str]()
    own = follow(store, tool, said)
    assert tool.found.wait(20)
    own.end(hurried=False)

    assert said == [
        "warning: --logger wandb: OSError: no network at all; the sweep goes on, it is tried again"
    ]
    assert tool.left


def test_what_is_missing_at_the_end_is_said(store: Store) -> None:
    tool, said = Tool(failures=10**9), list[str]()
    follow(store, tool, said).end(hurried=False)

    assert said[-1] == (
        "warning: --logger wandb: not all was logged; the same command goes on with it"
    )
    assert len(said) == 2


def test_a_tool_that_hangs_holds_nobody_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "GRACE_SECONDS", 0.3)
    tool, said = Tool(wait=30), list[str]()
    started = time.monotonic()
    follow(store, tool, said).end(hurried=False)

    assert time.monotonic() - started < 10
    assert "not all was logged" in said[0]


def test_one_of_two_logs_and_the_other_takes_over(store: Store) -> None:
    first, second, said = Tool(), Tool(), list[str]()
    one = follow(store, first, said)
    assert first.found.wait(20)
    two = follow(store, second, said)
    other = Tool()
    three = follow(store, other, said, target="elsewhere")
    assert other.found.wait(20)
    assert not second.found.is_set()
    one.end(hurried=False)

    assert second.found.wait(20)
    for own in (two, three):
        own.end(hurried=True)
    assert not said


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"logger": "comet"}, "unknown logger 'comet'"),
        ({"logger": 3}, "a name or a list of names, got logger=3"),
    ],
)
def test_loggers_are_names(options: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_request("store", options)


def test_one_logger_or_several_are_named() -> None:
    assert make_request("store", {"logger": "wandb"}).logger == ("wandb",)
    assert make_request("store", {"logger": ["wandb", "mlflow"]}).logger == ("wandb", "mlflow")


def test_the_ending_of_a_storage_is_checked_before_anything_runs(tmp_path: Path) -> None:
    request = Request(roots=Roots(tmp_path), optuna_storage="search.csv")
    with pytest.raises(ConfigError, match=r"must end in \.db"):
        check_logging(request)


def test_a_storage_is_refused_for_tables(
    call: Callable[..., Any], refused: Callable[..., None], tiny_shapes: Path
) -> None:
    data = f"shapes={tiny_shapes}"
    refused(
        call("run", "quickstart", "--data", data, "--optuna-storage", "s.db"),
        "a storage of Optuna's is for searches, got optuna_storage=s.db and study=quickstart",
    )
