"""What Optuna is asked: the next values of a search, and the best trade-offs.

A search (see `semisweep.running.search_run`) and the outcomes of its trials are all that is known:
the sampler is made anew for every suggestion, from a seed that depends on the study, the scale and
the suggestion's number. Nothing of Optuna's is kept.

Together with `optuna_storage` the only file that imports `optuna`.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from semisweep.core.config import encode
from semisweep.core.errors import ConfigError, StoreError
from semisweep.core.safe_text import one_line
from semisweep.core.seeding import derive
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import Dimension, ResolvedSearch, Suggestion, Value
from semisweep.study.search_space import Bundle, Conditions, Leaf, Space, holds, leaf_text, unfold

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

T = TypeVar("T")

STARTUP_TRIALS = 5  # of TPE, drawn at random
NUMBERS = {int, float}
GRID_POINTS = 100_000

Described = Mapping[str, Dimension]
Outcomes = Mapping[str, Observation]  # by key; trials without one are running


def describe(space: Space) -> dict[str, Dimension]:
    """Return a space as a store keeps it."""
    import optuna

    described = {}
    for name, item in space.items():
        conditions, leaf = unfold(item)
        options = None
        if isinstance(leaf, Bundle):
            options = {
                option: {path: encode(value) for path, value in fields.items()}
                for option, fields in leaf.options.items()
            }
        described[name] = Dimension(
            distribution=optuna.distributions.distribution_to_json(_distribution(leaf)),
            when=tuple((other, tuple(_plain(values))) for other, values in conditions),
            options=_plain(options),
        )
    return described


def _plain(value: T) -> T:
    """Return a value as it is once JSON has held it."""
    plain: T = json.loads(json.dumps(value))
    return plain


def suggest(search: ResolvedSearch, outcomes: Outcomes, sight: int) -> dict[str, Value]:
    """Return the values of the trial that comes after those of a search.

    Only the first `sight` trials may be seen to have ended.
    """
    number = len(search.trials)
    if search.sampler == "grid":
        return next(itertools.islice(grid(search.space or {}), number, None))
    trial = as_study(search, outcomes, _sampler(search, number), sight).ask()
    values: dict[str, Value] = {}
    for name, (conditions, distribution) in _read(search.space or {}).items():
        if holds(conditions, values):
            values[name] = _draw(trial, name, distribution)
    return values


def is_within(described: Described, params: Mapping[str, Value]) -> bool:
    """Return whether a described space could draw such values: all of them, and no others."""
    values: dict[str, Value] = {}
    for name, (conditions, distribution) in _read(described).items():
        if holds(conditions, values):
            if name not in params or not _contains(distribution, params[name]):
                return False
            values[name] = params[name]
    return values.keys() == params.keys()


def range_text(dimension: Dimension) -> str:
    """Return the values that a dimension of a space can have, in a few words."""
    import optuna

    found = optuna.distributions.json_to_distribution(dimension.distribution)
    assert isinstance(found, Leaf)
    return leaf_text(found)


def grid(described: Described) -> Iterator[dict[str, Value]]:
    """Yield every point of a described space once; the last name changes fastest.

    Raises `ConfigError` for a distribution without a step.
    """
    space = list(_read(described).items())
    choices = {name: _points(name, distribution) for name, (_, distribution) in space}

    def points(index: int, values: dict[str, Value]) -> Iterator[dict[str, Value]]:
        if index == len(space):
            yield values
            return
        name, (conditions, _) = space[index]
        if not holds(conditions, values):
            yield from points(index + 1, values)
            return
        for value in choices[name]:
            yield from points(index + 1, {**values, name: value})

    return points(0, {})


def grid_size(described: Described) -> int:
    """Return the number of points of a grid; raise `ConfigError` where there are far too many."""
    count = sum(1 for _ in itertools.islice(grid(described), GRID_POINTS + 1))
    if count > GRID_POINTS:
        raise ConfigError(f"a grid must have at most {GRID_POINTS} points, got more")
    return count


def front(search: ResolvedSearch, outcomes: Outcomes) -> list[int]:
    """Return the numbers of the finished trials that no other beats in every objective."""
    if not search.also:
        return []
    return sorted(trial.number for trial in as_study(search, outcomes).best_trials)


def positions(dimension: Dimension, values: Sequence[Value]) -> list[float] | None:
    """Return where values lie in a dimension of a space: logarithms where it is drawn by them.

    Choices between numbers lie in their order, others nowhere: None.
    """
    import optuna

    found = optuna.distributions.json_to_distribution(dimension.distribution)
    if isinstance(found, optuna.distributions.CategoricalDistribution):
        kinds = {type(choice) for choice in found.choices}
        order = sorted(float(choice or 0) for choice in found.choices) if kinds <= NUMBERS else None
        return order and [float(order.index(float(value or 0))) for value in values]
    own = _range(found)
    given = [float(value) for value in values if isinstance(value, int | float)]
    return [math.log(value) for value in given] if own.log else given


def as_study(
    search: ResolvedSearch,
    outcomes: Outcomes,
    sampler: BaseSampler | None = None,
    sight: int | None = None,
) -> Study:
    """Return an Optuna study of a search's trials.

    Only the first `sight` trials may be seen to have ended.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [objective.direction for objective in search.objectives]
    study = optuna.create_study(sampler=sampler, directions=directions)
    distributions, running = distributions_of(search), Observation("running")
    seen = search.trials[:sight]
    unseen = search.trials[len(seen) :]
    known = [(entry, outcomes.get(entry.key, running)) for entry in seen]
    study.add_trials([frozen(entry, distributions, outcome) for entry, outcome in known])
    study.add_trials([frozen(entry, distributions, running) for entry in unseen])
    return study


