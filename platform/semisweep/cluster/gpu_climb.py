"""How many trials on a GPU are worth it: one more as long as images a second rise by it.

Trials that share a GPU fill each other's gaps, until it is busy all the time; from then on one more
only takes memory and makes the others slower. What is compared is how fast trials of one kind are
beside n - 1 others and beside n - 2: methods differ in how many images a second they see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean

from semisweep.cluster.gpu_sharing import Alike, alike
from semisweep.cluster.job import Job
from semisweep.core.config import decode, flatten
from semisweep.store.trial_records import TrialProgress
from semisweep.training.trial import TrainingConfig

WORTH = 1.05  # times as many images a second as with one trial less
WINDOW_SECONDS = 30.0
NEARLY_ALWAYS = 0.8  # of the times that were looked at
ENOUGH = 1 / 3  # of a window, that trials of a kind must have been there


@dataclass
class Pace:
    """What trials of one kind have done in a window."""

    seconds: float = 0.0
    images: int = 0


@dataclass
class Climb:
    """The number of trials at a time, `limit`: from one on, and never more than `most`."""

    most: int
    limit: int = 1
    settled: bool = False
    rates: dict[int, dict[Alike, float]] = field(default_factory=dict)  # a trial's images a second
    gains: dict[int, float] = field(default_factory=dict)  # by one trial more, as a factor
    _steps: dict[str, int] = field(default_factory=dict)
    _kinds: dict[str, Alike] = field(default_factory=dict)
    _last: float = 0.0  # when it was looked last
    _since: float | None = None  # when the present window began
    _paces: dict[Alike, Pace] = field(default_factory=dict)  # in it
    _full: list[bool] = field(default_factory=list)  # whether all trials were there, in it

    def observe(
        self, now: float, jobs: Mapping[str, Job], running: Mapping[str, TrialProgress | None]
    ) -> str:
        """Take how far trials have come at a time in seconds; return what was decided, if it was.

        `jobs`: what is trained, by key.
        """
        if self.settled:
            return ""
        steps = {key: told.step if told else 0 for key, told in running.items() if key in jobs}
        if self._since is None:
            if sum(step > 0 for step in steps.values()) >= self.limit:  # all have begun
                self._since, self._paces, self._full = now, {}, []
        else:
            for key, step in steps.items():
                pace = self._paces.setdefault(self._kind(jobs[key]), Pace())
                pace.seconds += now - self._last
                pace.images += (step - self._steps.get(key, step)) * images_a_step(jobs[key])
            self._full.append(len(running) >= self.limit)
        self._steps, self._last = steps, now
        if self._since is None or now - self._since < WINDOW_SECONDS:
            return ""
        self._since = None
        return self._judge() if sum(self._full) >= NEARLY_ALWAYS * len(self._full) else ""

    def _judge(self) -> str:
        """Decide by what a window has shown of so many trials as there may be now."""
        found = self.rates.setdefault(self.limit, {})
        for kind, pace in self._paces.items():
            if pace.seconds >= ENOUGH * WINDOW_SECONDS:
                found[kind] = pace.images / pace.seconds
        if self.limit > 1:
            before = self.rates[self.limit - 1]
            slower = [found[kind] / rate for kind, rate in before.items() if rate and kind in found]
            if not slower:
                return ""  # other kinds than before: there may be one again
            self.gains[self.limit] = mean(slower) * self.limit / (self.limit - 1)
            if self.gains[self.limit] < WORTH:
                self.limit -= 1
                return self._settle()
        if self.limit == self.most:
            return self._settle()
        self.limit += 1
        return ""

    def _settle(self) -> str:
        self.settled = True
        told = [f"{gain:.2f} times with {count}" for count, gain in sorted(self.gains.items())]
        reason = f"; images a second, by one trial more: {', '.join(told)}" if told else ""
        return f"--gpus auto has settled on trials on the GPU: {self.limit}{reason}"

    def _kind(self, job: Job) -> Alike:
        if job.key not in self._kinds:
            self._kinds[job.key] = alike(flatten(job.trial))
        return self._kinds[job.key]


def images_a_step(job: Job) -> int:
    """Return how many images a step of a trial sees, views of the same image as one."""
    training = decode(TrainingConfig, job.trial["training"])
    return training.labelled_batch + training.unlabelled_batch
