"""A tuned ablation of one arm against the base row, of trials of some seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

from crash_studies import make
from optuna.distributions import FloatDistribution

from semisweep import Batch, Progress, Row, Search, Update
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.fixmatch import FixMatch


class Slow(FixMatch):
    """FixMatch that takes its time."""

    name = "tuned_studies:Slow"

    def step(self, batch: Batch, progress: Progress) -> Iterator[Update]:
        """Wait, and yield FixMatch's update."""
        time.sleep(0.1)
        yield from super().step(batch, progress)


_brief = make("tuned", 1)
_mini = _brief.presets["mini"]
_training = dataclasses.replace(_mini.training, steps=12, unlabelled_batch=4, evaluations=4)
_preset = dataclasses.replace(
    _mini, training=_training, config={"network": tiny_network()}, draws=2, seeds=1
)
_rates = {"mini": {"training.optimizer.learning_rate": FloatDistribution(0.001, 0.1, log=True)}}
_tune = Search(space=_rates, trials=3)
tuned = dataclasses.replace(
    _brief,
    presets={"mini": _preset},
    base="full",
    rows=[
        Row(name="full", method=Slow, tune=_tune),
        Row(name="low", method=Slow, set={"config.threshold": 0.5}, tune=_tune),
    ],
)
