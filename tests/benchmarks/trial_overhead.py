"""What a trial costs beyond its training: on a slot that is kept, and in the documented pattern.

The documented pattern is that of Ray's user guide: a Tune function that makes a new `TorchTrainer`
in each trial. Both run the same trivial trials, through the same store, on one worker and on two.
"Training" is what the trial itself counts: its iterations and evaluations up to the last step.

    OMP_NUM_THREADS=1 python tests/benchmarks/trial_overhead.py
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

from measuring import judge

from semisweep import Store
from semisweep.cluster.connection import environment
from semisweep.cluster.trial_execution import LEDGER
from semisweep.data.shapes import make
from semisweep.running.job_sources import job_for
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve

HERE = Path(__file__).parent
DOCUMENTED_TRIALS = 3
TARGET_SECONDS = {1: 0.1, 2: 0.5}  # by workers a trial
TARGET_START_SECONDS = 30


class Measured(NamedTuple):
    """One way to run trials: when its first began to train, and each later one's cost."""

    name: str
    start: float  # seconds from the start of everything to the first training step
    seconds: list[float]  # of each trial after the first, from the end of the one before
    training: list[float]  # of these

    @property
    def beyond(self) -> list[float]:
        """Return the seconds of each trial that are not training."""
        return [a - b for a, b in zip(self.seconds, self.training, strict=True)]


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, str(HERE))
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        root = Path(folder)
        make(root / "shapes", train=24, val=4, test=4, size=32)
        load = os.getloadavg()[0]
        kept = {workers: measure_kept(root, workers) for workers in TARGET_SECONDS}
        documented = [measure_documented(root, workers) for workers in TARGET_SECONDS]
    print(f"load average before: {load:.1f}, after: {os.getloadavg()[0]:.1f}\n")
    print(table([*kept.values(), *documented]))
    for workers, found in kept.items():
        name = f"seconds a trial beyond its training, {workers} workers (median)"
        judge(name, median(found.beyond), TARGET_SECONDS[workers])
    judge("seconds to the first training step", kept[1].start, TARGET_START_SECONDS)


def table(rows: Sequence[Measured]) -> str:
    """Return a Markdown table."""
    lines = [
        "| pattern | trials | first step after | seconds a later trial | of it training | beyond: "
        "median | mean | worst |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        figures = [mean(row.seconds), mean(row.training)]
        figures += [median(row.beyond), mean(row.beyond), max(row.beyond)]
        cells = " | ".join(f"{seconds:.2f}" for seconds in figures)
        lines.append(f"| {row.name} | {len(row.seconds) + 1} | {row.start:.1f} s | {cells} |")
    return "\n".join([*lines, ""])


def measure_kept(root: Path, workers: int) -> Measured:
    """Run the study as a user does."""
    ledger, store = root / f"ledger-kept-{workers}", root / f"kept-{workers}"
    command = [sys.executable, "-c", "from semisweep.cli import main; main()"]
    command += [
        "run",
        "trivial:trivial",
        "--slots",
        "1",
        "--workers",
        str(workers),
        "--store",
        str(store),
    ]
    command += ["--data", f"shapes={root / 'shapes'}"]
    variables = {**os.environ, "PYTHONPATH": str(HERE), LEDGER: str(ledger)}
    started = time.time()
    subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL)
    return read(f"a slot that is kept, {workers} workers", ledger, Store.open(store), started)


def measure_documented(root: Path, workers: int) -> Measured:
    """Run a few of the same trials, each in a new `TorchTrainer`."""
    from trivial import trivial

    ledger = root / f"ledger-documented-{workers}"
    store = Store.open(root / f"documented-{workers}", create=True)
    splits = Splits(Roots(root))
    request = Request(roots=splits.roots, store=str(store.root))
    trials = list(resolve(trivial, "mini", splits).trials.items())[:DOCUMENTED_TRIALS]
    jobs = [asdict(job_for(key, trial, store, splits, request)) for key, trial in trials]
    os.environ.update(environment(None) | {"PYTHONPATH": str(HERE), LEDGER: str(ledger)})
    started = time.time()
    tune_documented(jobs, root / f"ray-{workers}", workers)
    return read(f"a new TorchTrainer in each trial, {workers} workers", ledger, store, started)


def tune_documented(jobs: list[dict[str, Any]], folder: Path, workers: int) -> None:
    """Run jobs in the way of Ray's user guide."""
    import ray
    from ray import tune
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    def train(config: dict[str, Any]) -> None:
        import ray.train

        from semisweep.cluster.job import Job
        from semisweep.cluster.trial_execution import execute

        outcome = execute(Job(**config), lambda said: None)
        ray.train.report({"finished": outcome.status == "finished"})

    def trial(config: dict[str, Any]) -> None:
        report: Any = TuneReportCallback()  # type: ignore[no-untyped-call]
        TorchTrainer(
            train,
            train_loop_config=config["job"],
            scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 0.9}),
            run_config=RunConfig(
                name=config["job"]["key"],
                storage_path=str(folder),
                callbacks=[report],
            ),
        ).fit()

    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    tune.Tuner(
        tune.with_resources(trial, {"CPU": 0.001}),
        param_space={"job": tune.grid_search(jobs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=str(folder), name="documented", verbose=0),
    ).fit()
    ray.shutdown()


def read(name: str, ledger: Path, store: Store, started: float) -> Measured:
    """Return what the ledger of executions and the stored results say."""
    lines = [line.split() for line in ledger.read_text().splitlines()]
    training = {key: float(at) for key, event, _, at in lines if event == "training"}
    finished = {key: float(at) for key, event, _, at in lines if event == "finished"}
    ends = list(finished.values())
    rows = (store.trial(key).result() or {} for key in finished)
    seconds = [float(row["run.seconds"]) for row in rows]
    return Measured(
        name,
        next(iter(training.values())) - started,
        [end - before for before, end in pairwise(ends)],
        seconds[1:],
    )


if __name__ == "__main__":
    main()
