"""Rows behind the best: all pairs in a slow loop, and what chance alone puts behind."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from semisweep.statistics.best_rows import behind_best, not_separated

Rows = dict[str, dict[str, float]]


def rows(means: list[float], units: int, seed: int, scale: float = 1.0) -> Rows:
    numbers = np.random.default_rng(seed)
    shared = numbers.normal(0, 3, units)
    values = np.array(means)[:, None] + shared + numbers.normal(0, scale, (len(means), units))
    return {f"{r}": {f"{u}": float(x) for u, x in enumerate(own)} for r, own in enumerate(values)}


def test_a_row_is_behind_where_the_pooled_test_of_all_pairs_and_its_own_say_so() -> None:
    claimed = 0
    for seed in range(60):
        found = rows([0.0, 0.0, 3.0, 1.0], 5, seed)
        values = np.array([list(own.values()) for own in found.values()])
        residuals = values - values.mean(axis=1, keepdims=True)
        residuals -= residuals.mean(axis=0)
        pooled = math.sqrt((residuals**2).sum() / 12)
        best = int(values.mean(axis=1).argmax())
        expected = set()
        for row in set(range(4)) - {best}:
            difference = values[row] - values[best]
            t = abs(difference.mean()) / (pooled * math.sqrt(2 / 5))
            p = 2 * stats.t.sf(t, 12) * len(list(itertools.combinations(range(4), 2)))
            alone = stats.ttest_1samp(difference, 0).pvalue
            if p <= 0.05 and alone <= 0.04 * 2 / 4:
                expected.add(f"{row}")
        behind = behind_best(found, 0.05)
        assert {item.row for item in behind} == expected
        assert {item.best for item in behind} <= {f"{best}"}
        claimed += len(expected)

    assert claimed > 30


def test_equal_rows_are_rarely_behind() -> None:
    """Of eight rows the worst is compared with the best, and no pair is named beforehand."""
    found = sum(bool(behind_best(rows([0.0] * 8, 5, seed), 0.05)) for seed in range(1000))

    assert found <= stats.binom.ppf(0.999, 1000, 0.05)


def test_rows_that_cannot_be_told_from_the_best_are_named_if_any_can() -> None:
    clear = rows([0.0, 10.0, 9.9, 3.0], 6, 0, scale=0.5)

    assert not_separated(clear, 0.05) == {"1", "2"}
    assert not_separated(rows([0.0] * 4, 6, 1), 0.05) == frozenset()


@pytest.mark.parametrize("units", [1, 2])
def test_fewer_than_three_replicates_put_nothing_behind(units: int) -> None:
    assert behind_best(rows([0.0, 50.0], units, 0), 0.05) == []
    assert not_separated(rows([0.0, 50.0], units, 0), 0.05) == frozenset()


def test_a_single_row_is_behind_nothing() -> None:
    assert behind_best(rows([0.0], 5, 0), 0.05) == []
    assert behind_best({}, 0.05) == []
