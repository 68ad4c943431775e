"""The supervisor: a thread of the driver that keeps a sweep's slots in order, once a second.

It shows progress, starts a group of workers for each slot that has a job, closes slots that will
get none, gives up a job that another sweep has finished, and kills workers that hang.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Protocol

from semisweep.cluster.connection import STOP_SECONDS, Connection
from semisweep.cluster.elastic_slots import Room
from semisweep.cluster.job import Job, Outcome
from semisweep.cluster.job_queue import JobQueue
from semisweep.cluster.mailbox import SlotState, View
from semisweep.core.errors import StoreError, SweepError
from semisweep.store.store import Store
from semisweep.store.trial_log import keep_fault
from semisweep.store.trial_records import TrialProgress

EVERY_SECONDS = 1.0
ANSWER_SECONDS = 20.0
LAST_SECONDS = 10.0  # that the last time may take before the sweep goes on without it
IDLE_SECONDS = 20.0  # that a slot keeps its workers while others may yet leave it a trial
START_SECONDS = 600.0  # that workers may take for a step of their start, and to end
FEWEST_START_SECONDS = 60.0  # even where trials may hang for less: imports take their time
LOST = (
    "the dispatcher of a sweep must live, got its actor lost (killed, or out of memory?); nothing "
    "finished is lost, run the same command again"
)


class Watch(Protocol):
    """Where a sweep shows how it goes."""

    def watch(self, running: Mapping[str, TrialProgress | None], elsewhere: int) -> None:
        """Show how far each running trial has come, and how many are trained elsewhere."""

    def say(self, text: str) -> None:
        """Show a line."""

    def name(self, key: str) -> str:
        """Return how a trial is called there."""


@contextmanager
def supervisor(
    connection: Connection, queue: JobQueue, watch: Watch, up: threading.Event, room: Room
) -> Iterator[None]:
    """Keep the slots in order while the body runs.

    No further group starts before `up` is set. An error that ends the sweep becomes the queue's
    error; a body that does not end by itself then is interrupted.
    """
    own = _Supervisor(connection, queue, watch, up, room)
    connection.groups.begin(own.run, "supervisor", own.fail)
    try:
        yield
    finally:
        own.over.set()
        own.gone.wait(LAST_SECONDS)


class _Supervisor:
    """Does the supervisor's work, in a thread of its own."""

    def __init__(
        self, connection: Connection, queue: JobQueue, watch: Watch, up: threading.Event, room: Room
    ) -> None:
        self.connection, self.queue, self.watch = connection, queue, watch
        self.up, self.room = up, room
        self.over, self.gone = threading.Event(), threading.Event()
        self._ending_since: float | None = None
        self._silent_store = False

    def run(self) -> None:
        """Supervise once a second until the sweep is over, and once more."""
        while not self.over.wait(EVERY_SECONDS):
            self.supervise()
        self.supervise()
        self.gone.set()

    def fail(self, error: BaseException) -> None:
        """End the sweep with an error of this thread, which does nothing more."""
        self.queue.end(error)
        self.connection.dispatcher.halt.remote(str(error))
        if not self.over.wait(2 * STOP_SECONDS):
            signal.raise_signal(signal.SIGINT)
        self.gone.set()

    def supervise(self) -> None:
        """Do once what is done every second; errors of Ray and storage wait for the next time."""
        exceptions = self.connection.ray.exceptions
        try:
            asked = self.connection.dispatcher.view.remote(self.connection.groups.seen)
            view = self.connection.ray.get(asked, timeout=ANSWER_SECONDS)
            self._act(view)
            self._silent_store = False
        except exceptions.ActorDiedError:
            if not self.over.is_set():
                self.end(SweepError(LOST))
        except exceptions.RayError:
            pass  # it did not answer in time
        except StoreError as error:
            if not self._silent_store:
                self.watch.say(f"the store does not answer, it is asked again: {error}")
            self._silent_store = True
        if self.connection.groups.problem is not None and not self.over.is_set():
            self.end(self.connection.groups.problem)
        self._hurry()

    def end(self, error: BaseException) -> None:
        """End the sweep with an error: running trials write checkpoints first."""
        self.queue.end(error)
        if self._ending_since is None:
            self._ending_since = time.monotonic()
            self.connection.dispatcher.halt.remote(str(error))

    def _act(self, view: View) -> None:
        for fault in view.faults:
            self.connection.groups.seen += 1
            self.watch.say(fault.shown(self.watch.name(fault.key) if fault.key else ""))
            if self.queue.place is not None:
                keep_fault(Store.open(self.queue.place), fault)
        if view.fatal:
            self.end(SweepError(f"{view.fatal}; nothing finished is lost"))
        self.watch.watch(view.running, len(self.queue.elsewhere))
        if self.over.is_set():
            return
        if said := self.room.follow(view):
            self.watch.say(said)
        _start_and_let_go(self.connection, self.queue, view.slots, may_start=self.up.is_set())
        for slot, state in view.slots.items():
            _end_waits(self.connection, slot, state)

    def _hurry(self) -> None:
        """Interrupt the body if it still runs long after the sweep was to end."""
        since = self._ending_since
        if since is None or self.over.is_set():
            return
        if time.monotonic() - since > STOP_SECONDS:
            for slot in self.connection.groups.names:
                self.connection.dispatcher.close.remote(slot)
        if time.monotonic() - since > 2 * STOP_SECONDS:
            self._ending_since = None
            signal.raise_signal(signal.SIGINT)


