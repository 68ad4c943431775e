"""Leases: locks that a process keeps by renewing them in time.

<folder>/lease-000007.json   the seventh holder, and when it last renewed its lease

The next holder creates the file of the next number, which succeeds for one process only. Its number
also fences off earlier holders. A holder rewrites its file every third of the time to live. No wall
clock is needed: a lease has ended when its file has not changed for its time to live, measured by
the process that watches it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from semisweep.core import background
from semisweep.core.errors import ConfigError, LeaseError, StoreError
from semisweep.store import files
from semisweep.store.files import Location

SECONDS = "SEMISWEEP_LEASE_SECONDS"
DEFAULT_SECONDS = 30.0

_NAME = re.compile(r"lease-(\d+)\.json")
_SIGNS = 3  # so many within a time to live
logger = logging.getLogger(__name__)


class Clock:
    """The clock of a process; tests have their own."""

    def now(self) -> float:
        """Return the seconds of a monotonic clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class Lease:
    """A lock that this process holds until `release`; a thread renews it."""

    def __init__(self, folder: Location, number: int, seconds: float, clock: Clock) -> None:
        self.folder, self.number, self.seconds, self.clock = folder, number, seconds, clock
        self.path = _path(folder, number)
        self._owner = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self._signs = 0
        self._renewed = clock.now()
        self._lost = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._problem: BaseException | None = None  # what ended the thread

    def acquire(self) -> bool:
        """Create the lease's file and return True; return False if somebody was faster."""
        self._renewed = self.clock.now()
        if not files.create(self.path, self._content()):
            return False
        numbers = _numbers(self.folder)
        if max(numbers) > self.number:  # it had been there before, and was removed
            self.path.unlink(missing_ok=True)
            return False
        for number in numbers:
            if number < self.number:
                _path(self.folder, number).unlink(missing_ok=True)
        self._thread = background.start(self._renew, name="lease", on_error=self._note_problem)
        return True

    def release(self) -> None:
        """Give the lease back, so that the next holder need not wait for its end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if not self._lost:
                self._write(released=True)
        except StoreError as error:
            logger.warning("a lease was not given back, it ends by itself: %s", error)

    def check(self) -> None:
        """Raise `LeaseError` if another process has the lease; reads only when that is possible.

        What has ended the thread that renews it is raised too.
        """
        if self._problem is not None:
            raise self._problem
        if self._lost or self.clock.now() - self._renewed > self.seconds:
            self.confirm()

    def confirm(self) -> None:
        """Read whether another process has the lease, and raise `LeaseError` if so."""
        if max(_numbers(self.folder), default=0) > self.number:
            self._lost = True
            raise LeaseError(
                f"a trial must be trained by one process at a time, got folder={self.folder}, "
                f"which another one took over when this one gave no sign for {self.seconds:g} s; "
                "the other one goes on with it"
            )

    def _note_problem(self, error: BaseException) -> None:
        self._problem = error

    def _renew(self) -> None:
        while not self._ended.wait(self.seconds / _SIGNS):
            now = self.clock.now()
            try:
                self.confirm()
                self._write()
                self._renewed = now
            except LeaseError:
                return
            except StoreError as error:
                logger.warning("a lease could not be renewed, which is tried again: %s", error)

    def _write(self, released: bool = False) -> None:
        self._signs += 1
        with files.replacing(self.path) as file:
            file.write(self._content(released))

    def _content(self, released: bool = False) -> bytes:
        value = {
            "owner": self._owner,
            "sign": self._signs,
            "seconds": self.seconds,
            "released": released,
        }
        return json.dumps(value).encode()


@contextmanager
def held(
    folder: Location,
    *,
    wait: bool,
    above: int = 0,
    seconds: float | None = None,
    clock: Clock | None = None,
) -> Iterator[Lease | None]:
    """Hold the lease of a folder and yield it; yield None if another process has it.

    With `wait`, wait for it instead. Numbers are greater than `above`.
    """
    lease = _acquired(folder, wait, above, seconds or lease_seconds(), clock or Clock())
    try:
        yield lease
    finally:
        if lease is not None:
            lease.release()


def is_held(folder: Location) -> bool:
    """Return whether a process holds the lease of a folder; writes nothing."""
    number = max(_numbers(folder), default=0)
    return bool(number) and not _ended(folder, number, Clock())


def is_lease(name: str) -> bool:
    """Return whether a file is a lease by its name."""
    return _NAME.fullmatch(name) is not None


def lease_seconds() -> float:
    """Return the time to live of new leases; raise `ConfigError` unless it is a positive number."""
    text = os.environ.get(SECONDS, str(DEFAULT_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 86_400:
        raise ConfigError(f"a lease must live between 0.2 and 86400 seconds, got {SECONDS}={text}")
    return seconds


# What this process has seen of others' leases: their content, and since when it is the same. So
# that one who only tries now and then sees, too, when a lease has ended.
_seen: dict[str, tuple[bytes, float]] = {}


def _acquired(
    folder: Location, wait: bool, above: int, seconds: float, clock: Clock
) -> Lease | None:
    while True:
        number = max(_numbers(folder), default=0)
        if not number or _ended(folder, number, clock):
            lease = Lease(folder, max(number, above) + 1, seconds, clock)
            if lease.acquire():
                return lease
        elif not wait:
            return None
        if wait:
            clock.sleep(min(1.0, seconds / 6))


def _ended(folder: Location, number: int, clock: Clock) -> bool:
    """Return whether a lease was given back, or has not changed for its time to live."""
    path = _path(folder, number)
    now = clock.now()
    try:
        content = files.read(path)
        value: dict[str, Any] = json.loads(content)
        released, seconds = bool(value["released"]), float(value["seconds"])
    except FileNotFoundError:  # a later one has just taken its place
        return False
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        raise StoreError(
            f"a lease must be as it was written, got path={path}; "
            "remove that file when no process trains there"
        ) from None
    if released:
        _seen.pop(str(path), None)
        return True
    before, since = _seen.get(str(path), (b"", now))
    if content != before:
        since = now
    _seen[str(path)] = content, since  # kept when it has ended: who asks again is told the same
    return now - since > seconds


def _numbers(folder: Location) -> list[int]:
    found = (_NAME.fullmatch(entry.name) for entry in files.scan(folder))
    return [int(match[1]) for match in found if match]


def _path(folder: Location, number: int) -> Location:
    return folder / f"lease-{number:06d}.json"
