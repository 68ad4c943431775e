"""A search for tests whose trials are not trained: their scores are a formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from semisweep import DataConfig, Preset, Search, Store, TrainingConfig
from semisweep.cluster.job import Outcome, Wait
from semisweep.running.search_run import Suggestions
from semisweep.store.resolved_search import Suggestion
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.training.method_fixtures import tiny_network
from semisweep_methods.rankmatch import RankMatch

SPACE: Mapping[str, BaseDistribution] = {
    "config.threshold": FloatDistribution(0.5, 0.98),
    "config.rank_weight": FloatDistribution(0.02, 1.0, log=True),
    "config.agents": IntDistribution(4, 64, log=True),
}
SEARCH = Search(
    name="weights",
    title="A search",
    presets={
        "mini": Preset(
            data=DataConfig(name="shapes", labelled=8),
            training=TrainingConfig(steps=2, labelled_batch=4, unlabelled_batch=4, crop_pixels=32),
            config={"network": tiny_network()},
            metric="last.val.miou",
            metric_note="mIoU",
        )
    },
    method=RankMatch,
    space={"mini": SPACE},
    trials=12,
    confirm=0,
)


def varied(**changes: Any) -> Search:
    """Return the search with another sampler, space or objective."""
    return dataclasses.replace(SEARCH, **changes)


class Place:
    """A search in a store; its trials are not trained, their scores are a formula and `luck`."""

    def __init__(
        self,
        root: Path,
        folder: Path,
        search: Search = SEARCH,
        lag: int = 0,
        say: Callable[[str], object] = print,
        luck: Callable[[str], float] = lambda key: 0.0,
        **more: Any,
    ) -> None:
        self.luck = luck
        self.store = Store.open(folder, create=True)
        roots = Roots(root, {"shapes": root})
        self.request = Request(roots=roots, store=str(folder), **more)
        self.source = Suggestions(search, self.request, self.store, lag, say=say)

    def next(self) -> Any:
        """Return the next suggestion, or what the source says instead."""
        job = self.source.next()
        if isinstance(job, Wait) or job is None:
            return job
        entries = {entry.key: entry for entry in reversed(self.source.entries)}
        return entries[job.key] if job.key in entries else self.again(job.key)

    def again(self, key: str) -> Suggestion:
        """Return a suggestion that is trained again under a key."""
        (number,) = {
            number
            for own in self.source.resolved.confirmations
            for number, trials in own.chosen.items()
            if key in trials.values()
        }
        return dataclasses.replace(self.source.entries[number], key=key)

    def finish(self, entry: Suggestion) -> None:
        """Complete a trial with a score that has a maximum inside the space."""
        values = entry.params
        score = 1 - (values.get("config.threshold", 0.5) - 0.8) ** 2
        score -= (math.log(values.get("config.rank_weight", 0.5) / 0.1) / 10) ** 2
        score -= (math.log(values.get("config.agents", 4) / 20) / 10) ** 2
        score += self.luck(entry.key)
        size = 1000 + 10 * values.get("config.agents", 4)
        row = {"last.val.miou": score, "parameters": size, "run.seconds": 1.0}
        self.store.trial(entry.key).complete(row)
        self.source.done(Outcome(entry.key, "finished"))

    def run(self, trials: int = 10**6) -> int:
        """Run so many trials, one at a time, or all that are left; return how many it were."""
        for count in range(trials):
            entry = self.next()
            if entry is None:
                return count
            self.finish(entry)
        return trials
