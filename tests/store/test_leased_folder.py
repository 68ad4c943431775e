"""A trial under a lease: what a late writer may do without harm, and how folders are taken over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semisweep import Store
from semisweep.core.errors import LeaseError
from semisweep.store import files
from semisweep.store.leased_folder import LeasedFolder


@pytest.fixture(params=["leases", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    monkeypatch.setenv("SEMISWEEP_LEASE_SECONDS", "0.3")
    if request.param == "s3":
        return Store.open(request.getfixturevalue("s3").new(), create=True)
    return Store.open(tmp_path / "store", create=True)


def hang(trial: object) -> None:
    """Let whoever trains give no sign any more, as in a process that is stopped."""
    assert isinstance(trial, LeasedFolder)
    assert trial.held.lease is not None
    trial.held.lease._ended.set()
    trial.held.lease._thread.join()
    trial.held.lease._renewed = float("inf")  # it does not know how late it is either


def begin(trial: object) -> None:
    assert isinstance(trial, LeasedFolder)
    trial.start_attempt()
    found = trial.read_checkpoint()
    trial.rewind(found[0] if found else 0)


def train(trial: object, *steps: int) -> None:
    assert isinstance(trial, LeasedFolder)
    for step in steps:
        trial.write_weights("best", step, b"best %d" % step)
        trial.append_history([{"step": step}])
        trial.write_checkpoint(step, b"state %d" % step)


def steps(trial: object) -> list[int]:
    assert isinstance(trial, LeasedFolder)
    return [row.step for row in trial.evaluations()]


def test_a_store_says_that_it_has_leases(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEMISWEEP_LEASES")

    assert files.read_json(store.root / "semisweep.json") == {"format": 2}
    assert isinstance(Store.open(str(store.root)).trial("a"), LeasedFolder)


def test_a_late_writer_disturbs_nothing_and_loses(store: Store) -> None:
    late, next_one = store.trial("aa"), store.trial("aa")
    with late.lock():
        begin(late)
        train(late, 1, 2, 3)
        hang(late)
        with next_one.lock():
            begin(next_one)
            train(next_one, 4)
            train(late, 4, 5, 6, 7)  # it does not know yet
            late.write_confusion("last-val", np.ones(3, dtype=int))

            assert steps(store.trial("aa")) == steps(next_one) == [1, 2, 3, 4]
            assert store.trial("aa").read_checkpoint() == (4, b"state 4")
            assert next_one.read_weights("best", 3) == b"best 3"
            with pytest.raises(LeaseError):
                late.complete({"winner": "late"})
            late.fail({"error": "late"})
            assert store.trial("aa").failure() is None
            assert not store.trial("aa").finished

            train(next_one, 5)
            assert next_one.complete({"winner": "next"})
            assert not late.complete({"winner": "late"})
    trial = store.trial("aa")
    assert trial.result() == {"key": "aa", "winner": "next"}
    assert steps(trial) == [1, 2, 3, 4, 5]
    assert trial.read_weights("best") == b"best 5"
    assert trial.attempts == 2


def test_whoever_wakes_up_late_finds_out_at_its_first_write(store: Store) -> None:
    """Its clock has gone on while it slept, so that it looks; each way of writing does."""
    late, next_one = store.trial("aa"), store.trial("aa")
    assert isinstance(late, LeasedFolder)
    with late.lock():
        begin(late)
        train(late, 1, 2)
        assert late.held.lease is not None
        late.held.lease._ended.set()
        late.held.lease._thread.join()
        with next_one.lock():
            begin(next_one)
            before = files.below(late.path)
            for write in (
                lambda: late.append_history([{"step": 3}]),
                lambda: late.cut_history(1),
                lambda: late.write_checkpoint(3, b"state 3"),
                lambda: late.write_weights("last", 3, b"last 3"),
                lambda: late.share_weights("last", "best", 2),
                lambda: late.write_confusion("last-val", np.ones(3, dtype=int)),
                lambda: late.complete({"winner": "late"}),
            ):
                late.held.lease._lost = False  # as if each were the first
                with pytest.raises(LeaseError, match="another one took over"):
                    write()
            late.fail({"error": "late"})

            assert {n for n in files.below(late.path) if not n.startswith("lease")} == {
                n for n in before if not n.startswith("lease")
            }
            assert next_one.complete({"winner": "next"})


def test_who_finishes_before_it_is_found_dead_has_finished(store: Store) -> None:
    late, next_one = store.trial("aa"), store.trial("aa")
    with late.lock():
        begin(late)
        train(late, 1, 2)
        hang(late)
        with next_one.lock():
            begin(next_one)
            train(next_one, 3)
            assert late.held.lease is not None  # type: ignore[attr-defined]
            late.held.lease.confirm = lambda: None  # type: ignore[attr-defined]  # just before
            train(late, 3, 4)
            assert late.complete({"winner": "late"})
            assert not next_one.complete({"winner": "next"})
    assert store.trial("aa").result() == {"key": "aa", "winner": "late"}
    assert steps(store.trial("aa")) == [1, 2, 3, 4]
    assert store.trial("aa").read_weights("best") == b"best 4"


def test_a_folder_counts_only_when_all_was_taken_over(store: Store) -> None:
    first, second, third = (store.trial("aa") for _ in range(3))
    with first.lock():
        begin(first)
        train(first, 1, 2, 3)
    with second.lock():
        second.start_attempt()
        (second.path / "000002" / "checkpoint-00000009-0000000000000000.pt").parent
        files.write_json(second.path / "000002" / "torn.json", {})  # killed while it took over
    assert steps(store.trial("aa")) == [1, 2, 3]
    with third.lock():
        assert third.read_checkpoint() == (3, b"state 3")
        third.rewind(2)
        assert steps(third) == [1, 2]
        assert third.read_checkpoint() == (2, b"state 2")
        assert third.read_weights("best") == b"best 2"
        train(third, 3)
        assert third.complete({})
    assert {name.partition("/")[0] for name in files.below(third.path) if "/" in name} == {"000003"}


def test_a_trial_whose_result_was_removed_is_trained_again(store: Store) -> None:
    trial = store.trial("aa")
    with trial.lock():
        begin(trial)
        train(trial, 1, 2)
        trial.complete({"seed": 1})
    (trial.path / "result.parquet").unlink()

    again = store.trial("aa")
    with again.lock():
        begin(again)
        assert again.evaluations() == []
        train(again, 1)
        assert steps(store.trial("aa")) == [1]
        assert again.complete({"seed": 2})
    assert steps(store.trial("aa")) == [1]
