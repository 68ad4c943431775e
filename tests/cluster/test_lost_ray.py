"""Ray's own processes killed in mid-sweep: one line, nothing lost, no trial at fault, and on."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]
import pytest
from driving import Driver, command, environment
from rush import HERE, cluster, prepare

from semisweep import Store
from semisweep.cluster.head_watch import PATIENCE_OF_RAY

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
PROGRESS = re.compile(r" *\d+ (s|min)  ")  # the beginning of a line of it
OF_RAY = re.compile(r"\[\d{4}-.* [IWEF] ")  # of a line below Python, which may be quicker than ours
SECONDS = 60  # in which the end is expected on a machine that is busy; it takes one to eight


class Place(NamedTuple):
    """A folder for a sweep, and how to run it there."""

    root: Path
    ledger: Path

    @property
    def steps(self) -> Path:
        """Return where trials write their steps down; with a file "hold" they stop at one."""
        return self.root / "steps"

    @property
    def store(self) -> Store:
        """Return the sweep's store."""
        return Store.open(self.root / "store")

    def variables(self) -> dict[str, str]:
        """Return the variables of a driver and its cluster."""
        more = {"STEPS": str(self.steps), "STEP_SECONDS": "0.1", "OMP_NUM_THREADS": "1"}
        return environment(HERE, self.ledger, **more, **{PATIENCE_OF_RAY: "10"})

    def start(self, address: str | None, alone: bool = False) -> Driver:
        """Start a sweep of three trials, one at a time, if so `alone` in a group of processes."""
        arguments = ["run", "cluster_studies:three", "--slots", "1", "--gpus", "0"]
        arguments += ["--data", f"shapes={self.root}/shapes", "--store", str(self.root / "store")]
        arguments += ["--address", address] if address else []
        return Driver(command(*arguments), self.root, self.variables(), alone=alone)

    def finished(self) -> int:
        """Return how many trials have a result."""
        return len(self.store.finished()) if (self.root / "store" / "trials").exists() else 0

    def taken(self) -> list[int]:
        """Return how many steps each trial has made, in the order of their beginning."""
        traces = sorted(self.steps.glob("[0-9]"), key=lambda path: path.stat().st_ctime)
        return [len(path.read_text().split()) for path in traces]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path, prepare(tmp_path))
    made.steps.mkdir()
    for name, value in made.variables().items():
        monkeypatch.setenv(name, value)  # of clusters that are there before, too
    return made


@contextmanager
def clusters(place: Place, *, are_there: bool) -> Iterator[Callable[[], str | None]]:
    """Yield a way to start one that a sweep is to use, or to leave it to the sweep."""
    started = []

    def start() -> str | None:
        if not are_there:
            return None
        started.append(cluster(1, place.ledger))
        return started[-1].__enter__()

    try:
        yield start
    finally:
        for one in started:
            one.__exit__(None, None, None)


def named(process: psutil.Process, name: str) -> bool:
    """Return whether a process is one of Ray's that is called so."""
    with suppress(psutil.Error):
        line: list[str] = process.cmdline()
        return any(word.strip() == name or word.endswith(f"/{name}") for word in line)
    return False


def the_one(name: str) -> psutil.Process:
    """Return the only process below this one that is called so."""
    below = psutil.Process().children(recursive=True)
    (found,) = [process for process in below if named(process, name)]
    return found


def in_mid_sweep(place: Place, driver: Driver) -> None:
    """Wait until one trial is finished and another one is held, with a checkpoint."""
    driver.until(lambda: place.finished() == 1)
    (place.steps / "hold").touch()
    driver.until(lambda: len(place.taken()) == 2 and place.taken()[1] == 9)
    driver.children()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Return those that still run; who has adopted one may not have taken notice of its end."""
    found = []
    for process in processes:
        with suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


LOST = ["gcs_server", "raylet", "ray::DashboardAgent", "ray::RuntimeEnvAgent"]
OFTEN = [("gcs_server", True), ("raylet", False)]  # the others are left to make test-faults
CASES = [
    pytest.param(
        name,
        are_there,
        id=f"{name} {'others keep' if are_there else 'its own'}",
        marks=[] if (name, are_there) in OFTEN else [pytest.mark.faults],
    )
    for name in LOST
    for are_there in (False, True)
]


@pytest.mark.parametrize(("name", "are_there"), CASES)
def test_a_sweep_whose_ray_is_lost_ends_in_one_line_and_goes_on_where_it_was(
    place: Place, name: str, are_there: bool
) -> None:
    """Ray ends with a raylet's agents, too."""
    with clusters(place, are_there=are_there) as start:
        driver = place.start(start())
        in_mid_sweep(place, driver)
        the_one(name).kill()
        killed = time.monotonic()
        code = driver.wait()
        seconds = time.monotonic() - killed

        said = [line for line in driver.errors.splitlines() if not PROGRESS.match(line)]
        kept = "of others" if are_there else "of its own"
        print(f"{name} {kept}: {seconds:.1f} s, {said}, {driver.output!r}")
        assert code == 1
        (line,) = [line for line in said if not OF_RAY.match(line)]
        assert len(said) <= 2, said
        assert re.match(r"error: .* must answer while a sweep runs, got address=", line)
        assert line.endswith("the same command")
        assert not driver.output
        assert seconds < SECONDS
        assert not place.store.failures()
        assert place.finished() == 1
        until = time.monotonic() + SECONDS
        while alive(driver.family) and time.monotonic() < until:
            time.sleep(0.1)
        assert not alive(driver.family)

        (place.steps / "hold").unlink()
        again = place.start(start())
        assert again.wait() == 0, again.errors
        assert place.finished() == 3
        assert place.taken()[0] == 16, "what was finished is not trained again"
        assert not place.store.failures()


def test_a_signal_to_all_processes_interrupts_a_sweep(place: Place) -> None:
    """As some schedulers send it; it ends Ray's processes, too."""
    driver = place.start(None, alone=True)
    in_mid_sweep(place, driver)
    os.killpg(driver.process.pid, signal.SIGTERM)

    assert driver.wait() == 130, driver.errors
    said = [line for line in driver.errors.splitlines() if not PROGRESS.match(line)]
    assert said[-1].startswith("interrupted; what is finished is kept"), said
    assert "must answer" not in driver.errors
    assert "Traceback" not in driver.errors
    assert not place.store.failures()
    assert not driver.end_family()

    (place.steps / "hold").unlink()
    again = place.start(None)
    assert again.wait() == 0, again.errors
    assert place.finished() == 3


def test_a_sweep_goes_on_without_those_of_rays_processes_that_it_can_do_without(
    place: Place,
) -> None:
    driver = place.start(None)
    in_mid_sweep(place, driver)
    for name in ("log_monitor.py", "monitor.py"):
        the_one(name).kill()
    time.sleep(2)
    (place.steps / "hold").unlink()

    assert driver.wait() == 0, driver.errors
    assert place.finished() == 3
