"""A watch over Ray's own processes, to say in one line that one is lost.

Without it, Ray would end this process without explanation, or trials would fail. A thread asks
every second whether Ray's processes accept connections, and gives up sooner than Ray does. Errors
in Ray's log often come before that: at each of them the watch asks at once.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from semisweep.core import background
from semisweep.core.errors import INTERRUPTED, interruption

BEAT_SECONDS = 1.0
# After that, which is 60 s by default, Ray ends the process.
PATIENCE_OF_RAY = "RAY_gcs_rpc_server_reconnect_timeout_s"
SHARE = 0.6  # of it, as an attempt to connect may itself take a second
LAST_WORDS = (0.0, 0.2, 0.4, 0.8)  # s between asking, when Ray says that something has failed
LAST_SECONDS = 1.0
ANSWERS, REFUSES, SILENT = "answers", "refuses", "silent"
_OUR_OWN = (errno.EMFILE, errno.ENFILE)
_SHOW_CURSOR = "\x1b[?25h\n"


@dataclass(frozen=True)
class Watched:
    """A process of Ray: `what` it is, host:port, and the way to `mend` its loss.

    A process that `may_return`, or is on another machine, is given time. Of others a refused
    connection means that they are gone.
    """

    what: str
    address: str
    mend: str
    may_return: bool


def head(address: str) -> Watched:
    """Return the head of a cluster that others keep."""
    return Watched("the head of the cluster", address, "start it again, and run", True)


def raylet(address: str) -> Watched:
    """Return the raylet that makes this machine part of a cluster that others keep."""
    what = "Ray's raylet on this machine"
    return Watched(what, address, "start Ray here again with `ray start`, and run", False)


def own(what: str, address: str) -> Watched:
    """Return a process of the cluster that this sweep has started."""
    return Watched(f"Ray's {what}, which this sweep has started,", address, "run", False)


def patience() -> int:
    """Return how many attempts in a row must fail for a process to count as lost."""
    seconds = float(os.environ.get(PATIENCE_OF_RAY, "60"))
    return max(2, round(SHARE * seconds / BEAT_SECONDS))


def say_lost(lost: Watched) -> None:
    """Say that a process is lost."""
    _say(
        f"error: {lost.what} must answer while a sweep runs, got address={lost.address} "
        f"without answer; nothing finished is lost: {lost.mend} the same command"
    )


def _say(line: str) -> None:
    with suppress(OSError, ValueError):  # nobody may be left who reads it
        if sys.stderr.isatty():
            sys.stderr.write(_SHOW_CURSOR)
        print(line, file=sys.stderr, flush=True)


def silence() -> None:
    """Send further output nowhere: Ray's last messages, and errors that they cause."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (1, 2):
            os.dup2(nowhere, stream)


def end_quietly(code: int) -> None:
    """End this process, without another word."""
    silence()
    os._exit(code)


class HeadWatch(logging.Handler):
    """Watches processes from `start` to `stop`; says that one is lost and ends this process.

    `is_here` tells whether this machine is still part of the cluster. `is_interrupted` tells
    whether a signal has come: schedulers that send it to all processes of a group end Ray's own,
    too, which is an interruption and no loss.
    """

    def __init__(
        self,
        watched: Sequence[Watched],
        end: Callable[[int], object] = end_quietly,
        is_here: Callable[[], bool] = lambda: True,
        is_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(logging.ERROR)
        self.end, self.is_here, self.is_interrupted = end, is_here, is_interrupted
        # What cannot be reached from the outset, such as by a firewall's rule, says nothing later.
        self.watched = [one for one in watched if one.may_return or state(one.address) == ANSWERS]
        self._stopped = threading.Event()
        self._asking, self._is_asked = threading.RLock(), False
        self._ends = threading.Lock()  # which nobody ever gives back
        self._missed = [0] * len(self.watched)

    def start(self) -> None:
        """Begin to watch, and to hear Ray's log before other handlers do."""
        logging.getLogger("ray").handlers.insert(0, self)
        background.start(self._watch, name="head watch", on_error=self._failed)

    def stop(self) -> None:
        """Watch no longer."""
        logging.getLogger("ray").removeHandler(self)
        self._stopped.set()

    def emit(self, record: logging.LogRecord) -> None:
        """Take an error that Ray logs: it may be that of a Ray which is lost."""
        self.confirm()

    def confirm(self) -> None:
        """Return if Ray's processes live; otherwise say so and end this process."""
        with self._asking:
            if self._is_asked:
                return  # an error that Ray logs of the question itself
            self._is_asked = True
            try:
                self._ask()
            finally:
                self._is_asked = False

    def _ask(self) -> None:
        for seconds in LAST_WORDS:
            if self._stopped.wait(seconds):
                return
            for one in self.watched:
                if not one.may_return and state(one.address) == REFUSES:
                    self._lost(one)
            if self.watched and not self._is_here():
                self._lost(self.watched[-1])

    def _is_here(self) -> bool:
        if any(state(one.address) != ANSWERS for one in self.watched):
            return True  # whoever is asked without a head waits for a minute
        try:
            return self.is_here()
        except Exception:  # of Ray, which has said of something that it failed
            return True

    def _watch(self) -> None:
        while not self._stopped.wait(BEAT_SECONDS):
            for index, one in enumerate(self.watched):
                self._missed[index] = self._count(one, self._missed[index])
                if self._missed[index] >= patience() and not self._stopped.is_set():
                    self._lost(one)
                    return

    def _count(self, one: Watched, missed: int) -> int:
        """Ask once more; return how many attempts in a row have failed."""
        found = state(one.address)
        if found == REFUSES and not one.may_return:
            return patience()
        return 0 if found == ANSWERS else missed + 1

    def _lost(self, one: Watched) -> None:
        if not self._ends.acquire(blocking=False):
            time.sleep(LAST_SECONDS)  # in which another thread ends this process
            return
        if self.is_interrupted():
            _say(interruption())
            self.end(INTERRUPTED)
            return
        gone = [other for other in self.watched if state(other.address) == REFUSES]
        say_lost((gone or [one])[0])  # the head, where it is lost with this machine's part
        self.end(1)

    def _failed(self, error: BaseException) -> None:
        traceback.print_exception(error)
        self.end(1)


def state(address: str) -> str:
    """Return whether a process accepts connections at host:port; yes where asking is impossible."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=BEAT_SECONDS).close()
    except socket.gaierror:
        return ANSWERS
    except ConnectionRefusedError:
        return REFUSES
    except OSError as error:
        return ANSWERS if error.errno in _OUR_OWN else SILENT
    return ANSWERS
