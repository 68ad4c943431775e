"""Kendall's tau of published and own order: scipy as an oracle, and its interval's promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from semisweep.statistics.order_agreement import Agreement, agreement

PUBLISHED = [67.4, 68.6, 70.3, 71.6]


def noisy(means: list[float], units: int, seed: int, spread: float = 1.0) -> np.ndarray:
    """Return [units, rows]: units differ by much, rows within a unit by `spread`."""
    numbers = np.random.default_rng(seed)
    shared = numbers.normal(0, 5, (units, 1))
    return np.array(means) + shared + numbers.normal(0, spread, (units, len(means)))


def test_tau_is_that_of_scipy() -> None:
    for seed in range(20):
        ours = noisy([0.0, 0.5, 1.0, 1.5], 5, seed)
        found = agreement([(PUBLISHED, ours)])

        assert found is not None
        assert found.tau == pytest.approx(stats.kendalltau(PUBLISHED, ours.mean(axis=0)).statistic)
        assert found.low <= found.tau <= found.high


def test_clear_rows_leave_no_doubt_in_either_direction() -> None:
    ours = noisy([0.0, 10.0, 20.0, 30.0], 5, 0, spread=0.1)

    assert agreement([(PUBLISHED, ours)]) == Agreement(1, 1, 1, 6, 6, 6, 6)
    assert agreement([(PUBLISHED[::-1], ours)]) == Agreement(-1, -1, -1, 0, 6, 6, 0)


def test_one_replicate_leaves_everything_open() -> None:
    assert agreement([(PUBLISHED, noisy([0.0, 9.0, 18.0, 27.0], 1, 0))]) == Agreement(
        1, -1, 1, 6, 6, 0, 0
    )


def test_pairs_of_all_columns_count_together() -> None:
    up = noisy([0.0, 10.0], 5, 0, spread=0.1)

    assert agreement([([1.0, 2.0], up), ([2.0, 1.0], up)]) == Agreement(0, 0, 0, 1, 2, 2, 1)


def test_rows_published_as_equal_have_no_order() -> None:
    found = agreement([([1.0, 1.0, 2.0], noisy([0.0, 5.0, 10.0], 5, 0, spread=0.1))])

    assert found == Agreement(1, 1, 1, 2, 2, 2, 2)


def test_rows_that_are_the_same_trials_are_known_to_be_equal() -> None:
    ours = np.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]])

    assert agreement([([1.0, 2.0], ours)]) == Agreement(0, 0, 0, 0, 1, 1, 0)


def test_without_a_pair_there_is_no_order() -> None:
    assert agreement([]) is None
    assert agreement([([1.0], noisy([0.0], 3, 0))]) is None


def test_the_interval_covers_the_true_tau_at_least_as_often_as_it_says() -> None:
    """One of six pairs is truly in the other order, and neighbours are hard to tell apart."""
    truth = [0.0, 1.5, 1.0, 3.0]
    true_tau = stats.kendalltau(PUBLISHED, truth).statistic
    found = [agreement([(PUBLISHED, noisy(truth, 4, seed))]) for seed in range(2000)]

    missed = sum(not item.low <= true_tau <= item.high for item in found if item is not None)
    width = np.mean([item.high - item.low for item in found if item is not None])

    assert missed <= stats.binom.ppf(0.999, 2000, 0.05)
    assert width < 1.9
    assert not math.isclose(true_tau, 1)
