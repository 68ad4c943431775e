"""A trial's own log: what was said while it trained, kept beside its results, within bounds.

log-0001.txt, ...     one an attempt, the newest few of them
<store>/faults/...    one a fault of workers, those before a trial was taken too

What the method prints and warns, what libraries log, each evaluation, and the traceback of an error
are all there, wherever the trial ran. The file is replaced as a whole now and then, so a killed
process leaves what it had said up to some seconds before its end.
"""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from semisweep.core.errors import StoreError
from semisweep.core.faults import Fault
from semisweep.core.safe_text import printable
from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import TrialProgress

FIRST_CHARACTERS = 16_000  # kept of the beginning of an attempt
LAST_CHARACTERS = 48_000  # and of its end
LINE_CHARACTERS = 2_000
KEPT_ATTEMPTS = 5
FLUSH_SECONDS = 5.0
FAULTS = "faults"  # the folder of a store
KEPT_FAULTS = 200

_NAME = re.compile(r"log-(\d+)\.txt")


class TrialLog:
    """Lines of one attempt, each with its time; the middle of a long log is left out."""

    def __init__(self, path: Location) -> None:
        self.path = path
        self.hears_streams = True
        self._first: list[str] = []
        self._last: deque[str] = deque()
        self._sizes = [0, 0]  # characters of both
        self._dropped = 0
        self._flushed = time.monotonic()
        self._guard = threading.RLock()

    def say(self, text: str) -> None:
        """Add lines, and bring them to the store if the last time was some seconds ago."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S ")
        with self._guard:
            for line in text.splitlines():
                self._add(stamp + line[:LINE_CHARACTERS] + "\n")
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                self.flush()

    def flush(self) -> None:
        """Write the log; a store that cannot be written is for the trial to complain about."""
        with self._guard, suppress(StoreError):
            self._flushed = time.monotonic()
            with files.replacing(self.path, sync_content=False, sync_name=False) as file:
                file.write(self.text().encode(errors="replace"))

    def text(self) -> str:
        """Return all that is kept."""
        left_out = f"... {self._dropped} lines left out ...\n" if self._dropped else ""
        return "".join([*self._first, left_out, *self._last])

    def _add(self, line: str) -> None:
        if not self._last and self._sizes[0] + len(line) <= FIRST_CHARACTERS:
            self._first.append(line)
            self._sizes[0] += len(line)
            return
        self._last.append(line)
        self._sizes[1] += len(line)
        while self._sizes[1] > LAST_CHARACTERS:
            self._sizes[1] -= len(self._last.popleft())
            self._dropped += 1


@contextmanager
def logging_to(folder: TrialFolder, attempt: int) -> Iterator[TrialLog]:
    """Keep all that this process says in the body as the log of an attempt at a trial.

    It is still said where it would be without a log. Logs of attempts long past go.
    """
    log = TrialLog(folder.path / f"log-{attempt:04d}.txt")
    _forget(folder, attempt)
    log.say(f"attempt {attempt} on {socket.gethostname()}, process {os.getpid()}")
    log.flush()  # so that an attempt that is killed has left a word
    root = logging.getLogger()
    first, last = _Records(log, None if root.handlers else sys.stderr), _EndOfRecord(log)
    before = (sys.stdout, sys.stderr, warnings.showwarning)
    root.handlers[:] = [first, *root.handlers, last]
    sys.stdout, sys.stderr = _Tee(log, before[0]), _Tee(log, before[1])
    warnings.showwarning = _shown_as_text
    try:
        yield log
    finally:
        sys.stdout, sys.stderr, warnings.showwarning = before
        root.removeHandler(first)
        root.removeHandler(last)
        log.flush()


def read_logs(folder: TrialFolder) -> dict[int, str]:
    """Return the logs of a trial that are kept, by attempt, oldest first."""
    found = {}
    for entry in files.scan(folder.path):
        match = _NAME.fullmatch(entry.name)
        if match:
            with suppress(FileNotFoundError):  # a later attempt has begun meanwhile
                data = files.read(folder.path / entry.name)
                found[int(match[1])] = printable(data.decode(errors="replace"))
    return dict(sorted(found.items()))


def keep_fault(store: Store, fault: Fault) -> None:
    """Keep a fault in the log of the trial that it cost an attempt, and in that of the store."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S ")
    who = f"{fault.label} {fault.key}" if fault.key else fault.slot
    text = f"{stamp}{who}, {fault.what}:\n{fault.text.strip()}\n"
    folder = store.root / FAULTS
    with suppress(StoreError):  # the terminal has it
        files.create(folder / f"{time.time_ns():020d}.txt", text.encode(errors="replace"))
        known = sorted(entry.name for entry in files.scan(folder))
        files.remove_all(folder, known[:-KEPT_FAULTS])
        if fault.key:
            _add_to_log(store.trial(fault.key), text)


