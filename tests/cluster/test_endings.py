"""What else stops or starves a sweep: nothing is lost, no trial is at fault, and it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from driving import Driver, psutil
from held_sweep import PROGRESS, Place, in_mid_sweep, make_place
from object_storage import ObjectStorage

from semisweep import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(600)]
STOPPED_SECONDS = 45.0
# Of Python's processes: below Python a clock that is feigned wakes too early what waits for a time.
OTHER_CLOCK = """
import os, time
real = time.time

def jumping():
    return real() + float(os.environ["CLOCK_SECONDS"]) * os.path.exists(os.environ["CLOCK_JUMPS"])

time.time = jumping
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_place(tmp_path, monkeypatch)


def said(driver: Driver) -> list[str]:
    """Return what a driver has said beside its progress."""
    return [line for line in driver.errors.splitlines() if line and not PROGRESS.match(line)]


def worker_of(driver: Driver) -> psutil.Process:
    """Return the process that trains."""
    for process in driver.children():
        with suppress(psutil.Error):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                return process
    raise AssertionError("a worker must be there")


def has_all(place: Place, store: Store | None = None) -> None:
    """Check that three trials have results, none has failed, and each step was made once."""
    found = store or place.store
    assert len(found.finished()) == 3
    assert not found.failures()
    assert place.taken() == [16, 16, 16]


@pytest.mark.parametrize("who", ["driver", "worker"])
def test_a_process_that_is_stopped_for_a_while_goes_on(place: Place, who: str) -> None:
    driver = place.start()
    in_mid_sweep(place, driver)
    process = worker_of(driver) if who == "worker" else psutil.Process(driver.process.pid)
    process.suspend()
    time.sleep(STOPPED_SECONDS)
    process.resume()
    (place.steps / "hold").unlink()

    assert driver.wait() == 0, driver.errors
    assert not said(driver)
    has_all(place)


@pytest.mark.parametrize("seconds", ["-86400", "86400"])
@pytest.mark.parametrize("leases", ["", "1"])
def test_a_clock_that_jumps_changes_nothing(place: Place, seconds: str, leases: str) -> None:
    mark, modules = place.root / "jumps", place.root / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(OTHER_CLOCK)
    known = place.variables()["PYTHONPATH"]
    driver = place.start(
        PYTHONPATH=f"{modules}:{known}",
        CLOCK_JUMPS=str(mark),
        CLOCK_SECONDS=seconds,
        **({"SEMISWEEP_LEASES": leases, "SEMISWEEP_LEASE_SECONDS": "2"} if leases else {}),
    )
    in_mid_sweep(place, driver)
    mark.touch()
    time.sleep(3)
    (place.steps / "hold").unlink()

    assert driver.wait() == 0, driver.errors
    assert not said(driver)
    has_all(place)
    for key in place.store.finished():
        result = place.store.trial(key).result()
        assert result is not None
        assert 0 < result.needed("run.final_attempt_seconds") < 3600


def test_256_open_files_are_enough(place: Place) -> None:
    driver = place.start(before=["prlimit", "--nofile=256:256"])

    assert driver.wait() == 0, driver.errors
    assert not said(driver)
    has_all(place)


def test_a_full_shared_memory_is_no_fault_of_a_trial(place: Place) -> None:
    if subprocess.run(["unshare", "--mount", "true"]).returncode:
        pytest.skip("mounting is not allowed here")
    fill = "mount -t tmpfs -o size=4m tmpfs /dev/shm; head -c 4m /dev/zero > /dev/shm/full; "
    driver = place.start(before=["unshare", "--mount", "sh", "-c", f'{fill} exec "$@"', "sh"])
    code = driver.wait()

    print(code, said(driver))
    assert not place.store.failures()
    if code == 0:
        has_all(place)
        return
    (line,) = said(driver)
    assert line.startswith("error: ")


def test_a_store_that_is_renamed_under_a_sweep_ends_it_and_it_goes_on_there(place: Place) -> None:
    driver = place.start()
    in_mid_sweep(place, driver)
    moved = place.root / "moved"
    (place.root / "store").rename(moved)
    (place.steps / "hold").unlink()
    code = driver.wait()

    print(code, said(driver))
    assert code in (1, 2)
    assert said(driver)[-1].startswith("error: ")
    assert str(place.root / "store") in said(driver)[-1]
    assert "Traceback" not in driver.errors
    assert not (place.root / "store").exists(), "none is made in its place"
    assert not Store.open(moved).failures()
    again = place.start(store=str(moved))
    assert again.wait() == 0, again.errors
    assert len(Store.open(moved).finished()) == 3


@pytest.mark.parametrize("leases", [False, True])
def test_a_worker_that_is_stopped_in_a_checkpoint_and_another_sweep_make_each_result_once(
    place: Place, leases: bool
) -> None:
    more = {"SEMISWEEP_LEASES": "1", "SEMISWEEP_LEASE_SECONDS": "2"} if leases else {}
    (place.steps / "stop").touch()
    first = place.start(**more)
    (mark,) = first.until(lambda: list(place.steps.glob("stopped-*")))
    second = place.start(**more)
    others = 3 if leases else 2  # a lock is kept by who is stopped
    second.until(lambda: place.finished() == others or second.process.poll() is not None)
    os.kill(int(mark.name.partition("-")[2]), signal.SIGCONT)

    assert [first.wait(), second.wait()] == [0, 0], first.errors + second.errors
    assert "Traceback" not in first.errors + second.errors
    assert len(place.store.finished()) == 3
    assert not place.store.failures()
    if not leases:
        has_all(place)


def test_storage_that_refuses_the_credentials_in_mid_sweep_ends_it_in_one_line(
    place: Place, s3: ObjectStorage
) -> None:
    url = s3.new()
    driver = place.start(store=url)
    driver.until(lambda: len(place.taken()) == 1)
    (place.steps / "hold").touch()
    driver.until(lambda: place.taken()[-1] == 9)
    s3.faults(1.0, only="expired")
    (place.steps / "hold").unlink()
    code = driver.wait()
    s3.faults(0)

    print(code, said(driver))
    assert code in (1, 2)
    assert said(driver)[-1].startswith("error: ")
    assert "renew AWS_SESSION_TOKEN" in said(driver)[-1]
    assert "Traceback" not in driver.errors
    assert not Store.open(url).failures()
    again = place.start(store=url)
    assert again.wait() == 0, again.errors
    assert len(Store.open(url).finished()) == 3
