"""Which rows are behind the best one, and which cannot be told from it.

Which row is the best is seen from the same numbers, so a row that is compared with it stands for
all pairs of rows: p-values are corrected after Bonferroni over the pairs, which at such levels is
hardly more than Tukey's range test asks for. As in `semisweep.statistics.verdicts` the noise is
that of all rows, and a row's own differences have to confirm it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from semisweep.statistics.intervals import FEWEST, mean_std, paired_difference
from semisweep.statistics.row_spread import as_matrix, spread
from semisweep.statistics.verdicts import CONFIRMING, difference_p

Rows = Mapping[str, Mapping[str, float]]  # row -> unit of replication -> number


class Behind(NamedTuple):
    """A row that is worse than the best one, and what says so."""

    row: str
    best: str
    delta: float
    p: float  # corrected
    n: int  # units of replication that the test rests on


def behind_best(
    rows: Rows, level: float, *, pairs: int | None = None, confirming: float = CONFIRMING
) -> list[Behind]:
    """Return the rows that are significantly worse than the best; higher is better.

    `pairs`: over which p-values are corrected, by default all of these rows. A row of n differences
    has to confirm it on its own at the level `confirming` * 2 / (n - 1). Rows of fewer than three
    units are behind nothing.
    """
    known = {row: own for row, own in rows.items() if len(own) >= FEWEST}
    if len(known) < 2:
        return []
    means = {row: mean_std(list(own.values()))[0] for row, own in known.items()}
    best = max(means, key=lambda row: means[row])
    found = spread(as_matrix(known)[0])
    count = math.comb(len(rows), 2) if pairs is None else pairs
    behind = []
    for row, own in known.items():
        difference = paired_difference(own, known[best])
        if row == best or difference.n < FEWEST or not difference.mean < 0:
            continue
        errors = np.array([float(found.std) * math.sqrt(2), difference.std])
        freedom = np.array([found.freedom, difference.n - 1])
        mean = np.full(2, difference.mean)
        pooled, alone = difference_p(mean, errors / math.sqrt(difference.n), freedom)
        needed = max(confirming * 2 / (difference.n - 1), level / max(count, 1))
        p = min(1.0, max(float(pooled) * count, float(alone) * level / needed))
        if p <= level:
            behind.append(Behind(row, best, difference.mean, p, difference.n))
    return behind


def not_separated(rows: Rows, level: float) -> frozenset[str]:
    """Return the rows that cannot be told from the best, itself included; none if that is all."""
    worse = {item.row for item in behind_best(rows, level)}
    return frozenset(rows.keys() - worse) if worse else frozenset()
