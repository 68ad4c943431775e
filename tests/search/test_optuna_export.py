"""Searches in Optuna's own storages: Optuna opens them and has the same trials and values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from resolved import search, table

from semisweep import Objective, Store, When
from semisweep.search.sampling import describe
from semisweep.store.resolved_search import Suggestion

Call = Callable[..., Any]
Check = Callable[..., None]
SPACE = {
    "config.threshold": FloatDistribution(0.5, 0.98),
    "config.consistency": CategoricalDistribution(("kl", "rank")),
    "config.ranked": When("config.consistency", "rank", IntDistribution(2, 4)),
}
PARAMS = (
    {"config.threshold": 0.9, "config.consistency": "kl"},
    {"config.threshold": 0.6, "config.consistency": "rank", "config.ranked": 3},
    {"config.threshold": 0.7, "config.consistency": "rank", "config.ranked": 2},
    {"config.threshold": 0.8, "config.consistency": "kl"},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A search of four trials: finished, finished, failed, and one that is being trained."""
    made = Store.open(tmp_path / "store", create=True)
    made.trial("k0").complete({"last.val.miou": 0.5, "parameters": 10})
    made.trial("k1").complete({"last.val.miou": 0.7, "parameters": 20})
    made.trial("k2").fail({"key": "k2", "error": "no"})
    made.trial("k3").start_attempt()
    suggested = tuple(
        Suggestion(number=number, key=f"k{number}", params=params)
        for number, params in enumerate(PARAMS)
    )
    mine = search((), name="mine", title="A search of tests", space=describe(SPACE))
    mine = dataclasses.replace(mine, trials=suggested)
    made.write_study("mine", "mini", mine)
    more = (Objective(metric="parameters", direction="minimize"),)
    made.write_study("two", "mini", dataclasses.replace(mine, name="two", also=more))
    made.write_study("table", "mini", table())
    return made


def storage(path: Path) -> Any:
    if path.suffix == ".db":
        return f"sqlite:///{path}"
    return JournalStorage(JournalFileBackend(str(path)))


@pytest.mark.parametrize("ending", ["db", "log"])
def test_optuna_opens_what_was_exported(
    call: Call, store: Store, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "out" / f"search.{ending}"

    said = call("export-optuna", "mine", "--store", store.root, "--output", path)

    assert said.code == 0, said.error
    assert said.out.startswith("4 trials of mine as study mine@mini: ")
    assert list(path.parent.iterdir()) == [path]
    study = optuna.load_study(study_name="mine@mini", storage=storage(path))
    trials = study.get_trials()
    assert [trial.params for trial in trials] == list(PARAMS)
    assert [trial.user_attrs["key"] for trial in trials] == ["k0", "k1", "k2", "k3"]
    assert [trial.values for trial in trials] == [[0.5], [0.7], None, None]
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "FAIL", "RUNNING"]
    assert trials[1].distributions["config.ranked"] == IntDistribution(2, 4)
    assert (study.best_trial.number, study.direction.name) == (1, "MAXIMIZE")
    assert study.metric_names == ["last.val.miou"]


def test_several_objectives_are_exported(call: Call, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "two.jsonl"

    assert call("export-optuna", "two", "--store", store.root, "--output", path).code == 0

    study = optuna.load_study(study_name="two@mini", storage=storage(path))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.values for trial in study.get_trials()[:2]] == [[0.5, 10], [0.7, 20]]
    assert {trial.number for trial in study.best_trials} == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mine", "--output", "search.csv"], "must end in .db, .sqlite, .sqlite3 (SQLite) or"),
        (["mine", "--output", "there.db"], "must be new, got output=there.db"),
        (["table", "--output", "new.db"], "got search='table', scale='mini'; this store has: mine"),
        (["quickstart", "--output", "new.db"], "a search must have been run to be exported"),
        (["mine", "--scale", "paper", "--output", "new.db"], "scale='paper'"),
        (["mine"], "--output"),
        (["mine", "--output", "there.db/new.db"], "a file stands where a folder should"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    call: Call, refused: Check, store: Store, tmp_path: Path, arguments: list[str], told: str
) -> None:
    (tmp_path / "there.db").write_bytes(b"mine")

    refused(call("export-optuna", *arguments, "--store", store.root), told)

    assert (tmp_path / "there.db").read_bytes() == b"mine"
    assert not (tmp_path / "new.db").exists()
