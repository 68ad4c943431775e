"""Weighted sums of rows' means with their noise: arrays in, arrays out.

Numbers are a row's mean plus what its unit of replication does to all rows plus noise: units are
random blocks, rows are fixed. Of complete tables a mixed model with units as groups, fitted by
restricted maximum likelihood (H. D. Patterson and R. Thompson, Biometrika 58, 1971), has the same
estimates and standard errors as this two-way analysis of variance; of tables that lack numbers it
is least squares with rows and units.

There are two standard errors. The first takes the noise from all rows, and verdicts are tested with
it. Where rows spread unequally it is wrong for single sums, so intervals take the second: each row
of the sum has a spread of its own, estimated from these rows alone, with degrees of freedom after
F. E. Satterthwaite (Biometrics Bulletin 2, 1946). Of two rows that is the paired t interval, of the
many rows of a factorial it is hardly wider than the first. A row's own variance, apart from what
units do to all rows, is F. E. Grubbs's (Journal of the American Statistical Association 43, 1948).

Shapley values of sampled orders vary with the orders too. That part is the variance between orders
less what noise alone makes of it, with the correction for a finite number of orders (W. G. Cochran,
Sampling Techniques, 1977, chapter 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semisweep.statistics.row_spread import Spread, spread, two_way
from semisweep.statistics.verdicts import Evidence, Flags, Numbers, bounds

Places = npt.NDArray[np.intp]

TINY = 1e-9  # of a weight, or of a share of what is estimated
NO_BASE = -1


class Sums(NamedTuple):
    """What is asked of a table of R rows: K weighted sums of their means."""

    weights: Numbers  # [K, R], each summing to 0
    base: Places  # [K], the row whose noise is in all sums, or NO_BASE
    orders: Sequence[Numbers | None]  # of each sum, of m sampled orders [m, R], or None: exact
    sampled: Sequence[float]  # m over the number of orders that there are


class Estimates(NamedTuple):
    """The sums of a table, or of many: arrays [..., K]. NaN: the numbers do not tell."""

    mean: Numbers
    n: Numbers  # units that have all rows of the sum
    own: Numbers  # standard deviation of the sum over those
    units: Numbers  # [..., K, U], the sum in each of them, or NaN
    noise: Numbers  # standard error by the noise of all rows, without what orders add
    noise_freedom: int
    order_std: Numbers  # what the sampling of orders adds to it; 0: exact
    error: Numbers  # standard error by the noise of all rows, with that
    freedom: Numbers
    row_error: Numbers  # standard error by the spread of each row, with what orders add
    row_freedom: Numbers
    base: Numbers  # noise of the base row about the mean of the others, NaN without one
    base_n: Numbers  # its units


def estimates(values: Numbers, sums: Sums) -> Estimates:
    """Return weighted sums of rows by units [..., R, U]; NaN is what is not there.

    Only one table [R, U] may lack numbers.
    """
    found = spread(values)
    known = ~np.isnan(values)
    means, covariance, told = _row_means(values, known, sums.weights)
    mean = np.where(told, means @ sums.weights.T, math.nan)
    units = np.stack([_in_units(values, own) for own in sums.weights], axis=-2)
    n = (~np.isnan(units)).sum(axis=-1)
    parts = [
        _errors(values, found, means, covariance, sums, index)
        for index in range(len(sums.weights))
    ]  # fmt: skip
    noise, order_std, error, freedom, row_error, row_freedom = (
        np.stack(own, axis=-1) for own in zip(*parts, strict=True)
    )
    has_base = sums.base != NO_BASE
    return Estimates(
        mean=mean,
        n=n.astype(float),
        own=_std(units, n),
        units=units,
        noise=noise,
        noise_freedom=found.freedom,
        order_std=order_std,
        error=error,
        freedom=freedom,
        row_error=row_error,
        row_freedom=row_freedom,
        base=np.where(has_base, found.of_row[..., sums.base], math.nan),
        base_n=np.where(has_base, known.sum(axis=-1)[..., sums.base], 0).astype(float),
    )


def as_evidence(found: Estimates) -> Evidence:
    """Return estimates as `semisweep.statistics.verdicts.judge` takes paired differences.

    The noise of one replicate is that of which two rows' difference would have the same standard
    error. What orders add does not shrink with units, and is in both. Where no base row is in all
    sums, it is the spread of each row that has to confirm a verdict in its place.
    """
    root = np.sqrt(np.maximum(found.n, 1))
    shared = ~np.isnan(found.base)
    return Evidence(
        mean=found.mean,
        n=found.n,
        own=np.hypot(found.own, root * found.order_std),
        pooled=found.error * root / math.sqrt(2),
        freedom=found.freedom,
        base=np.where(shared, found.base, root * found.row_error),
        base_n=np.where(shared, found.base_n, found.row_freedom + 1),
    )


def own_bounds(found: Estimates, alpha: float) -> tuple[Numbers, Numbers]:
    """Return each sum's own interval at level 1 - alpha, by the spread of each of its rows."""
    from scipy.special import stdtrit

    half = stdtrit(np.maximum(found.row_freedom, 1), 1 - alpha / 2) * found.row_error
    return bounds(found.mean, half)


