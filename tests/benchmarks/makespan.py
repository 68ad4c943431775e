"""Ten thousand trials on 64 slots: how near a sweep comes to the least time that they can take.

Real: the sweep's source and queue, the store with all its files, the compaction at the end, and
the memory of this process, which is the driver. Simulated: the slots, Ray between them and the
driver, and time. A trial takes a duration that was recorded of a real one, and its slot
START_SECONDS more, which is what a trial costs beyond its training. What the driver needs for each
hand-out and outcome is measured, and added to the simulated time, in which it can do one thing at a
time.

    OMP_NUM_THREADS=1 python tests/benchmarks/makespan.py [TRIALS [STORE]]

Durations are those of the trials of STORE, or the ones below, in seconds.
"""

from __future__ import annotations

import heapq
import io
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import semisweep
from semisweep import Store
from semisweep.cluster.job import Job
from semisweep.cluster.job import Outcome as JobOutcome
from semisweep.cluster.job_queue import JobQueue
from semisweep.cluster.progress import SweepProgress
from semisweep.running.job_sources import JobList
from semisweep.store.compaction import compact

TRIALS, SLOTS = 10_000, 64
START_SECONDS = 0.5
TARGET_RATIO, TARGET_MEMORY = 1.1, 1e9
METRIC = "last.test.miou"
# Of trials at mini scale on one core.
RECORDED = (
    28,
    50,
    57,
    59,
    60,
    65,
    74,
    74,
    75,
    76,
    76,
    82,
    94,
    111,
    121,
    121,
    122,
    138,
    140,
    144,
    146,
    152,
    192,
    194,
    202,
    240,
    432,
    468,
    529,
)


class Outcome(NamedTuple):
    """What a simulated sweep took."""

    makespan: float  # simulated seconds
    ideal: float  # all durations, evenly over all slots, and none shorter than the longest
    driver: float  # real seconds of hand-outs and outcomes
    writing: float  # real seconds of what slots would have written themselves


def main(arguments: Sequence[str]) -> None:
    """Simulate, measure and print."""
    trials = int(arguments[0]) if arguments else TRIALS
    recorded = durations_of(arguments[1]) if arguments[1:] else RECORDED
    with tempfile.TemporaryDirectory(prefix="makespan-") as folder:
        store = Store.open(Path(folder) / "store", create=True)
        outcome = simulate(store, trials, recorded)
        started = time.perf_counter()
        compact(store)
        compacting = time.perf_counter() - started
        assert len(store.finished()) == trials
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    ratio = outcome.makespan / outcome.ideal
    print(f"{trials} trials on {SLOTS} slots, durations of {len(recorded)} recorded ones")
    print(f"simulated makespan {outcome.makespan:.0f} s, ideal {outcome.ideal:.0f} s")
    print(f"driver: {1e3 * outcome.driver / trials:.1f} ms a trial, compacting {compacting:.0f} s")
    print(f"slots' own writing, not counted: {1e3 * outcome.writing / trials:.1f} ms a trial")
    for name, value, target in (
        ("makespan / ideal", ratio, TARGET_RATIO),
        ("peak memory of this process in GB", memory / 1e9, TARGET_MEMORY / 1e9),
    ):
        print(f"{name}: {value:.3f}, target {target:g}: {'met' if value <= target else 'MISSED'}")


def durations_of(store: str) -> tuple[float, ...]:
    """Return how long the trials of a store have trained."""
    seconds = semisweep.load(store)["run.seconds"].dropna()
    return tuple(float(value) for value in seconds)


def simulate(store: Store, trials: int, recorded: Sequence[float]) -> Outcome:
    """Run a sweep's jobs through its real source, queue and store on simulated slots."""
    drawn = random.Random(0)
    durations = {f"{index:020x}": drawn.choice(recorded) for index in range(trials)}
    jobs = [
        Job(key=key, trial={"seed": 0}, store=str(store.root), data_root="", label=key)
        for key in durations
    ]
    metrics = dict.fromkeys(durations, METRIC)
    queue = JobQueue(JobList(jobs, SweepProgress(trials, {}, io.StringIO()), store, metrics))
    running: list[tuple[float, str]] = []  # of each slot, when its trial ends
    now = driver = writing = 0.0
    while not queue.ended:
        started = time.perf_counter()
        job = queue.take() if len(running) < SLOTS else None
        spent = time.perf_counter() - started
        if job is not None:
            ends = now + spent + START_SECONDS + durations[job.key]
            heapq.heappush(running, (ends, job.key))
        elif running:
            ends, key = heapq.heappop(running)
            writing += train(store, key, durations[key])
            started = time.perf_counter()
            queue.done(JobOutcome(key, "finished"))
            spent += time.perf_counter() - started
            now = max(now, ends)
        now += spent
        driver += spent
    ideal = max(sum(durations.values()) / SLOTS, *durations.values())
    return Outcome(now, ideal, driver, writing)


def train(store: Store, key: str, seconds: float) -> float:
    """Write what a slot's worker would; return how long that took."""
    started = time.perf_counter()
    folder = store.trial(key)
    with folder.lock():
        folder.start_attempt()
        folder.describe({"format": 1, "key": key})
        row = {METRIC: 0.5, "seed": 0, "run.seconds": seconds, "method": "recorded"}
        folder.append_history([{"step": 1, "val.miou": 0.5}])
        folder.complete(row)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1:])
