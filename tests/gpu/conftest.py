"""The device of the checks, the line of figures that each prints, and the sweeps that they share.

SEMISWEEP_TEST_DEVICE=cpu runs on a CPU what can be run there, to see that the checks themselves
work; without it they are skipped where torch finds no GPU.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from driving import Driver, Line, command, environment, read_ledger

HERE = Path(__file__).parent
ASKED = os.environ.get("SEMISWEEP_TEST_DEVICE", "cuda")  # before it is hidden from all tests


@pytest.fixture(scope="session")
def device() -> str:
    """Return the device to check, or skip."""
    import torch

    if ASKED == "cuda" and not torch.cuda.is_available():
        pytest.skip(
            "torch.cuda.is_available() is False here: no GPU, no driver or a torch for CPUs"
        )
    return ASKED


@pytest.fixture
def without_tf32() -> Iterator[None]:
    """Compute convolutions without TF32, whose ten bits of mantissa would hide differences."""
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Print a check's line of figures, whatever pytest captures."""

    def tell(check: str, **figures: Any) -> None:
        told = ", ".join(f"{name.replace('_', ' ')} {short(own)}" for name, own in figures.items())
        with capsys.disabled():
            print(f"\n{check}: {told}", flush=True)

    return tell


def short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class Place:
    """A folder with images, stores and a ledger, where sweeps are run as a user runs them."""

    def __init__(self, root: Path, data: Path, device: str) -> None:
        self.root, self.data, self.device = root, data, device
        self.ledger = root / "ledger"
        self.ledger.touch()
        # Two trials at a time, on one GPU or on two cores.
        self.together = ["--gpus", "0.5"] if device == "cuda" else ["--slots", "2"]

    def options(self, store: str) -> list[str]:
        return ["--store", str(self.root / store), "--data", f"shapes={self.data}"]

    def start(self, study: str, store: str, *options: str) -> Driver:
        """Start `semisweep run`."""
        arguments = ["run", f"gpu_studies:{study}", *self.options(store), "--no-check", *options]
        return Driver(command(*arguments), self.root, environment(HERE, self.ledger))

    def lines(self) -> list[Line]:
        return read_ledger(self.ledger)

    def keys(self, event: str) -> list[str]:
        return [line.key for line in self.lines() if line.event == event]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_shapes: Path, device: str) -> Place:
    return Place(tmp_path_factory.mktemp("gpu"), tiny_shapes, device)


class Killed(NamedTuple):
    """A sweep of four trials of which one worker, and then the driver, was killed."""

    worker: str  # the trial whose worker was killed
    finished: int  # trials that had finished when the driver was killed
    code: int  # of the same command again
    again: Driver


@pytest.fixture(scope="session")
def killed(place: Place) -> Killed:
    """Kill a worker in mid-training, then the driver, and give the same command again."""
    from semisweep import Store

    def trains() -> list[Line]:
        store = Store.open(place.root / "killed", create=True)
        begun = [line for line in place.lines() if line.event == "training"]
        ended = place.keys("finished")
        return [o for o in begun if o.key not in ended and store.trial(o.key).evaluations()]

    driver = place.start("pair", "killed", *place.together)
    victim = driver.until(trains)[0]
    os.kill(victim.process, signal.SIGKILL)
    driver.until(lambda: place.keys("finished"))
    driver.send(signal.SIGKILL)
    driver.wait()
    finished = len(place.keys("finished"))
    driver.end_family()
    again = place.start("pair", "killed", *place.together)
    return Killed(victim.key, finished, again.wait(), again)


@pytest.fixture
def studies() -> Iterator[None]:
    """Put the studies of these checks on the path of modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        yield
