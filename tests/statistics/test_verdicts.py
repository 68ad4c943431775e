"""Verdicts: scipy's tests as oracles, known answers, and the power that is promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from semisweep.core.errors import ConfigError
from semisweep.statistics.intervals import Difference, interval, mean_std
from semisweep.statistics.verdicts import (
    MOST_REPLICATES,
    decide,
    difference_p,
    equivalence_p,
    further_replicates,
    holm,
    judge,
    power_of_difference,
    power_of_equivalence,
)


def difference(*values: float) -> Difference:
    mean, std = mean_std(values)
    return Difference(mean, *interval(values), len(values), std)


def arrays(*values: float) -> list[np.ndarray]:
    return [np.asarray(float(value)) for value in values]


def test_the_p_value_of_a_difference_is_that_of_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, (50, 5))

    found = difference_p(values.mean(1), values.std(1, ddof=1), np.full(50, 5.0))

    assert found == pytest.approx(stats.ttest_1samp(values, 0, axis=1).pvalue)


def test_the_p_value_of_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, (50, 5))
    above = stats.ttest_1samp(values, -1, axis=1, alternative="greater").pvalue
    below = stats.ttest_1samp(values, 1, axis=1, alternative="less").pvalue

    found = equivalence_p(values.mean(1), values.std(1, ddof=1), np.full(50, 5.0), 1.0)

    assert found == pytest.approx(np.maximum(above, below))


def test_what_does_not_vary_is_certain() -> None:
    assert difference_p(*arrays(0.5, 0, 3)) == 0
    assert difference_p(*arrays(0, 0, 3)) == 1
    assert equivalence_p(*arrays(0, 0, 3), 1.0) == 0
    assert equivalence_p(*arrays(2, 0, 3), 1.0) == 1


def test_one_pair_has_no_p_value() -> None:
    assert math.isnan(difference_p(*arrays(1, math.nan, 1)))
    assert math.isnan(equivalence_p(*arrays(1, math.nan, 1), 1.0))


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    """0.01 x 4, 0.02 x 3, 0.022 x 2 raised to the one before, 0.5 x 1."""
    assert holm([0.5, 0.02, 0.01, 0.022]) == pytest.approx([0.5, 0.06, 0.04, 0.06])


def test_holm_rejects_what_stepping_down_rejects() -> None:
    """The definition: go on while the i-th smallest is at most alpha / (m - i), else stop."""
    numbers = np.random.default_rng(2)
    for _ in range(200):
        p = numbers.uniform(0, 0.06, 5)
        rejected = set()
        for step, index in enumerate(np.argsort(p)):
            if p[index] > 0.05 / (5 - step):
                break
            rejected.add(int(index))

        assert set(np.flatnonzero(holm(p) <= 0.05)) == rejected


def test_holm_counts_what_is_missing_and_works_along_the_last_axis() -> None:
    found = holm([[0.01, math.nan, math.nan], [0.6, 0.01, 0.02]])

    assert found[0] == pytest.approx([0.03, math.nan, math.nan], nan_ok=True)
    assert found[1] == pytest.approx([0.6, 0.03, 0.04])


def test_the_four_verdicts() -> None:
    found = decide(
        [
            difference(5.0, 5.1, 4.9, 5.0),
            difference(-5.0, -5.1, -4.9, -5.0),
            difference(0.05, -0.05, 0.1, -0.08),
            difference(4.0, -3.0, 1.0, 2.0),
        ],
        margin=1.0,
        alpha=0.05,
    )

    words = [decision.verdict for decision in found if decision is not None]
    assert words == ["better", "worse", "equivalent", "inconclusive"]
    assert [decision.further is None for decision in found if decision is not None] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_difference_that_is_there_but_small_is_both() -> None:
    (decision,) = decide([difference(0.3, 0.31, 0.29, 0.3)], margin=1.0, alpha=0.05)

    assert decision is not None
    assert (decision.verdict, decision.within_margin) == ("better", True)


def test_a_comparison_that_waits_is_none_and_counts() -> None:
    clear = difference(1.0, 1.2, 0.9)
    alone = decide([clear], margin=1.0, alpha=0.05)[0]
    among = decide([clear, None, None], margin=1.0, alpha=0.05)

    assert alone is not None
    assert among[0] is not None
    assert among[0].p == pytest.approx(3 * alone.p)
    assert among[1:] == [None, None]


def test_a_single_pair_is_inconclusive_and_cannot_say_for_how_long() -> None:
    (decision,) = decide([difference(9.0)], margin=1.0, alpha=0.05)

    assert decision is not None
    assert (decision.verdict, decision.further) == ("inconclusive", None)
    assert math.isnan(decision.p)


def test_no_comparison_has_no_decision() -> None:
    assert decide([], margin=1.0, alpha=0.05) == []


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_must_be_positive(margin: float) -> None:
    with pytest.raises(ConfigError, match=f"margin={margin}"):
        judge([1.0], [1.0], [3], margin=margin, alpha=0.05)


def test_a_level_must_be_a_probability() -> None:
    with pytest.raises(ConfigError, match="alpha=0"):
        decide([], margin=1.0, alpha=0)


def test_the_power_of_a_t_test_has_its_textbook_value() -> None:
    """Half a standard deviation at 5 % with power 0.8 takes 34 pairs."""
    assert power_of_difference(0.5, 1, 33, 0.05) < 0.8 < power_of_difference(0.5, 1, 34, 0.05)


@pytest.mark.parametrize(("mean", "n"), [(0.0, 8), (0.3, 20)])
def test_the_power_of_equivalence_is_what_simulation_finds(mean: float, n: int) -> None:
    values = np.random.default_rng(3).normal(mean, 1, (20_000, n))
    p = equivalence_p(values.mean(1), values.std(1, ddof=1), np.full(20_000, float(n)), 1.0)

    assert power_of_equivalence(mean, 1, n, 1.0, 0.05) == pytest.approx(
        (p <= 0.05).mean(), abs=0.015
    )


def test_a_difference_as_large_as_the_margin_is_never_equivalent() -> None:
    assert power_of_equivalence(1.0, 0.1, 100, 1.0, 0.05) == 0
    assert power_of_equivalence(-1.5, 0.1, 100, 1.0, 0.05) == 0


@pytest.mark.parametrize(("mean", "std"), [(1.0, 1.5), (-2.0, 2.0), (0.1, 0.9), (0.5, 0.8)])
def test_the_further_replicates_are_the_least_that_reach_the_power(mean: float, std: float) -> None:
    levels = {"alpha": 0.01, "alpha_equivalent": 0.02}
    count = further_replicates(mean, std, 3, margin=1.0, **levels)
    assert count is not None

    def power(n: int) -> float:
        return max(
            power_of_difference(mean, std, n, 0.01), power_of_equivalence(mean, std, n, 1.0, 0.02)
        )

    assert power(3 + count) >= 0.8
    assert all(power(n) < 0.8 for n in range(3, 3 + count))


def test_further_replicates_have_an_end() -> None:
    levels = {"margin": 1.0, "alpha": 0.01, "alpha_equivalent": 0.01}

    assert further_replicates(0.5, 100.0, 3, **levels) == MOST_REPLICATES
    assert further_replicates(0.5, math.nan, 1, **levels) is None
    assert further_replicates(1.0, 0.0, 3, **levels) is None
