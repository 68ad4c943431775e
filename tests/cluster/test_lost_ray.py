"""Ray's own processes killed in mid-sweep: one line, nothing lost, no trial at fault, and on."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from held_sweep import PROGRESS, SECONDS, Place, alive, in_mid_sweep, make_place, the_one
from rush import cluster

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
OF_RAY = re.compile(r"\[\d{4}-.* [IWEF] ")  # of a line below Python, which may be quicker than ours


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(tmp_path, monkeypatch)


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
