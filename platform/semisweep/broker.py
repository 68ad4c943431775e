"""The broker: one small actor through which a sweep, its slots and their workers talk.

A slot's mailbox holds the job that its worker group is to do. A group that died and was started
again joins anew and is handed the same job. Everything is plain dictionaries, so the actor needs no
torch.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any


class Mailbox:
    """One slot: its current job, what its workers said of it, and whether it is to close."""

    def __init__(self) -> None:
        self.job: dict[str, Any] | None = None
        self.key = ""
        self.taken: set[int] = set()
        self.deliveries = 0
        self.events: list[dict[str, Any]] = []
        self.claimed = False
        self.spawned = False
        self.joined = False
        self.training = False
        self.closed = False
        self.error = ""


class Broker:
    """Mailboxes by slot, and what each running trial said last."""

    def __init__(self) -> None:
        self.boxes: dict[str, Mailbox] = {}
        self.running: dict[str, dict[str, Any]] = {}
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
            free.sort(key=lambda slot: not self._box(slot).joined)
            self._box(free[0]).claimed = True
            return free[0]

    async def release(self, slot: str) -> None:
        """Give a claimed slot back."""
        async with self.changed:
            self._box(slot).claimed, self._box(slot).key = False, ""

    async def put(self, slot: str, job: dict[str, Any]) -> None:
        """Give a slot its next job; one that it has not finished yet just goes on."""
        async with self.changed:
            box = self._box(slot)
            if box.job is not None and box.key == job["key"]:
                return
            box.job, box.key, box.taken, box.deliveries, box.events = job, job["key"], set(), 0, []
            if box.closed:
                box.events.append({"key": job["key"], "status": "failed", "error": box.error})
            self.changed.notify_all()

    async def spawn(self, slot: str) -> None:
        """Note that a worker's process is there, though it has still to import what it needs."""
        async with self.changed:
            self._box(slot).spawned = True
            self.changed.notify_all()

    async def wait_spawned(self, slot: str) -> None:
        """Wait until a worker's process is there, or the slot is closed."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: box.spawned or box.closed)

    async def join(self, slot: str) -> None:
        """Note that a group of workers starts; an unfinished job is to be handed out again."""
        async with self.changed:
            box = self._box(slot)
            box.taken, box.joined = set(), True
            self.changed.notify_all()

    async def wait_training(self, slot: str) -> None:
        """Wait until the slot's workers train, or the slot is closed."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: box.training or box.closed)

    async def take(self, slot: str, rank: int) -> dict[str, Any] | None:
        """Wait for the slot's next job and return it, once a worker; None: no more will come."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(
                lambda: box.closed or (box.job is not None and rank not in box.taken)
            )
            if box.closed or box.job is None:
                return None
            if not box.taken:
                box.deliveries += 1
            box.taken.add(rank)
            self.running[box.job["key"]] = {"since": time.time(), "slot": slot}
            return {**box.job, "delivery": box.deliveries}

    async def tell(self, slot: str, message: dict[str, Any]) -> None:
        """Take a worker's report: an evaluation row, an outcome, or how far it has come."""
        async with self.changed:
            box = self._box(slot)
            key = message["key"]
            if box.job is None or box.job["key"] != key:
                return  # a report of a worker that was given up on
            box.training = True
            self.running.setdefault(key, {"since": time.time()}).update(message)
            if "row" in message or "status" in message:
                box.events.append(message)
            if "status" in message:
                box.job = None
                self.running.pop(key, None)
            self.changed.notify_all()

    async def event(self, slot: str) -> dict[str, Any]:
        """Wait for the slot's next evaluation row or outcome and return it."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: bool(box.events))
            return box.events.pop(0)

    async def close(self, slot: str, error: str = "") -> None:
        """Let the slot's workers go; an unfinished job ends as failed."""
        async with self.changed:
            box = self._box(slot)
            box.closed, box.error = True, error or "the slot was closed"
            if box.job is not None:
                failed = {"key": box.job["key"], "status": "failed", "error": box.error}
                box.events.append(failed)
                self.running.pop(box.job["key"], None)
                box.job = None
            self.changed.notify_all()

    async def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return what each running trial said last, by key."""
        return self.running
