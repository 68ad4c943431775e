"""Trials that wait in mid-training, some checkpoints written, for something to happen to a machine.

While the file "hold" is in the folder of steps, they go no further than step 9. The file "stop" is
for one of them to stop its process in the next checkpoint that it makes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from crash_studies import Brief, make

from semisweep import Batch, Progress, Row, Study, Update

STEPS, HOLD_AT = 16, 9


class Steady(Brief):
    """Writes its steps down, and takes some time for each."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Yield one update."""
        folder = Path(os.environ["STEPS"])
        time.sleep(float(os.environ.get("STEP_SECONDS", "0")))
        while progress.step == HOLD_AT and (folder / "hold").exists():
            time.sleep(0.05)
        with (folder / f"{progress.seed}").open("a") as trace:
            trace.write(f"{progress.step} ")
        yield from super().step(batch, progress)

    def state_dict(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return what a checkpoint has of it."""
        stop = Path(os.environ["STEPS"], "stop")
        if stop.exists():
            stop.rename(stop.with_name(f"stopped-{os.getpid()}"))
            os.kill(os.getpid(), signal.SIGSTOP)
        return dict(super().state_dict(*arguments, **options))


def of(name: str, seeds: int) -> Study:
    """Return a study of one row with so many trials."""
    made = make(name, seeds)
    preset = made.presets["mini"]
    training = replace(preset.training, steps=STEPS, evaluations=4)
    return replace(
        made,
        base="steady",
        presets={"mini": replace(preset, training=training)},
        rows=[Row(name="steady", method=Steady)],
    )


three = of("three", 3)
nine = of("nine", 9)
twelve = of("twelve", 12)
