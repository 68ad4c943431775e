"""The head of a cluster that others keep: where it is lost, Ray ends this process, unexplained.

A thread asks every second whether the head takes connections, and is quicker than Ray to give up.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

BEAT_SECONDS = 1.0
LOST_SECONDS = 6.0  # Ray ends the process when its head has not answered for 10 s


def lost_line(address: str) -> str:
    """Return what is said of a head that is lost."""
    return (
        f"error: the head of the cluster must answer while a sweep runs, got address={address}, "
        f"silent for {LOST_SECONDS:.0f} s; nothing finished is lost: start it again, and run the "
        "same command"
    )


class Heartbeat:
    """Watches a head from `start` to `stop`; says that it is lost and ends the process."""

    def __init__(self, address: str, end: Callable[[int], object] = os._exit) -> None:
        self.address, self.end = address, end
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        answered = time.monotonic()
        while not self._stopped.wait(BEAT_SECONDS):
            if answers(self.address):
                answered = time.monotonic()
            elif time.monotonic() - answered >= LOST_SECONDS and not self._stopped.is_set():
                print(lost_line(self.address), file=sys.stderr, flush=True)
                self.end(1)
                return


def answers(address: str) -> bool:
    """Return whether something takes connections at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=BEAT_SECONDS).close()
    except OSError:
        return False
    return True
