"""Questions to a store: frames, rows for tables, the canonical export."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from resolved import cell, search, table

from semisweep import Store, export, history, load
from semisweep.core.errors import ConfigError, StoreError
from semisweep.store.compaction import compact
from semisweep.store.query import results

TRIAL = {
    "method": "package.module:Method",
    "config": {"weight": 0.1, "network": {"backbone": "tiny"}},
    "data": {"name": "shapes", "labelled": 16},
    "training": {"steps": 10, "augmentation": {"scale": [0.5, 2.0]}},
    "seed": 0,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "run.seconds": 1.5,
        "last.test.miou": 0.5,
        "method": "package.module:Method",
        "config.weight": 0.1,
        "training.steps": 10,
        "seed": 0,
        "data.name": "shapes",
        "source.version": "1",
    } | changes


def test_a_frame_has_one_row_a_trial_that_ended(store: Store) -> None:
    store.trial("b").complete(row(seed=1))
    store.trial("a").complete(row())
    store.trial("c").fail({"error": "no", "attempts": 3, "trial": TRIAL})
    store.trial("d").start_attempt()

    frame = load(store)

    assert list(frame["key"]) == ["a", "b", "c"]
    assert list(frame["status"]) == ["finished", "finished", "failed"]
    assert list(frame["seed"]) == [0, 1, 0]
    assert frame["last.test.miou"].dtype == float
    assert math.isnan(frame["last.test.miou"][2])
    assert frame["error"][2] == "no"
    assert frame["training.augmentation.scale"][2] == "[0.5, 2.0]"


def test_columns_are_in_groups(store: Store) -> None:
    store.trial("a").complete(row())
    store.trial("b").complete(row(**{"config.other": 1, "best.test.miou": 0.1, "run.host": "h"}))
    store.trial("c").fail({"error": "no"})

    assert list(load(store).columns) == [
        *("key", "status", "method", "config.weight", "config.other", "data.name"),
        *("training.steps", "seed", "last.test.miou", "source.version", "best.test.miou"),
        *("error", "run.seconds", "run.host"),
    ]


def test_columns_that_are_asked_for_come_in_the_order_asked(store: Store) -> None:
    store.trial("a").complete(row())
    store.trial("b").complete(row(**{"config.other": 1}))

    frame = load(store, columns=["seed", "config.other"])

    assert list(frame.columns) == ["key", "status", "seed", "config.other"]
    assert list(frame["key"]) == ["a", "b"]
    assert frame["config.other"][1] == 1


def test_a_column_that_no_trial_has_is_refused_with_the_nearest(store: Store) -> None:
    store.trial("a").complete(row())

    with pytest.raises(
        ConfigError, match=r"column='last.test.mious'; did you mean last\.test\.miou"
    ):
        load(store, columns=["last.test.mious"])


def test_an_empty_store_gives_an_empty_frame(store: Store) -> None:
    assert list(load(store).columns) == ["key", "status"]
    assert list(load(store, columns=["seed"]).columns) == ["key", "status", "seed"]
    assert list(history(store).columns) == ["key", "step"]
    assert export(store) == b"\n"


def test_a_filter_by_key_never_opens_the_other_trials(store: Store) -> None:
    store.trial("a").complete(row())
    store.trial("b").complete(row())
    (store.trial("b").path / "result.parquet").write_bytes(b"damaged")

    assert list(load(store, keys=["a", "absent", "a"])["key"]) == ["a"]
    assert list(results(store, ["a", "absent"])) == ["a"]
    with pytest.raises(StoreError, match=r"result\.parquet"):
        results(store, ["a", "b"])
    assert list(load(store)["key"]) == ["a"]


def test_a_trial_that_failed_before_it_was_described_is_a_row(store: Store) -> None:
    store.trial("a").fail({"error": "no data", "attempts": 1})

    frame = load(store)

    assert frame.to_dict("records") == [{"key": "a", "status": "failed", "error": "no data"}]


def test_a_store_can_be_named_by_its_path(store: Store) -> None:
    store.trial("a").complete(row())

    assert len(load(store.root)) == len(load(str(store.root))) == 1


def test_a_missing_store_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        load(tmp_path / "absent")


def test_history_has_one_row_an_evaluation_of_running_trials_too(store: Store) -> None:
    store.trial("b").append_history([{"step": 5, "val.miou": 0.1}, {"val.miou": 0.2, "step": 10}])
    store.trial("a").append_history([{"step": 5, "loss": math.nan}])
    store.trial("a").complete(row())

    frame = history(store)

    assert list(frame.columns) == ["key", "step", "loss", "val.miou"]
    assert list(frame["key"]) == ["a", "b", "b"]
    assert list(frame["step"]) == [5, 5, 10]
    assert list(history(store, keys=["b"])["val.miou"]) == [0.1, 0.2]


def test_results_are_the_rows_by_key(store: Store) -> None:
    store.trial("a").complete(row())
    store.trial("b").fail({"error": "no"})

    assert results(store, ["b", "a"]) == {"a": {"key": "a"} | row()}


def test_an_export_is_sorted_and_without_what_varies(store: Store) -> None:
    store.trial("b").complete({"seed": 1, "z": 0.1 + 0.2, "run.seconds": 1.0, "flag": True})
    store.trial("a").complete({"seed": 0, "text": 'a,"b"', "z": None})

    assert export(store) == (
        b'flag,key,seed,text,z\n,a,0,"a,""b""",\nTrue,b,1,,0.30000000000000004\n'
    )


