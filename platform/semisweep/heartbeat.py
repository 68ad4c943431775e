"""The head of a cluster that others keep: where it is lost, Ray ends this process, unexplained.

A thread asks every second whether the head takes connections, and is quicker than Ray to give up.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

BEAT_SECONDS = 1.0
# After that, which is 60 s by default, Ray ends the process.
PATIENCE_OF_RAY = "RAY_gcs_rpc_server_reconnect_timeout_s"
SHARE = 0.6  # of it, as an attempt to connect may itself take a second
_OUR_OWN = (errno.EMFILE, errno.ENFILE)
_SHOW_CURSOR = "\x1b[?25h\n"


def patience() -> int:
    """Return how many attempts in a row must fail for a head to count as lost."""
    seconds = float(os.environ.get(PATIENCE_OF_RAY, "60"))
    return max(2, round(SHARE * seconds / BEAT_SECONDS))


def say_lost(address: str) -> None:
    """Say that a head is lost."""
    with suppress(OSError, ValueError):  # nobody may be left who reads it
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)
        print(
            f"error: the head of the cluster must answer while a sweep runs, got address={address} "
            "without answer; nothing finished is lost: start it again, and run the same command",
            file=sys.stderr,
            flush=True,
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
        missed = 0
        while not self._stopped.wait(BEAT_SECONDS):
            missed = 0 if answers(self.address) else missed + 1
            if missed >= patience() and not self._stopped.is_set():
                say_lost(self.address)
                self.end(1)
                return


def answers(address: str) -> bool:
    """Return whether something takes connections at host:port, or this machine cannot ask."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=BEAT_SECONDS).close()
    except socket.gaierror:
        return True
    except OSError as error:
        return error.errno in _OUR_OWN
    return True
