"""A sweep's metrics for Prometheus, which Ray exports on every node (`--metrics-export-port`).

semisweep_trials_{finished,failed,running,waiting} and semisweep_steps_per_second, each with the
label "study"; Ray puts "ray_" before the names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from semisweep.cluster.progress import SweepProgress
from semisweep.store.trial_records import TrialProgress

if TYPE_CHECKING:
    from ray.util.metrics import Gauge

STATES = ("finished", "failed", "running", "waiting")


class SweepMetrics:
    """Passes what is watched on to a progress display, and to Ray's metrics."""

    def __init__(self, study: str, progress: SweepProgress) -> None:
        self.study, self.progress = study, progress
        self._gauges: dict[str, Gauge] = {}
        self._steps: dict[str, int] = {}
        self._at = time.monotonic()

    def watch(self, running: Mapping[str, TrialProgress | None], elsewhere: int = 0) -> None:
        """Show and count what runs; called about once a second, once Ray is connected."""
        self.progress.watch(running, elsewhere)
        speed = self.steps_per_second(running, time.monotonic())
        values = self.counts(len(running)) | {"steps_per_second": speed}
        for name, value in values.items():
            self._gauge(name).set(value)

    def say(self, text: str) -> None:
        """Show a line."""
        self.progress.say(text)

    def name(self, key: str) -> str:
        """Return how a trial is called on the screen."""
        return self.progress.name(key)

    def counts(self, running: int) -> dict[str, float]:
        """Return how many trials of this sweep are in which state."""
        ended, failed = self.progress.done, self.progress.failed
        waiting = max(0, self.progress.total - ended - running)
        counted = (ended - failed, failed, running, waiting)
        names = (f"trials_{state}" for state in STATES)
        return dict(zip(names, map(float, counted), strict=True))

    def steps_per_second(self, running: Mapping[str, TrialProgress | None], now: float) -> float:
        """Return what all running trials together have done since this was last asked."""
        steps = {key: told.step if told else 0 for key, told in running.items()}
        more = sum(max(0, step - self._steps.get(key, step)) for key, step in steps.items())
        seconds, self._at, self._steps = now - self._at, now, steps
        return more / seconds if seconds > 0 else 0.0

    def _gauge(self, name: str) -> Gauge:
        if name not in self._gauges:
            from ray.util.metrics import Gauge

            gauge = Gauge(f"semisweep_{name}", f"{name} of a sweep", tag_keys=("study",))
            gauge.set_default_tags({"study": self.study})
            self._gauges[name] = gauge
        return self._gauges[name]
