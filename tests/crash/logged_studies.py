"""A study of trials of some seconds, each of which is evaluated often."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from crash_studies import Brief, make
from optuna.distributions import FloatDistribution

from semisweep import Batch, Progress, Row, Search, Update


class Slow(Brief):
    """One convolution that takes its time."""

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Wait, and yield one update with its loss."""
        time.sleep(0.2)
        for update in super().step(batch, progress):
            yield Update(update.group, update.loss, {"loss": update.loss.detach()})


_two = make("two", 2)
_mini = _two.presets["mini"]
_training = dataclasses.replace(_mini.training, steps=60, evaluations=20)
_presets = {"mini": dataclasses.replace(_mini, training=_training, metric="last.val.miou")}
two = dataclasses.replace(_two, presets=_presets, rows=[Row(name="brief", method=Slow)])
rates = Search(
    name="rates",
    title="Which rate?",
    presets=_presets,
    method=Slow,
    space={"mini": {"training.optimizer.learning_rate": FloatDistribution(0.001, 0.1, log=True)}},
    trials=2,
    confirm=0,
)
