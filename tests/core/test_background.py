"""Threads beside the main one."""

from __future__ import annotations

import threading

from semisweep.core import background


def test_an_error_that_leaves_a_thread_is_passed_on() -> None:
    caught: list[BaseException] = []

    def fail() -> None:
        raise SystemExit(3)

    thread = background.start(fail, name="failing", on_error=caught.append)
    thread.join(30)
    assert [type(error) for error in caught] == [SystemExit]
    assert (thread.name, thread.daemon) == ("failing", True)


def test_a_thread_that_ends_well_is_heard_of_by_nobody() -> None:
    ended = threading.Event()
    caught: list[BaseException] = []
    background.start(ended.set, name="well", on_error=caught.append).join(30)
    assert ended.is_set()
    assert not caught
