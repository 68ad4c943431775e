"""Signals to this very process, handled as a sweep handles them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from semisweep.cluster.signals import HANDLED, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever nohup has made of it
    before = [signal.getsignal(number) for number in HANDLED]
    with Signals() as made:
        yield made
    assert [signal.getsignal(number) for number in HANDLED] == before


@pytest.mark.parametrize("number", HANDLED)
def test_both_signals_interrupt(signals: Signals, number: signal.Signals) -> None:
    signals.take()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", HANDLED)
def test_a_signal_that_is_held_interrupts_at_the_end(
    signals: Signals, number: signal.Signals
) -> None:
    signals.take()
    went_on = []

    def body() -> None:
        with signals.held():
            os.kill(os.getpid(), number)
            went_on.append(number)

    with pytest.raises(KeyboardInterrupt):
        body()
    assert went_on == [number]
    with signals.held():
        """It interrupts once."""


def test_where_signals_are_held_ray_sets_no_handler_of_its_own(signals: Signals) -> None:
    import ray._private.utils as ray_utils

    before = ray_utils.set_sigterm_handler
    signals.take()
    own = signal.getsignal(signal.SIGTERM)
    with signals.held():
        ray_utils.set_sigterm_handler(lambda number, frame: None)
        assert signal.getsignal(signal.SIGTERM) == own
    assert ray_utils.set_sigterm_handler is before


def test_signals_that_are_ignored_do_nothing(signals: Signals) -> None:
    signals.ignore()
    for number in HANDLED:
        os.kill(os.getpid(), number)


def test_an_error_where_signals_are_held_is_not_replaced(signals: Signals) -> None:
    signals.take()
    with pytest.raises(ValueError, match="of the body"), signals.held():
        raise ValueError("of the body")


@pytest.mark.parametrize("number", HANDLED)
def test_a_signal_has_come_before_the_main_thread_knows(
    signals: Signals, number: signal.Signals
) -> None:
    signals.take()
    known = [signals.has_come()]

    def body() -> None:
        with signals.held():
            os.kill(os.getpid(), number)
            known.append(signals.has_come())

    with pytest.raises(KeyboardInterrupt):
        body()
    assert known == [False, True]
    assert signals.has_come(), "it stays so"
