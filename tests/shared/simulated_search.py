"""Searches without training: the platform suggests, and a score is a formula with noise of 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from resolved import search

from semisweep.search import sampling
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import ResolvedSearch, Suggestion, Value
from semisweep.study.search_space import Space, ends

SPACE: Space = {
    "share": FloatDistribution(0.0, 1.0),
    "rate": FloatDistribution(1e-3, 1.0, log=True),
    "agents": IntDistribution(2, 16),
    "label": CategoricalDistribution(("mix", "cross", "none")),
}
EFFECT = 5.0  # how far a real parameter moves the mean over its range, in deviations of the noise


class Simulated(NamedTuple):
    """A search and how its trials ended."""

    search: ResolvedSearch
    outcomes: Mapping[str, Observation]

    def cut(self, trials: int) -> Simulated:
        """Return the search as it was after so many trials."""
        return self._replace(
            search=dataclasses.replace(self.search, trials=self.search.trials[:trials]),
            outcomes=dict(list(self.outcomes.items())[:trials]),
        )


SEARCH = search([], space=sampling.describe(SPACE))


def place(name: str, value: Value) -> float:
    """Return where in its range a value lies, from 0 to 1."""
    if name == "label":
        return ("mix", "cross", "none").index(str(value)) / 2
    dimension, leaf = sampling.describe(SPACE)[name], SPACE[name]
    found, low, high = sampling.positions(dimension, [value, *ends(leaf)]) or ()
    return (found - low) / (high - low)


def simulated(
    sampler: str, trials: int, seed: int, real: str = "", effect: float = EFFECT
) -> Simulated:
    """Return a search of one real parameter, or of none; all others are inert."""
    numbers = np.random.default_rng(seed)
    found = dataclasses.replace(SEARCH, name=f"simulated {seed}", sampler=sampler)
    outcomes: dict[str, Observation] = {}
    for number in range(trials):
        values = sampling.suggest(found, outcomes, number)
        entry = Suggestion(number=number, params=values, key=f"{number:04d}")
        found = dataclasses.replace(found, trials=(*found.trials, entry))
        mean = effect * place(real, values[real]) if real in values else 0.0
        outcomes[entry.key] = Observation("finished", (mean + numbers.normal(),))
    return Simulated(found, outcomes)
