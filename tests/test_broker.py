"""The broker, which is a plain object outside of Ray: who gets which job, and who hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

import pytest

from semisweep.broker import Broker

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


def test_rows_and_outcomes_are_events_and_steps_are_not() -> None:
    async def scene() -> None:
        broker = Broker()
        await broker.put(SLOT, job())
        await broker.take(SLOT, 0)
        row = {"key": "a", "row": {"step": 5, "val.miou": 0.5}}
        waiting = await is_waiting(broker.event(SLOT))
        await broker.tell(SLOT, {"key": "a", "step": 3, "total_steps": 9})
        assert not waiting.done()
        await broker.tell(SLOT, row)
        assert await waiting == row
        said = (await broker.snapshot())["a"]
        assert (said["step"], said["row"], said["slot"]) == (3, row["row"], SLOT)

        await broker.tell(SLOT, {"key": "a", "status": "finished"})
        assert await broker.event(SLOT) == {"key": "a", "status": "finished"}
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
        assert await broker.event(SLOT) == {"key": "b", "status": "finished"}
        waiting = await is_waiting(broker.event(SLOT))
        waiting.cancel()

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
        assert await broker.event(SLOT) == failed
        assert await broker.snapshot() == {}
        await broker.put(SLOT, job("b"))
        assert await broker.event(SLOT) == {**failed, "key": "b"}
        await asyncio.gather(broker.wait_spawned(SLOT), broker.wait_training(SLOT))

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
        assert (await broker.event("y"))["status"] == "finished"
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
