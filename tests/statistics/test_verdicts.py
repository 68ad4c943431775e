"""Verdicts: scipy's tests as oracles, known answers, and what they share with intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from semisweep.core.errors import ConfigError
from semisweep.statistics.alpha_spending import level_at_look
from semisweep.statistics.row_spread import spread
from semisweep.statistics.verdicts import (
    CONFIRMING,
    Evidence,
    bounds,
    confirming,
    decides_alone,
    difference_p,
    holm,
    judge,
    stretched,
)

ROWS = 5  # with the base row, which is the first


def tables(seed: int, n: int, count: int = 300, shift: float = 0.0) -> np.ndarray:
    """Return numbers [T, R, n]: replicates move all rows, and the last row is another."""
    numbers = np.random.default_rng(seed)
    found = numbers.normal(0, 3, (count, 1, n)) + numbers.normal(0, 1, (count, ROWS, n))
    found[:, -1] += shift
    return np.asarray(found)


def evidence(values: np.ndarray) -> Evidence:
    """Return what tables [T, R, n] know of all rows against the first."""
    found, n = spread(values), values.shape[-1]
    differences = values[:, 1:] - values[:, :1]
    return Evidence(
        differences.mean(axis=-1),
        np.float64(n),
        differences.std(axis=-1, ddof=1),
        found.std[:, None],
        np.float64(found.freedom),
        found.of_row[:, :1],
        np.float64(n),
    )


def test_the_p_value_of_a_difference_is_that_of_the_t_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1, (50, 5))
    error = values.std(1, ddof=1) / math.sqrt(5)

    found = difference_p(values.mean(1), error, np.full(50, 4.0))

    assert found == pytest.approx(stats.ttest_1samp(values, 0, axis=1).pvalue)


def test_a_verdict_is_what_three_t_tests_say_in_a_slow_loop() -> None:
    """Each table and row: the pooled test by stepping down, the row's own, and the base row's."""
    alpha, n = 0.05, 4
    values = tables(1, n, shift=2.5)
    found = judge(evidence(values), margin=1.0, alpha=alpha)
    share = CONFIRMING * 2 / (n - 1)
    claimed = 0
    for table, own in enumerate(values):
        rows, freedom = ROWS, (ROWS - 1) * (n - 1)
        grand = own.mean()
        residuals = np.array(
            [
                [own[r, j] - own[r].mean() - own[:, j].mean() + grand for j in range(n)]
                for r in range(rows)
            ]
        )
        pooled = math.sqrt((residuals**2).sum() / freedom)
        about = own[0] - own[1:].mean(axis=0)
        base_error = about.std(ddof=1) / math.sqrt(n)
        effects = [float(stretched((own[r] - own[0]).mean())) for r in range(1, rows)]
        p = [
            2 * stats.t.sf(abs(effect) / (pooled * math.sqrt(2 / n)), freedom) for effect in effects
        ]
        rejected = set()
        for step, index in enumerate(np.argsort(p)):
            if p[index] > alpha / (rows - 1 - step):
                break
            rejected.add(int(index))
        for row in range(rows - 1):
            own_error = (own[row + 1] - own[0]).std(ddof=1) / math.sqrt(n)
            alone = 2 * stats.t.sf(abs(effects[row]) / own_error, n - 1)
            base = 2 * stats.t.sf(abs(effects[row]) / base_error, n - 1)
            expected = row in rejected and alone <= share and base <= 0.6 * share
            assert expected == (found.better | found.worse)[table, row]
            claimed += expected

    assert claimed > 50


def test_equivalence_takes_both_one_sided_tests_of_each_noise() -> None:
    values = tables(2, 8) * 0.3
    own = evidence(values)
    found = judge(own, margin=1.0, alpha=0.05)
    differences = values[:, 1:] - values[:, :1]
    above = stats.ttest_1samp(differences, -1, axis=-1, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, 1, axis=-1, alternative="less").pvalue

    assert 0.3 < found.equivalent.mean() < 1
    least = confirming(np.float64(8), ROWS - 1, 0.05)[0]
    assert (np.maximum(above, below)[found.equivalent] <= least).all()


def test_a_verdict_lies_outside_its_interval_and_a_single_one_always() -> None:
    """Bonferroni's interval leaves out nothing that Holm keeps; of one comparison they agree."""
    values = tables(3, 3, shift=6.0)
    own = evidence(values)
    found = judge(own, margin=1.0, alpha=0.04)
    outside = (found.low > 0) | (found.high < 0)
    assert outside.sum() > 100
    assert not (outside & ~(found.better | found.worse)).any()

    last = Evidence(*(np.broadcast_to(part, own.mean.shape)[:, -1:] for part in own))
    alone = judge(last, margin=1.0, alpha=0.04)
    assert (((alone.low > 0) | (alone.high < 0)) == (alone.better | alone.worse)).all()


