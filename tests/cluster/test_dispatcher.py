"""The dispatcher, a plain object outside of Ray: who gets which job, and who hears of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import pytest

from semisweep.cluster import dispatcher as dispatcher_module
from semisweep.cluster.dispatcher import GATHERINGS, Dispatcher
from semisweep.cluster.job import Job, Outcome
from semisweep.core.faults import TRIES
from semisweep.store.trial_records import Evaluation, TrialProgress

T = TypeVar("T")

SLOT = "slot-1"


def job(key: str = "a") -> Job:
    return Job(key=key, trial={}, store="somewhere", data_root="")


def run(scene: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scene, timeout=10))


async def is_waiting(call: Awaitable[Any]) -> asyncio.Task[Any]:
    """Return a call as a task, having seen that it does not return by itself."""
    task = asyncio.ensure_future(call)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def test_a_quick_actor_waits_for_the_one_that_is_started_for_the_next_job() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.begin(["slot-1", "slot-2"], job("a"), "actor-1")
        assert await dispatcher.gather(1)
        waiting = await is_waiting(dispatcher.gather(2))
        assert await dispatcher.begin(["slot-1", "slot-2"], job("b"), "actor-2") == "slot-2"
        assert await waiting

    run(scene())


def test_an_actor_that_stays_alone_waits_a_few_times_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher_module, "GATHER_SECONDS", 0.01)

    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.begin([SLOT], job(), "actor-1")
        assert [await dispatcher.gather(2) for _ in range(GATHERINGS + 1)] == [
            False,
            False,
            True,
            True,
        ]

    run(scene())


def test_a_job_is_handed_out_once_to_each_worker() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.join(SLOT)
        first = await is_waiting(dispatcher.take(SLOT, 0))
        await dispatcher.put(SLOT, job())

        assert await first == job()
        assert await dispatcher.take(SLOT, 1) == job()
        again = await is_waiting(dispatcher.take(SLOT, 0))
        again.cancel()

    run(scene())


def test_a_group_that_joins_anew_gets_the_unfinished_job_again() -> None:
    async def scene() -> list[Any]:
        dispatcher, taken = Dispatcher(), []
        await dispatcher.put(SLOT, job())
        for process in (1, 2):
            await group(dispatcher, process)
            taken += [await dispatcher.take(SLOT, rank) for rank in (0, 1)]
        return taken

    assert run(scene()) == [job()] * 4


async def group(dispatcher: Dispatcher, process: int = 1, slot: str = SLOT, ranks: int = 2) -> None:
    """Start a group of workers that joins."""
    await dispatcher.spawned(slot, {rank: ("node", process + rank) for rank in range(ranks)})
    await dispatcher.join(slot)


def told(step: int, evaluation: Evaluation | None = None) -> TrialProgress:
    """Return how far a trial has come."""
    return TrialProgress(step=step, total_steps=9, evaluation=evaluation)


async def shown(dispatcher: Dispatcher) -> list[str]:
    """Return what the terminal says of the faults so far."""
    return [fault.shown() for fault in (await dispatcher.view()).faults]


def test_faults_after_a_trial_was_taken_are_attempts_and_the_third_is_its_failure() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        waiting = await is_waiting(dispatcher.outcome(SLOT))
        for number in range(TRIES):
            assert not waiting.done()
            await group(dispatcher)
            assert [await dispatcher.take(SLOT, rank) for rank in (0, 1)] == [job()] * 2
            if number == 1:
                await dispatcher.raised(SLOT, 1, "Traceback: of the second worker")
                await dispatcher.raised(SLOT, 0, "Traceback: of the first, which missed it")
            assert await dispatcher.ended(SLOT, "fault", "its process is gone"), (
                "for the next trial"
            )
        outcome = await waiting
        assert outcome.status == "failed"
        assert "3 times, got attempts=3, the last one: its process is gone" in outcome.error
        assert await shown(dispatcher) == [
            "trial a, attempt 1 of 3: its process is gone",
            "trial a, attempt 2 of 3: Traceback: of the second worker",
            "trial a, attempt 3 of 3: its process is gone",
        ]
        assert (await dispatcher.view(2)).faults == (await dispatcher.view()).faults[2:]

    run(scene())


def test_a_traceback_is_the_error_of_a_trial_that_failed_with_it() -> None:
    async def scene() -> str:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        for _ in range(TRIES):
            await group(dispatcher, ranks=1)
            await dispatcher.take(SLOT, 0)
            await dispatcher.raised(SLOT, 0, "Traceback (most recent call last):\nValueError: no")
            await dispatcher.ended(SLOT, "fault", "")
        return str((await dispatcher.outcome(SLOT)).error)

    assert run(scene()) == "Traceback (most recent call last):\nValueError: no"


@pytest.mark.parametrize(
    ("raised_by", "said"),
    [
        (0, "ValueError: no peer | of worker 1: its process is gone"),
        (1, "ValueError: no peer"),
    ],
)
def test_a_worker_that_is_gone_is_the_reason_of_what_the_others_raise(
    raised_by: int, said: str
) -> None:
    async def scene() -> list[str]:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        await group(dispatcher)
        for rank in (0, 1):
            await dispatcher.take(SLOT, rank)
        text = "Traceback (most recent call last):\n  line\nValueError: no peer"
        await dispatcher.raised(SLOT, raised_by, text)
        await dispatcher.ended(SLOT, "fault", "its process is gone", gone=[1])
        return await shown(dispatcher)

    assert run(scene()) == [f"trial a, attempt 1 of 3: {said}"]


def test_attempts_of_one_trial_are_not_those_of_the_next() -> None:
    async def scene() -> list[str]:
        dispatcher = Dispatcher()
        for key in ("a", "b"):
            await dispatcher.put(SLOT, job(key))
            for _ in range(TRIES - 1):
                await group(dispatcher, ranks=1)
                await dispatcher.take(SLOT, 0)
                await dispatcher.ended(SLOT, "fault", "gone")
            await group(dispatcher, ranks=1)
            await dispatcher.take(SLOT, 0)
            await dispatcher.finish(SLOT, Outcome(key, "finished"))
        return [fault.what for fault in (await dispatcher.view()).faults]

    assert run(scene()) == ["attempt 1 of 3", "attempt 2 of 3"] * 2


@pytest.mark.parametrize("taken", [(), (0,)])
def test_a_group_that_fails_before_all_have_taken_the_trial_three_times_ends_the_sweep(
    taken: tuple[int, ...],
) -> None:
    """And the trial is given back, as it was."""

    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        again = []
        for _ in range(TRIES):
            await group(dispatcher)
            for rank in taken:
                await dispatcher.take(SLOT, rank)
            again.append(await dispatcher.ended(SLOT, "fault", "no driver"))
        assert again == [True, True, False]
        assert (await dispatcher.outcome(SLOT)).status == "interrupted"
        fatal = (await dispatcher.view()).fatal
        assert fatal.startswith("workers must start, got 3 starts in a row that failed")
        assert fatal.endswith("the last one with: no driver")
        assert await dispatcher.begin([SLOT], job("b"), "actor") == ""

    run(scene())


def test_a_start_that_succeeds_makes_up_for_those_that_failed() -> None:
    async def scene() -> list[bool]:
        dispatcher, again = Dispatcher(), []
        for key in ("a", "b", "c"):
            for _ in range(TRIES - 1):
                await dispatcher.spawned(SLOT, {0: ("node", 1)})
                again.append(await dispatcher.ended(SLOT, "fault", "gone"))
            await dispatcher.put(SLOT, job(key))
            await group(dispatcher, ranks=1)
            await dispatcher.take(SLOT, 0)
            await dispatcher.finish(SLOT, Outcome(key, "finished"))
        return again

    assert run(scene()) == [True] * 6


def test_a_slot_that_does_not_start_is_given_up_where_another_one_works() -> None:
    async def scene() -> None:
        dispatcher, slots = Dispatcher(), ["good", "bad"]
        await group(dispatcher, slot="good", ranks=1)
        assert await dispatcher.begin(slots, job("a"), "actor-1") == "good"
        assert await dispatcher.begin(slots, job("b"), "actor-2") == "bad"
        for _ in range(TRIES):
            await dispatcher.spawned("bad", {0: ("broken", 1)})
            again = await dispatcher.ended("bad", "fault", "no driver")
        assert not again
        assert (await dispatcher.outcome("bad")).status == "busy", "another slot gets it"
        assert not (await dispatcher.view()).fatal
        assert (await shown(dispatcher))[-1].startswith(
            "bad, given up, the others go on: workers must"
        )
        await dispatcher.release("bad")
        waiting = await is_waiting(dispatcher.begin(slots, job("b"), "actor-2"))
        await dispatcher.finish("good", Outcome("a", "finished"))
        await dispatcher.release("good")
        assert await waiting == "good"

    run(scene())


@pytest.mark.parametrize(
    ("kind", "machines"), [("renewed", None), ("room", None), ("machine", None), ("fault", ["x"])]
)
def test_what_is_no_fault_of_the_workers_is_started_again_without_limit(
    kind: str, machines: list[str] | None
) -> None:
    """Such as a process that was on a machine which is gone."""

    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        for _ in range(3 * TRIES):
            await group(dispatcher)
            assert [await dispatcher.take(SLOT, rank) for rank in (0, 1)] == [job()] * 2
            assert await dispatcher.ended(SLOT, kind, "gone", machines)
        assert await shown(dispatcher) == []

    run(scene())


def test_a_lost_controller_costs_the_trial_nothing_and_is_replaced_three_times() -> None:
    async def scene() -> None:
        dispatcher, again = Dispatcher(), []
        await dispatcher.put(SLOT, job())
        for _ in range(TRIES):
            await dispatcher.open(SLOT)
            await group(dispatcher, ranks=1)
            assert await dispatcher.take(SLOT, 0) == job()
            again.append(await dispatcher.controller_lost(SLOT, "it was killed"))
        assert again == [True, True, False]
        view = await dispatcher.view()
        assert "the controller of a slot must live, got 3 losses in a row" in view.fatal
        assert [fault.key for fault in view.faults] == [""] * 3

    run(scene())


def test_workers_that_were_killed_for_hanging_say_so() -> None:
    async def scene() -> list[str]:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        await group(dispatcher, ranks=1)
        await dispatcher.take(SLOT, 0)
        await dispatcher.killed(SLOT, "it got no further for 30 s and was killed")
        await dispatcher.ended(SLOT, "fault", "its process is gone")
        return await shown(dispatcher)

    assert run(scene()) == ["trial a, attempt 1 of 3: it got no further for 30 s and was killed"]


def test_faults_of_workers_that_are_let_go_are_said_and_count_for_nothing() -> None:
    async def scene() -> list[str]:
        dispatcher = Dispatcher()
        await group(dispatcher, ranks=1)
        assert await dispatcher.let_go(SLOT)
        assert not await dispatcher.ended(SLOT, "fault", "its process is gone")
        return await shown(dispatcher)

    assert run(scene()) == ["slot-1, while it was let go: its process is gone"]


def test_halting_gives_back_what_nobody_has_taken_and_waits_for_the_rest() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        for slot in ("x", "y"):
            await dispatcher.put(slot, job(slot))
        await dispatcher.take("x", 0)
        stops = await is_waiting(dispatcher.wait_stopping("x"))
        await dispatcher.halt("a reason")
        assert (await dispatcher.outcome("y")).status == "interrupted"
        assert not await stops
        still = await is_waiting(dispatcher.outcome("x"))
        await dispatcher.finish("x", Outcome("x", "interrupted"))
        assert (await still).status == "interrupted"
        await dispatcher.put("y", job("z"))
        assert (await dispatcher.outcome("y")).status == "interrupted"

    run(scene())


def test_what_a_trial_said_last_is_shown_until_its_outcome() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        assert (await dispatcher.view()).running == {"a": None}
        waiting = await is_waiting(dispatcher.outcome(SLOT))
        measured = told(3, Evaluation(3, {"val.miou": 0.5}))
        await dispatcher.tell(SLOT, "a", measured)
        assert (await dispatcher.view()).running == {"a": measured}
        await dispatcher.tell(SLOT, "a", told(5))
        assert not waiting.done()
        assert (await dispatcher.view()).running == {"a": told(5, measured.evaluation)}

        await dispatcher.finish(SLOT, Outcome("a", "finished"))
        assert await waiting == Outcome("a", "finished")
        assert (await dispatcher.view()).running == {}

    run(scene())


def test_reports_on_another_job_than_the_present_one_are_dropped() -> None:
    """Such as a second worker's on the failure that the first has reported already."""

    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job("b"))
        await dispatcher.finish(SLOT, Outcome("a", "failed"))
        await dispatcher.finish(SLOT, Outcome("b", "finished"))
        await dispatcher.finish(SLOT, Outcome("b", "failed"))
        assert await dispatcher.outcome(SLOT) == Outcome("b", "finished")
        assert len(dispatcher.boxes[SLOT].outcomes) == 1

    run(scene())