def test_the_same_trials_export_the_same_bytes(tmp_path: Path) -> None:
    """Another order of trials and columns, other times, a failure, a running trial."""
    one = Store.open(tmp_path / "one", create=True)
    two = Store.open(tmp_path / "two", create=True)
    rows = {f"k{index}": row(**{"seed": index, f"m{index % 3}": index / 7}) for index in range(9)}
    for key, values in rows.items():
        one.trial(key).complete(values)
    for key, values in reversed(rows.items()):
        two.trial(key).complete(dict(reversed(values.items())) | {"run.host": "other"})
    two.trial("failed").fail({"error": "no"})
    two.trial("running").append_history([{"step": 1}])

    assert export(one) == export(two)
    assert export(one).count(b"\n") == 10


@pytest.fixture(params=["trials", "parts", "both"])
def filled(store: Store, request: pytest.FixtureRequest) -> Store:
    """Nine finished trials and a failed one, read from their own files, from parts, or both."""
    for index in range(9):
        if index == 5 and request.param == "both":
            compact(store)
        trial = store.trial(f"k{index}")
        trial.append_history([{"step": step, "loss": index / step} for step in (1, 2, 4)])
        trial.complete(row(seed=index % 3, method=f"m:{index % 2}", **{f"m{index % 2}": index}))
    store.trial("failed").fail({"error": "no", "trial": TRIAL})
    for name, scale, keys in (("one", "mini", ["k1", "k7"]), ("one", "paper", ["k2", "failed"])):
        store.write_study(name, scale, table(cell(keys)))
    store.write_study("search", "mini", search(["k3", "absent"]))
    if request.param == "parts":
        compact(store)
    return store


