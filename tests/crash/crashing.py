"""A sweep whose driver, workers and raylets are killed again and again, and what became of it.

    python tests/crash/crashing.py --study many --workers 80 --drivers 15 --raylets 5

Kills at random moments follow what the ledger shows: some trials begin to train, a moment passes,
then a process is gone. Those at chosen moments are in `moments`. By the ledger, which the training
function writes elsewhere than into the store, no finished trial may run again; every result must be
there, and the canonical export must be that of a run that nothing disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import moments
import psutil  # type: ignore[import-untyped]
from driving import Driver, Line, command, environment, read_ledger
from undisturbed import train_undisturbed

from semisweep import Store, export
from semisweep.core.faults import TRIES
from semisweep.data.shapes import make

RUN_SECONDS = 300.0  # without any progress, after which a driver counts as stuck


@dataclass
class Kills:
    """How many processes of each kind are to be killed, or were; workers by chosen moments too."""

    workers: int = 0
    drivers: int = 0
    raylets: int = 0
    chosen: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return how many they are."""
        return self.workers + self.drivers + self.raylets + len(self.chosen)


@dataclass
class Report:
    """What was done to a sweep, and what the ledger and the store say of it."""

    trials: int
    done: Kills
    seconds: float
    drivers_started: int
    begun: int  # trainings that were begun
    run_again: list[str]  # finished trials that were begun again
    finished_twice: list[str]
    lost: list[str]  # trials without a result
    failed: list[str]
    same_export: bool

    def __str__(self) -> str:
        chosen = ", ".join(f"{n} {name}" for name, n in sorted(Counter(self.done.chosen).items()))
        return (
            f"{self.done.total} SIGKILLs over {self.trials} trials in {self.seconds:.0f} s: "
            f"{self.done.workers} workers, {self.done.drivers} drivers and "
            f"{self.done.raylets} raylets at random moments; at chosen ones: {chosen or 'none'}\n"
            f"{self.drivers_started} drivers, {self.begun} trainings begun; "
            f"finished trials run again: {len(self.run_again)}; "
            f"finished twice: {len(self.finished_twice)}; results lost: {len(self.lost)}; "
            f"failed: {len(self.failed)}; export identical: {self.same_export}"
        )

    @property
    def is_good(self) -> bool:
        """Return whether nothing was lost and nothing repeated."""
        return self.same_export and not (
            self.run_again or self.finished_twice or self.lost or self.failed
        )