def test_an_outcome_is_there_for_whoever_asks_last_and_gone_with_the_next_job() -> None:
    """The Tune actor that asked first may have been lost with its machine."""

    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        lost = await is_waiting(dispatcher.outcome(SLOT))
        replacement = await is_waiting(dispatcher.outcome(SLOT))
        await dispatcher.finish(SLOT, Outcome("a", "finished"))

        assert await lost == await replacement
        await dispatcher.put(SLOT, job("b"))
        waiting = await is_waiting(dispatcher.outcome(SLOT))
        waiting.cancel()

    run(scene())


def test_the_job_of_a_lost_machine_is_given_back_and_costs_the_trial_nothing() -> None:
    async def scene() -> None:
        dispatcher, slots = Dispatcher(), ["x", "y"]
        for slot in slots:
            await dispatcher.join(slot)
        assert await dispatcher.claim(slots, "a") == "x"
        await dispatcher.put("x", job())
        await dispatcher.take("x", 0)
        await dispatcher.lost("x")

        assert (await dispatcher.outcome("x")).status == "busy"
        assert (await dispatcher.view()).running == {}
        await dispatcher.release("x")
        assert await dispatcher.claim(slots, "a") == "y"  # of which there are workers
        await dispatcher.put("y", job())
        assert await dispatcher.take("y", 0) == job()

    run(scene())