def _row_means(values: Numbers, known: Flags, weights: Numbers) -> tuple[Numbers, Numbers, Flags]:
    """Return rows' means [..., R], their covariance [R, R] in squared noise, and which sums tell.

    What all means share is left open; sums whose weights sum to 0 do not depend on it.
    """
    rows, count = values.shape[-2:]
    if known.all():
        tells = np.ones(len(weights), dtype=bool)
        return np.asarray(values.mean(axis=-1)), np.diag(np.full(rows, 1 / count)), tells
    columns = two_way(known)
    squares = columns.T @ columns
    inverse: Numbers = np.asarray(np.linalg.pinv(squares, hermitian=True), dtype=np.float64)
    means = (inverse @ columns.T @ values[known])[:rows]
    whole = np.pad(weights, ((0, 0), (0, count)))
    missed = np.abs(whole @ inverse @ squares - whole).max(axis=-1)
    return means, inverse[:rows, :rows], np.asarray(missed < TINY * len(columns))


def _in_units(values: Numbers, weights: Numbers) -> Numbers:
    """Return a sum in each unit [..., U], NaN in those that lack a row of it."""
    own = np.nonzero(weights)[0]
    return np.asarray(np.einsum("...ru,r->...u", values[..., own, :], weights[own]))


def _std(units: Numbers, n: npt.NDArray[np.int_]) -> Numbers:
    """Return the standard deviation over units [..., U] that are not NaN; NaN for fewer than 2."""
    known = ~np.isnan(units)
    middle = np.where(known, units, 0.0).sum(axis=-1) / np.maximum(n, 1)
    squares = np.where(known, (units - middle[..., None]) ** 2, 0.0).sum(axis=-1)
    return np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), math.nan)


def _errors(
    values: Numbers, found: Spread, means: Numbers, covariance: Numbers, sums: Sums, index: int
) -> tuple[Numbers, ...]:
    """Return a sum's standard errors with their degrees of freedom; see `Estimates`."""
    weights, orders = sums.weights[index], sums.orders[index]
    size = _quadratic(covariance, weights)
    noise = found.std * math.sqrt(size)
    row_variance, row_freedom = _by_row(values, weights, size)
    freedom = np.full(noise.shape, float(found.freedom))
    if orders is None:
        nothing = np.zeros_like(noise)
        return noise, nothing, noise, freedom, np.sqrt(row_variance), row_freedom
    m = len(orders)
    left = (1 - sums.sampled[index]) / m  # of the variance between orders, in that of their mean
    if m < 2:
        unknown = np.full_like(noise, math.nan)
        return noise, unknown, unknown, freedom, unknown, row_freedom
    between = (means @ orders.T).var(axis=-1, ddof=1)
    by_noise = found.std**2 * sum(_quadratic(covariance, own - weights) for own in orders) / (m - 1)
    added = left * np.maximum(between - by_noise, 0.0)
    sampling = np.where(added > 0, left * between, 0.0)
    taken = np.where(added > 0, left * by_noise, 0.0)  # from the variance between orders
    error, degrees = _together(noise**2, freedom, sampling, taken, m - 1)
    row_error, row_degrees = _together(row_variance, row_freedom, sampling, taken, m - 1)
    return noise, np.sqrt(added), error, degrees, row_error, row_degrees


