"""Signals that come to a whole group of processes, or to all of a job, as schedulers send them."""

from __future__ import annotations

import os
import pty
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from driving import Driver, psutil
from held_sweep import PROGRESS, Place, in_mid_sweep, make_place

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
END = "interrupted; what is finished is kept. To go on: semisweep run "
NOTICED_SECONDS = 3.0  # after which a worker that is held knows of the signal
END_SECONDS = 20.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(tmp_path, monkeypatch)


def signal_group(driver: Driver, number: int) -> None:
    """Send a signal as terminals and `timeout` do."""
    os.killpg(driver.process.pid, number)


def signal_all(driver: Driver, number: int) -> None:
    """Send a signal to each process of a job, as `scancel` and systemd do."""
    for process in [*driver.children(), psutil.Process(driver.process.pid)]:
        with suppress(psutil.Error):
            process.send_signal(number)


@contextmanager
def terminal() -> Iterator[tuple[int, threading.Event]]:
    """Yield a terminal, and what hangs it up when it is set."""
    master, slave = pty.openpty()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            if select.select([master], [], [], 0.1)[0]:
                os.read(master, 4096)
        os.close(master)

    reader = threading.Thread(target=read)
    reader.start()
    yield slave, over
    over.set()
    reader.join()


def ends_in_order(place: Place, driver: Driver) -> None:
    """Check that the trial in mid-training writes its checkpoint, and that all ends in time."""
    sent, at = time.monotonic(), time.time()
    time.sleep(NOTICED_SECONDS)
    (place.steps / "hold").unlink()
    assert driver.wait() == 130, driver.errors
    seconds = time.monotonic() - sent
    print(f"{seconds:.1f} s, {driver.errors.splitlines()[-2:]}")
    assert seconds < END_SECONDS
    assert not driver.end_family(), "nothing of Ray's is left"
    assert not place.store.failures()
    assert place.finished() == 1
    assert place.taken()[1] < 16
    written = [path for path in place.root.glob("store/trials/*/checkpoint*")]
    assert any(path.stat().st_mtime > at for path in written), "it has a checkpoint"


def goes_on(place: Place) -> None:
    """Check that the same command trains the rest, and no step twice."""
    again = place.start()
    assert again.wait() == 0, again.errors
    assert place.finished() == 3
    assert place.taken() == [16, 16, 16], "each step was made once"


@pytest.mark.parametrize(
    ("send", "number"),
    [
        (signal_group, signal.SIGTERM),
        (signal_group, signal.SIGINT),
        (signal_group, signal.SIGHUP),
        (signal_all, signal.SIGTERM),
    ],
)
def test_trials_write_checkpoints_before_a_signalled_group_ends(
    place: Place, send: Callable[[Driver, int], None], number: signal.Signals
) -> None:
    driver = place.start(alone=True)
    in_mid_sweep(place, driver)
    send(driver, number)

    ends_in_order(place, driver)
    said = [line for line in driver.errors.splitlines() if line and not PROGRESS.match(line)]
    assert said[0] == "stopping: running trials write checkpoints; again ends at once"
    assert len(said) == 2
    assert said[1].startswith(END)
    if number == signal.SIGTERM:
        goes_on(place)


def test_trials_write_checkpoints_when_their_terminal_is_closed(place: Place) -> None:
    with terminal() as (slave, over):
        driver = place.start(terminal=slave)
        os.close(slave)
        in_mid_sweep(place, driver)
        over.set()
        ends_in_order(place, driver)


def test_what_nohup_starts_does_not_end_with_its_terminal(place: Place) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        driver = place.start(alone=True)
    finally:
        signal.signal(signal.SIGHUP, before)
    in_mid_sweep(place, driver)
    signal_group(driver, signal.SIGHUP)
    (place.steps / "hold").unlink()

    assert driver.wait() == 0, driver.errors
    assert place.finished() == 3
