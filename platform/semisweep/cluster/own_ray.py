"""A Ray of this machine alone, which a sweep has started: its processes and its folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from semisweep.cluster import head_watch, ray_internals

LONGEST_SOCKET = 103  # bytes that every system's AF_UNIX takes; Linux takes 107
# What Ray puts below its folder; the last number is a process id.
SOCKET = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


def folder() -> Path:
    """Return where Ray keeps what it writes, as it finds it itself."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp")


@contextmanager
def short_folder() -> Iterator[dict[str, str]]:
    """Give the options with which Ray uses its folder by a name that is short enough for sockets.

    The name is a link, below a folder that only this user may enter.
    """
    if len(os.fsencode(folder() / SOCKET)) <= LONGEST_SOCKET:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as short:
        Path(short, "ray").symlink_to(folder() / "ray")
        (folder() / "ray").mkdir(parents=True, exist_ok=True)
        yield {"_temp_dir": f"{short}/ray"}


def processes() -> list[Any]:
    """Return the processes that Ray has started here for this one, and all below them."""
    import psutil  # type: ignore[import-untyped]  # Ray brings it

    found = []
    for number in ray_internals.node_processes():
        with suppress(psutil.Error):
            process = psutil.Process(number)
            found += [process, *process.children(recursive=True)]
    return found


def below() -> list[Any]:
    """Return the processes below this one."""
    import psutil

    return list(psutil.Process().children(recursive=True))


def kill(processes: Iterable[Any]) -> None:
    """Kill processes that may be gone; another one with the number of one is left alone."""
    import psutil

    for process in processes:
        with suppress(psutil.Error):
            process.kill()


def end_all(started: Sequence[Any], code: int) -> None:
    """End this process and those below: of a cluster of our own, some wait for others in vain.

    Of the `started` some may be below no longer: a raylet's agents outlive it for up to minutes.
    """
    head_watch.silence()
    kill({*started, *below()})
    os._exit(code)
