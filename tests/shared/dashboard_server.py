"""The command `semisweep dashboard` in a process of its own, and the address that it printed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(root: Path, *options: str) -> Iterator[str]:
    """Serve a store; yield the address with its token. Ctrl-C must end it."""
    command = [sys.executable, "-m", "semisweep", "dashboard", "--store", str(root), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
            server.send_signal(signal.SIGINT)
            assert server.wait(40) == 0
        finally:
            server.kill()
