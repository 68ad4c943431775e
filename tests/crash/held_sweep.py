"""A sweep on Ray that is held in mid-training until something has happened to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from driving import Driver, command, environment, psutil
from rush import HERE, prepare

from semisweep import Store
from semisweep.cluster.head_watch import PATIENCE_OF_RAY

PROGRESS = re.compile(r" *\d+ (s|min)  ")  # the beginning of a line of it
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

    def start(
        self,
        address: str | None = None,
        *,
        before: Sequence[str] = (),
        store: str = "",
        alone: bool = False,
        terminal: int | None = None,
        **more: str,
    ) -> Driver:
        """Start a sweep of three trials, one at a time: see `Driver`.

        `before` is a command that starts it, `more` are further variables.
        """
        arguments = ["run", "cluster_studies:three", "--slots", "1", "--gpus", "0"]
        arguments += ["--data", f"shapes={self.root}/shapes"]
        arguments += ["--store", store or str(self.root / "store")]
        arguments += ["--address", address] if address else []
        return Driver(
            [*before, *command(*arguments)],
            self.root,
            {**self.variables(), **more},
            alone=alone,
            terminal=terminal,
        )

    def finished(self) -> int:
        """Return how many trials have a result."""
        return len(self.store.finished()) if (self.root / "store" / "trials").exists() else 0

    def taken(self) -> list[int]:
        """Return how many steps each trial has made, in the order of their beginning."""
        traces = sorted(self.steps.glob("[0-9]"), key=lambda path: path.stat().st_ctime)
        return [len(path.read_text().split()) for path in traces]


def make_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a folder for a sweep, whose variables are also those of this process."""
    made = Place(root, prepare(root))
    made.steps.mkdir()
    for name, value in made.variables().items():
        monkeypatch.setenv(name, value)  # of clusters that are there before, too
    return made


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
