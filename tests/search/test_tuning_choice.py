"""Which trial of a row's search is chosen, and how many it is to have."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution
from tuned_study import RATE, STUDY, TUNE, Tuned, with_tune

from semisweep import Halving
from semisweep.cluster.job import Job, Outcome
from semisweep.search.tuning_choice import searches_of, trials_of, tuning
from semisweep.store import stopped_trial
from semisweep.store.resolved_search import RungDecision
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request

FULL = ("full", "few")


def scored(values: list[float]) -> Callable[[Mapping[str, Any], str], float]:
    """Return a score that is the next of some values, of the row "full" alone."""
    left = list(values)

    def score(trial: Mapping[str, Any], key: str) -> float:
        return left.pop(0) if trial["config"]["threshold"] > 0.9 else 0.5

    return score


@pytest.mark.parametrize(
    ("direction", "values", "chosen"),
    [
        ("maximize", [0.1, 0.4, 0.2, 0.3], 1),
        ("minimize", [0.2, 0.4, 0.1, 0.3], 2),
        ("maximize", [0.1, 0.4, 0.4, 0.4], 1),
        ("minimize", [0.4, 0.1, 0.1, 0.3], 1),
        ("maximize", [0.1, float("nan"), 0.05, 0.0], 0),
    ],
)
def test_the_best_is_chosen_and_of_equal_ones_the_first(
    tiny_shapes: Path, tmp_path: Path, direction: Any, values: list[float], chosen: int
) -> None:
    study = with_tune(dataclasses.replace(TUNE, direction=direction))
    place = Tuned(tiny_shapes, tmp_path, study, scored(values))
    place.search()
    found = place.tunings()[FULL]
    search = place.store.read_search("tuned~full~few", "mini")

    assert search is not None
    assert (found.number, found.score) == (chosen, values[chosen])
    assert found.params == search.trials[chosen].params
    assert found.failed == sum(value != value for value in values)


def test_a_trial_that_was_stopped_has_ended_and_is_not_chosen(
    tiny_shapes: Path, tmp_path: Path
) -> None:
    study = with_tune(dataclasses.replace(TUNE, halving=Halving(rungs=(0.5,))))
    place = Tuned(tiny_shapes, tmp_path, study, lambda trial, key: 0.5)
    source, count = place.source(), 0
    while job := source.next():
        assert isinstance(job, Job)
        if count < 2:
            assert job.halving is not None
            folder = place.store.trial(job.key)
            own = RungDecision(
                step=1, rung=0.5, value=0.9, stop=True, against={}, search=job.halving.identity
            )
            stopped_trial.append_rung(folder, own)
            stopped_trial.stop(folder, 1, {"run.seconds": 30.0})
            source.done(Outcome(job.key, "stopped"))
        else:
            place.finish(source, job)
        count += 1
    found = place.tunings()

    assert {own.number for own in found.values()} == {1}, "the first of each was stopped"
    assert {own.seconds for own in found.values()} == {3 * 60.0 + 30.0}
    assert {own.failed for own in found.values()} == {0}


def request(**more: Any) -> Request:
    return Request(roots=Roots(Path("nowhere")), **more)


def test_a_search_has_as_many_trials_as_are_declared_or_asked_for() -> None:
    row = STUDY.rows[0]
    assert trials_of(row, request()) == 4
    assert trials_of(row, request(trials=9)) == 9
    assert trials_of(row, request(trials=1)) == 1
    assert trials_of(row, request(smoke=True)) == 2
    none = dataclasses.replace(row, tune=dataclasses.replace(TUNE, trials=None))
    assert trials_of(none, request()) is None


def test_a_grid_has_as_many_as_it_has_points_at_most() -> None:
    rates = {"mini": {RATE: CategoricalDistribution((0.01, 0.02, 0.03))}}
    grid = dataclasses.replace(TUNE, space=rates, sampler="grid", trials=None)
    row = dataclasses.replace(STUDY.rows[0], tune=grid)

    assert trials_of(row, request()) == 3
    assert trials_of(row, request(trials=2)) == 2
    assert trials_of(row, request(trials=9)) == 3


def test_a_table_that_had_more_trials_keeps_their_number(tiny_shapes: Path, tmp_path: Path) -> None:
    table = Tuned(tiny_shapes, tmp_path, trials=6).run().table
    row = STUDY.rows[0]

    assert trials_of(row, request(), table) == 6
    assert trials_of(row, request(trials=2), table) == 2
    assert {own.trials for own in searches_of(STUDY, request(), table).values()} == {6}


def test_without_a_store_nothing_has_begun(tiny_shapes: Path, tmp_path: Path) -> None:
    place = Tuned(tiny_shapes, tmp_path)
    search = searches_of(STUDY, place.request)[FULL]
    found = tuning(search, place.request, place.splits, None)

    assert (found.ended, found.trials, found.params, found.is_barren) == (0, 4, None, False)
