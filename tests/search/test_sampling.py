"""What the sampler is told: scores in their direction, ends as they are, and what is running."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from resolved import search

from semisweep.search import sampling
from semisweep.search.halving import falls_behind
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import Objective, ResolvedSearch, Suggestion

SPACE = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
ENDED = 12  # more than those that are drawn at random


def score(params: Mapping[str, object]) -> float:
    """Return a score that is best at a corner-like place of the space."""
    x, y = (float(params[name]) for name in ("x", "y"))  # type: ignore[arg-type]
    return 1 - (x - 0.8) ** 2 - (y - 0.3) ** 2


def searched(running: Sequence[tuple[float, float]] = (), seed: int = 0) -> ResolvedSearch:
    """Return a search whose first trials have ended; those at some places are running."""
    numbers = np.random.default_rng(seed)
    places = [*numbers.uniform(0, 1, (ENDED, 2)).tolist(), *running]
    trials = tuple(
        Suggestion(number=number, params={"x": x, "y": y}, key=f"{number:02d}")
        for number, (x, y) in enumerate(places)
    )
    space = sampling.describe(SPACE)
    return dataclasses.replace(search([], space=space), trials=trials)


def ends(found: ResolvedSearch, sign: float = 1.0) -> dict[str, Observation]:
    return {
        own.key: Observation("finished", (sign * score(own.params),))
        for own in found.trials[:ENDED]
    }


def suggested(found: ResolvedSearch, outcomes: Mapping[str, Observation]) -> tuple[float, float]:
    values = sampling.suggest(found, outcomes, len(found.trials))
    return float(values["x"]), float(values["y"])


@pytest.mark.parametrize("seed", range(4))
def test_a_suggestion_depends_on_where_trials_are_running(seed: int) -> None:
    """Of two searches that differ in the places of three running trials alone."""
    some = searched([(0.8, 0.3), (0.79, 0.31), (0.81, 0.29)], seed)
    others = searched([(0.1, 0.9), (0.11, 0.91), (0.09, 0.89)], seed)

    assert suggested(some, ends(some)) != suggested(others, ends(others))


def test_trials_that_are_suggested_at_once_lie_apart() -> None:
    """Each knows of those before it; not knowing of them, they crowd where the best one was."""

    def spread(tell: bool) -> float:
        found = []
        for seed in range(6):
            places: list[tuple[float, float]] = []
            for _ in range(6):
                own = searched(places if tell else [], seed)
                # The seed of a suggestion is its number: it goes on without being told, too.
                own = dataclasses.replace(own, name=f"searched {seed} {len(places)}")
                places.append(suggested(own, ends(own)))
            away = np.array(places)
            gaps = np.linalg.norm(away[:, None] - away[None], axis=-1)
            found.append(np.sort(gaps + 9 * np.eye(6), axis=1)[:, 0].mean())
        return float(np.mean(found))

    assert spread(tell=True) > 1.2 * spread(tell=False)


def test_running_trials_and_stopped_ones_count_and_failed_ones_do_not() -> None:
    """To TPE, what runs or was stopped is a place that is not among the best ones."""
    found = searched([(0.8, 0.3), (0.79, 0.31), (0.81, 0.29)])
    late = [own.key for own in found.trials[ENDED:]]
    states = {
        "running": {},
        "failed": dict.fromkeys(late, Observation("failed")),
        "stopped": dict.fromkeys(late, Observation("stopped", (), {1: 0.5})),
        "finished": dict.fromkeys(late, Observation("finished", (0.99,))),
    }
    seen = {name: suggested(found, {**ends(found), **more}) for name, more in states.items()}

    assert len({seen[name] for name in ("running", "failed", "finished")}) == 3, seen
    assert seen["stopped"] != seen["failed"]


def test_trials_beyond_the_sight_are_as_if_they_were_running() -> None:
    """The first one beyond has a score that would change everything."""
    found = searched()
    best = {found.trials[8].key: Observation("finished", (9.0,))}
    known = {own.key: ends(found)[own.key] for own in found.trials[:8]}
    expected = sampling.suggest(found, known, ENDED)

    assert sampling.suggest(found, known, 8) == expected
    assert sampling.suggest(found, {**ends(found), **best}, 8) == expected
    assert sampling.suggest(found, {**ends(found), **best}, 9) != expected


def test_to_minimise_is_to_maximise_the_negative() -> None:
    up = searched()
    down = dataclasses.replace(up, direction="minimize")
    best = max(up.trials, key=lambda own: score(own.params)).params

    assert suggested(up, ends(up)) == suggested(down, ends(down, -1.0))
    assert suggested(up, ends(up)) != suggested(down, ends(down))
    apart = {
        name: np.mean(
            [
                np.hypot(x - float(best["x"]), y - float(best["y"]))
                for number in range(10)
                for own in [dataclasses.replace(found, name=f"searched {number}")]
                for x, y in [suggested(own, ends(own))]
            ]
        )
        for name, found in (("up", up), ("down", down))
    }
    assert apart["up"] < apart["down"]


@pytest.mark.parametrize("directions", [("maximize", "minimize"), ("minimize", "maximize")])
def test_the_front_of_turned_objectives_is_the_same(directions: tuple[str, str]) -> None:
    plain = searched()
    numbers = np.random.default_rng(3).uniform(0, 1, (ENDED, 2))
    signs = [1 if direction == "maximize" else -1 for direction in directions]
    found = dataclasses.replace(
        plain,
        direction=directions[0],
        also=(Objective(metric="parameters", direction=directions[1]),),
    )
    outcomes = {
        own.key: Observation("finished", (signs[0] * a, signs[1] * b))
        for own, (a, b) in zip(plain.trials, numbers.tolist(), strict=True)
    }
    unbeaten = [
        index
        for index, own in enumerate(numbers)
        if not any((other >= own).all() and (other > own).any() for other in numbers)
    ]

    assert 1 < len(unbeaten) < ENDED
    assert sampling.front(found, outcomes) == unbeaten


def test_who_falls_behind_when_maximising_does_so_of_the_negative_when_minimising() -> None:
    numbers = np.random.default_rng(5)
    for reduction in (2, 3, 4):
        values = numbers.integers(0, 6, (200, 7)).astype(float)  # with ties
        for value, *others in values.tolist():
            up, down = (
                falls_behind(
                    sign * value,
                    [sign * other for other in others],
                    reduction=reduction,
                    peers=2,
                    maximize=sign > 0,
                )
                for sign in (1, -1)
            )
            above = sum(other > value for other in others)
            assert up == down == (above >= max(1, 7 // reduction))
