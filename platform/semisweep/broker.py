"""The broker: one small actor through which a sweep, its slots and their workers talk.

A slot's mailbox holds the job that its worker group is to do. A group that died and was started
again joins anew and is handed the same job. Everything is plain dictionaries, so the actor needs no
torch.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

GATHER_SECONDS = 5.0
GATHERINGS = 3


class Mailbox:
    """One slot: its current job, what its workers said of it, and whether it is to close."""

    def __init__(self) -> None:
        self.job: dict[str, Any] | None = None
        self.key = ""
        self.taken: set[int] = set()
        self.outcomes: list[dict[str, Any]] = []
        self.claimed = False
        self.processes: dict[int, tuple[str, int]] = {}  # node and process id of each worker
        self.joined = False
        self.training = False
        self.closed = False
        self.leaving = False  # its machine will be taken away: what it trains is to go on elsewhere
        self.idle_since = time.monotonic()
        self.heard = time.monotonic()  # when its workers last had come further


class Broker:
    """Mailboxes by slot, and what each running trial said last."""

    def __init__(self) -> None:
        self.boxes: dict[str, Mailbox] = {}
        self.running: dict[str, dict[str, Any]] = {}
        self.deliveries: Counter[str] = Counter()
        self.stopping = False
        self.actors: set[str] = set()  # of Tune that have had a job
        self.lonely = 0  # how often one waited for others in vain
        self.changed = asyncio.Condition()

    def _box(self, slot: str) -> Mailbox:
        return self.boxes.setdefault(slot, Mailbox())

    async def claim(self, slots: list[str], key: str) -> str:
        """Return a slot for a job: the one that has it already, else one that nobody has claimed.

        The first case is that of a Tune actor that died and was replaced. Of free slots, one whose
        workers are there is taken if possible.
        """
        async with self.changed:
            for slot in slots:
                if self._box(slot).key == key:
                    return slot
            free = [slot for slot in slots if not self._box(slot).claimed]
            free.sort(key=lambda slot: (not self._box(slot).joined, not self._box(slot).processes))
            self._box(free[0]).claimed = True
            return free[0]

    async def gather(self, company: int) -> bool:
        """Let a Tune actor that has done a job wait until so many have had one, but not for long.

        Else one that is quick takes each next job before the actor is there that Tune starts for
        it, whereupon Tune ends that one and starts another for the job after it, and so on.
        Returns whether so many are there, or no more are waited for.
        """
        async with self.changed:
            if self.lonely < GATHERINGS:
                gathered = self.changed.wait_for(lambda: len(self.actors) >= company)
                try:
                    await asyncio.wait_for(gathered, GATHER_SECONDS)
                except TimeoutError:
                    self.lonely += 1
            return len(self.actors) >= company or self.lonely >= GATHERINGS

    async def release(self, slot: str) -> None:
        """Give a claimed slot back."""
        async with self.changed:
            self._box(slot).claimed, self._box(slot).key = False, ""

    async def begin(self, slots: list[str], job: dict[str, Any], actor: str) -> str:
        """Claim a slot for a Tune actor's job, give it the job, and return it."""
        slot = await self.claim(slots, job["key"])
        self.actors.add(actor)
        await self.put(slot, job)
        return slot

    async def put(self, slot: str, job: dict[str, Any]) -> None:
        """Give a slot its next job; one that it has not finished yet just goes on."""
        async with self.changed:
            box = self._box(slot)
            if box.job is not None and box.key == job["key"]:
                return
            box.job, box.key, box.taken, box.outcomes = job, job["key"], set(), []
            self.changed.notify_all()

    async def open(self, slot: str) -> None:
        """Note that a slot gets a new group of workers."""
        async with self.changed:
            box = self._box(slot)
            box.closed = box.joined = box.training = box.leaving = False
            box.processes = {}
            box.idle_since = time.monotonic()

    async def spawn(self, slot: str, rank: int = 0, node: str = "", process: int = 0) -> None:
        """Note that a worker's process is there, though it has still to import what it needs.

        The one before it is gone, and with it who had taken the slot's job.
        """
        async with self.changed:
            box = self._box(slot)
            box.processes[rank], box.taken = (node, process), set()
            box.leaving = False
            self.running.pop(box.key, None)
            self.changed.notify_all()

    async def wait_spawned(self, slot: str, seconds: float | None = None) -> bool:
        """Wait until a worker's process is there, or the slot is closed; return whether it is so.

        With `seconds`, wait no longer.
        """
        async with self.changed:
            box = self._box(slot)
            arrival = self.changed.wait_for(lambda: bool(box.processes) or box.closed)
            try:
                await asyncio.wait_for(arrival, seconds)
            except TimeoutError:
                return False
            return True

    async def join(self, slot: str) -> None:
        """Note that a group of workers starts; an unfinished job is to be handed out again."""
        async with self.changed:
            box = self._box(slot)
            box.taken, box.joined = set(), True
            box.heard = time.monotonic()
            self.changed.notify_all()

    async def killed(self, slot: str) -> None:
        """Note that a slot's processes were killed; Ray Train starts new ones."""
        async with self.changed:
            box = self._box(slot)
            box.processes, box.heard = {}, time.monotonic()

    async def wait_training(self, slot: str) -> bool:
        """Wait until the slot's workers train, or the slot is closed; return whether they do."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: box.training or box.closed)
            return box.training

    async def take(self, slot: str, rank: int) -> dict[str, Any] | None:
        """Wait for the slot's next job and return it, once a worker; None: no more will come."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(
                lambda: (
                    self.stopping or box.closed or (box.job is not None and rank not in box.taken)
                )
            )
            if self.stopping or box.closed or box.job is None:
                return None
            key = box.key
            if not box.taken:
                self.deliveries[key] += 1
            box.taken.add(rank)
            box.heard = time.monotonic()
            self.running[key] = {"since": time.time(), "slot": slot}
            return {**box.job, "delivery": self.deliveries[key]}

    async def tell(self, slot: str, message: dict[str, Any]) -> None:
        """Take a worker's report: an evaluation row, an outcome, or how far it has come."""
        async with self.changed:
            box = self._box(slot)
            key = message["key"]
            if box.job is None or box.key != key:
                return  # a report of a worker that was given up on
            box.training, box.heard = True, time.monotonic()
            if "status" in message:
                self._end(box, self._meant(box, message))
            else:
                self.running.setdefault(key, {"since": time.time()}).update(message)
            self.changed.notify_all()

    async def outcome(self, slot: str) -> dict[str, Any]:
        """Wait for the outcome of the slot's job and return it.

        Tune hears of nothing else: each result that it is given costs its driver milliseconds.
        """
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: bool(box.outcomes))
            return box.outcomes[0]  # stays: who asked may be dead, and another ask again

    async def close(self, slot: str, error: str = "") -> None:
        """Let the slot's workers go; an unfinished job ends as failed."""
        async with self.changed:
            box = self._box(slot)
            box.closed = True
            if box.job is not None:
                reason = error or "the slot was closed"
                self._end(box, {"key": box.key, "status": "failed", "error": reason})
            self.changed.notify_all()

    async def let_go(self, slot: str) -> bool:
        """Let the workers of a slot go that has no job; return whether that is so."""
        async with self.changed:
            box = self._box(slot)
            if box.job is None:
                box.closed = True
                self.changed.notify_all()
            return box.closed

    async def lost(self, slot: str) -> None:
        """Give the trial of a slot back whose machine is gone: it may go on elsewhere."""
        async with self.changed:
            box = self._box(slot)
            box.joined, box.taken, box.processes = False, set(), {}
            if box.job is not None:
                self._end(box, {"key": box.key, "status": "busy", "error": "its machine is gone"})
            self.changed.notify_all()

    async def leave(self, slot: str) -> None:
        """Have a slot's trial write a checkpoint and go on elsewhere: its machine will be gone."""
        async with self.changed:
            self._box(slot).leaving = True
            self.changed.notify_all()

    async def stop(self) -> None:
        """Hand out nothing more, and wait until every trial that runs has stopped or ended."""
        async with self.changed:
            self.stopping = True
            self.changed.notify_all()
            await self.changed.wait_for(lambda: not self.running)

    async def wait_stopping(self, slot: str) -> bool:
        """Wait until a slot is to stop what it does; return whether that is to go on elsewhere."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: self.stopping or box.leaving)
            return not self.stopping

    async def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return what each running trial said last, by key."""
        return self.running

    async def slots(self) -> dict[str, dict[str, Any]]:
        """Return of each slot its job, whether a worker has it, and for how long all was quiet."""
        now = time.monotonic()
        return {
            slot: {
                "job": box.job,
                "taken": bool(box.taken),
                "processes": list(box.processes.values()),
                "idle_seconds": 0.0 if box.job is not None else now - box.idle_since,
                "quiet_seconds": now - box.heard if box.taken and box.job is not None else 0.0,
            }
            for slot, box in self.boxes.items()
        }

    def _meant(self, box: Mailbox, message: dict[str, Any]) -> dict[str, Any]:
        """Return an outcome as the sweep is to hear it: who leaves a machine wants another."""
        if message["status"] != "interrupted" or self.stopping:
            return message
        box.joined, box.processes = False, {}
        return message | {"status": "busy", "error": "its machine will be taken away"}

    def _end(self, box: Mailbox, message: dict[str, Any]) -> None:
        """Take the outcome of a slot's job."""
        if message["status"] == "busy":
            self.deliveries[box.key] -= 1  # it has cost no process
        box.outcomes.append(message)
        box.job, box.idle_since = None, time.monotonic()
        self.running.pop(box.key, None)
