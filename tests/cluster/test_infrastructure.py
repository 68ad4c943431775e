"""What serves a sweep is killed in the middle of it: no trial fails by that, and nothing is silent.

Each process is killed by its id. The sweep goes on, or ends in one line; the same command then
trains everything that has no result.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from driving import Driver, command, environment, read_ledger
from rush import cluster

from semisweep import Store
from semisweep.data.shapes import make

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

CRASH = Path(__file__).parent.parent / "crash"
# torch says that there is CUDA, and there is none: as on a machine whose driver does not fit.
NO_DRIVER = """
import importlib.abc, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "torch.cuda":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            module.is_available = lambda: True

        spec.loader.exec_module = exec_module
        return spec

import importlib.util
sys.meta_path.insert(0, Finder())
"""


class Place:
    """A folder with a data set and a ledger."""

    def __init__(self, root: Path) -> None:
        self.root, self.ledger = root, root / "ledger"
        self.ledger.touch()
        self.data = make(root / "shapes", train=24, val=4, test=4, size=32)

    def start(self, study: str, *options: str, path: Path = CRASH, **more: str) -> Driver:
        """Start a sweep of one of the studies of `slot_studies`."""
        arguments = ["run", f"slot_studies:{study}", "--data", f"shapes={self.data}", "--slots"]
        arguments += ["1", "--store", str(self.root / study), "--no-check", *options]
        paths = Path(os.pathsep.join(map(str, (path, CRASH))))
        variables = environment(paths, self.ledger, SLOT_TRACES=str(self.root), **more)
        return Driver(command(*arguments), self.root, variables)

    def store(self, study: str) -> Store:
        """Return the store of a study."""
        return Store.open(self.root / study)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def named(driver: Driver, name: str) -> list[psutil.Process]:
    """Return the processes below a driver that Ray has given a name."""
    found = []
    for process in driver.children():
        with suppress(psutil.NoSuchProcess, IndexError):
            if process.cmdline()[0].startswith(name):
                found.append(process)
    return found


def ended_well(place: Place, driver: Driver, before: set[str]) -> None:
    """Check that the same command has finished what was left, and nothing twice."""
    finished = [line.key for line in read_ledger(place.ledger) if line.event == "finished"]
    store = place.store("gentle")
    assert len(store.finished()) == 4, driver.errors
    assert before <= store.finished()
    assert len(finished) == len(set(finished)) == 4
    assert not store.failures()


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("ray::Dispatcher", 1, "error: the dispatcher of a sweep must live, got its actor lost"),
        ("ray::TrainController", 0, "its controller was lost, 1 of 3: "),
        ("ray::Slot", 0, ""),
    ],
)
def test_an_actor_that_serves_a_sweep_is_replaced_or_its_loss_ends_it_in_one_line(
    place: Place, name: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss of a Tune actor is nothing that a user would notice."""
    driver = place.start("gentle")
    driver.until(lambda: [line for line in read_ledger(place.ledger) if line.event == "finished"])
    (victim,) = driver.until(lambda: named(driver, name))
    victim.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    found = driver.wait()
    seconds = time.monotonic() - killed

    lines = driver.errors.splitlines()
    assert found == code, driver.errors
    assert "Traceback" not in driver.errors
    assert any(said in line for line in lines)
    store = place.store("gentle")
    before = set(store.finished())
    assert not store.failures()
    if code:
        assert lines[-1].startswith(said)
        assert seconds < 90
        again = place.start("gentle")
        assert again.wait() == 0, again.errors
        driver = again
    ended_well(place, driver, before)
    with capsys.disabled():
        print(f"\n{name}: exit code {found} {seconds:.0f} s after its SIGKILL")


def test_a_gpu_that_cuda_does_not_start_on_ends_the_sweep_with_the_reason(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to loop for ever: 0 of 12 done, and not a word."""
    (place.root / "sitecustomize.py").write_text(NO_DRIVER)
    monkeypatch.setenv("PYTHONPATH", str(place.root))
    with cluster(2, place.ledger, gpus=1) as address:
        started = time.monotonic()
        driver = place.start("swift", "--gpus", "0.5", "--address", address)
        code = driver.wait()
        seconds = time.monotonic() - started

    lines = driver.errors.splitlines()
    assert code == 1, driver.errors
    assert lines[-1].startswith("error: workers must start, got 3 starts in a row that failed")
    assert "CUDA" in lines[-1] or "NVIDIA" in lines[-1]
    assert sum("start 1 of 3: " in line for line in lines) == 1
    assert "Traceback" not in driver.errors
    store = place.store("swift")
    assert not store.failures()
    assert not store.finished()
    with capsys.disabled():
        print(f"\nno driver: exit code {code} after {seconds:.0f} s: {lines[-1]}")
