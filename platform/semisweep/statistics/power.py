"""What a design can find: the smallest difference it detects, and the replicates a verdict takes.

Both are of the tests of `semisweep.statistics.verdicts`, from tables of normal numbers that were
drawn once with a fixed seed: three tests at once have no formula.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from semisweep.statistics.intervals import FEWEST
from semisweep.statistics.row_spread import spread
from semisweep.statistics.verdicts import Evidence, Numbers, half_width

POWER = 0.8
TABLES = 1000  # drawn for each count of replicates
MOST_ROWS = 8  # of a table that is drawn: further rows add little to the pooled noise
MOST_REPLICATES = 1000  # beyond which nobody would go, and the count is given as "more than"
COUNTS = (3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100)  # of replicates that are drawn
FEWEST_TOLD = 4  # units of replication from which a number of further ones is told
RANGE = (0.1, 0.9)  # of what the numbers at hand allow, that a range of further ones covers
STEPS = 20  # of each of the two unknowns that such a range is taken over


class Further(NamedTuple):
    """How many more units of replication a verdict would take: a range that holds in 80 %."""

    low: int
    high: int  # `MOST_REPLICATES` stands for that many or more


@lru_cache(maxsize=1024)
def detectable(rows: int, n: int, comparisons: int, alpha: float) -> float:
    """Return the smallest difference that is found with a probability of 0.8.

    In standard deviations of one replicate's noise, of a table of `rows` with the base row, trained
    on `n` replicates each, with `comparisons` to be corrected for. Infinite where nothing is
    judged.
    """
    if n < FEWEST or rows < 2:
        return math.inf
    if n > COUNTS[-1]:
        return detectable(rows, COUNTS[-1], comparisons, alpha) * math.sqrt(COUNTS[-1] / n)
    numbers = np.random.default_rng(0).normal(size=(TABLES, min(rows, MOST_ROWS), n))
    found = spread(numbers)
    differences = numbers[:, 1] - numbers[:, 0]
    one = np.ones((TABLES, max(comparisons, 1)))
    evidence = Evidence(
        mean=differences.mean(axis=-1)[:, None] * one,
        n=n * one,
        own=differences.std(axis=-1, ddof=1)[:, None] * one,
        pooled=found.std[:, None] * one,
        freedom=found.freedom * one,
        base=found.of_row[:, :1] * one,
        base_n=n * one,
    )
    needed = half_width(evidence, alpha)[:, 0] - evidence.mean[:, 0]
    return float(np.quantile(needed, POWER))


def further_replicates(
    mean: float,
    std: float,
    freedom: float,
    n: int,
    *,
    rows: int,
    comparisons: int,
    margin: float,
    alpha: float,
) -> Further | None:
    """Return how many more replicates a verdict takes; None where too few tell nothing.

    A verdict is there when the difference is found, or is shown to be within the margin. `std` is
    the noise of one replicate with its degrees of freedom, `alpha` that of the next look. The range
    covers 80 % of the differences and noises that these numbers allow (their fiducial
    distribution), so where it ends is no promise.
    """
    if n < FEWEST_TOLD or freedom < 1 or not (math.isfinite(mean) and std > 0):
        return None
    from scipy.special import chdtri, ndtri

    places = (np.arange(STEPS) + 0.5) / STEPS
    noise = std * np.sqrt(freedom / chdtri(freedom, places))[:, None]
    truth = mean + noise * math.sqrt(2 / n) * ndtri(places)
    effect = np.maximum(np.abs(truth), margin - np.abs(truth)) / noise
    more = np.ceil(replicates_for(effect, rows, comparisons, alpha) - 1e-9) - n
    low, high = np.quantile(np.clip(more, 1, MOST_REPLICATES), RANGE, method="nearest")
    return Further(int(low), int(high))


def replicates_for(effect: Numbers, rows: int, comparisons: int, alpha: float) -> Numbers:
    """Return the replicates at which differences of so many standard deviations are found."""
    found = [detectable(rows, count, comparisons, alpha) for count in COUNTS]
    last = math.log(found[-1])
    with np.errstate(divide="ignore"):
        size = np.log(effect)
    inside = np.interp(-size, -np.log(found), np.log(COUNTS))
    beyond = math.log(COUNTS[-1]) + 2 * (last - size)
    return np.asarray(np.exp(np.where(size < last, beyond, inside)))
