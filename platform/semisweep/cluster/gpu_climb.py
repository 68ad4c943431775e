"""How many trials on a GPU are worth it: one more as long as images a second rise by it.

Trials that share a GPU fill each other's gaps, until it is busy all the time; from then on one more
only takes memory and makes the others slower. What is measured are the images of all trials in a
time in which there were nearly always so many, the gaps between one trial and the next included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from semisweep.cluster.job import Job
from semisweep.core.config import decode
from semisweep.store.trial_records import TrialProgress
from semisweep.training.trial import TrainingConfig

WORTH = 1.05  # times as many images a second as with one trial less
WINDOW_SECONDS = 30.0
NEARLY_ALWAYS = 0.8  # of the times that were looked at


@dataclass
class Climb:
    """The number of trials at a time, `limit`: from one on, and never more than `most`."""

    most: int
    limit: int = 1
    settled: bool = False
    rates: dict[int, float] = field(default_factory=dict)  # images a second, by trials at a time
    _steps: dict[str, int] = field(default_factory=dict)
    _since: float | None = None  # when the present window began
    _images: int = 0  # in it
    _times: list[bool] = field(default_factory=list)  # whether all trials were there, in it

    def observe(
        self, now: float, jobs: Mapping[str, Job], running: Mapping[str, TrialProgress | None]
    ) -> str:
        """Take how far trials have come at a time in seconds; return what was decided, if it was.

        `jobs`: what is trained, by key.
        """
        if self.settled:
            return ""
        steps = {key: told.step for key, told in running.items() if told is not None}
        made = sum(
            (step - self._steps[key]) * images_a_step(jobs[key])
            for key, step in steps.items()
            if key in self._steps and key in jobs
        )
        self._steps = steps
        if self._since is None:
            if sum(step > 0 for step in steps.values()) == self.limit:  # all have begun
                self._since, self._images, self._times = now, 0, []
            return ""
        self._images += made
        self._times.append(len(running) >= self.limit)
        if now - self._since < WINDOW_SECONDS:
            return ""
        rate = self._images / (now - self._since)
        self._since = None
        full = sum(self._times) >= NEARLY_ALWAYS * len(self._times)
        return self._judge(rate) if full else ""

    def _judge(self, rate: float) -> str:
        """Decide by the images a second of so many trials as there may be now."""
        self.rates[self.limit] = rate
        before = self.rates.get(self.limit - 1)
        if before is not None and rate < WORTH * before:
            self.limit -= 1
            self.settled = True
        elif self.limit == self.most:
            self.settled = True
        else:
            self.limit += 1
            return ""
        told = ", ".join(f"{count}: {rate:.0f}" for count, rate in sorted(self.rates.items()))
        return (
            f"--gpus auto has settled on {self.limit} trials a GPU; "
            f"images a second by trials at a time: {told}"
        )


def images_a_step(job: Job) -> int:
    """Return how many images a step of a trial sees, views of the same image as one."""
    training = decode(TrainingConfig, job.trial["training"])
    return training.labelled_batch + training.unlabelled_batch
