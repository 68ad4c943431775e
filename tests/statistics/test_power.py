"""What a design can find: simulations that share nothing but the verdicts, and textbook values."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from semisweep.statistics.power import (
    COUNTS,
    MOST_REPLICATES,
    detectable,
    further_replicates,
    replicates_for,
)
from semisweep.statistics.row_spread import spread
from semisweep.statistics.verdicts import Evidence, judge


def power(effect: float, rows: int, n: int, alpha: float, tables: int = 4000) -> float:
    """Return how often a row that is better by `effect` is said to be, of all rows compared."""
    numbers = np.random.default_rng(7).normal(size=(tables, rows, n))
    numbers[:, 1] += effect
    found = spread(numbers)
    differences = numbers[:, 1:] - numbers[:, :1]
    judged = judge(
        Evidence(
            differences.mean(axis=-1), np.float64(n), differences.std(axis=-1, ddof=1),
            found.std[:, None], np.float64(found.freedom), found.of_row[:, :1], np.float64(n),
        ),
        margin=1e-6,
        alpha=alpha,
    )  # fmt: skip
    return float(judged.better[:, 0].mean())


@pytest.mark.parametrize(("rows", "n"), [(3, 3), (6, 3), (6, 5), (12, 10)])
def test_the_smallest_detectable_difference_is_found_in_four_of_five_tables(
    rows: int, n: int
) -> None:
    effect = detectable(rows, n, rows - 1, 0.04)

    assert power(effect, rows, n, 0.04) == pytest.approx(0.8, abs=0.04)


def test_with_many_replicates_it_is_that_of_the_t_test() -> None:
    """At 5 % and power 0.8 it is 2.80 standard errors, here of a difference of a hundred pairs."""
    assert detectable(2, 100, 1, 0.05) == pytest.approx(2.80 * math.sqrt(2 / 100), rel=0.08)


def test_it_falls_with_replicates_and_rises_with_comparisons() -> None:
    by_count = [detectable(6, count, 5, 0.04) for count in (*COUNTS, 400)]
    by_comparisons = [detectable(6, 5, number, 0.04) for number in (1, 2, 5, 20)]

    assert all(a > b for a, b in itertools.pairwise(by_count))
    assert all(a < b for a, b in itertools.pairwise(by_comparisons))
    assert math.isinf(detectable(6, 2, 5, 0.04))


def test_the_replicates_for_a_difference_are_those_that_detect_it() -> None:
    for count in (3, 5, 10, 50):
        effect = np.array([detectable(6, count, 2, 0.04)])
        assert float(replicates_for(effect, 6, 2, 0.04)[0]) == pytest.approx(count, rel=1e-6)


@pytest.mark.parametrize("effect", [1.2, 2.5])
def test_a_range_of_further_replicates_holds_in_eighty_of_a_hundred(effect: float) -> None:
    """At least so often; of tables of five rows and four replicates, whatever they conclude."""
    rows, n, alpha, comparisons, margin = 5, 4, 0.005, 2, 0.3
    numbers = np.random.default_rng(3).normal(size=(1000, rows, n))
    numbers[:, 1] += effect
    found = spread(numbers)
    means = (numbers[:, 1] - numbers[:, 0]).mean(axis=-1)
    truth = math.ceil(float(replicates_for(np.array([effect]), rows, comparisons, alpha)[0])) - n
    held = 0
    for mean, std in zip(means, found.std, strict=True):
        told = further_replicates(
            float(mean), float(std), found.freedom, n,
            rows=rows, comparisons=comparisons, margin=margin, alpha=alpha,
        )  # fmt: skip
        assert told is not None
        held += told.low <= truth <= told.high

    assert 0.77 < held / 1000 < 0.95


def test_few_replicates_tell_nothing_of_further_ones_and_a_range_has_an_end() -> None:
    levels = {"rows": 4, "comparisons": 2, "margin": 1.0, "alpha": 0.01}

    assert further_replicates(2.0, 1.0, 6, 3, **levels) is None
    assert further_replicates(math.nan, 1.0, 6, 5, **levels) is None
    assert further_replicates(1.0, 0.0, 6, 5, **levels) is None
    wide = further_replicates(0.5, 100.0, 12, 5, **levels)
    assert wide is not None
    assert wide.high == MOST_REPLICATES
    assert 1 <= wide.low <= wide.high
