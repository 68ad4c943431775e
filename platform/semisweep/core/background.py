"""Threads that run beside the main one, none of which can end unseen."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start(
    target: Callable[[], None], *, name: str, on_error: Callable[[BaseException], object]
) -> threading.Thread:
    """Start a daemon thread and return it; an exception that leaves `target` goes to `on_error`."""

    def run() -> None:
        try:
            target()
        except BaseException as error:
            on_error(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
