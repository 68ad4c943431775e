"""Studies of trials that take their time, or stop for good."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from crash_studies import Brief, make

from semisweep import Batch, Column, Progress, Row, Study, Update


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
    """One with twenty steps a second."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        time.sleep(0.05)
        yield from super().step(batch, progress)


class Deaf(Brief):
    """One whose second step takes a minute."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        if progress.step == 1:
            time.sleep(60)
        yield from super().step(batch, progress)


def of(method: type[Brief], name: str, seeds: int) -> Study:
    """Return a study of one method."""
    return replace(make(name, seeds), base=name, rows=[Row(name=name, method=method)])


stuck = of(Stuck, "stuck", 3)
deaf = of(Deaf, "deaf", 1)
swift = of(Brief, "swift", 12)
# The first evaluation of the long one is after its 10,000th step, which no test waits for.
slow = replace(
    of(Slow, "slow", 1),
    columns=[
        Column(name=name, set={"mini": {"training.steps": steps}})
        for name, steps in (("long", 20_000), ("quick", 4))
    ],
)


class Gentle(Slow):
    """One that takes two seconds, so that there is time to see it."""


gentle = replace(
    of(Gentle, "gentle", 4),
    columns=[Column(name="forty steps", set={"mini": {"training.steps": 40}})],
)
