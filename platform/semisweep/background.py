"""Threads beside the main one: none of them ends by an error that nobody hears of."""

from __future__ import annotations

import threading
from collections.abc import Callable


def start(
    target: Callable[[], None], *, name: str, on_error: Callable[[BaseException], object]
) -> threading.Thread:
    """Return a started daemon thread that calls `target`, and `on_error` with what leaves it."""

    def run() -> None:
        try:
            target()
        except BaseException as error:
            on_error(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
