"""A search in Optuna's storages while it runs: times and values are those of the store."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from resolved import search

from semisweep import Store
from semisweep.core.errors import ConfigError
from semisweep.search.optuna_storage import OptunaStorage
from semisweep.search.sampling import describe
from semisweep.store.resolved_search import ResolvedSearch, Suggestion

SPACE = {"config.threshold": FloatDistribution(0.5, 0.98)}


def searched(count: int, **more: Any) -> ResolvedSearch:
    found = search((), name="mine", metric="last.val.miou", space=describe(SPACE), **more)
    suggested = tuple(
        Suggestion(number=number, key=f"k{number}", params={"config.threshold": 0.5 + number / 10})
        for number in range(count)
    )
    return dataclasses.replace(found, trials=suggested)


def begin(store: Store, key: str, ago: float, *steps: int) -> None:
    folder = store.trial(key)
    folder.append_history([{"step": step, "val.miou": step / 100} for step in steps])
    folder.start_attempt()
    path = Path(str(folder.path / "attempt-0001"))
    os.utime(path, (time.time() - ago,) * 2)


def finish(store: Store, key: str, ago: float) -> None:
    store.trial(key).complete({"last.val.miou": 0.7, "run.finished_at": time.time() - ago})


@pytest.fixture(params=["db", "log"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"mine.{request.param}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def trials(path: Path) -> list[Any]:
    storage: Any = f"sqlite:///{path}"
    if path.suffix == ".log":
        storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="mine@mini", storage=storage).get_trials()


def ago(moment: Any) -> float:
    return round(time.time() - moment.timestamp(), -1)


def test_a_trial_appears_when_it_begins_and_ends_as_it_did(store: Store, path: Path) -> None:
    live = OptunaStorage(path)
    begin(store, "k0", 100, 10)
    live.refresh(store, searched(1))
    (trial,) = trials(path)
    assert (trial.state.name, trial.intermediate_values) == ("RUNNING", {10: 0.1})
    assert ago(trial.datetime_start) == 100

    begin(store, "k0", 100, 20)
    live.refresh(store, searched(2))
    finish(store, "k0", 0)
    assert live.refresh(store, searched(2)) == 1
    first, second = trials(path)
    assert first.intermediate_values == {10: 0.1, 20: 0.2}
    assert (first.state.name, first.value) == ("COMPLETE", 0.7)
    assert (ago(first.datetime_start), ago(first.datetime_complete)) == (100, 0)
    assert (second.state.name, second.datetime_start) == ("WAITING", None)
    assert live.refresh(store, searched(2)) == 0

    begin(store, "k1", 0, 10)
    live.refresh(store, searched(2))
    second = trials(path)[1]
    assert (second.state.name, ago(second.datetime_start)) == ("RUNNING", 0)
    assert second.intermediate_values == {10: 0.1}


def test_a_beginning_that_was_missed_has_its_true_time(store: Store, path: Path) -> None:
    OptunaStorage(path).refresh(store, searched(2))
    begin(store, "k0", 300, 10)
    begin(store, "k1", 200, 10)
    finish(store, "k1", 0)

    OptunaStorage(path).refresh(store, searched(2))
    found = trials(path)
    assert [own.state.name for own in found] == ["RUNNING", "COMPLETE"]
    assert [ago(own.datetime_start) for own in found] == [300, 200]


def test_an_end_that_was_missed_has_its_true_time(store: Store, path: Path) -> None:
    begin(store, "k0", 1000, 10)
    OptunaStorage(path).refresh(store, searched(1))
    finish(store, "k0", 500)

    OptunaStorage(path).refresh(store, searched(1))
    (trial,) = trials(path)
    assert (ago(trial.datetime_start), ago(trial.datetime_complete)) == (1000, 500)


def test_another_process_goes_on_without_writing_a_trial_twice(store: Store, path: Path) -> None:
    for key in ("k0", "k1"):
        begin(store, key, 50, 10)
    OptunaStorage(path).refresh(store, searched(2))
    begin(store, "k0", 50, 20)
    OptunaStorage(path).refresh(store, searched(3))

    found = trials(path)
    assert [own.user_attrs["key"] for own in found] == ["k0", "k1", "k2"]
    assert [list(own.intermediate_values) for own in found] == [[10, 20], [10], []]


def test_a_failed_trial_that_is_trained_again_stands_once(store: Store, path: Path) -> None:
    live = OptunaStorage(path)
    begin(store, "k0", 50, 10)
    store.trial("k0").fail({"error": "no"})
    live.refresh(store, searched(1))
    assert trials(path)[0].state.name == "FAIL"
    store.trial("k0").forget_failure()
    finish(store, "k0", 0)

    live.refresh(store, searched(1))
    (trial,) = trials(path)
    assert (trial.state.name, trial.value) == ("COMPLETE", 0.7)


def test_another_search_of_this_name_takes_the_place(store: Store, path: Path) -> None:
    OptunaStorage(path).refresh(store, searched(3))

    OptunaStorage(path).refresh(store, searched(1, direction="minimize"))
    assert len(trials(path)) == 1


def test_a_study_of_somebody_else_is_left_alone(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    optuna.create_study(study_name="mine@mini", storage=f"sqlite:///{path}")

    with pytest.raises(ConfigError, match=r"new, or semisweep's own, got path=.*mine\.db"):
        OptunaStorage(path).refresh(store, searched(1))
    assert trials(path) == []
