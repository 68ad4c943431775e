"""The worker groups of a sweep's slots: started in threads of the driver, kept until closed."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from semisweep.core import background
from semisweep.core.faults import Fault
from semisweep.study.request import Resources

ANSWER_SECONDS = 5.0  # that the dispatcher may take at the end
GRACE_SECONDS = 3.0
KILL_SECONDS = 5.0
LAST_SECONDS = 60.0  # on a machine that has hardly any time for this process


class WorkerGroups:
    """Living groups of Ray Train workers, one a slot, by the slot's name."""

    def __init__(
        self, ray: Any, dispatcher: Any, resources: Resources, worker: Mapping[str, float]
    ) -> None:
        self.ray, self.dispatcher, self.resources, self.worker = ray, dispatcher, resources, worker
        self.names: list[str] = []
        self.problem: BaseException | None = None  # what ended one of the threads
        self.seen = 0  # so many of the dispatcher's faults were shown
        self.place: str | None = None  # the store that keeps them
        self._threads: list[threading.Thread] = []
        self._alive: set[str] = set()
        self._controllers: list[Any] = []
        self._closed = False
        self._guard = threading.Lock()
        self._scratch = tempfile.TemporaryDirectory(prefix="groups-")

    def reserve(self, more: int) -> list[str]:
        """Name further slots and return the names of all."""
        self.names += [f"slot-{uuid.uuid4().hex[:8]}" for _ in range(more)]
        return self.names

    def start(self, name: str) -> None:
        """Start the group of a slot in a thread that waits for its end, unless it has one."""
        with self._guard:
            if self._closed or name in self._alive:
                return
            self._alive.add(name)
        self.begin(lambda: self._keep(name), name)

    def is_alive(self, name: str) -> bool:
        """Return whether a slot has a group, or is about to have one."""
        with self._guard:
            return name in self._alive

    def follow(self, first: str, names: Sequence[str], first_up: threading.Event) -> None:
        """Set `first_up` and start the groups of `names` when that of slot `first` trains.

        If that slot is closed before, the supervisor starts them when they have a job.
        """

        def wait() -> None:
            trains = self.ray.get(self.dispatcher.wait_training.remote(first))
            first_up.set()
            for name in names if trains else ():
                self.start(name)

        self.begin(wait, "follow")

    def close(self, grace_seconds: float = GRACE_SECONDS) -> list[Fault]:
        """Let all groups go and return the faults that were not shown yet.

        Groups that train or start are ended. No thread that uses Ray may be left: Ray ends a
        process that uses it after its shutdown.
        """
        with self._guard:
            self._closed = True
        for name in self.names:
            self.dispatcher.close.remote(name)
        self._join(grace_seconds)
        faults = self._last_faults(grace_seconds)
        with self._guard:
            for controller in self._controllers:
                self.ray.kill(controller)
        if not self._join(KILL_SECONDS):
            self.ray.kill(self.dispatcher)  # whoever still waits for it waits no longer
            self._join(LAST_SECONDS)
        self._controllers.clear()
        self._scratch.cleanup()
        return faults

    def begin(
        self,
        target: Callable[[], None],
        name: str,
        on_error: Callable[[BaseException], object] | None = None,
    ) -> None:
        """Call `target` in a thread whose end is waited for when the groups are closed.

        Its error is kept as `problem`, unless `on_error` takes it.
        """
        with self._guard:
            if not self._closed:
                heard = on_error or self._note_problem
                started = background.start(target, name=name, on_error=heard)
                self._threads.append(started)

    def _note_problem(self, error: BaseException) -> None:
        self.problem = self.problem or error

    def _last_faults(self, grace_seconds: float) -> list[Fault]:
        """Return the faults not shown yet, and those of workers that did not end in time."""
        with suppress(self.ray.exceptions.RayError):  # a dispatcher that is gone knows of none
            view = self.ray.get(self.dispatcher.view.remote(self.seen), timeout=ANSWER_SECONDS)
            stay = [
                slot for slot, state in view.slots.items() if state.joined and state.closed_seconds
            ]
            text = "it did not end when it was let go, and was killed"
            late = [Fault(slot=slot, text=text, what="at the end") for slot in stay]
            return [*view.faults, *(late if grace_seconds else [])]
        return []

    def _join(self, seconds: float) -> bool:
        """Wait for all threads, but no longer; return whether all have ended."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _started(self, controller: Any) -> None:
        """Remember the actor that controls a group, to end it with the group."""
        with self._guard:
            self._controllers.append(controller)
            if self._closed:
                self.ray.kill(controller)

    def _keep(self, name: str) -> None:
        """Keep a slot's group until it is let go; a controller that is lost is replaced."""
        try:
            again = True
            while again and not self._closed:
                self.ray.get(self.dispatcher.open.remote(name))
                again = self._outlived(name)
            self.dispatcher.emptied.remote(name)
        finally:
            with self._guard:
                self._alive.discard(name)

    def _outlived(self, name: str) -> bool:
        """Run a slot's group; return whether it has ended too early and is to be run again."""
        try:
            self._run(name)
        except Exception as caught:  # where the dispatcher knows why, it has closed the slot
            text = str(caught)
            if isinstance(caught, self.ray.exceptions.RayActorError):
                from semisweep.cluster.slot_trainer import death

                text = death(text)
            again: bool = self.ray.get(self.dispatcher.controller_lost.remote(name, text))
            return again
        return False

    def _run(self, name: str) -> None:
        from semisweep.cluster.worker import start_group

        start_group(
            self.dispatcher,
            name,
            self.resources,
            self.worker,
            self._scratch.name,
            started=self._started,
        )
