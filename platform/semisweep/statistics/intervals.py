"""What a handful of repetitions tells: means, spreads, intervals, paired differences.

A replicate is called "draw/seed". Seeds share the labelled images of their draw and are not
independent of one another, so where there are several draws the draw is the unit that is counted:
its seeds are averaged first. Where there is one draw, the seed is the unit, and what is said holds
for that draw.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

FEWEST = 3  # values of which an interval is given: of two it is twelve standard deviations wide
WHOLE = 100.0  # numbers are percentages, as far as they lie between 0 and this


class Difference(NamedTuple):
    """The mean of a paired difference, the pairs it rests on, and their spread."""

    mean: float
    n: int
    std: float
    units: Mapping[str, float]  # the difference of each unit of replication


class Noise(NamedTuple):
    """By how much equal trainings differ with nothing changed, pooled over the rows of a column."""

    std: float  # of one unit of replication
    low: float
    high: float
    freedom: int  # degrees of freedom
    paired: float  # of the paired difference of two rows
    within: float  # between the seeds of a draw where draws are the unit, else NaN


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation: NaN for no value and for fewer than two."""
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    squares = math.fsum((value - mean) ** 2 for value in values)
    return mean, math.sqrt(squares / (len(values) - 1))


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return Student's confidence interval of the mean, NaN for fewer than three values.

    That of percentages is made on the scale of logits (delta method), so that it stays between 0
    and 100.
    """
    if len(values) < FEWEST:
        return math.nan, math.nan
    from scipy.special import expit, logit, stdtrit  # scipy.stats takes four times as long

    mean, std = mean_std(values)
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * std / math.sqrt(len(values))
    if not (0 < mean < WHOLE and all(0 <= value <= WHOLE for value in values)):
        return mean - half, mean + half
    share = mean / WHOLE
    step = half / WHOLE / (share * (1 - share))
    return tuple(float(WHOLE * expit(logit(share) + sign * step)) for sign in (-1, 1))  # type: ignore[return-value]


def several_draws(replicates: Iterable[str]) -> bool:
    """Return whether replicates "draw/seed" are of more than one draw."""
    return len({draw_of(replicate) for replicate in replicates}) > 1


def by_unit(values: Mapping[str, float], *, draws: bool) -> dict[str, float]:
    """Return one value a unit of replication: the mean of each draw if `draws`, else the values."""
    if not draws:
        return dict(values)
    groups: dict[str, list[float]] = {}
    for replicate, value in values.items():
        groups.setdefault(draw_of(replicate), []).append(value)
    return {draw: mean_std(group)[0] for draw, group in groups.items()}


def paired_difference(
    a: Mapping[str, float], b: Mapping[str, float], *, planned: Collection[str] = ()
) -> Difference:
    """Return the mean of `a` minus `b` over the replicates that both have.

    Draws are the unit if the replicates of `a`, `b` and `planned`, which are yet to come, are of
    several draws. The mean is NaN without a pair, the deviation with fewer than two units.
    """
    pairs = {replicate: a[replicate] - b[replicate] for replicate in a if replicate in b}
    units = by_unit(pairs, draws=several_draws([*a, *b, *planned]))
    mean, std = mean_std(list(units.values()))
    return Difference(mean, len(units), std, units)


def paired_interval(found: Difference, level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of a difference by its own spread; NaN for fewer than three."""
    if found.n < FEWEST:
        return math.nan, math.nan
    from scipy.special import stdtrit

    half = float(stdtrit(found.n - 1, (1 + level) / 2)) * found.std / math.sqrt(found.n)
    return found.mean - half, found.mean + half


def noise(
    std: float, freedom: int, rows: Iterable[Mapping[str, float]], *, draws: bool, level: float
) -> Noise:
    """Return a pooled standard deviation with its chi-squared interval.

    Where draws are the unit it holds what the seeds add to the mean of a draw; what they add on
    their own is pooled over the draws of the `rows` that have several.
    """
    from scipy.special import chdtri  # of the upper tail

    within = _within(rows) if draws else math.nan
    if freedom < 1:
        return Noise(math.nan, math.nan, math.nan, 0, math.nan, within)
    low, high = (
        std * math.sqrt(freedom / float(chdtri(freedom, tail)))
        for tail in ((1 - level) / 2, (1 + level) / 2)
    )
    return Noise(std, low, high, freedom, std * math.sqrt(2), within)


def _within(rows: Iterable[Mapping[str, float]]) -> float:
    """Return the pooled standard deviation of seeds about the mean of their draw; NaN if none."""
    squares, freedom = 0.0, 0
    for values in rows:
        groups: dict[str, list[float]] = {}
        for replicate, value in values.items():
            groups.setdefault(draw_of(replicate), []).append(value)
        squares += math.fsum(
            (value - mean_std(group)[0]) ** 2 for group in groups.values() for value in group
        )
        freedom += len(values) - len(groups)
    return math.sqrt(squares / freedom) if freedom else math.nan


def draw_of(replicate: str) -> str:
    """Return the draw of a replicate "draw/seed"."""
    return replicate.partition("/")[0]
