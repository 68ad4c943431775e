"""Moments at which a process kills itself, each as often as there are tokens of its name.

A token is a file in the folder $CRASH_TOKENS; whoever removes it dies. The moments are seen from
below, at system calls, so the product knows nothing of them: this module is imported by the module
of studies, and so by drivers and workers.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOKENS = Path(os.environ.get("CRASH_TOKENS", "/nowhere"))
WORKER_MOMENTS = (
    "history-torn",  # half of an evaluation's line is on disk
    "checkpoint-torn",  # half of a checkpoint is, under its temporary name
    "checkpoint-unnamed",  # a whole one is, under its temporary name
    "checkpoint-named",  # it has its name, the older one is still there
    "result-unnamed",  # every metric is written, the trial is not complete
    "result-named",  # it is complete, and nobody has heard of it
)
DRIVER_MOMENTS = (
    "part-torn",  # half of a compacted part is on disk
    "part-unnamed",
    "part-named",  # what it stands for is still there
)


def add_token(moment: str, number: int) -> Path:
    """Have one process die at a moment; the file is gone when it is dead."""
    token = TOKENS / f"{moment}.{number}"
    token.touch()
    return token


def open_gate(trials: int | None) -> None:
    """Let trials pass their gates until so many have finished; None: all."""
    gate = TOKENS / "gate"
    if trials is None:
        gate.unlink(missing_ok=True)
        return
    written = gate.with_suffix(".new")
    written.write_text(str(trials))
    written.rename(gate)


def wait_at_gate() -> None:
    """Wait until the gate is open: so that kills meet a sweep that is under way."""
    ledger = Path(os.environ["SEMISWEEP_LEDGER"])
    while True:
        try:
            trials = int((TOKENS / "gate").read_text())
        except FileNotFoundError:
            return
        if ledger.read_text().count(" finished ") < trials:
            return
        time.sleep(0.02)


def install() -> None:
    """Watch the system calls of this process."""
    fsync = os.fsync

    def dying_fsync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        moment = _kind(Path(os.readlink(f"/proc/self/fd/{number}"))) + "-torn"
        if _has_token(moment):
            size = os.fstat(number).st_size
            kept = size - 10 if moment.startswith("history") else size // 2
            os.ftruncate(number, max(0, kept))
            _die(moment)
        fsync(descriptor)

    def dying(naming: Callable[..., None]) -> Callable[..., None]:
        def call(source: Any, target: Any, **named: Any) -> None:
            kind = _kind(Path(os.fspath(target)))
            _die(f"{kind}-unnamed")
            naming(source, target, **named)
            _die(f"{kind}-named")

        return call

    setattr(os, "fsync", dying_fsync)  # noqa: B010  mypy refuses a plain assignment
    setattr(os, "replace", dying(os.replace))  # noqa: B010
    setattr(os, "link", dying(os.link))  # noqa: B010


def _kind(path: Path) -> str:
    """Return what a file of a store is: history, checkpoint, result, part or something else."""
    return path.name.partition(".")[0].partition("-")[0]


def _has_token(moment: str) -> bool:
    return any(TOKENS.glob(f"{moment}.*"))


def _die(moment: str) -> None:
    """Kill this process if it gets hold of a token."""
    for token in TOKENS.glob(f"{moment}.*"):
        try:
            token.unlink()
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
