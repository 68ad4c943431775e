"""Studies of trials that take their time, or stop for good."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from crash_studies import Brief, make

from semisweep.method import Batch, Progress, Update
from semisweep.study import Row, Study


class Stuck(Brief):
    """Of seed 0, a process that stops once, after its first evaluation, so that it hears nothing.

    Every trial leaves the processes and steps that it had.
    """

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        folder = Path(os.environ["SLOT_TRACES"])
        with (folder / f"trial-{progress.seed}").open("a") as trace:
            trace.write(f"{os.getpid()} {progress.step}\n")
        if progress.seed == 0 and progress.step == 3 and not (folder / "stopped").exists():
            (folder / "stopped").touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        yield from super().step(batch, progress)


class Slow(Brief):
    """Of seed 0 it trains for a minute, of others for no time."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        if progress.seed == 0:
            time.sleep(0.05)
        yield from super().step(batch, progress)


class Deaf(Brief):
    """One whose second step takes a minute."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        if progress.step == 1:
            time.sleep(60)
        yield from super().step(batch, progress)


def of(method: type[Brief], name: str, seeds: int, steps: int = 4) -> Study:
    """Return a study of one method."""
    made = make(name, seeds)
    preset = made.presets["mini"]
    training = replace(preset.training, steps=steps, evaluations=2)
    return replace(
        made,
        base=name,
        presets={"mini": replace(preset, training=training)},
        rows=[Row(name=name, method=method)],
    )


stuck = of(Stuck, "stuck", 3)
deaf = of(Deaf, "deaf", 1)
swift = of(Brief, "swift", 12)
slow = of(Slow, "slow", 2, steps=1200)
