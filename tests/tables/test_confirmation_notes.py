"""What is said of the best of a search: its new trials alone, and whether they separate it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import resolved

from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import Confirmation, Direction, ResolvedSearch
from semisweep.store.trial_records import Result
from semisweep.tables.confirmation_notes import Again, confirmation_notes, trained_again

METRIC = "last.val.miou"
Scores = Mapping[int, Sequence[float]]  # of each of the best, the new ones; one short: it failed


def told(
    found: Sequence[float],
    scores: Scores,
    direction: Direction = "maximize",
    *,
    unfinished: bool = False,
    draws: bool = True,
) -> tuple[list[Again], list[str]]:
    """Return what a table has of a search of some scores as found and new ones."""
    search = confirmed(len(found), scores, direction, draws=draws)
    results, failed = {}, []
    for number, trials in search.confirmations[0].chosen.items():
        for place, key in enumerate(trials.values()):
            if place < len(scores[number]):
                results[key] = Result(key, {METRIC: scores[number][place]})
            elif not unfinished:
                failed.append(key)
    ends = {f"k{n}": Observation("finished", (score,)) for n, score in enumerate(found)}
    again = trained_again(search, results, failed)
    return again, list(confirmation_notes(search, ends, again))


def confirmed(
    trials: int, numbers: Sequence[int] | Scores, direction: Direction, *, draws: bool = True
) -> ResolvedSearch:
    """Return a search some of whose trials are trained again on three new seeds."""
    chosen = {
        number: {
            f"{seed if draws else 0}/{seed}": f"k{number} again {seed}" for seed in range(1, 4)
        }
        for number in numbers
    }
    search = resolved.search([f"k{n}" for n in range(trials)], direction=direction)
    own = Confirmation(number=0, after=trials, chosen=chosen)
    return dataclasses.replace(search, confirmations=(own,))


def test_the_best_by_the_new_trials_is_called_best_and_told_from_the_second() -> None:
    again, notes = told(
        [0.70, 0.721, 0.71],
        {1: [0.68, 0.69, 0.70], 2: [0.70, 0.712, 0.718], 0: [0.6, 0.6, 0.6]},
    )

    assert [own.number for own in again] == [2, 1, 0]
    assert again[0].text(METRIC) == "71.00 ± 0.92 (3)"
    assert notes == [
        "Best of the search: #2 (71.00 as found; again 71.00 ± 0.92 over 3 new seeds and draws), "
        "separated from #1: +2.00 [+1.50, +2.50] over 3 pairs (t test at 5 %).",
        "Scores as found are too high, as the best of many noisy ones are chosen for their luck, "
        "too: here by +4.37 on average over 3 trained again.",
    ]


def test_a_pair_that_the_seeds_do_not_separate_is_said_not_to_be() -> None:
    _, notes = told([0.7, 0.7], {0: [0.60, 0.70, 0.65], 1: [0.66, 0.61, 0.64]}, draws=False)

    assert "#0 (70.00 as found; again 65.00 ± 5.00 over 3 new seeds), not separated fr" in notes[0]


def test_what_is_to_be_low_is_best_where_it_is_lowest() -> None:
    again, notes = told(
        [0.1, 0.2], {0: [0.3, 0.31, 0.32], 1: [0.2, 0.21, 0.222]}, direction="minimize"
    )

    assert [own.number for own in again] == [1, 0]
    assert ", separated from #0: +9.93 [+9.65, +10.22] over" in notes[0]
    assert notes[1].startswith("Scores as found are too low")
    assert "here by +11.03 on average over 2 trained again" in notes[1]


def test_before_all_have_ended_none_is_called_best() -> None:
    again, notes = told([0.7, 0.6], {0: [0.7], 1: [0.6, 0.6, 0.6]}, unfinished=True)

    assert again[1].text(METRIC) == "70.00 (1 of 3)"
    assert notes == [
        "Being confirmed: 4 of 6 new trials of #0, #1 have ended; none is called best before all "
        "have."
    ]


def test_where_each_has_failed_once_none_is_called_best() -> None:
    again, notes = told([0.7, 0.6], {0: [0.7], 1: []})

    assert {own.text(METRIC) for own in again} == {"70.00 (1 of 3)", "failed"}
    assert notes == ["Not confirmed: of each of the best a new trial has failed."]


def test_trials_that_have_finished_since_are_told() -> None:
    search = confirmed(3, [0], "maximize")
    ends = {f"k{n}": Observation("finished", (0.1,)) for n in range(5)}
    again = trained_again(search, {}, [])
    *_, last = confirmation_notes(search, ends, again)

    assert last.startswith("2 trials have finished since the best were confirmed;")


@pytest.mark.parametrize("searches", [200, pytest.param(4000, marks=pytest.mark.statistics)])
def test_of_equal_trials_the_best_as_found_is_too_high_and_its_new_mean_is_not(
    searches: int,
) -> None:
    """Of 30 trials of true score 60 and noise 1; bounds are 4 deviations of the simulation."""
    numbers = np.random.default_rng(0)
    found, again, best, separated = [], [], [], 0
    for _ in range(searches):
        scores = numbers.normal(0.60, 0.01, 30)
        order = np.argsort(-scores)[:3]
        new = {int(number): numbers.normal(0.60, 0.01, 3).tolist() for number in order}
        own, notes = told(scores.tolist(), new)
        found.append(100 * scores.max() - 60)
        again.append(np.mean([100 * entry.mean_std[0] - 60 for entry in own]))
        best.append(100 * own[0].mean_std[0] - 60)
        separated += ", separated from" in notes[0]
    print(
        f"\nof 30 equal trials (sd 1) the best as found is {np.mean(found):+.2f} off; the best 3 "
        f"again {np.mean(again):+.3f}, "
        f"the best of them {np.mean(best):+.2f}; separated {100 * separated / searches:.1f} %"
    )

    assert 1.8 < np.mean(found) < 2.3
    assert abs(np.mean(again)) < 4 / np.sqrt(9 * searches)
    assert np.mean(best) < 0.6  # what is left of it: the best of three means of three
    assert separated / searches <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / searches)
