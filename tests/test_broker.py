"""The broker, which is a plain object outside of Ray: who gets which job, and who hears of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import pytest

from semisweep import broker as broker_module
from semisweep.broker import GATHERINGS, Broker

T = TypeVar("T")

SLOT = "slot-1"


def job(key: str = "a") -> dict[str, Any]:
    return {"key": key, "store": "somewhere"}


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
        broker = Broker()
        await broker.begin(["slot-1", "slot-2"], job("a"), "actor-1")
        assert await broker.gather(1)
        waiting = await is_waiting(broker.gather(2))
        assert await broker.begin(["slot-1", "slot-2"], job("b"), "actor-2") == "slot-2"
        assert await waiting

    run(scene())


def test_an_actor_that_stays_alone_waits_a_few_times_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broker_module, "GATHER_SECONDS", 0.01)

    async def scene() -> None:
        broker = Broker()
        await broker.begin([SLOT], job(), "actor-1")
        assert [await broker.gather(2) for _ in range(GATHERINGS + 1)] == [False, False, True, True]

    run(scene())


def test_a_job_is_handed_out_once_to_each_worker() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.join(SLOT)
        first = await is_waiting(broker.take(SLOT, 0))
        await broker.put(SLOT, job())

        assert await first == {**job(), "delivery": 1}
        assert await broker.take(SLOT, 1) == {**job(), "delivery": 1}
        again = await is_waiting(broker.take(SLOT, 0))
        again.cancel()

    run(scene())


def test_a_group_that_joins_anew_gets_the_unfinished_job_again() -> None:
    async def scene() -> list[int]:
        broker, deliveries = Broker(), []
        await broker.put(SLOT, job())
        for _ in range(3):
            await broker.join(SLOT)
            deliveries += [(await broker.take(SLOT, rank) or {})["delivery"] for rank in (0, 1)]
        return deliveries

    assert run(scene()) == [1, 1, 2, 2, 3, 3]


def test_deliveries_are_counted_for_each_trial_on_its_own() -> None:
    async def scene() -> int:
        broker = Broker()
        await broker.put(SLOT, job())
        for _ in range(3):
            await broker.join(SLOT)
            await broker.take(SLOT, 0)
        await broker.tell(SLOT, {"key": "a", "status": "finished"})
        await broker.put(SLOT, job("b"))
        taken = await broker.take(SLOT, 0)
        assert taken is not None
        return int(taken["delivery"])

    assert run(scene()) == 1


def test_what_a_trial_said_last_is_shown_until_its_outcome() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        row = {"key": "a", "row": {"step": 5, "val.miou": 0.5}}
        waiting = await is_waiting(broker.outcome(SLOT))
        await broker.tell(SLOT, {"key": "a", "step": 3, "total_steps": 9})
        await broker.tell(SLOT, row)
        assert not waiting.done()
        said = (await broker.snapshot())["a"]
        assert (said["step"], said["row"], said["slot"]) == (3, row["row"], SLOT)

        await broker.tell(SLOT, {"key": "a", "status": "finished"})
        assert await waiting == {"key": "a", "status": "finished"}
        assert await broker.snapshot() == {}

    run(scene())


def test_reports_on_another_job_than_the_present_one_are_dropped() -> None:
    """Such as a second worker's on the failure that the first has reported already."""

    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job("b"))
        await broker.tell(SLOT, {"key": "a", "status": "failed"})
        await broker.tell(SLOT, {"key": "b", "status": "finished"})
        await broker.tell(SLOT, {"key": "b", "status": "failed"})
        assert await broker.outcome(SLOT) == {"key": "b", "status": "finished"}
        assert len(broker.boxes[SLOT].outcomes) == 1

    run(scene())


