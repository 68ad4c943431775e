"""Who trains what several sweeps want; other processes are played by locks of this one."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from semisweep import Store
from semisweep.cluster.job import WAIT, Job, Outcome, Wait
from semisweep.cluster.job_queue import POLL_SECONDS, JobQueue
from semisweep.core.errors import StoreError, SweepError
from semisweep.core.faults import TRIES


class Wanted:
    """A source of jobs by their keys, which remembers outcomes."""

    def __init__(self, store: Store, keys: str) -> None:
        self.store, self.keys, self.total = store, list(keys), len(keys)
        self.outcomes: list[tuple[str, str, str]] = []

    def next(self) -> Job | Wait | None:
        if not self.keys:
            return None
        return Job(key=self.keys.pop(0), trial={}, store=str(self.store.root), data_root="")

    def done(self, outcome: Outcome) -> None:
        self.outcomes.append((outcome.key, outcome.status, outcome.error))


class Others:
    """Other sweeps: they hold the locks of trials, finish them, fail or die."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.locks: dict[str, ExitStack] = {}

    def train(self, key: str) -> None:
        self.locks[key] = ExitStack()
        assert self.locks[key].enter_context(self.store.trial(key).try_lock())

    def let_go(self, key: str) -> None:
        self.locks.pop(key).close()

    def finish(self, key: str) -> None:
        self.store.trial(key).complete({})
        self.let_go(key)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self) -> None:
        self.now += POLL_SECONDS


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def others(store: Store) -> Others:
    return Others(store)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def taken(queue: JobQueue) -> list[str]:
    """Take jobs until there is none, and return their keys."""
    found = []
    while (job := queue.take()) is not None:
        found.append(job.key)
    return found


def in_process(store: Store, then: str) -> str:
    """Return what a process of its own says that asks for the right to train trial "a"."""
    code = f"""
import os
from semisweep import Store
right = Store.open({str(store.root)!r}).trial("a").try_lock()
{then}
"""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_all_jobs_are_handed_out_once_and_then_it_has_ended(store: Store) -> None:
    source = Wanted(store, "abc")
    queue = JobQueue(source)

    assert taken(queue) == ["a", "b", "c"]
    assert not queue.ended, "an outcome may yet be that somebody else trains it"
    for key in "abc":
        queue.done(Outcome(key, "finished", ""))
    assert queue.ended
    assert source.outcomes == [(key, "finished", "") for key in "abc"]


def test_looking_takes_nothing(store: Store) -> None:
    queue = JobQueue(Wanted(store, "a"))

    assert queue.has_job()
    assert queue.has_job()
    assert queue.outstanding == 0
    assert taken(queue) == ["a"]
    assert queue.outstanding == 1


def test_what_others_train_is_put_aside_and_their_result_is_ours(
    store: Store, others: Others, clock: Clock
) -> None:
    source = Wanted(store, "ab")
    others.train("a")
    queue = JobQueue(source, clock=clock)

    assert taken(queue) == ["b"]
    assert queue.elsewhere == ["a"]
    queue.done(Outcome("b", "finished", ""))
    clock.pass_by()
    assert not queue.has_job()
    assert not queue.ended
    others.finish("a")
    assert not queue.has_job(), "it is looked at now and then only"
    assert queue.elsewhere == ["a"]
    clock.pass_by()
    assert not queue.has_job()
    assert queue.ended
    assert source.outcomes == [("b", "finished", ""), ("a", "known", "")]


def test_what_a_dead_sweep_leaves_is_trained_here(
    store: Store, others: Others, clock: Clock
) -> None:
    queue = JobQueue(Wanted(store, "a"), clock=clock)
    others.train("a")
    assert taken(queue) == []
    others.let_go("a")
    clock.pass_by()

    assert taken(queue) == ["a"]
    assert queue.elsewhere == []


def test_what_a_process_held_a_lease_on_when_it_was_killed_is_trained_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """And its worker, which has watched nobody, has the right at once."""
    monkeypatch.setenv("SEMISWEEP_LEASES", "1")
    monkeypatch.setenv("SEMISWEEP_LEASE_SECONDS", "0.5")
    store = Store.open(tmp_path / "store", create=True)
    queue = JobQueue(Wanted(store, "a"), clock=clock)
    assert in_process(store, "print(right.__enter__(), flush=True); os._exit(0)") == "True"
    assert taken(queue) == []
    assert queue.elsewhere == ["a"]

    time.sleep(0.6)
    clock.pass_by()
    assert taken(queue) == ["a"]
    assert in_process(store, "print(right.__enter__())") == "True"


