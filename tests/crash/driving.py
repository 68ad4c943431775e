"""Running `semisweep run` as a user does, killing it, and reading what was executed."""

from __future__ import annotations

import fcntl
import importlib
import os
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from semisweep.cluster.connection import LOOPBACK_SWITCH

try:
    import psutil  # type: ignore[import-untyped]
except ImportError:  # Ray brings one of its own, which is on the path once Ray is imported
    import ray  # noqa: F401

    psutil = importlib.import_module("psutil")

Answer = TypeVar("Answer")


class Line(NamedTuple):
    """A line of the ledger."""

    key: str
    event: str
    process: int
    at: float


def read_ledger(path: Path) -> list[Line]:
    """Return the whole lines of a ledger."""
    lines = (line.split() for line in path.read_text().split("\n")[:-1])
    return [Line(key, event, int(process), float(at)) for key, event, process, at in lines]


def command(*arguments: str) -> list[str]:
    """Return how to call the command line; the name of the command is in messages."""
    return [sys.executable, "-c", "from semisweep.cli import main; main()", *arguments]


def environment(path: Path, ledger: Path, **more: str) -> dict[str, str]:
    """Return the variables of a driver whose user keeps modules at `path`."""
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(path), known))),
        "SEMISWEEP_LEDGER": str(ledger),
        "RAY_AUTH_MODE": "token",
        LOOPBACK_SWITCH: "0",  # clusters of tests that are connected to are on loopback too
        **more,
    }


class Driver:
    """A running `semisweep run`, if so `alone` with its processes in a group of them.

    Of a `terminal` it is what the user has started there.
    """

    def __init__(
        self,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        alone: bool = False,
        terminal: int | None = None,
    ) -> None:
        self.started = time.time()
        streams = subprocess.PIPE if terminal is None else terminal
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=terminal,
            stdout=streams,
            stderr=streams,
            text=True,
            process_group=0 if alone else None,
            start_new_session=terminal is not None,
            preexec_fn=None if terminal is None else partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0),
        )
        self.family: list[psutil.Process] = []
        self.output = self.errors = ""

    def until(self, ask: Callable[[], Answer], seconds: float = 180) -> Answer:
        """Return the first answer that is true, or not empty; raise if the driver ends before."""
        end = time.monotonic() + seconds
        while not (answer := ask()):
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                raise AssertionError(self.process.communicate())
            time.sleep(0.02)
        return answer

    def children(self) -> list[psutil.Process]:
        """Return the processes below the driver, and remember them."""
        try:
            found = list(psutil.Process(self.process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            found = []
        self.family += [process for process in found if process not in self.family]
        return found

    def send(self, number: int) -> None:
        """Send a signal, remembering the processes that the driver has."""
        self.children()
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill the driver and all its processes at once, as a machine that loses its power does."""
        for process in [*self.children(), self.process]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.wait()

    def wait(self, seconds: float = 240) -> int:
        """Wait for the end of the driver, and return its exit code."""
        try:
            said = self.process.communicate(timeout=seconds)
            self.output, self.errors = (text or "" for text in said)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        code: int = self.process.returncode
        return code

    def end_family(self, seconds: float = 20) -> list[psutil.Process]:
        """Wait for the processes of a driver that is gone; end and return those that stay."""
        _, alive = psutil.wait_procs(self.family, timeout=seconds)
        for process in alive:
            process.kill()
        return list(alive)
