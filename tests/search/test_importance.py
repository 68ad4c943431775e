"""What is said of a search's parameters: what stands out, and where nothing can be known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from resolved import search
from simulated_search import SPACE, Simulated, simulated

from semisweep import When
from semisweep.search import sampling
from semisweep.search.importance import FEWEST, Importances, importances
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import Suggestion, Value
from semisweep.study.search_space import Space

SEARCHES = 20


def made(space: Space, params: Sequence[dict[str, Value]], scores: Sequence[float]) -> Simulated:
    """Return a search of some trials with their scores."""
    trials = tuple(
        Suggestion(number=number, params=values, key=f"{number}")
        for number, values in enumerate(params)
    )
    found = dataclasses.replace(search([], space=sampling.describe(space)), trials=trials)
    outcomes = {
        entry.key: Observation("finished", (score,))
        for entry, score in zip(trials, scores, strict=True)
    }
    return Simulated(found, outcomes)


def first(found: Importances) -> str:
    """Return the parameter that is shown first, "" where none is."""
    return next(iter(found.standing_out), "")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_an_inert_parameter_is_not_shown_first_and_a_real_one_is(sampler: str) -> None:
    """In 20 searches of one real parameter, each of the four in turn, and three inert ones."""
    inert, real = {4: 0, 8: 0, 12: 0, 16: 0}, 0
    for seed in range(SEARCHES):
        name = list(SPACE)[seed % len(SPACE)]
        whole = simulated(sampler, 16, seed, name)
        for trials in inert:
            shown = first(importances(*whole.cut(trials)))
            inert[trials] += shown not in ("", name)
        real += shown == name

    assert max(inert.values()) <= 1
    assert real >= 15


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_where_nothing_matters_hardly_anything_stands_out(sampler: str) -> None:
    """Of 60 searches a true rate of 5 % exceeds 8 less than once in a hundred such tests."""
    shown = [bool(first(importances(*simulated(sampler, 20, seed)))) for seed in range(60)]

    assert sum(shown) <= 8


def test_fewer_trials_than_can_tell_say_so_and_the_fewest_can() -> None:
    """A score that a number sorts without an error stands out from the fewest trials on."""
    space = {f"p{n}": FloatDistribution(0, 1) for n in range(6)}
    numbers = np.random.default_rng(1)
    params: list[dict[str, Value]] = [
        {name: float(numbers.uniform()) for name in space} | {"p0": trial / FEWEST}
        for trial in range(FEWEST)
    ]
    whole = made(space, params, [trial / FEWEST for trial in range(FEWEST)])
    less = importances(*whole.cut(FEWEST - 1))

    assert less.of == {}
    assert less.text == "needs 10 finished trials, there are 9"
    assert first(importances(*whole)) == "p0"


def test_an_optimum_within_the_range_and_a_choice_are_found() -> None:
    space = {"x": FloatDistribution(0, 1), "kind": CategoricalDistribution(("a", "b", "c"))}
    numbers = np.random.default_rng(0)
    params = [
        {"x": float(numbers.uniform()), "kind": str(numbers.choice(["a", "b", "c"]))}
        for _ in range(24)
    ]
    inner = [-20 * (own["x"] - 0.5) ** 2 + numbers.normal() / 3 for own in params]
    choice = [2.0 * (own["kind"] == "b") + numbers.normal() / 3 for own in params]

    assert list(importances(*made(space, params, inner)).standing_out) == ["x"]
    found = importances(*made(space, params, choice))
    assert list(found.standing_out) == ["kind"]
    assert 0.7 < found.of["kind"].share < 1


def test_a_rate_counts_by_its_logarithm_and_numbers_to_choose_from_by_their_order() -> None:
    space = {
        "rate": FloatDistribution(1e-6, 1, log=True),
        "size": CategoricalDistribution((8, 512, 64)),
    }
    described = sampling.describe(space)

    assert sampling.positions(described["rate"], [1e-6, 1e-3, 1]) == pytest.approx(
        [math.log(1e-6), math.log(1e-3), 0]
    )
    assert sampling.positions(described["size"], [512, 8, 64]) == [2.0, 0.0, 1.0]
    assert sampling.positions(sampling.describe(SPACE)["label"], ["mix"]) is None


def test_a_parameter_of_some_trials_is_judged_among_those() -> None:
    """What tells those that have it from the others is its condition, not it."""
    space = {
        "kind": CategoricalDistribution(("a", "b")),
        "x": When("kind", "b", FloatDistribution(0, 1)),
    }
    numbers = np.random.default_rng(3)
    params: list[dict[str, Value]] = [
        {"kind": "b", "x": float(numbers.uniform())} if trial % 2 else {"kind": "a"}
        for trial in range(24)
    ]
    apart = [5.0 * (own["kind"] == "b") + numbers.normal() for own in params]
    within = [float(own.get("x", 0.5) or 0) + numbers.normal() / 20 for own in params]

    assert list(importances(*made(space, params, apart)).standing_out) == ["kind"]
    assert list(importances(*made(space, params, within)).standing_out) == ["x"]
    few = importances(*made(space, params[:18], within[:18]))
    assert few.text == "no parameter stands out; not judged: 1 of fewer than 10 trials (18 trials)"


def test_a_trial_that_was_suggested_repeatedly_counts_once() -> None:
    """Its score is one score: repeated, it would look like many that agree."""
    space = {"x": IntDistribution(1, 2)}
    keys = ["low", "high"] * 10
    trials = tuple(
        Suggestion(number=number, params={"x": 1 + number % 2}, key=key)
        for number, key in enumerate(keys)
    )
    found = dataclasses.replace(search([], space=sampling.describe(space)), trials=trials)
    ends = {"low": Observation("finished", (0.1,)), "high": Observation("finished", (0.2,))}

    assert importances(found, ends).text == "needs 10 finished trials, there are 2"


def test_scores_that_are_all_equal_and_parameters_that_never_vary_say_nothing() -> None:
    space = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    params: list[dict[str, Value]] = [{"x": trial / 12, "y": 0.5} for trial in range(12)]

    equal = importances(*made(space, params, [0.5] * 12))
    sorted_by_x = importances(*made(space, params, [trial / 12 for trial in range(12)]))

    assert equal.text == "no parameter stands out (12 trials)"
    assert list(sorted_by_x.standing_out) == ["x"]
    assert sorted_by_x.of["y"] == (0.0, 1.0)


def test_what_is_said_is_the_same_at_every_look() -> None:
    one = simulated("tpe", 12, 0, "rate")

    assert importances(*one) == importances(*one)