def _together(
    noise: Numbers, freedom: Numbers, sampling: Numbers, taken: Numbers, sampling_freedom: int
) -> tuple[Numbers, Numbers]:
    """Return standard error and degrees of freedom of noise + sampling - taken (Satterthwaite)."""
    total = noise + sampling - taken
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = (noise - taken) ** 2 / freedom + sampling**2 / sampling_freedom
        degrees = np.where(sampling > 0, total**2 / parts, freedom)
    return np.sqrt(total), degrees


def _by_row(values: Numbers, weights: Numbers, size: float) -> tuple[Numbers, Numbers]:
    """Return a sum's variance with a spread for each of its rows, and its degrees of freedom.

    Residuals of its rows alone are free of what units do to all rows; each holds some of the other
    rows' noise, which is taken off. NaN and 0 where fewer than two units have all of its rows.
    """
    own = np.nonzero(weights)[0]
    numbers, squares = values[..., own, :], weights[own] ** 2
    if values.ndim == 2:
        numbers = numbers[:, ~np.isnan(numbers).any(axis=0)]
    rows, units = numbers.shape[-2:]
    shape = values.shape[:-2]
    if rows < 2 or units < 2:
        return np.full(shape, math.nan), np.zeros(shape)
    rest = numbers - numbers.mean(axis=-1, keepdims=True)
    rest = rest - rest.mean(axis=-2, keepdims=True)
    scatter = (rest**2).sum(axis=-1) / (units - 1)  # [..., R]
    if rows == 2:
        return size * scatter.sum(axis=-1), np.full(shape, units - 1.0)
    # Of residuals about the mean of R rows, scatter is (R - 2) / R of the own variance and the sum
    # of all variances over R^2.
    everything = scatter.sum(axis=-1, keepdims=True)
    variances = rows / (rows - 2) * (scatter - everything / (rows * (rows - 1)))
    variances = np.maximum(variances, TINY * everything)
    total = variances @ squares
    shares = rows / (rows - 2) * (squares - squares.sum() / (rows * (rows - 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = (units - 1) * total**2 / _half_variance(variances, shares)
    freedom = np.clip(np.nan_to_num(freedom), units - 1.0, (rows - 1.0) * (units - 1))
    return size * total / squares.sum(), freedom


def _half_variance(variances: Numbers, shares: Numbers) -> Numbers:
    """Return half of the variance of a sum of shares [R] of scatter, for one degree of freedom.

    It is shares' S shares, S the squares of the covariance of residuals about the mean of rows:
    sum(v) / R^2 - (v_r + v_q) / R, and v_r more on the diagonal.
    """
    rows, all_shares = len(shares), shares.sum()
    common = variances.sum(axis=-1) / rows**2
    first, second = variances @ shares, variances**2 @ shares
    whole = (common * all_shares) ** 2 - 4 * common * all_shares * first / rows
    whole = whole + 2 * (all_shares * second + first**2) / rows**2
    diagonal = 2 * common * (variances @ shares**2)
    diagonal = diagonal + (1 - 4 / rows) * (variances**2 @ shares**2)
    return np.asarray(whole + diagonal)


def _quadratic(covariance: Numbers, weights: Numbers) -> float:
    return float(weights @ covariance @ weights)
