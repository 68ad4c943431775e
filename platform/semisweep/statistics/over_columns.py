"""The effect of a row over all columns of a table, beside the verdicts on single columns.

Columns are blocks: each has noise of its own, and the mean over these very columns is asked for,
not over others that a study could have had. Its interval is Welch's, as columns of few labelled
images vary more (F. E. Satterthwaite, Biometrics Bulletin 2, 1946; B. L. Welch, Biometrika 34,
1947). The probability of improvement is the share of paired replicates in which the row is above
the base row (R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical
precipice", NeurIPS 2021, there of unpaired runs). Its interval is exact (C. J. Clopper and
E. S. Pearson, Biometrika 26, 1934): a bootstrap of three replicates is too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from semisweep.statistics.intervals import FEWEST, mean_std
from semisweep.statistics.verdicts import bounds

Differences = Sequence[Mapping[str, float]]  # a column each: unit of replication -> difference


class OverColumns(NamedTuple):
    """The mean difference of a row over columns, and how often it is above the base row."""

    delta: float
    low: float
    high: float
    columns: int
    improved: float  # share of pairs, from 0 to 1; ties count half; NaN where columns share trials
    improved_low: float
    improved_high: float
    pairs: int


def over_columns(columns: Differences, level: float, *, shared: bool) -> OverColumns | None:
    """Return the effect over columns with intervals at `level`; None of fewer than two columns.

    `shared`: columns are several scores of the same trials, so that they are no independent
    blocks. Then the unit is the replicate, of which the columns are averaged, and there is no
    probability. Bounds are NaN where a column has a single replicate, or all share fewer than
    three.
    """
    if len(columns) < 2 or not all(columns):
        return None
    if shared:
        return _of_shared(columns, level)
    found = [mean_std(list(own.values())) for own in columns]
    delta = math.fsum(mean for mean, _ in found) / len(columns)
    sizes = [len(own) for own in columns]
    parts = [(std / len(found)) ** 2 / n for (_, std), n in zip(found, sizes, strict=True)]
    total, freedom = math.fsum(parts), math.nan
    if total > 0:  # which NaN is not
        squares = (part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
        freedom = total**2 / math.fsum(squares)
    low, high = _interval(delta, math.sqrt(total), freedom, level)
    values = [value for own in columns for value in own.values()]
    return OverColumns(delta, low, high, len(columns), *_improvement(values, level), len(values))


def _of_shared(columns: Differences, level: float) -> OverColumns | None:
    units = [unit for unit in columns[0] if all(unit in own for own in columns)]
    means = [math.fsum(own[unit] for own in columns) / len(columns) for unit in units]
    if not means:
        return None
    delta, std = mean_std(means)
    few = len(means) < FEWEST
    error = math.nan if few else std / math.sqrt(len(means))
    low, high = _interval(delta, error, len(means) - 1, level)
    nothing = (math.nan, math.nan, math.nan)
    return OverColumns(delta, low, high, len(columns), *nothing, len(means))


def _interval(delta: float, error: float, freedom: float, level: float) -> tuple[float, float]:
    if not error > 0 or not freedom > 0:
        return math.nan, math.nan
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    low, high = bounds(np.array(delta), np.array(half))
    return float(low), float(high)


def _improvement(values: Sequence[float], level: float) -> tuple[float, float, float]:
    """Return the share of differences above 0, and its exact interval."""
    from scipy.special import betaincinv

    count, tail = len(values), (1 - level) / 2
    above = sum((value > 0) + 0.5 * (value == 0) for value in values)
    least, most = math.floor(above), math.ceil(above)
    low = float(betaincinv(least, count - least + 1, tail)) if least else 0.0
    high = float(betaincinv(most + 1, count - most, 1 - tail)) if most < count else 1.0
    return above / count, low, high
