"""Signals that ask a sweep to end: after the first one, running trials write checkpoints.

While Ray starts it sets handlers of its own. With those, or with a KeyboardInterrupt in mid-start,
the process would not end cleanly. So a signal that comes then is kept until Ray has started.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from semisweep.cluster import ray_internals

HANDLED = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], object] | int | None  # as `signal.getsignal` has it


class Signals:
    """Turns SIGINT and SIGTERM into KeyboardInterrupt while a sweep runs, and not after it."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Handler] = {}
        self._held = False
        self._kept = False
        self._has_come = False
        self._read, self._written = socket.socketpair()

    def __enter__(self) -> Signals:
        self._read.setblocking(False)
        self._written.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in HANDLED}
            self._fd_before = signal.set_wakeup_fd(self._written.fileno())
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if handler is not None:
                signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._fd_before)
        self._read.close()
        self._written.close()

    def has_come(self) -> bool:
        """Return whether one of them has come, even if the main thread does not know yet."""
        with suppress(OSError):  # there is no further one
            self._has_come |= any(number in HANDLED for number in self._read.recv(1024))
        return self._has_come

    def take(self) -> None:
        """Raise KeyboardInterrupt at both from now on."""
        for number in self._before:
            signal.signal(number, self._received)

    def ignore(self) -> None:
        """Ignore both from now on."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Delay signals that come in the body until its end; Ray sets no handler in it."""
        self._held = True
        try:
            with ray_internals.without_sigterm_handler():
                yield
        finally:
            self.take()  # below Python Ray has put a handler for SIGTERM in place, which aborts
            self._held = False
        if self._kept:
            self._kept = False
            raise KeyboardInterrupt

    def _received(self, *_: object) -> None:
        if self._held:
            self._kept = True
        else:
            raise KeyboardInterrupt