def _start_and_let_go(
    connection: Connection,
    queue: JobQueue,
    slots: Mapping[str, SlotState],
    *,
    may_start: bool,
) -> None:
    """Start groups of slots that have a job, and close slots that will get none."""
    busy = [slot for slot, state in slots.items() if state.job is not None]
    for slot in busy if may_start else ():
        connection.groups.start(slot)
    if not queue.exhausted:
        return
    on_their_way = queue.outstanding - len(busy)  # Tune has them, no slot yet
    patience = IDLE_SECONDS if queue.elsewhere else EVERY_SECONDS
    spare = [slot for slot in slots if slot not in busy and connection.groups.is_alive(slot)]
    for slot in spare[max(0, on_their_way) :]:
        if slots[slot].idle_seconds > patience:
            connection.dispatcher.let_go.remote(slot)


def _end_waits(connection: Connection, slot: str, state: SlotState) -> None:
    """Give up jobs that others have finished, and kill workers that hang."""
    job = state.job
    if job is not None and not state.taken and _has_result(job):
        connection.dispatcher.finish.remote(slot, Outcome(job.key, "known"))
    reason = hangs(state, 60 * connection.resources.hung_minutes)
    if reason:
        connection.ray.get(
            connection.dispatcher.killed.remote(slot, reason), timeout=ANSWER_SECONDS
        )
        for node, process in state.processes:
            kill(connection.ray, node, process)


def hangs(state: SlotState, limit: float) -> str:
    """Return why the workers of a slot are to be killed, or nothing.

    `limit`: the seconds that a trial may go without progress; 0 is without limit. Starting and
    ending have limits of their own.
    """
    own = min(max(limit, FEWEST_START_SECONDS), START_SECONDS) if limit else START_SECONDS
    if limit and state.quiet_seconds > limit:
        return f"it got no further for {limit:.0f} s and was killed"
    if state.starting_seconds > own:
        return f"its start got no further for {own:.0f} s and it was killed"
    if state.closed_seconds > own:
        return f"it did not end within {own:.0f} s and was killed"
    return ""


def _has_result(job: Job) -> bool:
    return Store.open(job.store).trial(job.key).finished


def kill(ray: ModuleType, node: str, process: int) -> None:
    """Kill a process of a node by SIGKILL, which works for one that hangs, too."""
    if node == ray.get_runtime_context().get_node_id():
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        return
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    ray.remote(num_cpus=0, scheduling_strategy=there)(os.kill).remote(process, signal.SIGKILL)
