"""Many sweeps that want the same grid at the same moment: each of its trials is to be trained once.

    python tests/crash/rush.py --times 20

Eight sweeps share one Ray cluster, a ninth has a cluster of its own; all share one store. Drivers
are forked from a process that has imported torch, clusters start once for all times.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from driving import environment, read_ledger

from semisweep import Store
from semisweep.data.shapes import make

HERE = Path(__file__).parent
CLUSTER = """
import logging, os, sys
from semisweep.cluster.connection import environment
os.environ.update(environment(None))
import ray
cpus, gpus = map(int, sys.argv[1:])
ray.init(
    include_dashboard=False, num_cpus=cpus, num_gpus=gpus, logging_level=logging.ERROR
)
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""
DRIVERS = """
import os, sys, time
# Not Ray: forks of it draw the same random names.
import crash_studies, semisweep.running.launch
from semisweep.cli import main

children = []
for number, address in enumerate(sys.argv[3:]):
    child = os.fork()
    if child:
        children.append(child)
        continue
    said = os.open(f"driver-{number}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        main(["run", "crash_studies:grid", "--store", sys.argv[1], "--data", sys.argv[2],
              "--slots", "1", "--address", address])
    except SystemExit as stop:
        sys.stdout.flush()
        os._exit(stop.code or 0)
print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


@dataclass
class Rush:
    """What became of one rush."""

    codes: list[int]
    trials: int
    trained: Counter[str]  # how often each trial was begun
    seconds: float
    said: list[str]  # what each driver printed

    @property
    def is_good(self) -> bool:
        """Return whether all sweeps have all results and each trial was trained once."""
        once = set(self.trained.values()) == {1}
        return once and len(self.trained) == self.trials and not any(self.codes)

    def __str__(self) -> str:
        return (
            f"{len(self.codes)} sweeps of the same {self.trials} trials in {self.seconds:.0f} s: "
            f"{sum(self.trained.values())} executions, exit codes {self.codes}"
        )


@contextmanager
def cluster(cpus: int, ledger: Path, gpus: int = 0) -> Iterator[str]:
    """Start a Ray cluster of this machine, and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(cpus), str(gpus)],
        env=environment(HERE, ledger),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("address "):
            break
    yield line.split()[1]
    process.communicate("")


def rush(root: Path, addresses: list[str], ledger: Path, number: int = 0) -> Rush:
    """Run a sweep at each address, all at the same time, over a new store."""
    before = len(read_ledger(ledger))
    store = root / f"store-{number}"
    command = [sys.executable, "-c", DRIVERS, str(store), f"shapes={root / 'shapes'}", *addresses]
    started = time.monotonic()
    run = subprocess.run(
        command, cwd=root, env=environment(HERE, ledger), stdout=subprocess.PIPE, text=True
    )
    seconds = time.monotonic() - started
    lines = read_ledger(ledger)[before:]
    finished = Store.open(store).finished()
    trained = Counter(line.key for line in lines if line.event == "training")
    assert set(trained) == finished, "what was trained has its result"
    said = [(root / f"driver-{index}").read_text() for index in range(len(addresses))]
    return Rush([int(code) for code in run.stdout.split()], 64, trained, seconds, said)


def prepare(root: Path) -> Path:
    """Make a data set and an empty ledger; return the ledger."""
    make(root / "shapes", train=24, val=4, test=4, size=32)
    ledger = root / "ledger"
    ledger.touch()
    return ledger


@contextmanager
def clusters(root: Path, shared: int, cpus: int) -> Iterator[tuple[list[str], Path]]:
    """Yield the addresses of `shared` sweeps on one cluster and one on another, and the ledger."""
    ledger = prepare(root)
    with ExitStack() as stack:
        first = stack.enter_context(cluster(cpus, ledger))
        second = stack.enter_context(cluster(1, ledger))
        yield [first] * shared + [second], ledger


def main() -> None:
    """Rush as often as is asked for, and print what became of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--cpus", type=int, default=4, help="workers of the shared cluster")
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    good = 0
    with (
        tempfile.TemporaryDirectory(prefix="rush-") as folder,
        clusters(Path(folder), 8, asked.cpus) as (addresses, ledger),
    ):
        for number in range(asked.times):
            found = rush(Path(folder), addresses, ledger, number)
            good += found.is_good
            print(f"{number + 1}: {found}", flush=True)
            if not found.is_good:
                print(*found.said, sep="\n")
    print(f"each trial was trained once in {good} of {asked.times} rushes")
    sys.exit(0 if good == asked.times else 1)


if __name__ == "__main__":
    main()
