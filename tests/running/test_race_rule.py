"""Who is behind in a race: by an oracle of its own, on data of all kinds and on their mirror."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from semisweep.running.race_run import Behind, behind

PLANNED = [f"0/{seed}" for seed in range(8)]
Values = dict[str, dict[str, float]]


def values(seed: int, rows: int = 5, missing: float = 0.0) -> Values:
    """Return numbers of rows that lie apart or not, of which a share is missing."""
    numbers = np.random.default_rng(seed)
    means = numbers.choice([0.0, 0.2, 1.0, 3.0], rows) + numbers.normal(0, 0.05, rows)
    drawn = means[:, None] + numbers.normal(0, 2, 6) + numbers.normal(0, 0.2, (rows, 6))
    there = numbers.uniform(size=drawn.shape) >= missing
    return {
        f"row {row}": {PLANNED[i]: float(drawn[row, i]) for i in range(6) if there[row, i]}
        for row in range(rows)
    }


def mirrored(given: Values) -> Values:
    return {row: {name: -value for name, value in own.items()} for row, own in given.items()}


def expected(given: Values, base: str, level: float, comparisons: int) -> dict[str, float]:
    """Return the rows that are behind the best and by how much: scipy's test, Holm step by step."""
    means = {row: np.mean(list(own.values())) for row, own in given.items() if own}
    best = max(means, key=lambda row: means[row])
    tests = {}
    for row in set(means) - {best, base}:
        common = sorted(given[row].keys() & given[best].keys())
        if len(common) > 1:
            pair = [[given[name][own] for own in common] for name in (row, best)]
            found = stats.ttest_rel(*pair)
            tests[row] = (float(found.pvalue), float(np.mean(np.subtract(*pair))))
    behind_by, left, largest = {}, comparisons, 0.0
    for row, (p, delta) in sorted(tests.items(), key=lambda item: item[1]):
        largest = max(largest, p * left)
        left -= 1
        if largest <= level and delta < 0:
            behind_by[row] = delta
    return behind_by


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_rows_behind_are_those_of_a_loop_over_pairs(missing: float) -> None:
    """Each is worse than the best one, on the replicates that both have."""
    stopped = 0
    for seed in range(150):
        for given in (values(seed, missing=missing), mirrored(values(seed, missing=missing))):
            found = behind(given, "row 0", PLANNED, 0.02, 10)

            assert {own.row: own.delta for own in found} == pytest.approx(
                expected(given, "row 0", 0.02, 10)
            ), seed
            assert all(own.delta < 0 for own in found)
            stopped += len(found)
    assert stopped > 150


def test_in_mirrored_data_the_best_is_stopped_and_the_worst_goes_on() -> None:
    """Three rows that lie far apart: all but the best one are stopped, in either direction."""
    numbers = np.random.default_rng(0)
    given = {
        row: {name: mean + float(numbers.normal(0, 0.1)) for name in PLANNED[:6]}
        for row, mean in (("base", 5.0), ("low", 0.0), ("high", 10.0))
    }
    up, down = (behind(own, "base", PLANNED, 0.01, 3) for own in (given, mirrored(given)))

    assert [(own.row, own.best) for own in up] == [("low", "high")]
    assert [(own.row, own.best) for own in down] == [("high", "low")]
    assert up[0][2:] == pytest.approx(down[0][2:])
    everything: list[Behind] = behind(given, "absent", PLANNED, 0.01, 3)
    assert {own.row for own in everything} == {"base", "low"}


def test_a_row_that_is_better_wherever_both_have_finished_is_never_stopped() -> None:
    """The best one by its mean has no trials of the two replicates that are hard for all."""
    easy, hard = PLANNED[:4], PLANNED[4:6]
    given = {
        "base": dict.fromkeys(PLANNED[:6], 0.0),
        "lucky": {name: 60 + 0.01 * index for index, name in enumerate(easy)},
        "better": {name: 65 - 0.01 * index for index, name in enumerate(easy)}
        | dict.fromkeys(hard, 10.0),
    }

    assert behind(given, "base", PLANNED, 0.05, 3) == []
