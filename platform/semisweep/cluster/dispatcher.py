"""The dispatcher: one small actor through which a sweep, its slots and their workers talk.

A slot's mailbox holds the job of its group of workers. A group that was started again after a crash
joins anew and gets the same job. Nothing here needs torch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.mailbox import Mailbox, SlotState
from semisweep.core.faults import TEXT_CHARACTERS, TRIES, Fault, Retries, failed_text, last_lines
from semisweep.store.trial_records import TrialProgress

GATHER_SECONDS = 5.0
GATHERINGS = 3


@dataclass(frozen=True)
class View:
    """What the dispatcher knows of a sweep.

    How far each running trial has come, by key, None before it says so; how the slots are; faults
    that were not seen before; and why the sweep cannot go on.
    """

    running: Mapping[str, TrialProgress | None]
    slots: Mapping[str, SlotState]
    faults: list[Fault]
    fatal: str


class Dispatcher:
    """Mailboxes by slot, and how far each running trial has come."""

    def __init__(self) -> None:
        self.boxes: dict[str, Mailbox] = {}
        self.running: dict[str, TrialProgress | None] = {}
        self.retries = Retries()
        self.faults: list[Fault] = []
        self.fatal = ""  # why the whole sweep cannot go on
        self.stopping = False
        self.actors: set[str] = set()  # of Tune that have had a job
        self.lonely = 0  # how often one waited for others in vain
        self.changed = asyncio.Condition()

    def _box(self, slot: str) -> Mailbox:
        return self.boxes.setdefault(slot, Mailbox())

    async def claim(self, slots: list[str], key: str) -> str:
        """Claim a slot for a job and return it; return "" where the sweep ends.

        That is the slot that has the job already (its Tune actor died and was replaced), or a free
        one, preferably one whose workers are ready. Where none is free, wait for one.
        """

        def having() -> list[str]:
            return [slot for slot in slots if key in (self._box(slot).key, self._box(slot).claimed)]

        async with self.changed:
            await self.changed.wait_for(
                lambda: bool(having()) or self.stopping or bool(self._free(slots))
            )
            if having():
                return having()[0]
            free = self._free(slots)
            if self.stopping or not free:
                return ""
            free.sort(key=lambda slot: (not self._box(slot).joined, not self._box(slot).processes))
            self._box(free[0]).claimed = key
            return free[0]

    def _free(self, slots: list[str]) -> list[str]:
        boxes = {slot: self._box(slot) for slot in slots}
        return [slot for slot, box in boxes.items() if not box.claimed and not box.given_up]

    async def gather(self, company: int) -> bool:
        """Wait a little until `company` Tune actors have had a job; return whether they have.

        Tune starts an actor for each job that is out. If an actor that has finished a job took the
        next one before that job's own actor is ready, Tune would end the new actor and start
        another one for the job after it, and so on. After a few waits in vain, always true.
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
            self._box(slot).claimed = self._box(slot).key = ""
            self.changed.notify_all()

    async def begin(self, slots: list[str], job: Job, actor: str) -> str:
        """Claim a slot for a Tune actor's job, give it the job, and return it; "" at the end."""
        slot = await self.claim(slots, job.key)
        self.actors.add(actor)
        if slot:
            await self.put(slot, job)
        return slot

    async def put(self, slot: str, job: Job) -> None:
        """Give a slot its next job; if it has this very job already, nothing changes."""
        async with self.changed:
            box = self._box(slot)
            if box.job is not None and box.key == job.key:
                return
            box.job, box.key, box.taken, box.outcomes = job, job.key, set(), []
            box.heard = time.monotonic()
            if self.stopping:
                self._end(box, Outcome(box.key, "interrupted", self.fatal))
            self.changed.notify_all()

    async def open(self, slot: str) -> None:
        """Note that a slot gets a new group of workers."""
        async with self.changed:
            box = self._box(slot)
            box.closed = box.joined = box.training = box.leaving = False
            box.processes, box.raised, box.verdict = {}, "", ""
            box.idle_since = time.monotonic()

    async def spawned(self, slot: str, processes: Mapping[int, tuple[str, int]]) -> None:
        """Note that a group's new processes exist, though they still import what they need.

        `processes`: node and process id by rank. They replace earlier ones: none of them has taken
        the slot's job yet.
        """
        async with self.changed:
            box = self._box(slot)
            box.processes, box.ranks = dict(processes), set(processes)
            box.taken, box.joined = set(), False
            box.leaving, box.raised, box.verdict = False, "", ""
            box.heard = time.monotonic()
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
        """Note that a group of workers is ready to take the slot's job."""
        async with self.changed:
            box = self._box(slot)
            box.taken, box.joined = set(), True
            box.heard = time.monotonic()
            self.changed.notify_all()

    async def killed(self, slot: str, reason: str) -> None:
        """Note that a slot's processes are about to be killed, and why."""
        async with self.changed:
            box = self._box(slot)
            box.processes, box.heard, box.verdict = {}, time.monotonic(), reason

    async def raised(self, slot: str, rank: int, text: str) -> None:
        """Take the traceback of an error that ends a worker; only a group's first one is kept."""
        async with self.changed:
            box = self._box(slot)
            if not box.raised:
                box.raised, box.raised_by = text[-TEXT_CHARACTERS:], rank

    async def ended(
        self,
        slot: str,
        kind: str,
        text: str,
        machines: Collection[str] | None = None,
        gone: Collection[int] = (),
    ) -> bool:
        """Decide what follows from the end of a slot's processes; return whether to start new ones.

        `kind`: "renewed" (on purpose), "room" (the cluster has none for them), "machine" (one is
        lost) or "fault", which alone counts as a try, see `semisweep.core.faults`. `machines`:
        those that are alive; a process on another one was lost with it. `gone`: ranks whose
        processes are gone; the errors of the other ranks are consequences of that.
        """
        async with self.changed:
            box = self._box(slot)
            reason = _reason(box, text, gone)
            at = {node for node, _ in box.processes.values()}
            lost = kind == "machine" or (machines is not None and not at <= set(machines))
            was_taken = box.is_taken
            box.taken, box.processes, box.joined = set(), {}, False
            box.verdict = box.raised = ""
            box.heard = time.monotonic()
            self.running.pop(box.key, None)
            self.changed.notify_all()
            if kind in ("renewed", "room") or lost:
                return not (box.closed or self.stopping)
            if box.closed or self.stopping:
                self.faults.append(Fault(slot=slot, text=reason, what="while it was let go"))
                if box.job is not None:
                    self._end(box, Outcome(box.key, "interrupted", reason))
                return False
            if was_taken:
                return self._count_attempt(slot, box, reason)
            return self._count_start(slot, box, reason)

    def _count_attempt(self, slot: str, box: Mailbox, reason: str) -> bool:
        assert box.job is not None
        again = self.retries.attempt(box.key)
        self.faults.append(
            Fault(
                slot=slot,
                text=reason,
                what=f"attempt {self.retries.attempts[box.key]} of {TRIES}",
                key=box.key,
                label=box.job.label,
                store=box.job.store,
            )
        )
        if not again:
            self._end(box, Outcome(box.key, "failed", failed_text(reason)))
        return True

    def _count_start(self, slot: str, box: Mailbox, reason: str) -> bool:
        again = self.retries.start(slot)
        what = f"start {self.retries.starts[slot]} of {TRIES}"
        self.faults.append(Fault(slot=slot, text=reason, what=what))
        if not again:
            self._give_up(slot, box, f"workers must start, got {TRIES} starts in a row that "
                          f"failed, the last one with: {_last_line(reason)}")  # fmt: skip
        return again

    async def controller_lost(self, slot: str, text: str) -> bool:
        """Note that the actor which controls a slot was lost; return whether to start another.

        This is no attempt at the slot's trial.
        """
        async with self.changed:
            box = self._box(slot)
            if box.closed or self.stopping:
                return False
            box.taken, box.processes, box.joined = set(), {}, False
            self.running.pop(box.key, None)
            again = self.retries.loss(slot)
            what = f"its controller was lost, {self.retries.losses[slot]} of {TRIES}"
            self.faults.append(Fault(slot=slot, text=text, what=what))
            if not again:
                self._give_up(slot, box, f"the controller of a slot must live, got {TRIES} losses "
                              f"in a row, the last one: {_last_line(text)}")  # fmt: skip
            self.changed.notify_all()
            return again

    def _give_up(self, slot: str, box: Mailbox, reason: str) -> None:
        """Close a slot whose workers do not start; end the sweep where no other slot works."""
        box.closed = box.given_up = True
        box.closed_since = time.monotonic()
        if any(other.joined and not other.closed for other in self.boxes.values()):
            what = "given up, the others go on"
            self.faults.append(Fault(slot=slot, text=reason, what=what))
            if box.job is not None:
                self._end(box, Outcome(box.key, "busy", reason))
        else:
            self._halt(reason)
        self.changed.notify_all()

    async def halt(self, reason: str) -> None:
        """End the sweep: running trials write checkpoints, jobs that nobody has taken go back."""
        async with self.changed:
            self._halt(reason)
            self.changed.notify_all()

    def _halt(self, reason: str) -> None:
        self.fatal, self.stopping = self.fatal or reason, True
        for box in self.boxes.values():
            if box.job is not None and not box.taken:
                self._end(box, Outcome(box.key, "interrupted", reason))

    async def left(self, slot: str, rank: int) -> None:
        """Note that a worker is about to end by itself, as its slot was closed."""
        async with self.changed:
            self._box(slot).processes.pop(rank, None)

    async def emptied(self, slot: str) -> None:
        """Note that a slot's group has ended."""
        async with self.changed:
            self._box(slot).processes = {}

    async def wait_training(self, slot: str) -> bool:
        """Wait until the slot's workers train, or the slot is closed; return whether they do."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: box.training or box.closed)
            return box.training

    async def take(self, slot: str, rank: int) -> Job | None:
        """Wait for the slot's next job and return it to each worker once; None: no more will come.

        From the moment when all workers of the group have taken it, a crash is an attempt at it.
        """
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(
                lambda: (
                    self.stopping or box.closed or (box.job is not None and rank not in box.taken)
                )
            )
            if self.stopping or box.closed or box.job is None:
                return None
            box.taken.add(rank)
            box.heard = time.monotonic()
            if box.is_taken:
                self.retries.started(slot)
            self.running[box.key] = None
            return box.job

    async def tell(self, slot: str, key: str, told: TrialProgress) -> None:
        """Take how far a worker says that a trial has come; its last evaluation is remembered."""
        async with self.changed:
            box = self._box(slot)
            if box.job is None or box.key != key:
                return  # a report of a worker that was given up on
            box.training, box.heard = True, time.monotonic()
            before = self.running.get(key)
            evaluation = told.evaluation or (before.evaluation if before else None)
            self.running[key] = replace(told, evaluation=evaluation)
            self.changed.notify_all()

    async def finish(self, slot: str, outcome: Outcome) -> None:
        """Take the outcome of a slot's job; the outcome of an earlier job is ignored."""
        async with self.changed:
            box = self._box(slot)
            if box.job is None or box.key != outcome.key:
                return
            box.heard = time.monotonic()
            self._end(box, self._meant(box, outcome))
            self.changed.notify_all()

    async def outcome(self, slot: str) -> Outcome:
        """Wait for the outcome of the slot's job and return it.

        It is all that Tune is told of a trial: each result takes milliseconds of its driver.
        """
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: bool(box.outcomes))
            return box.outcomes[0]  # stays: who asked may be dead, and another ask again

    async def close(self, slot: str) -> None:
        """Close a slot: its workers end; an unfinished job ends as interrupted, to go on later."""
        async with self.changed:
            box = self._box(slot)
            box.closed, box.closed_since = True, time.monotonic()
            if box.job is not None:
                reason = self.fatal or "the slot was closed"
                self._end(box, Outcome(box.key, "interrupted", reason))
            self.changed.notify_all()

    async def let_go(self, slot: str) -> bool:
        """Close a slot unless it has a job; return whether it is closed."""
        async with self.changed:
            box = self._box(slot)
            if box.job is None and not box.closed:
                box.closed, box.closed_since = True, time.monotonic()
                self.changed.notify_all()
            return box.closed

    async def lost(self, slot: str) -> None:
        """End the job of a slot whose machine is lost as busy, so that another slot takes it."""
        async with self.changed:
            box = self._box(slot)
            box.joined, box.taken, box.processes = False, set(), {}
            if box.job is not None:
                self._end(box, Outcome(box.key, "busy", "its machine is gone"))
            self.changed.notify_all()

    async def leave(self, slot: str) -> None:
        """Move a slot's trial: it writes a checkpoint, and another machine goes on with it."""
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
        """Wait until a slot's trial is to stop; return whether another machine goes on with it."""
        async with self.changed:
            box = self._box(slot)
            await self.changed.wait_for(lambda: self.stopping or box.leaving)
            return not self.stopping

    async def view(self, seen: int = 0) -> View:
        """Return what is known now, with the faults from the `seen`-th on."""
        slots = {slot: box.state() for slot, box in self.boxes.items()}
        return View(self.running, slots, self.faults[seen:], self.fatal)

    def _meant(self, box: Mailbox, outcome: Outcome) -> Outcome:
        """Return an outcome for the sweep: busy, not interrupted, where its machine will go."""
        if outcome.status != "interrupted" or self.stopping:
            return outcome
        box.joined, box.processes = False, {}
        return replace(outcome, status="busy", error="its machine will be taken away")

    def _end(self, box: Mailbox, outcome: Outcome) -> None:
        """Take the outcome of a slot's job."""
        if outcome.status != "busy":
            slots = [slot for slot, other in self.boxes.items() if other is box]
            self.retries.ended(box.key, *slots)
        box.outcomes.append(outcome)
        box.training = True  # or it never will: whoever waits for that need not
        box.job, box.idle_since = None, time.monotonic()
        self.running.pop(box.key, None)


def _reason(box: Mailbox, text: str, gone: Collection[int]) -> str:
    """Return why a slot's processes have ended; `text` is what Ray says.

    Where a process is gone, the other workers' errors are consequences: they come before it.
    """
    reason = box.verdict or box.raised or text
    if box.raised and gone and not box.verdict and box.raised_by not in gone:
        ranks = " and ".join(map(str, sorted(gone)))
        reason = f"{box.raised}\nof worker {ranks}: {text}"
    return reason[-TEXT_CHARACTERS:]


def _last_line(text: str) -> str:
    return (last_lines(text) or ["no reason given"])[-1]
