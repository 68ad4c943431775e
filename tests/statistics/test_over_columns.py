"""Effects over all columns: against loops, scipy's own intervals, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from semisweep.statistics.over_columns import over_columns

COLUMNS = [
    {"0": 1.0, "1": 2.5, "2": 0.5},
    {"0": -0.5, "1": 1.5, "2": 0.0},
    {"0": 3.0, "1": 2.0, "2": 2.5, "3": 1.0},
]


def test_the_mean_is_that_of_columns_and_pairs_are_counted() -> None:
    found = over_columns(COLUMNS, 0.95, shared=False)
    above = total = 0.0
    for column in COLUMNS:
        for value in column.values():
            total += 1
            above += 1 if value > 0 else 0.5 if value == 0 else 0

    assert found is not None
    assert found.delta == pytest.approx((4 / 3 + 1 / 3 + 8.5 / 4) / 3)
    assert (found.improved, found.pairs, found.columns) == (above / total, total, 3)


def test_the_interval_of_two_columns_is_welchs() -> None:
    """A mean of two columns is half the difference of one and the other with its sign turned."""
    a, b = (list(column.values()) for column in COLUMNS[::2])
    welch = stats.ttest_ind(a, [-value for value in b], equal_var=False).confidence_interval(0.9)

    found = over_columns(COLUMNS[::2], 0.9, shared=False)

    assert found is not None
    assert (found.low, found.high) == pytest.approx((welch.low / 2, welch.high / 2), rel=1e-2)


@pytest.mark.parametrize("above", range(7))
def test_the_interval_of_a_share_is_the_exact_one(above: int) -> None:
    values = [1.0] * above + [-1.0] * (6 - above)
    columns = [dict(enumerate_names(values[:3])), dict(enumerate_names(values[3:]))]
    exact = stats.binomtest(above, 6).proportion_ci(0.96, method="exact")

    found = over_columns(columns, 0.96, shared=False)

    assert found is not None
    assert (found.improved_low, found.improved_high) == pytest.approx((exact.low, exact.high))


def enumerate_names(values: list[float]) -> list[tuple[str, float]]:
    return [(str(at), value) for at, value in enumerate(values)]


def test_columns_of_the_same_trials_have_the_replicate_as_unit() -> None:
    found = over_columns(COLUMNS, 0.95, shared=True)
    means = [(1.0 - 0.5 + 3.0) / 3, (2.5 + 1.5 + 2.0) / 3, (0.5 + 0.0 + 2.5) / 3]
    low, high = stats.ttest_1samp(means, 0).confidence_interval(0.95)

    assert found is not None
    assert found.delta == pytest.approx(sum(means) / 3)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-2)
    assert found.pairs == 3
    assert math.isnan(found.improved)


def test_intervals_cover_the_truth_where_columns_vary_differently() -> None:
    numbers = np.random.default_rng(3)
    stds, truths = (3.0, 1.0, 0.5), (1.0, 2.0, -1.0)
    chance = float(np.mean([stats.norm.cdf(t / s) for t, s in zip(truths, stds, strict=True)]))
    inside = likely = 0
    for _ in range(2000):
        columns = [
            dict(enumerate_names(numbers.normal(truth, std, 4).tolist()))
            for truth, std in zip(truths, stds, strict=True)
        ]
        found = over_columns(columns, 0.95, shared=False)
        assert found is not None
        inside += found.low <= sum(truths) / 3 <= found.high
        likely += found.improved_low <= chance <= found.improved_high

    assert inside / 2000 >= 0.935
    assert likely / 2000 >= 0.95


def test_one_column_tells_nothing_and_single_replicates_have_no_interval() -> None:
    assert over_columns(COLUMNS[:1], 0.95, shared=False) is None
    assert over_columns([{}, {"0": 1.0}], 0.95, shared=False) is None
    assert over_columns([{"0": 1.0}, {"1": 1.0}], 0.95, shared=True) is None
    found = over_columns([{"0": 1.0}, {"0": 2.0, "1": 1.0}], 0.95, shared=False)
    assert found is not None
    assert math.isnan(found.low)
    few = over_columns([{"0": 1.0, "1": 2.0}] * 2, 0.95, shared=True)
    assert few is not None
    assert math.isnan(few.high)
