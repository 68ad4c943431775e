"""Weighted sums of rows: against a mixed model, least squares, paired t tests and known games."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import random_designs
from random_designs import admissible_orders, sums_of
from scipy import stats

from semisweep.statistics.contrast_estimates import (
    NO_BASE,
    Sums,
    as_evidence,
    estimates,
    own_bounds,
)
from semisweep.statistics.design_contrasts import contrasts
from semisweep.statistics.row_spread import spread
from semisweep.statistics.verdicts import Numbers, judge

FACTORIAL = np.array([[-0.5, 0.5, -0.5, 0.5], [1.0, -1.0, -1.0, 1.0], [0.0, -1.0, 0.0, 1.0]])


def table(seed: int = 0, rows: int = 4, units: int = 5, shift: float = 3.0) -> Numbers:
    numbers = np.random.default_rng(seed)
    worth = numbers.normal(60, 2, (rows, 1))
    return np.asarray(
        worth + numbers.normal(0, shift, units) + numbers.normal(0, 1.5, (rows, units))
    )


def exact(weights: Numbers, base: Sequence[int] | None = None) -> Sums:
    """Return sums without sampled orders."""
    count = len(weights)
    return Sums(weights, np.array(base or [NO_BASE] * count), [None] * count, [1.0] * count)


@pytest.mark.parametrize("seed", [0, 1])
def test_complete_tables_are_as_a_mixed_model_with_units_as_groups_has_them(seed: int) -> None:
    from statsmodels.regression.mixed_linear_model import MixedLM

    values = table(seed) - 60
    frame = pd.DataFrame(
        [(row, unit, values[row, unit]) for row in range(4) for unit in range(5)],
        columns=["row", "unit", "value"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of statsmodels
        model = MixedLM.from_formula("value ~ 0 + C(row)", frame, groups="unit")
        fit = model.fit(reml=True, method="powell")
    found = estimates(values, exact(FACTORIAL))
    covariance = fit.cov_params().iloc[:4, :4].to_numpy()

    assert float(fit.cov_re.iloc[0, 0]) > 0
    assert found.mean == pytest.approx(FACTORIAL @ fit.fe_params.to_numpy())
    errors = np.sqrt(np.einsum("kr,rs,ks->k", FACTORIAL, covariance, FACTORIAL))
    assert found.noise == pytest.approx(errors, rel=1e-3)
    assert (found.noise == found.error).all()
    assert found.freedom == pytest.approx(12)


def gaps(values: Numbers) -> Numbers:
    holes = values.copy()
    holes[1, 0] = holes[2, 3] = holes[3, 4] = math.nan
    return holes


def test_tables_that_lack_numbers_are_fitted_by_least_squares_with_rows_and_units() -> None:
    """With an intercept and a first row and unit left out, as a textbook has it."""
    values = gaps(table(2))
    row, unit = np.nonzero(~np.isnan(values))
    columns = [np.ones(len(row)), *(row == own for own in (1, 2, 3)),
               *(unit == own for own in (1, 2, 3, 4))]  # fmt: skip
    design = np.array(columns, dtype=float).T
    numbers = values[row, unit]
    inverse = np.linalg.inv(design.T @ design)
    fit = inverse @ design.T @ numbers
    rest = numbers - design @ fit
    variance = rest @ rest / (len(numbers) - 8)
    asked = np.column_stack([np.zeros(3), FACTORIAL[:, 1:], np.zeros((3, 4))])
    found = estimates(values, exact(FACTORIAL))

    assert found.mean == pytest.approx(asked @ fit)
    errors = np.sqrt(variance * np.einsum("kp,pq,kq->k", asked, inverse, asked))
    assert found.noise == pytest.approx(errors)
    assert found.noise_freedom == len(numbers) - 8
    assert found.n.tolist() == [2, 2, 3]


def test_gaps_do_not_matter_where_there_are_none() -> None:
    """The least squares of a table without gaps, made by one unit that has a single row."""
    values = table(3)
    more = np.column_stack([values, [60.0, math.nan, math.nan, math.nan]])
    found, wider = estimates(values, exact(FACTORIAL)), estimates(more, exact(FACTORIAL))

    assert wider.mean == pytest.approx(found.mean)
    for name in ("own", "noise", "freedom", "row_error", "row_freedom", "n"):
        assert getattr(wider, name) == pytest.approx(getattr(found, name)), name


def test_rows_that_share_no_unit_are_not_compared() -> None:
    values = table(4)
    values[:2, 3:] = values[2:, :3] = math.nan
    found = estimates(values, exact(np.array([[1.0, -1, 0, 0], [0, 0, 1, -1], [1, 0, -1, 0]])))

    assert np.isnan(found.mean).tolist() == [False, False, True]
    assert found.n.tolist() == [3, 2, 0]


def test_of_two_rows_the_own_interval_is_the_paired_one() -> None:
    values = table(5)
    low, high = own_bounds(estimates(values, exact(FACTORIAL)), 0.05)
    difference = stats.ttest_rel(values[3], values[1]).confidence_interval()

    assert (low[2], high[2]) == pytest.approx((difference.low, difference.high), rel=0.01)


@pytest.mark.parametrize("spreads", [(1, 1, 1, 1), (5, 1, 1, 1), (1, 3, 2, 5)])
def test_the_variance_by_rows_is_right_on_average_whatever_their_spreads(
    spreads: tuple[int, ...],
) -> None:
    """The one by all rows is right for sums that have all rows alike, and wrong for the third."""
    numbers = np.random.default_rng(0)
    values = numbers.normal(size=(20_000, 4, 4)) * np.array(spreads)[:, None]
    found = estimates(values + numbers.normal(size=(20_000, 1, 4)), exact(FACTORIAL))
    truth = (FACTORIAL**2) @ np.array(spreads) ** 2 / 4
    seen = (found.row_error**2).mean(axis=0)

    assert seen == pytest.approx(truth, rel=0.08)  # negative variances are taken as 0
    assert seen[2] == pytest.approx(truth[2], rel=0.03)
    pooled = (found.noise**2).mean(axis=0)
    assert pooled[:2] == pytest.approx(truth[:2], rel=0.03)
    if spreads != (1, 1, 1, 1):
        assert pooled[2] != pytest.approx(truth[2], rel=0.15)


def test_its_degrees_of_freedom_are_between_those_of_one_row_and_of_all() -> None:
    even, wide = (np.random.default_rng(1).normal(size=(4000, 8, 5)) for _ in range(2))
    wide[:, 0] *= 50
    weights = np.array([np.tile([-0.25, 0.25], 4)])
    freedoms = [estimates(own, exact(weights)).row_freedom.mean() for own in (even, wide)]

    assert freedoms[0] > 18  # of 28
    assert freedoms[1] == pytest.approx(4, abs=0.2)


def test_they_are_satterthwaites_of_the_covariance_of_residuals() -> None:
    """By the trace formula of a quadratic form, with the variances that were estimated."""
    values, weights = table(10, rows=5, units=6), np.array([0.5, -1.0, 0.75, -0.5, 0.25])
    rest = values - values.mean(axis=1, keepdims=True)
    centred = np.eye(5) - 1 / 5
    scatter = np.diag(centred @ rest @ rest.T @ centred) / 5
    variances = np.linalg.solve(centred**2, scatter)
    form = np.diag(np.linalg.solve(centred**2, weights**2))
    product = form @ centred @ np.diag(variances) @ centred
    found = estimates(values, exact(weights[None]))

    assert (variances > 0).all()
    assert found.row_error[0] == pytest.approx(math.sqrt(weights**2 @ variances / 6))
    expected = 5 * np.trace(product) ** 2 / np.trace(product @ product)
    assert 5 < expected < 20
    assert found.row_freedom[0] == pytest.approx(expected)


def test_many_tables_at_once_are_each_on_its_own() -> None:
    design = random_designs.design("shapley", "abcde", sampled=8)
    asked = sums_of(design)
    values = np.stack([table(seed, rows=len(design.on), units=3) for seed in range(4)])
    found = estimates(values, asked)

    for index, own in enumerate(values):
        alone = estimates(own, asked)
        for name, part in alone._asdict().items():
            whole = np.broadcast_to(getattr(found, name), np.shape(getattr(found, name)))
            expected = whole[index] if whole.ndim > np.ndim(part) else whole
            assert part == pytest.approx(expected, nan_ok=True), name


def sampled(design_seed: int, value: random_designs.Value, count: int, noise: float) -> tuple[
    Numbers, Numbers, Numbers
]:  # fmt: skip
    """Return estimates, standard errors and order parts of many tables of one sampled design."""
    design = random_designs.design("shapley", "abcde", sampled=8, seed=design_seed)
    numbers = np.random.default_rng(design_seed)
    values = np.array(list(random_designs.values(design, value).values()))[:, None]
    values = values + noise * numbers.normal(size=(count, len(design.on), 4))
    asked = sums_of(design)
    found = estimates(values, asked)
    return found.mean, found.error, found.order_std


def three_way(own: frozenset[str]) -> float:
    return 60 + 4 * ("a" in own) + 6 * ({"a", "b", "c"} <= own)


def test_without_noise_the_order_part_is_that_of_a_sample_without_repetition() -> None:
    """Its square is the variance of the mean of four of sixty pairs, on average over samples."""
    every = admissible_orders("abcde", {})
    pairs = [(order, order[::-1]) for order in every if order < order[::-1]]

    def gain(order: tuple[str, ...]) -> float:
        before = frozenset(order[: order.index("a")])
        return three_way(before | {"a"}) - three_way(before)

    marginals = np.array([np.mean([gain(order) for order in pair]) for pair in pairs])
    truth = marginals.var(ddof=1) / 4 * (1 - 4 / 60)
    parts = [sampled(seed, three_way, 1, 0.0) for seed in range(300)]
    means = np.array([own[0][0, 0] for own in parts])

    assert np.mean([own[2][0, 0] ** 2 for own in parts]) == pytest.approx(truth, rel=0.15)
    assert means.var(ddof=1) == pytest.approx(truth, rel=0.2)
    assert means.mean() == pytest.approx(marginals.mean(), abs=4 * math.sqrt(truth / 300))
    for _, error, order_std in parts:
        assert error == pytest.approx(order_std)


def test_a_sample_of_many_of_all_orders_leaves_little_open() -> None:
    """Four of the twelve pairs of four switches, counted one by one, of numbers without noise."""
    design = random_designs.design("shapley", "abcd", sampled=8)
    worth = random_designs.values(design, lambda own: three_way(own) + 3 * ({"b", "d"} <= own))
    values = np.array(list(worth.values()))[:, None] + np.array([0.0, 1.0, 5.0])
    found = estimates(values, sums_of(design))
    for place, asked in enumerate(contrasts(design)):
        gains = [sum(x * worth[row] for row, x in own.items()) for own in asked.orders]
        part = np.var(gains, ddof=1) / 4 * (1 - 4 / 12)
        assert found.order_std[place] ** 2 == pytest.approx(part, abs=1e-9)
    evidence = as_evidence(found)

    assert found.order_std.max() > 0.5
    for name in ("own", "pooled", "base"):
        error = getattr(evidence, name) / math.sqrt(3) * (math.sqrt(2) if name == "pooled" else 1)
        assert error == pytest.approx(found.order_std, abs=1e-6), name


def test_noise_alone_adds_little_to_the_order_part() -> None:
    """Of an additive game orders add nothing; what is left is the part above 0 of chance."""
    parts = [sampled(seed, lambda own: 60.0 + len(own), 200, 2.0) for seed in range(20)]
    errors = np.concatenate([own[1] for own in parts])
    order = np.concatenate([own[2] for own in parts])
    spread_of_means = np.mean([own[0].var(axis=0, ddof=1).mean() for own in parts])

    assert 0.4 < (order == 0).mean() < 0.7
    assert spread_of_means < (errors**2).mean() < 1.6 * spread_of_means


def test_of_one_order_nothing_is_known_of_the_others() -> None:
    design = random_designs.design("shapley", "abcd", sampled=2)
    asked = sums_of(design)
    found = estimates(table(6, rows=len(design.on)), asked)

    assert np.isnan(found.error).all()
    assert np.isnan(found.row_error).all()
    assert not np.isnan(found.mean).any()
    assert np.isnan(judge(as_evidence(found), margin=1.0, alpha=0.05).p).all()


def test_evidence_has_the_standard_errors_of_the_sums() -> None:
    values = table(7)
    found = estimates(values, exact(FACTORIAL, [NO_BASE, NO_BASE, 1]))
    evidence = as_evidence(found)

    assert evidence.pooled * math.sqrt(2 / 5) == pytest.approx(found.noise)
    assert evidence.pooled[2] == pytest.approx(float(spread(values).std))
    assert evidence.base[2] == pytest.approx(float(spread(values).of_row[1]))
    assert evidence.base[:2] / math.sqrt(5) == pytest.approx(found.row_error[:2])
    assert evidence.base_n[:2] - 1 == pytest.approx(found.row_freedom[:2])
    for index, own in enumerate(FACTORIAL):
        assert evidence.own[index] == pytest.approx((own @ values).std(ddof=1))


def test_signs_turn_and_nothing_else() -> None:
    values = table(8)
    found, turned = (estimates(values, exact(sign * FACTORIAL)) for sign in (1, -1))

    assert turned.mean == pytest.approx(-found.mean)
    for name, part in itertools.islice(found._asdict().items(), 1, None):
        if name != "units":
            assert getattr(turned, name) == pytest.approx(part, nan_ok=True), name