def test_a_job_that_others_began_before_our_worker_did_comes_back(
    store: Store, others: Others, clock: Clock
) -> None:
    source = Wanted(store, "a")
    queue = JobQueue(source, clock=clock)
    assert taken(queue) == ["a"]
    others.train("a")
    queue.done(Outcome("a", "busy", ""))

    assert queue.elsewhere == ["a"]
    assert source.outcomes == []
    others.let_go("a")
    clock.pass_by()
    assert taken(queue) == ["a"]


def test_a_job_that_is_ready_is_looked_at_again_before_it_is_handed_out(
    store: Store, others: Others
) -> None:
    source = Wanted(store, "ab")
    queue = JobQueue(source)
    assert queue.has_job()
    others.train("a")
    others.finish("a")

    assert taken(queue) == ["b"]
    assert source.outcomes == [("a", "known", "")]


def test_where_the_order_matters_nothing_is_passed_over(
    store: Store, others: Others, clock: Clock
) -> None:
    source = Wanted(store, "ab")
    others.train("a")
    queue = JobQueue(source, in_order=True, clock=clock)

    assert taken(queue) == []
    assert source.keys == ["b"], "the next was not even asked for"
    others.finish("a")
    clock.pass_by()
    assert taken(queue) == ["b"]


@pytest.mark.parametrize("retries", [False, True])
def test_what_failed_elsewhere_meanwhile_has_failed_here(
    store: Store, others: Others, clock: Clock, retries: bool
) -> None:
    source = Wanted(store, "a")
    if retries:
        store.trial("a").fail({"error": "an earlier failure", "attempts": 1})
    others.train("a")
    queue = JobQueue(source, retries=retries, clock=clock)
    assert taken(queue) == []
    store.trial("a").fail({"error": "no", "attempts": 2})
    others.let_go("a")
    clock.pass_by()

    assert taken(queue) == []
    assert source.outcomes == [("a", "failed", "no")]
    assert queue.ended


def test_an_earlier_failure_is_run_again_where_that_is_asked_for_and_only_there(
    store: Store,
) -> None:
    store.trial("a").fail({"error": "no"})

    assert taken(JobQueue(Wanted(store, "a"), retries=True)) == ["a"]
    source = Wanted(store, "a")
    assert taken(JobQueue(source, retries=False)) == []
    assert source.outcomes == [("a", "failed", "no")]


def test_a_source_that_waits_is_asked_again(store: Store) -> None:
    source = Wanted(store, "a")
    queue = JobQueue(source)
    source.next = lambda: WAIT  # type: ignore[method-assign]
    assert taken(queue) == []
    assert not queue.ended
    del source.next

    assert taken(queue) == ["a"]


def test_a_store_that_cannot_be_written_ends_the_sweep_with_its_error(store: Store) -> None:
    class Full(Wanted):
        def done(self, outcome: Outcome) -> None:
            raise StoreError("a store must be writable")

    queue = JobQueue(Full(store, "ab"))
    assert queue.take() is not None
    queue.done(Outcome("a", "failed", "no"))

    assert queue.ended
    assert queue.take() is None
    assert str(queue.error) == "a store must be writable"


def test_a_job_whose_actor_was_lost_is_handed_out_again_though_its_workers_are_at_it(
    store: Store, others: Others
) -> None:
    source = Wanted(store, "ab")
    queue = JobQueue(source)
    assert queue.take() is not None
    others.train("a")
    queue.lost("a")

    assert not queue.ended
    assert taken(queue) == ["a", "b"]
    assert source.outcomes == []


def test_actors_that_are_lost_again_and_again_end_the_sweep_and_fail_no_trial(
    store: Store,
) -> None:
    source = Wanted(store, "a")
    queue = JobQueue(source)
    for _ in range(TRIES):
        assert taken(queue) == ["a"]
        queue.lost("a")

    assert queue.ended
    assert isinstance(queue.error, SweepError)
    assert source.outcomes == []


def test_a_trial_that_failed_after_it_had_its_result_has_it(store: Store) -> None:
    source = Wanted(store, "a")
    queue = JobQueue(source)
    assert taken(queue) == ["a"]
    store.trial("a").complete({})
    queue.done(Outcome("a", "failed", "its process is gone"))

    assert source.outcomes == [("a", "known", "")]


def test_an_interrupted_trial_ends_the_handing_out_and_is_no_outcome(store: Store) -> None:
    source = Wanted(store, "ab")
    queue = JobQueue(source)
    assert queue.take() is not None
    queue.done(Outcome("a", "interrupted", ""))

    assert queue.ended
    assert queue.take() is None
    assert source.outcomes == []


def test_the_first_error_is_what_a_sweep_ends_with(store: Store) -> None:
    queue = JobQueue(Wanted(store, "a"))
    first = RuntimeError("first")
    queue.end(first)
    queue.end(StoreError("second"))

    assert queue.ended
    assert queue.error is first
    assert not queue.has_job()
