"""Progress in a notebook: one output of a cell, which is replaced as trials go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from html import escape
from typing import Any

LEAST_SECONDS = 0.5  # between two updates


def in_notebook() -> bool:
    """Return whether this code runs in the kernel of a notebook; imports nothing."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class NotebookOutput:
    """The output of a cell that shows how far a sweep is."""

    def __init__(self, total: int) -> None:
        self.total, self.started, self.last = total, time.monotonic(), 0.0
        self._handle: Any = None

    def show(self, done: int, note: str, running: Sequence[str], *, now: bool = False) -> None:
        """Show how many trials are done and a line for each running one, seldom unless `now`."""
        seconds = time.monotonic()
        if not now and seconds - self.last < LEAST_SECONDS:
            return
        self.last = seconds
        minutes, rest = divmod(int(seconds - self.started), 60)
        text = f"{note}, {minutes}:{rest:02}"
        lines = "".join(f"<div>{escape(line)}</div>" for line in running)
        bar = f'<progress value="{done}" max="{self.total}"></progress>'
        content = {
            "text/plain": "\n".join([text, *running]),
            "text/html": f"<div>{bar} {escape(text)}</div>{lines}",
        }
        if self._handle is None:
            display = sys.modules["IPython"].display.display
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)