def test_closing_a_slot_lets_its_workers_go_and_gives_back_what_it_had() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        waiting = await is_waiting(dispatcher.take(SLOT, 0))
        await dispatcher.close(SLOT)

        assert await waiting is None
        assert (await dispatcher.outcome(SLOT)).status == "interrupted"
        assert (await dispatcher.view()).running == {}
        await asyncio.gather(dispatcher.wait_spawned(SLOT), dispatcher.wait_training(SLOT))

    run(scene())


def test_a_slot_that_was_closed_keeps_its_next_job_for_the_next_group() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        assert await dispatcher.let_go(SLOT)
        assert await dispatcher.take(SLOT, 0) is None
        await dispatcher.put(SLOT, job())
        assert not (await dispatcher.view()).slots[SLOT].taken
        await dispatcher.open(SLOT)
        await dispatcher.join(SLOT)
        assert await dispatcher.take(SLOT, 0) == job()

    run(scene())


def test_a_slot_with_a_job_is_not_let_go() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        assert not await dispatcher.let_go(SLOT)
        assert await dispatcher.take(SLOT, 0) is not None

    run(scene())


def test_stopping_hands_out_nothing_more_and_waits_for_what_runs() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        heard = await is_waiting(dispatcher.wait_stopping(SLOT))
        stopped = await is_waiting(dispatcher.stop())
        await dispatcher.finish(SLOT, Outcome("a", "interrupted"))
        assert not await heard
        await stopped
        await dispatcher.put(SLOT, job("b"))
        assert await dispatcher.take(SLOT, 0) is None

    run(scene())


