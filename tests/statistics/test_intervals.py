"""Statistics: known answers, and the coverage that intervals promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semisweep.statistics.intervals import (
    Difference,
    Noise,
    by_unit,
    interval,
    mean_std,
    noise,
    paired_difference,
    several_draws,
)


def test_mean_and_standard_deviation_have_their_textbook_values() -> None:
    assert mean_std([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx((5, math.sqrt(32 / 7)))


def test_one_value_has_a_mean_and_no_spread() -> None:
    mean, std = mean_std([3.0])

    assert mean == 3.0
    assert math.isnan(std)


def test_no_value_has_neither() -> None:
    assert all(math.isnan(number) for number in mean_std([]))


@pytest.mark.parametrize(
    ("n", "level", "quantile"),
    [(3, 0.95, 4.30265), (5, 0.95, 2.77645), (3, 0.99, 9.92484)],
)
def test_the_interval_uses_students_quantiles(n: int, level: float, quantile: float) -> None:
    """The quantiles are those of printed tables. These numbers are no percentages."""
    values = [float(index) - 1 for index in range(n)]
    mean, std = mean_std(values)

    low, high = interval(values, level)

    assert (high - low) / 2 == pytest.approx(quantile * std / math.sqrt(n), rel=1e-5)
    assert (high + low) / 2 == pytest.approx(mean)


def test_fewer_than_three_values_have_no_interval() -> None:
    """That of two is 25 standard errors wide, and has been read as one."""
    few: tuple[list[float], ...] = ([], [1.0], [60.0, 70.0])
    assert all(math.isnan(bound) for values in few for bound in interval(values))


@pytest.mark.parametrize(
    "values", [[69.0, 71.0, 71.9], [99.0, 99.9, 94.0], [0.5, 4.0, 0.1], [20.0, 80.0, 95.0]]
)
def test_the_interval_of_percentages_stays_among_them(values: list[float]) -> None:
    low, high = interval(values, 0.999)

    assert 0 < low < mean_std(values)[0] < high < 100


def test_the_interval_of_percentages_is_that_of_students_where_it_is_narrow() -> None:
    values = [70.1, 70.4, 69.9, 70.2]
    mean, std = mean_std(values)

    low, high = interval(values)

    assert (low, high) == pytest.approx((mean - 1.5912 * std, mean + 1.5912 * std), abs=0.005)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert interval([0.5, 0.5, 0.5]) == pytest.approx((0.5, 0.5))


def test_a_difference_pairs_the_replicates_that_both_have() -> None:
    a = {"0/0": 10.0, "0/1": 20.0, "0/2": 31.0, "0/7": 1000.0}
    b = {"0/2": 30.0, "0/1": 18.0, "0/0": 7.0, "0/9": -1000.0}

    difference = paired_difference(a, b)

    assert difference.mean == pytest.approx(2)
    assert difference.units == {"0/0": 3.0, "0/1": 2.0, "0/2": 1.0}
    assert (difference.n, difference.std) == (3, 1)


def test_without_a_common_replicate_there_is_no_difference() -> None:
    difference = paired_difference({"0/0": 1.0}, {"0/1": 1.0})

    assert math.isnan(difference.mean)
    assert math.isnan(difference.std)
    assert difference.n == 0


def test_seeds_are_averaged_within_their_draw_where_there_are_several() -> None:
    b = {f"{draw}/{seed}": 0.0 for draw in range(3) for seed in range(2)}
    a = {"0/0": 1.0, "0/1": 3.0, "1/0": 4.0, "1/1": 4.0, "2/0": 5.0, "2/1": 7.0}

    difference = paired_difference(a, b)

    assert difference == Difference(4, 3, 2, {"0": 2.0, "1": 4.0, "2": 6.0})


def test_a_draw_weighs_the_same_with_one_seed_as_with_many() -> None:
    values = {"0/0": 0.0, "1/0": 9.0, "1/1": 9.0, "1/2": 9.0}

    assert by_unit(values, draws=True) == {"0": 0.0, "1": 9.0}
    assert by_unit(values, draws=False) == values


def test_a_draw_that_is_only_planned_already_makes_draws_the_unit() -> None:
    a, b = {"0/0": 1.0, "0/1": 2.0}, {"0/0": 0.0, "0/1": 0.0}

    assert paired_difference(a, b).n == 2
    assert paired_difference(a, b, planned=["0/0", "1/0"]).n == 1


def test_draws_are_told_from_seeds() -> None:
    assert several_draws(["0/0", "1/0"])
    assert not several_draws(["0/0", "0/1"])
    assert not several_draws([])


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """2000 samples of three: 95 % coverage within four binomial standard deviations."""
    numbers = np.random.default_rng(0)
    bounds = [interval(list(numbers.normal(0.7, 0.05, 3))) for _ in range(2000)]

    covered = sum(low <= 0.7 <= high for low, high in bounds) / len(bounds)

    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_draws_as_units_keep_the_promise_that_seeds_as_units_break() -> None:
    """Three draws of five seeds with nothing between the arms: how often is 50 left out?"""
    numbers = np.random.default_rng(1)
    false, naive = 0, 0
    for _ in range(1000):
        effect = 50 + numbers.normal(0, 1, (3, 1)) + numbers.normal(0, 1, (3, 5))
        a = {f"{draw}/{seed}": effect[draw, seed] for draw in range(3) for seed in range(5)}
        difference = paired_difference(a, dict.fromkeys(a, 0.0))
        low, high = interval(list(difference.units.values()))
        false += not low <= 50 <= high
        low, high = interval(list(a.values()))
        naive += not low <= 50 <= high

    assert abs(false / 1000 - 0.05) < 4 * math.sqrt(0.05 * 0.95 / 1000)
    assert naive / 1000 > 0.2


def test_the_noise_has_its_chi_squared_interval() -> None:
    """Nine degrees of freedom: 9 s squared over the printed quantiles 19.0228 and 2.70039."""
    found = noise(1.7, 9, [], draws=False, level=0.95)

    low, high = (1.7 * math.sqrt(9 / quantile) for quantile in (19.0228, 2.70039))
    assert found[:5] == pytest.approx((1.7, low, high, 9, 1.7 * math.sqrt(2)), rel=1e-5)
    assert math.isnan(found.within)


def test_the_noise_of_draws_stands_beside_that_of_their_seeds() -> None:
    """Pooled over rows: squares 2 + 0 + 0.5 with three degrees of freedom."""
    rows = [
        {"0/0": 1.0, "0/1": 3.0, "1/0": 7.0, "1/1": 7.0, "2/0": 4.5},
        {"0/0": 1.0, "0/1": 2.0, "1/0": 5.0},
    ]

    found = noise(1.0, 2, rows, draws=True, level=0.95)

    assert found.within == pytest.approx(math.sqrt(2.5 / 3))
    assert math.isnan(noise(1.0, 2, [{"0/0": 1.0, "1/0": 2.0}], draws=True, level=0.95).within)


def test_no_degree_of_freedom_says_nothing_of_noise() -> None:
    assert noise(math.nan, 0, [], draws=False, level=0.95) == pytest.approx(
        Noise(math.nan, math.nan, math.nan, 0, math.nan, math.nan), nan_ok=True
    )


def test_the_interval_of_the_noise_covers_the_true_one_as_often_as_it_says() -> None:
    numbers = np.random.default_rng(2)
    samples = numbers.normal(0, 2, (2000, 4)).std(axis=1, ddof=1)
    found = [noise(float(std), 3, [], draws=False, level=0.95) for std in samples]

    covered = sum(item.low <= 2 <= item.high for item in found) / len(found)

    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)
