"""What is said of each comparison of a table: its verdict, interval, p-value and what it lacks.

Comparisons that were named beforehand (confirmatory) are a family that errs in at most `alpha` of
tables. The others are exploratory: they get an interval of their own and a p-value corrected over
their number, and no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from semisweep.statistics.intervals import FEWEST, Difference, mean_std, paired_difference
from semisweep.statistics.power import Further, detectable, further_replicates
from semisweep.statistics.row_spread import Spread, apart, as_matrix, spread
from semisweep.statistics.verdicts import Evidence, Judgement, judge

Verdict = Literal[
    "better", "worse", "equivalent", "inconclusive",  # of confirmatory comparisons
    "exploratory",
    "too few",  # units of replication
    "apart",  # a run that is unlike all others does not allow a verdict
    "identical",  # equal in every replicate, though trained apart
    "stopped",  # by a race, as it was behind another row
]  # fmt: skip


class Decision(NamedTuple):
    """What is said of one comparison."""

    verdict: Verdict  # a proven difference goes before equivalence
    p: float = math.nan  # of "there is no difference", corrected over its family
    low: float = math.nan  # of the difference; of confirmatory ones for all of them at once
    high: float = math.nan
    within_margin: bool = False  # shown to be smaller than the margin, whatever the verdict
    further: Further | None = None  # units of replication that a verdict would take
    apart: tuple[str, ...] = ()  # units that are unlike all others, of this row or the base row
    behind: str = ""  # the row that a stopped one is behind


class Comparison(NamedTuple):
    """A row against the base row, and the noise it is judged by."""

    difference: Difference
    noise: ColumnNoise
    confirmatory: bool
    apart: tuple[str, ...]  # units of this row or the base row that do not allow a verdict


class ColumnNoise(NamedTuple):
    """What all rows of a column tell of its noise."""

    std: float  # of one unit of replication, pooled
    freedom: int
    base: float  # of the base row about the mean of the others
    base_n: int
    rows: int
    apart: Mapping[str, tuple[str, ...]]  # row -> units that are unlike all others


Rows = Mapping[str, Mapping[str, float]]  # row -> unit of replication -> number


def column_noise(rows: Rows, base: str) -> ColumnNoise:
    """Return the noise of a column by its complete rows, the base row among them.

    Runs that lie apart are left out of it with their rows, and so are rows that are equal to
    another one in every unit.
    """
    distinct = {tuple(sorted(own.items())): row for row, own in reversed(list(rows.items()))}
    kept = {row: rows[row] for row in rows if row in distinct.values() or row == base}
    kept = {row: own for row, own in kept.items() if row == base or own != rows.get(base)}
    found, names = _spread(kept), list(kept)
    _, units = as_matrix(kept)
    flags = apart(found) if names else np.zeros((0, 0), dtype=bool)
    lying = {
        row: tuple(units[place] for place in np.nonzero(flags[index])[0])
        for index, row in enumerate(names)
        if flags[index].any()
    }
    even = {row: own for row, own in kept.items() if row not in lying or row == base}
    if len(even) < len(kept):
        found, names = _spread(even), list(even)
    at = names.index(base) if base in names else None
    return ColumnNoise(
        std=float(found.std),
        freedom=found.freedom,
        base=math.nan if at is None else float(found.of_row[at]),
        base_n=len(rows.get(base, ())),
        rows=len(names),
        apart=lying,
    )


def comparison(
    row: str, base: str, rows: Rows, noise: ColumnNoise, *, confirmatory: bool
) -> Comparison:
    """Return a row's comparison with the base row, both complete."""
    difference = paired_difference(rows[row], rows[base])
    lying = dict.fromkeys((*noise.apart.get(row, ()), *noise.apart.get(base, ())))
    return Comparison(difference, noise, confirmatory, tuple(lying))


