"""A thousand trials of 0.1 s on two slots: how much longer than the naps themselves it takes.

Beside it bare Tune, which naps as often in two actors that it reuses, and keeps nothing. Both are
counted from the moment at which both slots work, per trial that ends later; the floor is half of a
nap a trial.

    OMP_NUM_THREADS=1 python tests/benchmarks/thousand_trials.py
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import judge
from trivial import NAP_SECONDS, NAPS

from semisweep import Store
from semisweep.cluster.connection import environment
from semisweep.cluster.trial_execution import LEDGER
from semisweep.data.shapes import make

HERE = Path(__file__).parent
SLOTS = 2
TARGET_RATIO = 1.25


class Ended(NamedTuple):
    """Who ended a trial, and when."""

    process: int
    at: float


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="thousand-") as folder:
        root = Path(folder)
        make(root / "shapes", train=24, val=4, test=4, size=32)
        load = os.getloadavg()[0]
        ours = measure(root)
        bare = measure_bare(root)
    print(f"load average before: {load:.1f}, after: {os.getloadavg()[0]:.1f}")
    print(f"bare Tune, no store: {ratio(bare):.2f} times the floor")
    judge(f"{NAPS} trials on {SLOTS} slots, times the floor", ratio(ours), TARGET_RATIO)


def ratio(ends: Sequence[Ended]) -> float:
    """Return the time that trials took once all slots worked, as a multiple of their naps."""
    first = {end.process: end.at for end in reversed(ends)}
    assert len(first) >= SLOTS, "as many processes as slots must have worked"
    started = sorted(first.values())[SLOTS - 1]
    later = [end.at for end in ends if end.at > started]
    print(f"{len(later)} trials in {max(later) - started:.1f} s")
    return (max(later) - started) / (len(later) * NAP_SECONDS / SLOTS)


def measure(root: Path) -> list[Ended]:
    """Run the study as a user does."""
    ledger = root / "ledger"
    command = [sys.executable, "-c", "from semisweep.cli import main; main()"]
    command += ["run", "trivial:naps", "--slots", str(SLOTS), "--store", str(root / "store")]
    command += ["--data", f"shapes={root / 'shapes'}"]
    variables = {**os.environ, "PYTHONPATH": path(), LEDGER: str(ledger)}
    quiet = subprocess.DEVNULL
    subprocess.run(command, env=variables, check=True, stdout=quiet, stderr=quiet)
    assert len(Store.open(root / "store").finished()) == NAPS
    lines = (line.split() for line in ledger.read_text().splitlines())
    return [Ended(int(pid), float(at)) for _, event, pid, at in lines if event == "finished"]


def measure_bare(root: Path) -> list[Ended]:
    """Nap in Tune alone."""
    os.environ.update(environment(None))
    import ray
    from ray import tune

    ledger = root / "ledger-bare"

    def nap(config: dict[str, Any]) -> None:
        time.sleep(NAP_SECONDS)
        with ledger.open("a") as file:
            file.write(f"{os.getpid()} {time.time():.3f}\n")
        tune.report({"finished": True})

    ray.init(
        include_dashboard=False, num_cpus=SLOTS, log_to_driver=False, logging_level=logging.ERROR
    )
    tune.Tuner(
        tune.with_resources(nap, {"CPU": 1}),
        param_space={"number": tune.grid_search(list(range(NAPS)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(root / "ray"), name="bare", verbose=0),
    ).fit()
    ray.shutdown()
    lines = (line.split() for line in ledger.read_text().splitlines())
    return [Ended(int(process), float(at)) for process, at in lines]


def path() -> str:
    """Return the path of modules of a driver whose study lies here."""
    return os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))


if __name__ == "__main__":
    main()
