"""A look at a store finds what other processes have changed, in every kind of store."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from resolved import cell, table

from semisweep import Store
from semisweep.dashboard.store_watch import StoreWatch

KEYS = [f"k{number}" for number in range(4)]


@pytest.fixture
def store(any_place: str) -> Store:
    """A store with a study of four trials, one of which has a result."""
    made = Store.open(any_place, create=True)
    made.trial("k0").complete({"last.test.miou": 0.5})
    made.write_study("example", "mini", table(cell(KEYS)))
    return made


@pytest.fixture
def watch(store: Store, monkeypatch: pytest.MonkeyPatch) -> StoreWatch:
    """One that has looked, and looks again whenever it is asked."""
    monkeypatch.setattr("semisweep.dashboard.store_watch.SECONDS", 0.0)
    monkeypatch.setattr("semisweep.dashboard.store_watch.SHARE", 1e9)
    made = StoreWatch(store)
    made.look()
    return made


def test_the_first_look_finds_studies_and_results(watch: StoreWatch) -> None:
    assert watch.finished == {"k0"}
    assert [str(own.place) for own in watch.studies] == ["example@mini"]


def test_nothing_new_is_no_change(watch: StoreWatch) -> None:
    before = watch.version

    assert watch.look() == before
    assert watch.version_of(KEYS) <= before


def test_a_trial_is_seen_from_its_first_step_to_its_result(store: Store, watch: StoreWatch) -> None:
    folder, versions = store.trial("k1"), [watch.look()]

    with folder.lock():
        folder.start_attempt()
        versions.append(watch.look())
        assert watch.active == {"k1"}
        before_end = watch.ended_version_of(KEYS)
        for step in (1, 2):
            folder.append_history([{"step": step, "val.miou": 0.1}])
            versions.append(watch.look())
        assert watch.ended_version_of(KEYS) == before_end
        folder.complete({"last.test.miou": 0.6})
        versions.append(watch.look())

    assert versions == sorted(set(versions))
    assert watch.finished == {"k0", "k1"}
    assert not watch.active
    assert watch.version_of(["k1"]) == watch.ended_version_of(KEYS) == versions[-1]
    assert watch.version_of(["k2"]) < versions[1]


def test_a_failure_is_seen_and_forgotten(store: Store, watch: StoreWatch) -> None:
    store.trial("k2").fail({"error": "it broke", "attempts": 3, "trial": {}})
    watch.look()
    assert watch.failures["k2"].error == "it broke"
    failed = watch.ended_version_of(["k2"])

    store.trial("k2").forget_failure()
    watch.look()
    assert not watch.failures
    assert watch.ended_version_of(["k2"]) > failed


def test_a_new_study_changes_every_page(store: Store, watch: StoreWatch) -> None:
    before = watch.version_of(["k3"])
    store.write_study("another", "mini", table(cell(["k3"]), name="another"))
    watch.look()

    assert watch.version_of(["k3"]) > before
    assert watch.study("another@mini") is not None
    assert watch.study("absent@mini") is None


def test_a_lock_that_is_gone_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semisweep.dashboard.store_watch.SECONDS", 0.0)
    monkeypatch.setattr("semisweep.dashboard.store_watch.SHARE", 1e9)
    store = Store.open(tmp_path, create=True)
    watch, begun, end = StoreWatch(store), threading.Event(), threading.Event()

    def train() -> None:
        with store.trial("k0").lock():
            store.trial("k0").start_attempt()
            begun.set()
            end.wait()

    thread = threading.Thread(target=train)
    thread.start()
    begun.wait()
    watch.look()
    assert watch.active == {"k0"}
    end.set()
    thread.join()

    before = watch.version
    watch.look()
    assert not watch.active
    assert watch.version_of(["k0"]) > before


def test_a_damaged_failure_is_one_trials_own(store: Store, watch: StoreWatch) -> None:
    path = store.trial("k3").path / "failure.json"
    store.trial("k3").fail({"error": "it broke"})
    if isinstance(path, Path):
        path.write_text("no JSON")
        watch.look()

        assert "must be JSON" in watch.failures["k3"].error


def test_looks_are_a_tenth_of_the_time(tmp_path: Path) -> None:
    watch = StoreWatch(Store.open(tmp_path, create=True))
    watch.look()
    watch.store.trial("k0").complete({"last.test.miou": 0.5})

    watch.look()  # the last one was less than a second ago

    assert not watch.finished