def decide(
    comparisons: Sequence[Comparison | None],
    *,
    margin: float,
    alpha: float,
    next_alpha: float,
    confirmatory: Sequence[bool] | None = None,
) -> list[Decision | None]:
    """Return the decision on each comparison of a table; None is one that has to wait, but counts.

    `next_alpha` is the level of the next look, at which further replicates would be judged.
    `confirmatory`: of each comparison, also of those that wait; by default all are. Raises
    `ConfigError` unless the margin is positive and the level between 0 and 1.
    """
    flags = [True] * len(comparisons) if confirmatory is None else list(confirmatory)
    decisions: list[Decision | None] = [None] * len(comparisons)
    for family in (True, False):
        places = [place for place, flag in enumerate(flags) if flag is family]
        if not places:
            continue
        found = judge(_evidence([comparisons[place] for place in places]),
                      margin=margin, alpha=alpha)  # fmt: skip
        still = int((~(found.better | found.worse)).sum())
        for index, place in enumerate(places):
            own = comparisons[place]
            if own is None:
                continue
            if family:
                decisions[place] = _confirmed(own, found, index, margin, next_alpha, still)
            else:
                decisions[place] = _explored(own, float(found.p[index]), margin, alpha)
    return decisions


def smallest_detectable(noise: ColumnNoise, n: int, comparisons: int, alpha: float) -> float:
    """Return the smallest difference, in points, that is found with a probability of 0.8."""
    return noise.std * detectable(max(noise.rows, 2), n, comparisons, alpha)


def _spread(rows: Rows) -> Spread:
    matrix, _ = as_matrix(rows)
    return spread(matrix)


def _evidence(comparisons: Sequence[Comparison | None]) -> Evidence:
    """Return comparisons as arrays; what does not allow a verdict has no noise, but counts."""
    columns = []
    for own in comparisons:
        if own is None:
            columns.append((math.nan, 0, math.nan, math.nan, 0, math.nan, 0))
        else:
            noise, difference = own.noise, own.difference
            std = math.nan if own.apart else difference.std
            columns.append((difference.mean, difference.n, std, noise.std, noise.freedom,
                            noise.base, noise.base_n))  # fmt: skip
    return Evidence(*(np.array(column, dtype=float) for column in zip(*columns, strict=True)))


def _confirmed(
    own: Comparison, found: Judgement, index: int, margin: float, next_alpha: float, still: int
) -> Decision:
    difference, noise = own.difference, own.noise
    special = _special(own)
    low, high = float(found.low[index]), float(found.high[index])
    if special is not None:
        return special
    decision = Decision("inconclusive", float(found.p[index]), low, high)
    small = bool(found.equivalent[index]) and not noise.apart
    decision = decision._replace(within_margin=small)
    if found.better[index] or found.worse[index]:
        return decision._replace(verdict="better" if found.better[index] else "worse")
    if small:
        return decision._replace(verdict="equivalent")
    std, freedom = _noise_of(own)
    more = further_replicates(
        difference.mean, std, freedom, difference.n,
        rows=max(noise.rows, 2), comparisons=max(still, 1), margin=margin, alpha=next_alpha,
    )  # fmt: skip
    return decision._replace(further=more)


def _explored(own: Comparison, p: float, margin: float, alpha: float) -> Decision:
    special = _special(own)
    if special is not None:
        return special
    alone = judge(_evidence([own]), margin=margin, alpha=alpha)
    return Decision("exploratory", p, float(alone.low[0]), float(alone.high[0]))


def _special(own: Comparison) -> Decision | None:
    """Return what is said of a comparison that is not judged; None of one that is."""
    units = own.difference.units.values()
    if len(units) > 1 and not any(units):
        return Decision("identical")
    if own.difference.n < FEWEST or own.noise.base_n < FEWEST:
        return Decision("too few")
    return Decision("apart", apart=own.apart) if own.apart else None


def _noise_of(own: Comparison) -> tuple[float, float]:
    """Return the noise that decides a comparison: the pooled one, or its own where that is more."""
    alone = mean_std(list(own.difference.units.values()))[1] / math.sqrt(2)
    if alone > 2 * own.noise.std:
        return alone, own.difference.n - 1
    return own.noise.std, own.noise.freedom
