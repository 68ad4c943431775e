"""Trials, tables and searches leave a store of any kind whole, and nothing else does."""

from __future__ import annotations

import dataclasses

import pytest
from resolved import search
from two_tables import two_tables

from semisweep import Store, load
from semisweep.core.errors import ConfigError
from semisweep.store import files, suggestion_log
from semisweep.store.compaction import compact
from semisweep.store.removal import plan_removal, remove
from semisweep.store.resolved_search import ResolvedSearch


@pytest.fixture
def store(any_place: str) -> Store:
    return two_tables(Store.open(any_place, create=True))


def searched(store: Store, identity: str = "0123456789abcdef") -> ResolvedSearch:
    """Keep a search that has suggested cccc, which is finished, dddd, which is not, and bbbb."""
    found = search(["cccc", "dddd", "bbbb"], name="sought", scale="mini")
    found = dataclasses.replace(found, identity=identity)
    suggestion_log.begin(store.root, dataclasses.replace(found, trials=()))
    for entry in found.trials:
        suggestion_log.append(store.root, found, entry)
    store.trial("cccc").complete({"last.test.miou": 0.4, "seed": 0})
    store.trial("dddd").describe({"format": 1, "trial": {"method": "m:M", "seed": 1}})
    store.write_study("sought", "mini", found)
    return found


def left(store: Store) -> set[str]:
    """Return the names of a store's files of studies and trials, but locks."""
    folders = ("studies", "recorded", "searches", "tables", "trials")
    found = {f"{own}/{name}" for own in folders for name in files.below(store.root / own)}
    return {name for name in found if not name.endswith("/lock")}


@pytest.mark.parametrize("compacted", [False, True])
def test_what_is_removed_leaves_no_file_and_no_row(store: Store, compacted: bool) -> None:
    before = left(store)
    searched(store)
    if compacted:
        compact(store)

    found = plan_removal(store, ["sought", "aaaa"])
    assert str(found).startswith("1 searches and 3 trials")
    assert remove(store, found) == []

    gone = {name for name in before if "/aaaa" in name}
    assert left(store) == before - gone
    assert set(store.keys()) == {"bbbb"}
    compact(store)
    assert list(load(str(store.root))["key"]) == ["bbbb"]
    assert store.read_search("sought", "mini") is None


def test_a_removed_search_begins_anew(store: Store) -> None:
    earlier = searched(store)
    remove(store, plan_removal(store, ["sought"]))

    assert suggestion_log.read(store.root, earlier.identity) is None
    assert store.trial("bbbb").finished  # which a table wants
    suggestion_log.begin(store.root, dataclasses.replace(earlier, trials=()))
    begun = suggestion_log.read(store.root, earlier.identity)
    assert begun is not None
    assert begun.trials == ()


def test_a_removal_that_was_cut_off_can_be_done_again(store: Store) -> None:
    earlier = searched(store)
    suggestion_log.remove_log(store.root, earlier.identity)  # and no further

    remove(store, plan_removal(store, ["sought"]))

    assert store.read_search("sought", "mini") is None
    assert set(store.keys()) == {"aaaa", "bbbb"}


def test_another_scale_stays(store: Store) -> None:
    with pytest.raises(ConfigError, match="unknown study or key"):
        plan_removal(store, ["first"], scale="paper")