def test_an_outcome_is_there_for_whoever_asks_last_and_gone_with_the_next_job() -> None:
    """The Tune actor that asked first may have been lost with its machine."""

    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        lost = await is_waiting(broker.outcome(SLOT))
        replacement = await is_waiting(broker.outcome(SLOT))
        await broker.tell(SLOT, {"key": "a", "status": "finished"})

        assert await lost == await replacement
        await broker.put(SLOT, job("b"))
        waiting = await is_waiting(broker.outcome(SLOT))
        waiting.cancel()

    run(scene())


def test_the_job_of_a_lost_machine_is_given_back_and_costs_the_trial_nothing() -> None:
    async def scene() -> None:
        broker, slots = Broker(), ["x", "y"]
        for slot in slots:
            await broker.join(slot)
        assert await broker.claim(slots, "a") == "x"
        await broker.put("x", job())
        await broker.take("x", 0)
        await broker.lost("x")

        assert (await broker.outcome("x"))["status"] == "busy"
        assert await broker.snapshot() == {}
        await broker.release("x")
        assert await broker.claim(slots, "a") == "y"  # of which there are workers
        await broker.put("y", job())
        assert ((await broker.take("y", 0)) or {})["delivery"] == 1

    run(scene())


def test_closing_a_slot_lets_its_workers_go_and_fails_what_it_had() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        waiting = await is_waiting(broker.take(SLOT, 0))
        await broker.close(SLOT, "the worker group has ended")

        assert await waiting is None
        failed = {"key": "a", "status": "failed", "error": "the worker group has ended"}
        assert await broker.outcome(SLOT) == failed
        assert await broker.snapshot() == {}
        await asyncio.gather(broker.wait_spawned(SLOT), broker.wait_training(SLOT))

    run(scene())


def test_a_slot_that_was_closed_keeps_its_next_job_for_the_next_group() -> None:
    async def scene() -> None:
        broker = Broker()
        assert await broker.let_go(SLOT)
        assert await broker.take(SLOT, 0) is None
        await broker.put(SLOT, job())
        assert not (await broker.slots())[SLOT]["taken"]
        await broker.open(SLOT)
        await broker.join(SLOT)
        assert await broker.take(SLOT, 0) == {**job(), "delivery": 1}

    run(scene())


def test_a_slot_with_a_job_is_not_let_go() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        assert not await broker.let_go(SLOT)
        assert await broker.take(SLOT, 0) is not None

    run(scene())


def test_a_trial_that_was_busy_elsewhere_has_cost_no_delivery() -> None:
    async def scene() -> list[int]:
        broker, deliveries = Broker(), []
        for _ in range(3):
            await broker.put(SLOT, job())
            deliveries.append((await broker.take(SLOT, 0) or {})["delivery"])
            await broker.tell(SLOT, {"key": "a", "status": "busy"})
        return deliveries

    assert run(scene()) == [1, 1, 1]


def test_deliveries_are_counted_over_the_slots_that_a_trial_was_given_to() -> None:
    async def scene() -> int:
        broker = Broker()
        for slot in ("x", "y"):
            await broker.put(slot, job())
            taken = await broker.take(slot, 0)
            await broker.close(slot, "the worker group has ended")
        assert taken is not None
        return int(taken["delivery"])

    assert run(scene()) == 2


def test_stopping_hands_out_nothing_more_and_waits_for_what_runs() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        heard = await is_waiting(broker.wait_stopping(SLOT))
        stopped = await is_waiting(broker.stop())
        await broker.tell(SLOT, {"key": "a", "status": "interrupted"})
        assert not await heard
        await stopped
        await broker.put(SLOT, job("b"))
        assert await broker.take(SLOT, 0) is None

    run(scene())


