"""Threads that follow the runs of a driver, and bring what a store gets into other tools.

What fails there never ends or slows a sweep: it is said once, and tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

from semisweep.core import background
from semisweep.core.config import digest
from semisweep.core.errors import LeaseError
from semisweep.core.safe_text import one_line
from semisweep.store.lease import lease_seconds
from semisweep.store.store import Store
from semisweep.store.study_files import StoredStudy, StudyPlace

SECONDS = 2.0  # between two looks
SHARE = 0.5  # of the time that looks may take, most of which is waiting for others
LONGEST_SECONDS = 60.0  # until what has failed is tried again
GRACE_SECONDS = 60.0  # without progress, after which the end of a run does not wait
HURRIED_SECONDS = 10.0  # where the run was interrupted

Say = Callable[[str], None]


class Tracker(Protocol):
    """What brings the trials of studies into another tool."""

    logged: int  # grows with all that is logged

    def look(self, studies: Sequence[StoredStudy]) -> None:
        """Log what has changed since the last look; raise what the tool raises."""
        ...

    def leave(self) -> None:
        """Close what is open."""
        ...


class Follower:
    """One thread that has a tracker look at some studies again and again.

    `name` is the option that asked for it, `target` where it logs to: of several processes that
    log a study to one place, one does.
    """

    def __init__(
        self, name: str, target: str, tracker: Tracker, store: Store, wanted: list[StudyPlace],
        say: Say,
    ) -> None:  # fmt: skip
        self.name, self.target, self.tracker = name, target, tracker
        self.store, self.wanted, self.say = store, wanted, say
        self.problem = ""
        self.is_complete = False  # whether the last look has found and logged all
        self.locks: dict[StudyPlace, Callable[[], None]] = {}
        self._asked_to_end = threading.Event()
        self._thread = background.start(
            self._run, name=f"follows for {name}", on_error=self._note_end
        )

    def end(self, *, hurried: bool) -> None:
        """Look a last time and end, unless nothing is logged for long; say what is missing."""
        self._asked_to_end.set()
        patience = HURRIED_SECONDS if hurried else GRACE_SECONDS
        logged, since = -1, time.monotonic()
        while self._thread.is_alive() and time.monotonic() - since < patience:
            if not hurried and self.tracker.logged != logged:
                logged, since = self.tracker.logged, time.monotonic()
            self._thread.join(0.1)
        if self._thread.is_alive() or not self.is_complete:
            self.say(f"warning: {self.name}: not all was logged; the same command goes on with it")

    def _run(self) -> None:
        with ExitStack() as locks:
            tries = 0
            while not self._asked_to_end.is_set():
                started = time.monotonic()
                tries = 0 if self._looked(locks) else min(tries + 1, 5)
                took = time.monotonic() - started
                wait = max(SECONDS * 2**tries, took / SHARE)
                self._asked_to_end.wait(min(wait, LONGEST_SECONDS))
            # A process that was killed may have the lease of a study a while longer.
            until = time.monotonic() + (lease_seconds() if self.store.leased else 0.0)
            while True:
                self.is_complete = self._looked(locks)
                if len(self.locks) == len(self.wanted) or time.monotonic() >= until:
                    break
                time.sleep(SECONDS)
            with suppress(Exception):
                self.tracker.leave()

    def _looked(self, locks: ExitStack) -> bool:
        """Return whether a look has succeeded; the first one that does not is said."""
        try:
            self.tracker.look([own for place in self.wanted for own in self._found(place, locks)])
        except Exception as error:
            self._warn(error)
            return False
        return True

    def _found(self, place: StudyPlace, locks: ExitStack) -> list[StoredStudy]:
        """Return the study at a place if it is there, and this process is to log it."""
        study = self.store.study_files.read(place)
        if study is None or not self._holds(place, locks):
            return []
        return [StoredStudy(place, study)]

    def _holds(self, place: StudyPlace, locks: ExitStack) -> bool:
        """Return whether this process has the right to log a study, or gets it now."""
        if place in self.locks:
            try:
                self.locks[place]()
                return True
            except LeaseError:
                del self.locks[place]
        folder = f"loggers/{digest([self.name, self.target, str(place)])[:20]}"
        with ExitStack() as attempt:
            confirm = attempt.enter_context(self.store.lock(folder, wait=False))
            if confirm is not None:
                self.locks[place] = confirm
                locks.push(attempt.pop_all())
        return confirm is not None

    def _warn(self, error: BaseException) -> None:
        if not self.problem:
            self.problem = f"{type(error).__name__}: {one_line(str(error))}"[:300]
            self.say(f"warning: {self.name}: {self.problem}; the sweep goes on, it is tried again")

    def _note_end(self, error: BaseException) -> None:
        self._warn(error)
