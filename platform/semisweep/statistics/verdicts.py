"""Verdicts on paired differences: better, worse, equivalent or inconclusive, over a whole table.

A verdict on a row takes three t tests. The first takes the noise from all rows of the column
(`semisweep.statistics.row_spread`) and is corrected after Holm over the comparisons of its family:
it finds far more than a row's own three differences. It would err where spreads disagree, so the
row's own differences, and the base row about all others, have to confirm it, each at an uncorrected
level that falls with the number of replicates. Where that is the level of the correction, with many
replicates or few comparisons, a row's own differences decide alone. Simulations of tables with
spreads of 1:5, of long tails and of skewed numbers hold it to its level (tests/statistics).

Two families of hypotheses are tested so: "there is no difference" and "the difference is as large
as the margin" (two one-sided tests: D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15,
1987). Rejecting the first says better or worse, rejecting the second equivalent. Each errs in at
most `alpha` of tables, whatever the comparisons share, such as their base row. Arrays end in the
comparisons of a family; differences are percentage points.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semisweep.core.errors import ConfigError
from semisweep.statistics.intervals import FEWEST, WHOLE

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CONFIRMING = 0.04  # the level at which three differences of a row on their own have to confirm
ROUNDING = 1e-9  # of a level that is a product
BASE_SHARE = 0.6  # of that level, for the base row: it is in all comparisons at once


class Evidence(NamedTuple):
    """What is known of some comparisons: arrays [..., M], or what broadcasts to that."""

    mean: Numbers  # of the paired differences
    n: Numbers  # their number
    own: Numbers  # their standard deviation
    pooled: Numbers  # the noise of one replicate, from all rows of the column
    freedom: Numbers  # its degrees of freedom
    base: Numbers  # the noise of the base row about the mean of the others
    base_n: Numbers


class Judgement(NamedTuple):
    """What follows for each comparison; NaN: no test."""

    p: Numbers  # of "there is no difference", the largest of the three tests', corrected
    p_equivalent: Numbers  # of "the difference is as large as the margin", likewise
    better: Flags
    worse: Flags
    equivalent: Flags  # may hold beside better or worse: a difference that is there, but small
    low: Numbers  # of the interval that holds for all comparisons of the family at once
    high: Numbers


def judge(found: Evidence, *, margin: float, alpha: float) -> Judgement:
    """Return the verdicts on a family of comparisons; higher means are better.

    A comparison without a standard deviation (NaN), or of fewer than three units, decides nothing
    but counts in the correction. Intervals are corrected after Bonferroni. Raises `ConfigError`
    unless the margin is positive and alpha between 0 and 1.
    """
    check(margin, alpha)
    found = Evidence(*np.broadcast_arrays(*(np.asarray(part, float) for part in found)))
    effect = stretched(found.mean)
    p = _combined(found, np.abs(effect), alpha, sides=2)
    p_equivalent = _combined(found, margin - np.abs(found.mean), alpha, sides=1)
    half = half_width(found, alpha)
    low, high = bounds(found.mean, half)
    differs = p <= alpha
    return Judgement(p, p_equivalent, differs & (effect > 0), differs & (effect < 0),
                     p_equivalent <= alpha, low, high)  # fmt: skip


def check(margin: float, alpha: float) -> None:
    """Raise `ConfigError` unless the margin is positive and alpha between 0 and 1."""
    if not 0 < margin < math.inf:
        raise ConfigError(
            f"an equivalence margin must be positive and finite, got margin={margin}; "
            "state the largest difference, in the unit of the metric, that would not matter"
        )
    if not 0 < alpha < 1:
        raise ConfigError(f"a significance level must lie between 0 and 1, got alpha={alpha}")


def half_width(found: Evidence, alpha: float) -> Numbers:
    """Return half the width of each interval: the widest of the three tests'."""
    from scipy.special import stdtrit

    size = found.mean.shape[-1]
    own, base = confirming(found.n, size, alpha)
    errors, freedoms = _errors(found), _freedoms(found)
    levels = (np.full_like(own, alpha / max(size, 1)), own, base)
    with np.errstate(invalid="ignore"):
        halves = [
            error * stdtrit(freedom, 1 - level / 2)
            for error, freedom, level in zip(errors, freedoms, levels, strict=True)
        ]
        alone = errors[1] * stdtrit(freedoms[1], 1 - levels[0] / 2)
    return _judged(
        np.where(decides_alone(found.n, size, alpha), alone, np.max(halves, axis=0)), found
    )


def confirming(n: Numbers, size: int, alpha: float) -> tuple[Numbers, Numbers]:
    """Return the levels at which a row's own differences, and the base row, have to confirm.

    They fall as 2 / (n - 1) to the corrected level of a family of `size`, which is enough alone.
    """
    with np.errstate(divide="ignore"):
        level = min(alpha, CONFIRMING) * 2 / np.maximum(n - 1, 1)
    least = alpha / max(size, 1)
    return np.maximum(level, least), np.maximum(BASE_SHARE * level, least)


