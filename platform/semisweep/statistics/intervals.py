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


class Difference(NamedTuple):
    """The mean of a paired difference, its interval, and the pairs it rests on and their spread."""

    mean: float
    low: float
    high: float
    n: int
    std: float


class Noise(NamedTuple):
    """The spread of equal trainings: by how much they differ with nothing changed."""

    std: float  # between units of replication; NaN for fewer than two
    low: float
    high: float
    n: int
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
    """Return Student's confidence interval of the mean, NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    from scipy.special import stdtrit  # scipy.stats takes four times as long to import

    mean, std = mean_std(values)
    quantile = float(stdtrit(len(values) - 1, (1 + level) / 2))
    half = quantile * std / math.sqrt(len(values))
    return mean - half, mean + half


def several_draws(replicates: Iterable[str]) -> bool:
    """Return whether replicates "draw/seed" are of more than one draw."""
    return len({_draw(replicate) for replicate in replicates}) > 1


def by_unit(values: Mapping[str, float], *, draws: bool) -> dict[str, float]:
    """Return one value a unit of replication: the mean of each draw if `draws`, else the values."""
    if not draws:
        return dict(values)
    groups: dict[str, list[float]] = {}
    for replicate, value in values.items():
        groups.setdefault(_draw(replicate), []).append(value)
    return {draw: mean_std(group)[0] for draw, group in groups.items()}


def paired_difference(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    level: float = 0.95,
    planned: Collection[str] = (),
) -> Difference:
    """Return the mean of `a` minus `b` over the replicates that both have, with its interval.

    Draws are the unit if the replicates of `a`, `b` and `planned`, which are yet to come, are of
    several draws. The mean is NaN without a pair, the interval with fewer than two units.
    """
    pairs = {replicate: a[replicate] - b[replicate] for replicate in a if replicate in b}
    draws = several_draws([*a, *b, *planned])
    units = list(by_unit(pairs, draws=draws).values())
    mean, std = mean_std(units)
    return Difference(mean, *interval(units, level), len(units), std)


def noise(values: Mapping[str, float], *, draws: bool, level: float = 0.95) -> Noise:
    """Return the standard deviation of a cell's units with its chi-squared interval.

    Where draws are the unit it holds what the seeds add to the mean of a draw; what they add on
    their own is pooled over the draws that have several.
    """
    units = list(by_unit(values, draws=draws).values())
    std, within = mean_std(units)[1], _within(values) if draws else math.nan
    if len(units) < 2:
        return Noise(std, math.nan, math.nan, len(units), within)
    from scipy.special import chdtri  # of the upper tail

    freedom = len(units) - 1
    low, high = (float(chdtri(freedom, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
    return Noise(
        std, std * math.sqrt(freedom / low), std * math.sqrt(freedom / high), len(units), within
    )


def _within(values: Mapping[str, float]) -> float:
    """Return the pooled standard deviation of seeds about the mean of their draw; NaN if none."""
    groups: dict[str, list[float]] = {}
    for replicate, value in values.items():
        groups.setdefault(_draw(replicate), []).append(value)
    squares = math.fsum(
        (value - mean_std(group)[0]) ** 2 for group in groups.values() for value in group
    )
    freedom = len(values) - len(groups)
    return math.sqrt(squares / freedom) if freedom else math.nan


def _draw(replicate: str) -> str:
    return replicate.partition("/")[0]
