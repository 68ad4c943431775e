"""Slots of a cluster that is there already: workers that hang, are renewed, shared, let go."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from driving import Driver, command, environment, read_ledger
from rush import HERE, cluster, prepare

from semisweep import Store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


class Cluster:
    """A cluster of two CPUs and one GPU that is only a number."""

    def __init__(self, root: Path, address: str, ledger: Path) -> None:
        self.root, self.address, self.ledger = root, address, ledger

    def start(self, study: str, *options: str, alone: bool = False) -> Driver:
        """Start a sweep here, or on a cluster of its own."""
        arguments = ["run", f"slot_studies:{study}", "--data", f"shapes={self.root}/shapes"]
        arguments += [] if alone else ["--address", self.address]
        arguments += ["--store", str(self.root / study), *options]  # the last one counts
        variables = environment(HERE, self.ledger, SLOT_TRACES=str(self.root))
        return Driver(command(*arguments), self.root, variables)

    def store(self, study: str) -> Store:
        """Return the store of a study."""
        return Store.open(self.root / study)

    def workers(self) -> list[psutil.Process]:
        """Return the processes of Train workers."""
        below = psutil.Process().children(recursive=True)
        return [process for process in below if named(process) == "ray::RayTrainWorker"]


def named(process: psutil.Process) -> str:
    try:
        return process.cmdline()[0].split(".")[0].strip() if process.cmdline() else ""
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    root = tmp_path_factory.mktemp("slots")
    ledger = prepare(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("SLOT_TRACES", str(root))
        patch.setenv("SEMISWEEP_DEVICE", "cpu")
        with cluster(2, ledger, gpus=1) as address:
            yield Cluster(root, address, ledger)


def until(true: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def traced(here: Cluster, seed: int) -> list[tuple[int, int]]:
    """Return process and step of each step that a trial began."""
    lines = (here.root / f"trial-{seed}").read_text().splitlines()
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_and_its_trial_goes_on_in_fresh_workers(
    here: Cluster,
) -> None:
    """The process is stopped: it hears neither Ray nor any signal but SIGKILL.

    Two workers share the GPU, and each trial has a process of its own.
    """
    options = ("--slots", "2", "--gpus", "0.5", "--hung-minutes", "0.1", "--fresh-workers")
    driver = here.start("stuck", *options)
    assert driver.wait() == 0, driver.errors

    steps = traced(here, 0)
    assert [step for _, step in steps] == [0, 1, 2, 3, 2, 3]
    processes = [{process for process, _ in traced(here, seed)} for seed in range(3)]
    assert [len(own) for own in processes] == [2, 1, 1]
    assert len(set.union(*processes)) == 4
    assert len(here.store("stuck").finished()) == 3


def test_what_does_not_fit_the_cluster_is_refused(here: Cluster) -> None:
    """Unless it says how many slots there are to be: then machines may be on their way."""
    driver = here.start("stuck", "--gpus", "2", "--seeds", "4")
    assert driver.wait() == 2
    assert driver.errors.splitlines()[-1].startswith(
        "error: slots x workers x (1 CPU, 2 GPU) must fit the cluster's nodes, "
        "2 CPUs and 1 GPUs, got slots=1, workers=1; at most 0 slots"
    )


def test_idle_slots_are_let_go_and_an_interrupted_sweep_leaves_checkpoints(here: Cluster) -> None:
    driver = here.start("slow", "--slots", "2", "--gpus", "0")
    ledger = here.ledger

    def finished() -> int:
        keys = set(here.store("slow").keys()) if (here.root / "slow/trials").exists() else set()
        return sum(line.event == "finished" and line.key in keys for line in read_ledger(ledger))

    driver.until(lambda: finished() == 1)
    driver.until(lambda: len(here.workers()) == 1)
    driver.send(signal.SIGINT)

    assert driver.wait(120) == 130, driver.errors
    assert "stopping: running trials write checkpoints" in driver.errors
    last = driver.errors.strip().splitlines()[-1]
    assert last.startswith("interrupted; what is finished is kept. To go on: semisweep run")
    store = here.store("slow")
    (key,) = set(store.keys()) - store.finished()
    checkpoint = store.trial(key).read_checkpoint()
    assert checkpoint is not None
    assert 0 < checkpoint[0] < 10_000, "before the first evaluation, which comes with one anyway"
    until(lambda: not here.workers())


@pytest.mark.slow
def test_a_full_disk_ends_the_sweep_with_one_line_and_with_room_it_goes_on(
    here: Cluster, mounted: Callable[..., Path]
) -> None:
    """There is room for some of twelve trials."""
    place = mounted("-t", "tmpfs", "-o", "size=400k", "tmpfs")
    options = ("--store", str(place), "--gpus", "0", "--slots", "1", "--seeds", "12")
    driver = here.start("swift", *options)
    assert driver.wait() == 2, driver.errors
    last = driver.errors.splitlines()[-1]
    assert last.startswith("error: a store must be writable, got path=")
    assert last.endswith("No space left on device; free some space and run again, nothing finished "
                         "is lost")  # fmt: skip
    store = Store.open(place)
    before = store.finished()
    assert 1 <= len(before) < 12
    assert not store.failures()

    subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
    lines = len(read_ledger(here.ledger))
    again = here.start("swift", *options)
    assert again.wait() == 0, again.errors
    assert len(store.finished()) == 12
    assert not before & {line.key for line in read_ledger(here.ledger)[lines:]}


def test_a_second_interrupt_does_not_wait_for_checkpoints(here: Cluster) -> None:
    before = len(read_ledger(here.ledger))
    driver = here.start("deaf", "--gpus", "0")
    driver.until(lambda: len(read_ledger(here.ledger)) >= before + 2)
    driver.send(signal.SIGINT)
    time.sleep(3)
    assert driver.process.poll() is None, "the first one waits for the trial"
    driver.send(signal.SIGINT)

    assert driver.wait(120) == 130, driver.errors
    assert "ending at once: running trials have their last checkpoints" in driver.errors
    assert "Traceback" not in driver.errors
    until(lambda: not here.workers())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_ray_starts_ends_a_sweep_as_cleanly_as_any(
    here: Cluster, number: signal.Signals
) -> None:
    """Ray's own handlers, and a KeyboardInterrupt amid its start, would end it by SIGABRT."""
    driver = here.start("deaf", alone=True)
    driver.until(lambda: any(child.name() == "gcs_server" for child in driver.children()))
    time.sleep(0.1 if number == signal.SIGINT else 0.4)
    driver.send(number)

    assert driver.wait(120) == 130, driver.errors
    assert "Traceback" not in driver.errors
    assert not driver.end_family()
