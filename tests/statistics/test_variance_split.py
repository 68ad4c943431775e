"""Variance split into draws, rows in draws and seeds: against mean squares and a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semisweep.statistics.variance_split import Rows, variance_split


def simulated(
    rows: int, draws: int, seeds: int, stds: tuple[float, float, float], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return numbers of rows whose draws, rows in draws and seeds have such deviations."""
    numbers = np.random.default_rng(seed)
    shared = numbers.normal(0, stds[0], draws)
    own = numbers.normal(0, stds[1], (rows, draws))
    rest = numbers.normal(0, stds[2], (rows, draws, seeds))
    return {
        f"row {r}": {
            f"{d}/{s}": 60 + 3 * r + shared[d] + own[r, d] + rest[r, d, s]
            for d in range(draws)
            for s in range(seeds)
        }
        for r in range(rows)
    }


def by_loops(rows: Rows) -> tuple[float, float, float]:
    """Return the components of a balanced table from its mean squares, written out."""
    names = list(rows)
    draws = sorted({name.partition("/")[0] for name in rows[names[0]]})
    seeds = len(rows[names[0]]) // len(draws)
    cells = {
        (row, draw): [v for name, v in rows[row].items() if name.partition("/")[0] == draw]
        for row in names
        for draw in draws
    }
    mean = {place: sum(values) / seeds for place, values in cells.items()}
    of_row = {row: sum(mean[row, draw] for draw in draws) / len(draws) for row in names}
    of_draw = {draw: sum(mean[row, draw] for row in names) / len(names) for draw in draws}
    grand = sum(of_row.values()) / len(names)
    of_draws = len(names) * seeds * sum((of_draw[draw] - grand) ** 2 for draw in draws)
    both = seeds * sum(
        (mean[row, draw] - of_row[row] - of_draw[draw] + grand) ** 2
        for row in names
        for draw in draws
    )
    within = sum((v - mean[place]) ** 2 for place, values in cells.items() for v in values)
    of_draws /= len(draws) - 1
    both /= (len(draws) - 1) * (len(names) - 1)
    within = within / (len(cells) * (seeds - 1)) if seeds > 1 else math.nan
    own = (both - within) / seeds if seeds > 1 else both
    return (of_draws - both) / (len(names) * seeds), own, within


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_a_balanced_table_gives_its_mean_squares(seeds: int) -> None:
    """Restricted maximum likelihood is the analysis of variance where that has no negative part."""
    rows = simulated(5, 6, seeds, (3.0, 2.0, 0.7))
    expected = by_loops(rows)
    assert all(part > 0 for part in expected if not math.isnan(part))

    found = variance_split(rows)

    assert found is not None
    assert found.draws == 6
    assert found[:3] == pytest.approx(tuple(map(math.sqrt, expected)), rel=2e-3, nan_ok=True)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_truth_is_found_in_a_large_table(seeds: int) -> None:
    found = variance_split(simulated(6, 60, seeds, (2.0, 1.0, 0.5), seed=1))

    assert found is not None
    assert found.draw == pytest.approx(2.0, rel=0.25)
    own = math.hypot(1.0, 0.5) if seeds == 1 else 1.0
    assert found.row_draw == pytest.approx(own, rel=0.15)
    assert seeds == 1 or found.seed == pytest.approx(0.5, rel=0.1)


def test_a_table_that_lacks_trials_is_split_by_what_it_has() -> None:
    rows = simulated(4, 20, 3, (2.0, 1.0, 0.5), seed=2)
    for number, row in enumerate(rows):
        del rows[row][f"{number}/0"], rows[row]["7/2"]

    found = variance_split(rows)

    assert found is not None
    assert found.draw == pytest.approx(2.0, rel=0.4)
    assert found.row_draw == pytest.approx(1.0, rel=0.3)
    assert found.seed == pytest.approx(0.5, rel=0.2)


def test_draws_that_do_nothing_have_no_variance() -> None:
    """The mean square of draws is the smaller one here: a negative variance is shown as 0."""
    rows = {"a": {"0/0": 1.0, "1/0": 2.0, "2/0": 3.0}, "b": {"0/0": 3.0, "1/0": 2.0, "2/0": 1.0}}

    found = variance_split(rows)

    assert found is not None
    assert found.draw == 0
    assert found.row_draw == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"a": {"0/0": 1.0, "1/0": 2.0}},
        {"a": {"0/0": 1.0, "0/1": 2.0}, "b": {"0/0": 1.0, "0/1": 2.0}},
        {"a": {"0/0": 1.0, "1/0": 2.0}, "b": {"1/0": 1.0, "2/0": 2.0}},
    ],
)
def test_one_row_or_one_common_draw_tells_nothing(rows: Rows) -> None:
    assert variance_split(rows) is None