def test_a_slot_that_leaves_its_machine_gives_its_trial_back_at_no_cost() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.spawned(SLOT, {0: ("node", 1)})
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        told = await is_waiting(dispatcher.wait_stopping(SLOT))
        other = await is_waiting(dispatcher.wait_stopping("another"))
        await dispatcher.leave(SLOT)
        assert await told
        await dispatcher.finish(SLOT, Outcome("a", "interrupted"))
        assert (await dispatcher.outcome(SLOT)).status == "busy"
        assert not other.done()
        assert (await dispatcher.view()).slots[SLOT].processes == ()
        await dispatcher.spawned(SLOT, {0: ("elsewhere", 2)})
        still = await is_waiting(dispatcher.wait_stopping(SLOT))
        await dispatcher.put(SLOT, job())
        assert await dispatcher.take(SLOT, 0) == job()
        assert await shown(dispatcher) == []
        for waiting in (other, still):
            waiting.cancel()

    run(scene())


def test_stopping_does_not_wait_for_a_trial_whose_process_is_gone() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        await dispatcher.spawned(SLOT, {0: ("node", 1)})
        await dispatcher.stop()

    run(scene())


def test_a_slot_is_quiet_since_its_workers_last_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def scene() -> list[float]:
        nonlocal now
        dispatcher, found = Dispatcher(), []
        await dispatcher.spawned(SLOT, {0: ("node", 42)})
        await dispatcher.put(SLOT, job())
        for seconds in (5, 7):
            now += seconds
            found.append((await dispatcher.view()).slots[SLOT].quiet_seconds)
            await dispatcher.take(SLOT, 0) if not found[1:] else await dispatcher.tell(
                SLOT, "a", told(1)
            )
        now += 3
        found.append((await dispatcher.view()).slots[SLOT].quiet_seconds)
        assert (await dispatcher.view()).slots[SLOT].processes == (("node", 42),)
        return found

    assert run(scene()) == [0, 7, 3], "a job that waits for a worker is not a worker that hangs"


