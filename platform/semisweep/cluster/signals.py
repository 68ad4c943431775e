"""Signals that ask a sweep to end: after the first one, running trials write checkpoints.

While Ray starts it sets handlers of its own. With those, or with a KeyboardInterrupt in mid-start,
the process would not end cleanly. So a signal that comes then is kept until Ray has started.

Terminals, `timeout`, Slurm and systemd send a signal to a whole group of processes, or to all of a
job. Ray's own and the workers do not hear it: the driver does, and lets them end in order.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from semisweep.cluster import ray_internals

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Handler = Callable[[int, FrameType | None], object] | int | None  # as `signal.getsignal` has it


class Signals:
    """Turns SIGINT, SIGTERM and SIGHUP into KeyboardInterrupt while a sweep runs, and not after it.

    A SIGHUP that is ignored, as by `nohup`, stays so.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Handler] = {}
        self._held = False
        self._kept = False
        self._has_come = False
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        self._read, self._written = socket.socketpair()

    def __enter__(self) -> Signals:
        self._read.setblocking(False)
        self._written.setblocking(False)
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in HANDLED}
            if before[signal.SIGHUP] == signal.SIG_IGN:
                del before[signal.SIGHUP]
            self._before = before
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
        """Raise KeyboardInterrupt at all of them from now on."""
        for number in self._before:
            signal.signal(number, self._received)

    def ignore(self) -> None:
        """Ignore all of them from now on."""
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
        _replace_lost(self._terminals)
        if self._held:
            self._kept = True
        else:
            raise KeyboardInterrupt


@contextmanager
def unheard() -> Iterator[None]:
    """Let processes that are started in the body never hear these signals, nor those they start.

    This one hears signals that come meanwhile at the end of the body, or in another thread.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _replace_lost(terminals: Sequence[int]) -> None:
    """Send nowhere what is written to terminals that are gone: it would be an error each time."""
    gone = [stream for stream in terminals if not os.isatty(stream)]
    if gone:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in gone:
            os.dup2(nowhere, stream)
        os.close(nowhere)
