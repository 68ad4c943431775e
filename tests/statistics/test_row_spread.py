"""The noise of all rows: a slow fit as an oracle, tables with gaps, and runs that collapse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semisweep.statistics.row_spread import apart, as_matrix, spread


def table(seed: int, rows: int = 5, units: int = 4, scale: float = 1.0) -> np.ndarray:
    numbers = np.random.default_rng(seed)
    shared = numbers.normal(0, 3, (1, units)) + numbers.normal(0, 5, (rows, 1))
    return np.asarray(shared + numbers.normal(0, scale, (rows, units)))


def fitted_by_turns(values: np.ndarray) -> np.ndarray:
    """Return residuals after taking row means and unit means off in turns until nothing moves."""
    residuals = values.copy()
    for _ in range(2000):
        residuals = residuals - np.nanmean(residuals, axis=1, keepdims=True)
        residuals = residuals - np.nanmean(residuals, axis=0, keepdims=True)
    return residuals


def test_the_noise_is_what_rows_and_units_leave() -> None:
    values = table(0)
    found = spread(values)

    assert found.residuals == pytest.approx(fitted_by_turns(values))
    assert found.freedom == 12
    assert float(found.std) == pytest.approx(math.sqrt((fitted_by_turns(values) ** 2).sum() / 12))


def test_of_two_rows_it_is_that_of_their_paired_differences() -> None:
    values = table(1, rows=2)
    difference = values[1] - values[0]
    found = spread(values)

    assert math.sqrt(2) * float(found.std) == pytest.approx(difference.std(ddof=1))
    assert found.of_row == pytest.approx(np.full(2, difference.std(ddof=1)))


def test_a_rows_own_noise_is_that_about_the_mean_of_the_others() -> None:
    values = table(2)
    about = values[1] - np.delete(values, 1, axis=0).mean(axis=0)

    assert spread(values).of_row[1] == pytest.approx(about.std(ddof=1))


def test_rows_may_lack_units() -> None:
    values = table(3)
    values[0, 3] = values[2, 0] = math.nan
    found = spread(values)
    residuals = fitted_by_turns(values)

    assert found.residuals == pytest.approx(residuals, nan_ok=True)
    assert found.freedom == 10
    assert float(found.std) == pytest.approx(math.sqrt(np.nansum(residuals**2) / 10))


def test_many_tables_at_once_are_each_on_its_own() -> None:
    values = np.stack([table(seed) for seed in range(6)])
    found = spread(values)

    for index, own in enumerate(values):
        alone = spread(own)
        assert found.std[index] == pytest.approx(float(alone.std))
        assert found.of_row[index] == pytest.approx(alone.of_row)


@pytest.mark.parametrize("shape", [(1, 4), (3, 1), (0, 0), (2, 0)])
def test_what_has_nothing_to_compare_has_no_noise(shape: tuple[int, int]) -> None:
    found = spread(np.zeros(shape))

    assert found.freedom == 0
    assert math.isnan(float(found.std))
    assert np.isnan(found.of_row).all()


def test_a_matrix_has_the_units_of_all_rows() -> None:
    values, units = as_matrix({"a": {"0": 1.0, "1": 2.0}, "b": {"1": 5.0, "2": 6.0}})

    assert units == ["0", "1", "2"]
    assert values == pytest.approx(np.array([[1, 2, math.nan], [math.nan, 5, 6]]), nan_ok=True)


def test_a_run_that_collapsed_lies_apart_and_others_do_not() -> None:
    values = table(4, rows=4, units=5)
    assert not apart(spread(values)).any()

    values[2, 1] -= 30
    expected = np.zeros_like(values, dtype=bool)
    expected[2, 1] = True

    assert (apart(spread(values)) == expected).all()


@pytest.mark.parametrize(("rows", "units"), [(3, 3), (6, 3), (6, 10), (12, 5)])
def test_hardly_a_table_without_a_collapse_has_one(rows: int, units: int) -> None:
    """One in a hundred is allowed; 2.4 % would be exceeded by chance once in a thousand."""
    found = [apart(spread(table(seed, rows, units))).any() for seed in range(500)]

    assert np.mean(found) < 0.024


def test_a_row_that_varies_more_throughout_is_no_collapse() -> None:
    found = []
    for seed in range(300):
        values = table(seed, rows=6, units=10)
        values[1] += np.random.default_rng(seed).normal(0, 5, 10)
        found.append(apart(spread(values)).any())

    assert np.mean(found) < 0.2
