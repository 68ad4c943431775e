"""Whether the rows of a table stand in the published order: Kendall's tau with its interval.

The interval is that of the tau of the true means. A pair of rows counts as settled once a paired
t test says which is higher, corrected after Holm over all pairs of the table; the others may stand
either way. Resampling a handful of replicates instead would draw tau towards zero wherever rows are
close, and its interval would miss the truth far more often than it says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from semisweep.statistics.verdicts import Numbers, difference_p, holm


class Agreement(NamedTuple):
    """Kendall's tau of two orders of rows: 1 for the same, -1 for the reverse."""

    tau: float
    low: float
    high: float
    kept: int  # pairs of rows that stand as published
    pairs: int
    settled: int  # pairs of which it is known which row is higher, or that they are equal
    settled_kept: int  # of those, the ones that stand as published


def agreement(
    columns: Iterable[tuple[Sequence[float], Numbers]], alpha: float = 0.05
) -> Agreement | None:
    """Return how well orders agree over all columns of a table; None without a pair of rows.

    A column is its published numbers, one a row, and ours [units of replication, rows]. Pairs are
    formed within columns; those that were published as equal have no order and are left out. A
    pair that is equal in ours counts as half way between: 0.
    """
    steps = [_steps(np.asarray(published, dtype=np.float64), ours) for published, ours in columns]
    if not any(len(means) for means, _, _ in steps):
        return None
    mean, p, equal = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    settled = (holm(p) <= alpha) | (equal > 0)
    signs = np.sign(mean)
    certain, open_pairs = float(signs[settled].sum()), int((~settled).sum())
    return Agreement(
        tau=float(signs.mean()),
        low=(certain - open_pairs) / len(mean),
        high=(certain + open_pairs) / len(mean),
        kept=int((signs > 0).sum()),
        pairs=len(mean),
        settled=int(settled.sum()),
        settled_kept=int(((signs > 0) & settled).sum()),
    )


def _steps(published: Numbers, ours: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return mean and p-value of each pair's difference, positive in the published direction.

    The last is 1 where rows are known to be equal, as they have the same numbers in all of several
    units, and else 0.
    """
    first, second = np.triu_indices(len(published), k=1)
    direction = np.sign(published[first] - published[second])
    first, second, direction = (part[direction != 0] for part in (first, second, direction))
    differences = (ours[:, first] - ours[:, second]) * direction
    units = len(differences)
    if units < 2:
        unknown = np.full(len(first), np.nan)
        return differences.sum(axis=0), unknown, np.zeros(len(first))
    mean, std = differences.mean(axis=0), differences.std(axis=0, ddof=1)
    equal = (differences == 0).all(axis=0).astype(np.float64)
    return mean, difference_p(mean, std / math.sqrt(units), np.full(len(first), units - 1.0)), equal