class Crashing:
    """A study of `crash_studies`, run to its end through kills."""

    def __init__(self, root: Path, study: str, seed: int = 0) -> None:
        self.root, self.study = root, study
        self.data = make(root / "shapes", train=24, val=4, test=4, size=32)
        self.ledger, self.store = root / "ledger", root / "store"
        self.ledger.touch()
        moments.TOKENS = root / "tokens"
        moments.TOKENS.mkdir()
        self.chance = random.Random(seed)
        self.done = Kills()
        self.drivers: list[Driver] = []
        self.before = 0  # lines of the ledger when the present driver was started
        self.between = 0  # deaths since then of workers between two trials: the next one's cost

    def run(self, wanted: Kills) -> Report:
        """Kill as many as are wanted, let the sweep end, and judge."""
        started = time.monotonic()
        try:
            self._crash(wanted)
        finally:
            for driver in self.drivers:
                driver.children()
                for process in [driver.process, *driver.family]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
        return self._judge(time.monotonic() - started)

    def _crash(self, wanted: Kills) -> None:
        acts = ["worker"] * wanted.workers + ["driver"] * wanted.drivers
        acts += ["raylet"] * wanted.raylets
        acts += [name for name in wanted.chosen if name in moments.WORKER_MOMENTS]
        self.chance.shuffle(acts)
        moments.open_gate(0)
        driver = self._start()
        for act in acts:
            driver = self._do(act, driver)
        moments.open_gate(None)
        driver = self._to_the_end(driver)
        for name in wanted.chosen:
            if name in moments.DRIVER_MOMENTS:
                self._kill_compacting(name)
        self._to_the_end(self._start())

    def _start(self) -> Driver:
        self.before, self.between = len(read_ledger(self.ledger)), 0
        arguments = ["run", f"crash_studies:{self.study}", "--store", str(self.store)]
        arguments += ["--data", f"shapes={self.data}", "--slots", "2"]
        variables = environment(
            Path(__file__).parent, self.ledger, CRASH_TOKENS=str(moments.TOKENS)
        )
        self.drivers.append(Driver(command(*arguments), self.root, variables))
        return self.drivers[-1]

    def _do(self, act: str, driver: Driver) -> Driver:
        """Kill something while the sweep runs; return its driver, which may be a new one."""
        while True:
            line = self._training(driver)
            if line is None:  # the sweep has ended too soon: too many kills for so few trials
                return driver
            if act in moments.WORKER_MOMENTS:
                if self._all_may_die() and self._die_at(act, driver):
                    self.done.chosen.append(act)
                    return driver
                continue
            time.sleep(self.chance.uniform(0, 0.15))
            if act != "worker":
                return self._end(act, driver)
            now = self._last_of(line.process)  # it may have gone on to another trial
            if now.event != "finished" and self._may_die(now.key) and _kill(line.process):
                self.done.workers += 1
                self.between += self._last_of(line.process).event == "finished"
                return driver

    def _may_die(self, key: str) -> bool:
        """Return whether a trial may cost another process: so many are its failure."""
        lines = read_ledger(self.ledger)[self.before :]
        starts = sum((line.key, line.event) == (key, "started") for line in lines)
        return starts + self.between < TRIES

    def _all_may_die(self) -> bool:
        lines = read_ledger(self.ledger)[self.before :]
        ended = {line.key for line in lines if line.event == "finished"}
        return all(self._may_die(key) for key in {line.key for line in lines} - ended)

    def _last_of(self, process: int) -> Line:
        return [line for line in read_ledger(self.ledger) if line.process == process][-1]

    def _training(self, driver: Driver) -> Line | None:
        """Wait until some more trials begin to train; return the last one, None without any."""
        more = self.chance.randint(1, 2)
        wanted = len(self._begun()) + more
        self._let_finish(more)
        end = time.monotonic() + RUN_SECONDS
        while len(self._begun()) < wanted:
            if driver.process.poll() is not None:
                return None
            if time.monotonic() > end:
                raise AssertionError(f"no trial began in {RUN_SECONDS:.0f} s", driver.children())
            time.sleep(0.005)
        return self._begun()[-1]

    def _die_at(self, moment: str, driver: Driver) -> bool:
        """Have the next worker that comes to a moment die; return whether one did."""
        token = moments.add_token(moment, len(self.done.chosen))
        self._let_finish(2)
        end = time.monotonic() + RUN_SECONDS
        while token.exists():
            if driver.process.poll() is not None or time.monotonic() > end:
                token.unlink(missing_ok=True)
                return False
            time.sleep(0.005)
        return True

    def _end(self, act: str, driver: Driver) -> Driver:
        """Kill the driver, or the raylet whose death ends it; start another at once."""
        family = driver.children()
        if act == "driver":
            driver.process.kill()
            self.done.drivers += 1
        else:
            (raylet,) = [process for process in family if process.name() == "raylet"]
            raylet.kill()
            self.done.raylets += 1
        driver.wait(RUN_SECONDS)
        return self._start()

    def _to_the_end(self, driver: Driver) -> Driver:
        code = driver.wait(RUN_SECONDS)
        assert code == 0, driver.errors[-3000:]
        return driver

    def _kill_compacting(self, moment: str) -> None:
        for part in self.store.glob("results/*.parquet"):
            part.unlink()
        token = moments.add_token(moment, len(self.done.chosen))
        assert self._start().wait(RUN_SECONDS) == -signal.SIGKILL
        assert not token.exists()
        self.done.chosen.append(moment)

    def _let_finish(self, more: int) -> None:
        finished = sum(line.event == "finished" for line in read_ledger(self.ledger))
        moments.open_gate(finished + more)

    def _begun(self) -> list[Line]:
        return [line for line in read_ledger(self.ledger) if line.event == "training"]

    def _judge(self, seconds: float) -> Report:
        store = Store.open(self.store)
        lines = read_ledger(self.ledger)
        finished = Counter(line.key for line in lines if line.event == "finished")
        again = {line.key for line in lines if line.event == "started" and _is_late(store, line)}
        name, folder = f"crash_studies:{self.study}", self.root / "undisturbed"
        undisturbed, keys = train_undisturbed(name, folder, self.data)
        return Report(
            trials=len(keys),
            done=self.done,
            seconds=seconds,
            drivers_started=len(self.drivers),
            begun=sum(line.event == "training" for line in lines),
            run_again=sorted(again),
            finished_twice=[key for key, count in finished.items() if count > 1],
            lost=sorted(keys.keys() - store.finished()),
            failed=sorted(store.failures()),
            same_export=export(store) == export(undisturbed),
        )


def _is_late(store: Store, line: Line) -> bool:
    """Return whether an attempt began when the trial had its result."""
    result = store.trial(line.key).path / "result.parquet"
    return result.exists() and line.at > result.stat().st_mtime + 0.002


def _kill(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def chosen_moments(count: int, compactions: int) -> Iterator[str]:
    """Yield so many moments of workers in turn, and then some of drivers."""
    for index in range(count):
        yield moments.WORKER_MOMENTS[index % len(moments.WORKER_MOMENTS)]
    for index in range(compactions):
        yield moments.DRIVER_MOMENTS[index % len(moments.DRIVER_MOMENTS)]


def main() -> None:
    """Crash a sweep as the arguments say, and print what became of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--study", default="many")
    for name, count in (("workers", 54), ("drivers", 10), ("raylets", 6)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--chosen", type=int, default=24)
    parser.add_argument("--compactions", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chosen = list(chosen_moments(asked.chosen, asked.compactions))
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        crashing = Crashing(Path(folder), asked.study, asked.seed)
        report = crashing.run(Kills(asked.workers, asked.drivers, asked.raylets, chosen))
    print(report)
    complete = report.done.total == asked.workers + asked.drivers + asked.raylets + len(chosen)
    sys.exit(0 if report.is_good and complete else 1)


if __name__ == "__main__":
    main()