def test_a_new_process_does_not_inherit_the_quiet_of_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise one that takes its time to import would be killed as well."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def scene() -> list[tuple[float, list[tuple[str, int]]]]:
        nonlocal now
        dispatcher, found = Dispatcher(), []

        async def look() -> None:
            nonlocal now
            now += 10
            said = (await dispatcher.view()).slots[SLOT]
            found.append((said.quiet_seconds, list(said.processes)))

        await dispatcher.spawned(SLOT, {0: ("node", 1)})
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        await look()
        await dispatcher.killed(SLOT, "it hung")
        await look()
        await dispatcher.spawned(SLOT, {0: ("node", 2)})
        await look()
        assert await dispatcher.take(SLOT, 0) == job()
        return found

    assert run(scene()) == [(10, [("node", 1)]), (10, []), (0, [("node", 2)])]


def test_waiting_for_a_worker_may_have_a_limit() -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        assert not await dispatcher.wait_spawned(SLOT, 0.01)
        await dispatcher.spawned(SLOT, {0: ("node", 1)})
        assert await dispatcher.wait_spawned(SLOT, 0.01)

    run(scene())


def test_a_job_whose_waiting_actor_died_claims_one_slot() -> None:
    """Its replacement waits beside it, and both go on when a slot is free."""

    async def scene() -> None:
        dispatcher, slots = Dispatcher(), ["x", "y"]
        for key in ("a", "b"):
            await dispatcher.put(await dispatcher.claim(slots, key), job(key))
        waiting = [await is_waiting(dispatcher.begin(slots, job("c"), actor)) for actor in "12"]
        for slot in slots:
            await dispatcher.finish(slot, Outcome("ab"[slots.index(slot)], "finished"))
            await dispatcher.release(slot)
        assert [await own for own in waiting] == ["x", "x"]
        assert await dispatcher.claim(slots, "d") == "y"

    run(scene())


def test_each_slot_is_claimed_once_until_it_is_released() -> None:
    async def scene() -> None:
        dispatcher, slots = Dispatcher(), ["x", "y"]
        await dispatcher.join("y")
        assert await dispatcher.claim(slots, "a") == "y", (
            "the one whose workers are there comes first"
        )
        assert await dispatcher.claim(slots, "b") == "x"
        await dispatcher.release("y")
        assert await dispatcher.claim(slots, "c") == "y"

    run(scene())


def test_the_replacement_of_a_lost_actor_finds_its_slot_and_leaves_the_job_running() -> None:
    async def scene() -> None:
        dispatcher, slots = Dispatcher(), ["x", "y"]
        for key in ("a", "b"):
            await dispatcher.put(await dispatcher.claim(slots, key), job(key))
            await dispatcher.take(slots[key == "b"], 0)

        assert await dispatcher.claim(slots, "b") == "y"
        await dispatcher.put("y", job("b"))
        waiting = await is_waiting(dispatcher.take("y", 0))
        await dispatcher.finish("y", Outcome("b", "finished"))
        assert (await dispatcher.outcome("y")).status == "finished"
        waiting.cancel()

    run(scene())


@pytest.mark.parametrize("report", [told(0), None])
def test_whatever_a_slot_reports_shows_that_it_trains(report: TrialProgress | None) -> None:
    async def scene() -> None:
        dispatcher = Dispatcher()
        spawned = await is_waiting(dispatcher.wait_spawned(SLOT))
        training = await is_waiting(dispatcher.wait_training(SLOT))
        await dispatcher.spawned(SLOT, {0: ("node", 1)})
        await spawned
        await dispatcher.put(SLOT, job())
        await dispatcher.take(SLOT, 0)
        assert not training.done()
        if report is None:
            await dispatcher.finish(SLOT, Outcome("a", "failed"))
        else:
            await dispatcher.tell(SLOT, "a", report)
        await training

    run(scene())