def test_intervals_of_differences_stay_within_what_differences_can_be() -> None:
    mean, half = np.array([-98.0, -40.0, 0.0, 3.0, 99.0]), np.array([1e3, 80.0, 250.0, 4.0, 1e9])

    low, high = bounds(mean, half)

    assert (low >= -100).all()
    assert (high <= 100).all()
    assert (low < mean).all()
    assert (mean < high).all()
    assert (low[3], high[3]) == pytest.approx((-1, 7), abs=0.02)


def test_small_differences_count_as_they_are() -> None:
    assert float(stretched(np.array(5.0))) == pytest.approx(5, rel=0.002)
    assert float(stretched(np.array(250.0))) == 250  # of numbers that are no percentages


def test_a_confirmation_falls_to_what_the_correction_asks_for() -> None:
    levels = [float(confirming(np.float64(n), 5, 0.04)[0]) for n in (3, 5, 9, 30)]

    assert levels == pytest.approx([0.04, 0.02, 0.01, 0.008])


def test_many_replicates_of_few_comparisons_decide_alone() -> None:
    """At the first look of any number; of the whole 5 % the other tests have to confirm."""
    level = level_at_look(1)
    alone = [[bool(decides_alone(np.float64(n), m, level)) for n in (3, 5, 9)] for m in (1, 2, 5)]

    assert alone == [[True, True, True], [False, True, True], [False, False, False]]
    assert not decides_alone(np.float64(9), 1, 0.05)

    values = tables(6, 5, shift=2.0)[:, [0, -1]]
    found = judge(evidence(values), margin=1.0, alpha=level)
    effect = stretched((values[:, 1] - values[:, 0]).mean(axis=-1))
    error = (values[:, 1] - values[:, 0]).std(axis=-1, ddof=1) / math.sqrt(5)
    assert found.p[:, 0] == pytest.approx(2 * stats.t.sf(np.abs(effect) / error, 4))


def test_fewer_than_three_units_are_not_judged() -> None:
    found = judge(evidence(tables(4, 2, shift=50.0)), margin=1.0, alpha=0.05)

    assert np.isnan(found.p).all()
    assert np.isnan(found.low).all()
    assert not (found.better | found.worse | found.equivalent).any()


def test_what_does_not_vary_is_certain() -> None:
    zero = np.array([0.0])
    assert difference_p(np.array([0.5]), zero, np.array([2.0])) == 0
    assert difference_p(zero, zero, np.array([2.0])) == 1


def test_one_pair_has_no_p_value() -> None:
    assert np.isnan(difference_p(np.array([1.0]), np.array([math.nan]), np.array([0.0])))


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


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_must_be_positive(margin: float) -> None:
    with pytest.raises(ConfigError, match=f"margin={margin}"):
        judge(evidence(tables(5, 3, count=1)), margin=margin, alpha=0.05)


def test_a_level_must_be_a_probability() -> None:
    with pytest.raises(ConfigError, match="alpha=0"):
        judge(evidence(tables(5, 3, count=1)), margin=1.0, alpha=0)
