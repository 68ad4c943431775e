"""The steward: a thread of the driver that keeps a sweep's slots in order, once a second.

It shows what runs, gives a slot that has work a group of workers and takes it from one that has
none, ends the wait of a slot whose trial got its result elsewhere, and kills workers that hang.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from semisweep.elastic import Room
from semisweep.engine import Engine
from semisweep.handout import Handout
from semisweep.store import Store

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 20.0
LAST_SECONDS = 5.0  # that the last look may take before the sweep goes on without it
IDLE_SECONDS = 20.0  # that a slot keeps its workers while others may yet leave it a trial

Watch = Callable[[Mapping[str, Mapping[str, Any]], int], None]


@contextmanager
def steward(
    engine: Engine, handout: Handout, watch: Watch, up: threading.Event, room: Room
) -> Iterator[None]:
    """Keep the slots in order while the body runs.

    `watch` is given what each running trial said last, and how many are trained elsewhere. New
    groups are not begun before `up` is set.
    """
    ended, gone = threading.Event(), threading.Event()
    ray, broker = engine.ray, engine.broker

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            with suppress(ray.exceptions.RayError):  # one look less; the next is a second away
                running = ray.get(broker.snapshot.remote(), timeout=ANSWER_SECONDS)
                watch(running, len(handout.elsewhere))
                slots = ray.get(broker.slots.remote(), timeout=ANSWER_SECONDS)
                room.look(slots)
                _start_and_let_go(engine, handout, slots, may_start=up.is_set())
                for slot, said in slots.items():
                    _end_waits(engine, slot, said)
        gone.set()

    engine.groups.begin(look)
    try:
        yield
    finally:
        ended.set()
        gone.wait(LAST_SECONDS)


def _start_and_let_go(
    engine: Engine, handout: Handout, slots: Mapping[str, Mapping[str, Any]], *, may_start: bool
) -> None:
    """Start groups where there is work, and let those go that will have none."""
    busy = [slot for slot, said in slots.items() if said["job"] is not None]
    for slot in busy if may_start else ():
        engine.groups.start(slot)
    if not handout.exhausted:
        return
    on_their_way = handout.outstanding - len(busy)  # Tune has them, no slot yet
    patience = IDLE_SECONDS if handout.elsewhere else LOOK_SECONDS
    spare = [slot for slot in slots if slot not in busy and engine.groups.is_alive(slot)]
    for slot in spare[max(0, on_their_way) :]:
        if slots[slot]["idle_seconds"] > patience:
            engine.broker.let_go.remote(slot)


def _end_waits(engine: Engine, slot: str, said: Mapping[str, Any]) -> None:
    """End the wait for a worker that is no longer needed, and that for one that hangs."""
    job, limit = said["job"], 60 * engine.resources.hung_minutes
    if job is not None and not said["taken"] and _has_result(job):
        engine.broker.tell.remote(slot, {"key": job["key"], "status": "known", "error": ""})
    if limit and said["quiet_seconds"] > limit:
        for node, process in said["processes"]:
            kill(engine.ray, node, process)
        engine.broker.killed.remote(slot)


def _has_result(job: Mapping[str, Any]) -> bool:
    return Store.open(job["store"]).trial(job["key"]).finished


def kill(ray: Any, node: str, process: int) -> None:
    """Kill a process of a node; one that is stopped or hangs in foreign code does not listen."""
    if node == ray.get_runtime_context().get_node_id():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    ray.remote(num_cpus=0, scheduling_strategy=there)(os.kill).remote(process, signal.SIGKILL)