def _add_to_log(folder: TrialFolder, text: str) -> None:
    """Add lines to the newest log of a trial; to log-0000 where no attempt has begun one."""
    path = folder.path / f"log-{max(read_logs(folder), default=0):04d}.txt"
    try:
        before = files.read(path)
    except FileNotFoundError:
        before = b""
    with files.replacing(path, sync_content=False, sync_name=False) as file:
        file.write(before + text.encode(errors="replace"))


def read_faults(store: Store) -> list[str]:
    """Return what is kept of a store's faults, the oldest first."""
    folder, found = store.root / FAULTS, []
    for name in sorted(entry.name for entry in files.scan(folder)):
        with suppress(FileNotFoundError):  # gone meanwhile, as the oldest
            found.append(printable(files.read(folder / name).decode(errors="replace")))
    return found


def describe(told: TrialProgress) -> str:
    """Return what a trial tells, as a line of its log; nothing for mere progress."""
    if told.device:
        text = f"from step {told.step} of {told.total_steps} on {told.device}"
        return f"{text}; networks are compiled, once a worker" if told.compiles else text
    if told.evaluation is None:
        return ""
    measured = told.evaluation.values.items()
    values = (f"{name}={value:.4g}" for name, value in measured if isinstance(value, float))
    return f"step {told.step}: {' '.join(values)}"


class _Records(logging.Handler):
    """The first handler of records: it passes them on, and has streams be unheard until the last.

    They go to `stream` as well, where no other handler would show them.
    """

    def __init__(self, log: TrialLog, stream: TextIO | None) -> None:
        super().__init__()
        self.log, self.stream = log, stream
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record."""
        text = self.format(record)
        self.log.say(text)
        self.log.hears_streams = False
        if self.stream is not None:
            self.stream.write(text + "\n")


class _EndOfRecord(logging.Handler):
    """The last handler of records: what others have written to a stream was the record again."""

    def __init__(self, log: TrialLog) -> None:
        super().__init__()
        self.log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Hear streams again."""
        self.log.hears_streams = True


class _Tee(io.TextIOBase):
    """A stream whose lines the log gets too."""

    def __init__(self, log: TrialLog, stream: TextIO) -> None:
        self.log, self.stream, self.begun = log, stream, ""

    def write(self, text: str) -> int:
        """Write to the stream, and whole lines to the log."""
        *lines, self.begun = (self.begun + text).split("\n")
        self.begun = self.begun[-LINE_CHARACTERS:]
        for line in lines if self.log.hears_streams else ():
            self.log.say(line)
        return self.stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.stream.isatty()


def _shown_as_text(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    stream = file or sys.stderr
    stream.write(warnings.formatwarning(message, category, filename, lineno, line))


def _forget(folder: TrialFolder, attempt: int) -> None:
    oldest = attempt - KEPT_ATTEMPTS + 1

    def is_old(name: str) -> bool:
        match = _NAME.fullmatch(name)
        return match is not None and int(match[1]) < oldest

    with suppress(StoreError):
        files.remove(folder.path, is_old)