def decides_alone(n: Numbers, size: int, alpha: float) -> Flags:
    """Return where a row's own differences decide, without the noise of other rows.

    Not at the whole of 5 %: with skewed numbers t tests themselves err in a little more.
    """
    return np.asarray((2 * size <= n - 1) & (alpha < CONFIRMING + ROUNDING))


def stretched(difference: Numbers) -> Numbers:
    """Return differences of percentages as they count against standard errors.

    Intervals are made on the scale of the inverse hyperbolic tangent, so that they cannot leave
    [-100, 100]; a test has to agree with them. Small differences are what they were.
    """
    share = np.clip(difference / WHOLE, -0.999999, 0.999999)
    inside = np.abs(difference) < WHOLE
    return np.where(inside, WHOLE * np.arctanh(share) * (1 - share**2), difference)


def bounds(difference: Numbers, half: Numbers) -> tuple[Numbers, Numbers]:
    """Return the interval of differences of percentages; see `stretched`."""
    inside = np.abs(difference) < WHOLE
    share = np.clip(difference / WHOLE, -0.999999, 0.999999)
    step = half / WHOLE / (1 - share**2)
    middle = np.arctanh(share)
    low, high = WHOLE * np.tanh(middle - step), WHOLE * np.tanh(middle + step)
    return np.where(inside, low, difference - half), np.where(inside, high, difference + half)


def difference_p(mean: Numbers, error: Numbers, freedom: Numbers) -> Numbers:
    """Return the two-sided p-value of Student's t test; NaN where there is no standard error."""
    from scipy.special import stdtr  # scipy.stats takes four times as long to import

    known = ~np.isnan(error) & (freedom > 0)
    p = np.minimum(1.0, 2 * stdtr(np.maximum(freedom, 1), -np.abs(_ratio(mean, error))))
    return np.where(known, p, math.nan)


def holm(p: npt.ArrayLike) -> Numbers:
    """Return p-values [..., M] corrected for all M of them; NaN stays NaN, and counts.

    Source: S. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    raw = np.asarray(p, dtype=np.float64)
    known = np.where(np.isnan(raw), 1.0, raw)
    order = np.argsort(known, axis=-1, kind="stable")
    steps = np.take_along_axis(known, order, axis=-1) * np.arange(raw.shape[-1], 0, -1)
    stepped = np.minimum(1.0, np.maximum.accumulate(steps, axis=-1))
    corrected = np.empty_like(stepped)
    np.put_along_axis(corrected, order, stepped, axis=-1)
    return np.where(np.isnan(raw), np.nan, corrected)


def _combined(found: Evidence, effect: Numbers, alpha: float, *, sides: int) -> Numbers:
    """Return the largest p-value of the three tests, scaled so that all are judged at alpha."""
    from scipy.special import stdtr

    errors, freedoms = _errors(found), _freedoms(found)
    with np.errstate(invalid="ignore"):
        pooled, own, base = (
            np.minimum(1.0, sides * stdtr(freedom, -_ratio(effect, error)))
            for error, freedom in zip(errors, freedoms, strict=True)
        )
    own_level, base_level = confirming(found.n, effect.shape[-1], alpha)
    alone = decides_alone(found.n, effect.shape[-1], alpha)
    corrected = holm(_judged(np.where(alone, own, pooled), found))
    confirmed = np.minimum(1.0, np.maximum(own * alpha / own_level, base * alpha / base_level))
    return _judged(np.where(alone, corrected, np.maximum(corrected, confirmed)), found)


def _errors(found: Evidence) -> tuple[Numbers, Numbers, Numbers]:
    """Return the standard errors of the mean difference: by all rows, its own, the base row's."""
    root = np.sqrt(np.maximum(found.n, 1))
    return found.pooled * math.sqrt(2) / root, found.own / root, found.base / root


def _freedoms(found: Evidence) -> tuple[Numbers, Numbers, Numbers]:
    least = 1.0  # what has none is not judged
    parts = (found.freedom, found.n - 1, found.base_n - 1)
    pooled, own, base = (np.maximum(part, least) for part in parts)
    return pooled, own, base


def _ratio(effect: Numbers, error: Numbers) -> Numbers:
    """Return effect over standard error: infinite where nothing varies, and 0 for 0 over 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((effect == 0) & (error == 0), 0.0, effect / error)


def _judged(values: Numbers, found: Evidence) -> Numbers:
    """Return values with NaN where there are too few units, or no spread."""
    missing = np.isnan(found.own) | np.isnan(found.pooled) | np.isnan(found.base)
    few = (found.n < FEWEST) | (found.base_n < FEWEST) | (found.freedom < 1)
    return np.where(missing | few | np.isnan(found.mean), math.nan, values)