def test_a_filter_keeps_what_a_filter_of_the_whole_frame_keeps(filled: Store) -> None:
    whole, evaluations = load(filled), history(filled)

    for where, mask in (
        ({"seed": 1}, whole["seed"] == 1),
        ({"seed": [0, 2], "method": "m:1"}, (whole["seed"] != 1) & (whole["method"] == "m:1")),
        ({"status": "failed"}, whole["status"] == "failed"),
        ({"m1": 3}, whole["m1"] == 3),
        ({"m1": None, "status": "finished"}, whole["m1"].isna() & whole["last.test.miou"].notna()),
        ({"seed": 77}, whole["seed"] == 77),
    ):
        found = load(filled, where=where)
        assert list(found["key"]) == list(whole["key"][mask]), where
        narrow = load(filled, where=where, columns=["data.name"])
        assert list(narrow.columns) == ["key", "status", "data.name"]
        assert list(narrow["key"]) == list(found["key"])
    last = history(filled, where={"step": [2, 4]}, keys=["k4", "k8"], columns=["loss"])
    expected = evaluations[evaluations["key"].isin(["k4", "k8"]) & (evaluations["step"] > 1)]
    assert list(last.columns) == ["key", "step", "loss"]
    assert last.to_dict("list") == expected[["key", "step", "loss"]].to_dict("list")


def test_a_study_is_its_trials_of_one_scale_or_of_all(filled: Store) -> None:
    assert list(load(filled, study="one")["key"]) == ["failed", "k1", "k2", "k7"]
    assert list(load(filled, study="one@paper")["key"]) == ["failed", "k2"]
    assert list(load(filled, study="search")["key"]) == ["k3"]
    assert list(load(filled, study="one", keys=["k2", "k3"])["key"]) == ["k2"]
    assert list(history(filled, study="one@mini")["key"]) == ["k1"] * 3 + ["k7"] * 3
    with pytest.raises(ConfigError, match=r"unknown study of this store 'ones'; did you mean one@"):
        load(filled, study="ones")


def test_a_filter_by_a_column_that_is_not_there_is_refused(filled: Store) -> None:
    with pytest.raises(ConfigError, match=r"column='sed'; did you mean seed"):
        load(filled, where={"sed": 1})
    with pytest.raises(ConfigError, match=r"column='los'; did you mean loss"):
        history(filled, where={"los": 1})
    with pytest.raises(ConfigError, match=r"column='los'"):
        history(filled, columns=["los"])


@pytest.fixture
def two_stores(store: Store, tmp_path: Path) -> list[Path]:
    other = Store.open(tmp_path / "other", create=True)
    store.trial("aaaa").complete(row(key="aaaa", seed=0))
    other.trial("aaaa").complete(row(key="aaaa", seed=0) | {"config.own": 2.0})
    other.trial("cccc").fail({"key": "cccc", "error": "it broke", "attempts": 3, "trial": {}})
    other.write_study("theirs", "mini", table(cell(["aaaa"])))
    return [store.root, other.root]  # type: ignore[list-item]


def test_several_stores_are_one_frame_that_says_which_has_a_trial(two_stores: list[Path]) -> None:
    frame = load(two_stores)

    places = list(map(str, two_stores))
    assert list(frame["store"]) == [places[0], places[1], places[1]]
    assert list(frame["key"]) == ["aaaa", "aaaa", "cccc"]
    assert list(frame.columns[:3]) == ["store", "key", "status"]
    assert frame["config.own"].isna().tolist() == [True, False, True]
    assert list(load(two_stores[:1]).columns[1:]) == list(load(two_stores[0]).columns)


def test_a_column_or_study_of_one_store_is_enough(two_stores: list[Path]) -> None:
    frame = load(two_stores, columns=["config.own"])

    assert list(frame.columns) == ["store", "key", "status", "config.own"]
    assert len(frame) == 3
    assert list(load(two_stores, where={"config.own": 2.0})["store"]) == [str(two_stores[1])]
    assert list(load(two_stores, study="theirs")["store"]) == [str(two_stores[1])]


def test_what_no_store_has_is_refused(two_stores: list[Path]) -> None:
    with pytest.raises(ConfigError, match="a column must be of some trial, got column='nothing'"):
        load(two_stores, columns=["nothing"])
    with pytest.raises(ConfigError, match="unknown study of this store 'ours'"):
        load(two_stores, study="ours")
    with pytest.raises(ConfigError, match="at least one store must be named"):
        load([])
