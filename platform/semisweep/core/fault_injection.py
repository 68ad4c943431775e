"""Faults that tests inject at named points of a worker's life, to see that each ends as promised.

$SEMISWEEP_FAULT is "POINT:KIND", or "POINT:KIND:RANK" for one worker of several alone; the first of
them is 0. KIND is raises, killed or hangs. With $SEMISWEEP_FAULT_LEDGER, a file, every fault leaves
a line there; with $SEMISWEEP_FAULT_TIMES there are so many and no more.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

FAULT = "SEMISWEEP_FAULT"
LEDGER = "SEMISWEEP_FAULT_LEDGER"
TIMES = "SEMISWEEP_FAULT_TIMES"

POINTS = (
    *("spawn", "import", "device", "group", "join", "take", "decode", "prepare"),
    *("data", "network", "train", "evaluate", "complete", "report", "release"),
)
KINDS = ("raises", "killed", "hangs")


def point(name: str, rank: int = 0) -> None:
    """Fail here if the environment says so; nothing else."""
    wanted = os.environ.get(FAULT)
    if wanted is None:
        return
    where, kind, *ranks = wanted.split(":")
    if where == name and ranks in ([], [str(rank)]) and _is_due(name, rank):
        _fail(kind, name)


def _is_due(name: str, rank: int) -> bool:
    """Return whether a fault is to happen, and leave its line in the ledger if so."""
    path = os.environ.get(LEDGER)
    if path is None:
        return True
    ledger, times = Path(path), os.environ.get(TIMES)
    happened = ledger.read_text().splitlines() if ledger.exists() else []
    if times is not None and len(happened) >= int(times):
        return False
    with ledger.open("a") as file:
        file.write(f"{name} {rank} {os.getpid()} {time.time():.3f}\n")
    return True


def _fail(kind: str, name: str) -> None:
    if kind == "raises":
        raise RuntimeError(f"an injected fault at point={name}")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(3600)
