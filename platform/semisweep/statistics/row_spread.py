"""The spread that all rows of a column share, and each row's part in it.

Rows are trained on the same replicates, so a number is taken as a row's mean plus what its
replicate does to all rows plus noise: two-way analysis of variance without interaction. What is
left is the noise of one replicate, pooled over rows: with three replicates of six rows ten degrees
of freedom instead of two. Source: H. Scheffe, The Analysis of Variance, 1959, section 4.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from semisweep.statistics.verdicts import Flags, Numbers

OUTLIER_LEVEL = 0.01  # of a column without any, to have a replicate called apart
OUTLIER_FREEDOM = 4  # degrees of freedom of the noise, below which nothing is called apart
OUTLIER_SHARE = 0.6  # of its row's squares that a replicate that is apart makes up at least


class Spread(NamedTuple):
    """The noise of one unit of replication. Leading axes, if any, are tables."""

    std: Numbers  # pooled over rows [...]; NaN for no degree of freedom
    freedom: int
    of_row: Numbers  # [..., R], of a row about the mean of the others; NaN for fewer than two
    residuals: Numbers  # [..., R, U], NaN where there is no number


def spread(values: Numbers) -> Spread:
    """Return the spread of rows by units of replication [..., R, U]; NaN is what is not there.

    Only one table may lack numbers.
    """
    if not values.size:
        nothing = np.full(values.shape[:-2], math.nan)
        return Spread(nothing, 0, np.full(values.shape[:-1], math.nan), values)
    known = ~np.isnan(values)
    rows = known.sum(axis=-2, keepdims=True)  # [..., 1, U]
    units = known.sum(axis=-1)  # [..., R]
    if known.all():
        residuals = values - values.mean(axis=-1, keepdims=True)
        residuals = residuals - residuals.mean(axis=-2, keepdims=True)
        freedom = (values.shape[-2] - 1) * (values.shape[-1] - 1)
    else:
        residuals, freedom = _fitted(values, known)
    squares = np.nansum(residuals**2, axis=(-2, -1))
    std = np.sqrt(squares / freedom) if freedom > 0 else np.full(values.shape[:-2], math.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        about_others = np.where(rows > 1, residuals * rows / np.maximum(rows - 1, 1), 0.0)
        of_row = np.sqrt(np.nansum(about_others**2, axis=-1) / (units - 1))
    of_row = np.where((units > 1) & ((rows > 1).any(axis=-1)), of_row, math.nan)
    return Spread(np.asarray(std), int(freedom), of_row, residuals)


def as_matrix(rows: Mapping[str, Mapping[str, float]]) -> tuple[Numbers, list[str]]:
    """Return rows by units [R, U], NaN where a row lacks a unit, and the names of the units."""
    units = list(dict.fromkeys(unit for own in rows.values() for unit in own))
    numbers = [[own.get(unit, math.nan) for unit in units] for own in rows.values()]
    return np.array(numbers, dtype=np.float64).reshape(len(rows), len(units)), units


def apart(found: Spread) -> Flags:
    """Return which units of which rows [R, U] lie apart from all others, as a run that collapsed.

    A residual, studentized without itself, has to be too large for a table of them all, and to make
    up most of its row's own squares. Source: R. D. Cook and S. Weisberg, Residuals and Influence in
    Regression, 1982, section 2.2.
    """
    from scipy.special import stdtr

    residuals, freedom = found.residuals, found.freedom
    known = ~np.isnan(residuals)
    count = int(known.sum())
    if freedom < OUTLIER_FREEDOM or not float(found.std) > 0:
        return np.zeros_like(known)
    leverage = freedom / count  # of a residual: its variance over the noise's, on average
    scaled = residuals**2 / leverage
    rest = np.maximum(found.std**2 * freedom - scaled, 0) / (freedom - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        studentized = np.sqrt(scaled / rest)
        share = residuals**2 / np.nansum(residuals**2, axis=-1, keepdims=True)
    p = 2 * stdtr(freedom - 1, -np.abs(np.nan_to_num(studentized)))
    return np.asarray(known & (p * count <= OUTLIER_LEVEL) & (share >= OUTLIER_SHARE))


def two_way(known: Flags) -> Numbers:
    """Return the columns of rows and units [N, R + U] of one table's numbers, where it has them."""
    row, unit = np.nonzero(known)
    columns = np.zeros((len(row), sum(known.shape)))
    places = np.arange(len(row))
    columns[places, row] = 1
    columns[places, known.shape[0] + unit] = 1
    return columns


def _fitted(values: Numbers, known: Flags) -> tuple[Numbers, int]:
    """Return residuals and degrees of freedom of one table [R, U] that lacks some numbers."""
    design = two_way(known)
    numbers = values[known]
    fit, _, rank, _ = np.linalg.lstsq(design, numbers, rcond=None)
    residuals = np.full(values.shape, math.nan)
    residuals[known] = numbers - design @ fit
    return residuals, len(numbers) - int(rank)