def test_a_slot_that_leaves_its_machine_gives_its_trial_back_at_no_cost() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.spawn(SLOT, 0, "node", 1)
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        told = await is_waiting(broker.wait_stopping(SLOT))
        other = await is_waiting(broker.wait_stopping("another"))
        await broker.leave(SLOT)
        assert await told
        await broker.tell(SLOT, {"key": "a", "status": "interrupted"})
        assert (await broker.outcome(SLOT))["status"] == "busy"
        assert not other.done()
        assert (await broker.slots())[SLOT]["processes"] == []
        await broker.spawn(SLOT, 0, "elsewhere", 2)
        still = await is_waiting(broker.wait_stopping(SLOT))
        await broker.put(SLOT, job())
        taken = await broker.take(SLOT, 0)
        assert taken is not None
        assert taken["delivery"] == 1
        for waiting in (other, still):
            waiting.cancel()

    run(scene())


def test_stopping_does_not_wait_for_a_trial_whose_process_is_gone() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        await broker.spawn(SLOT)
        await broker.stop()

    run(scene())


def test_a_slot_is_quiet_since_its_workers_last_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def scene() -> list[float]:
        nonlocal now
        broker, found = Broker(), []
        await broker.spawn(SLOT, 1, "node", 42)
        await broker.put(SLOT, job())
        for seconds in (5, 7):
            now += seconds
            found.append((await broker.slots())[SLOT]["quiet_seconds"])
            await broker.take(SLOT, 0) if not found[1:] else await broker.tell(SLOT, {"key": "a"})
        now += 3
        found.append((await broker.slots())[SLOT]["quiet_seconds"])
        assert (await broker.slots())[SLOT]["processes"] == [("node", 42)]
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
        broker, found = Broker(), []

        async def look() -> None:
            nonlocal now
            now += 10
            said = (await broker.slots())[SLOT]
            found.append((said["quiet_seconds"], said["processes"]))

        await broker.spawn(SLOT, 0, "node", 1)
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        await look()
        await broker.killed(SLOT)
        await look()
        await broker.spawn(SLOT, 0, "node", 2)
        await look()
        assert (await broker.take(SLOT, 0) or {})["delivery"] == 2
        return found

    assert run(scene()) == [(10, [("node", 1)]), (10, []), (0, [("node", 2)])]


def test_waiting_for_a_worker_may_have_a_limit() -> None:
    async def scene() -> None:
        broker = Broker()
        assert not await broker.wait_spawned(SLOT, 0.01)
        await broker.spawn(SLOT)
        assert await broker.wait_spawned(SLOT, 0.01)

    run(scene())


def test_each_slot_is_claimed_once_until_it_is_released() -> None:
    async def scene() -> None:
        broker, slots = Broker(), ["x", "y"]
        await broker.join("y")
        assert await broker.claim(slots, "a") == "y", "the one whose workers are there comes first"
        assert await broker.claim(slots, "b") == "x"
        await broker.release("y")
        assert await broker.claim(slots, "c") == "y"

    run(scene())


def test_the_replacement_of_a_lost_actor_finds_its_slot_and_leaves_the_job_running() -> None:
    async def scene() -> None:
        broker, slots = Broker(), ["x", "y"]
        for key in ("a", "b"):
            await broker.put(await broker.claim(slots, key), job(key))
            await broker.take(slots[key == "b"], 0)

        assert await broker.claim(slots, "b") == "y"
        await broker.put("y", job("b"))
        waiting = await is_waiting(broker.take("y", 0))
        await broker.tell("y", {"key": "b", "status": "finished"})
        assert (await broker.outcome("y"))["status"] == "finished"
        waiting.cancel()

    run(scene())


@pytest.mark.parametrize("report", [{"step": 0}, {"row": {}}, {"status": "failed"}])
def test_whatever_a_slot_reports_shows_that_it_trains(report: dict[str, Any]) -> None:
    async def scene() -> None:
        broker = Broker()
        spawned = await is_waiting(broker.wait_spawned(SLOT))
        training = await is_waiting(broker.wait_training(SLOT))
        await broker.spawn(SLOT)
        await spawned
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        assert not training.done()
        await broker.tell(SLOT, {"key": "a", **report})
        await training

    run(scene())