def distributions_of(search: ResolvedSearch) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each name of a search's space."""
    return {name: found for name, (_, found) in _read(search.space or {}).items()}


def frozen(
    entry: Suggestion, distributions: Mapping[str, BaseDistribution], outcome: Observation
) -> FrozenTrial:
    """Return a suggestion as a trial of Optuna's that has ended so, or runs."""
    import optuna

    names = {
        "finished": optuna.trial.TrialState.COMPLETE,
        "stopped": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
        "running": optuna.trial.TrialState.RUNNING,
    }
    try:
        return optuna.trial.create_trial(
            params=dict(entry.params),
            distributions={name: distributions[name] for name in entry.params},
            values=list(outcome.values) or None,
            intermediate_values=dict(outcome.on_the_way),
            user_attrs={"key": entry.key},
            state=names[outcome.state],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"a stored suggestion must be of its search's space, got number={entry.number}, "
            f"key={one_line(entry.key)}: {one_line(str(error))}"
        ) from error


def _sampler(search: ResolvedSearch, number: int) -> BaseSampler:
    import optuna

    seed = derive("search", search.name, search.scale, number) % 2**32
    if search.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, constant_liar=True
        )


def _read(described: Described) -> dict[str, tuple[Conditions, BaseDistribution]]:
    """Return conditions and distribution of each name of a described space."""
    import optuna

    found: dict[str, tuple[Conditions, BaseDistribution]] = {}
    for name, item in described.items():
        try:
            distribution = optuna.distributions.json_to_distribution(item.distribution)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"a stored search must have distributions of Optuna's, got space.{one_line(name)}="
                f"{one_line(item.distribution):.80}"
            ) from error
        found[name] = (item.when, distribution)
    return found


def _distribution(leaf: Leaf) -> BaseDistribution:
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    if isinstance(leaf, Bundle):
        return CategoricalDistribution(tuple(leaf.options))
    assert isinstance(leaf, BaseDistribution)
    return leaf


def _draw(trial: Trial, name: str, distribution: BaseDistribution) -> Value:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    found = _range(distribution)
    if isinstance(found, IntDistribution):
        return trial.suggest_int(name, found.low, found.high, step=found.step, log=found.log)
    return trial.suggest_float(name, found.low, found.high, step=found.step, log=found.log)


def _range(distribution: BaseDistribution) -> IntDistribution | FloatDistribution:
    """Return the distribution of numbers that a distribution without choices is."""
    from optuna.distributions import FloatDistribution, IntDistribution

    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution


def _contains(distribution: BaseDistribution, value: Value) -> bool:
    from optuna.distributions import CategoricalDistribution

    if isinstance(distribution, CategoricalDistribution):
        return any(type(own) is type(value) and own == value for own in distribution.choices)
    found = _range(distribution)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not found.low <= value <= found.high:
        return False
    steps = (value - found.low) / (found.step or 1)
    return found.step is None or found.log or abs(steps - round(steps)) < 1e-8


def _points(name: str, distribution: BaseDistribution) -> list[Value]:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    found = _range(distribution)
    if found.step is None or found.log:
        raise ConfigError(
            "a grid needs choices or a step for everything that it varies, "
            f"got {name}={distribution}"
        )
    count = round((found.high - found.low) / found.step) + 1
    whole = isinstance(found, IntDistribution)
    values = (found.low + index * found.step for index in range(count))
    return [value if whole else round(value, 12) for value in values]
