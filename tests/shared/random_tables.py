"""Tables of random numbers in which nothing, or one thing, is true, and what is said of them.

Replicates move all rows of a table; a row adds noise of one standard deviation, one of five if it
is the wide one. Numbers are percentages. "skewed" noise is a gamma distribution of shape 4, turned
so that bad runs are worse than good ones are good (skewness -1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from semisweep.statistics.intervals import FEWEST
from semisweep.statistics.power import Further, further_replicates
from semisweep.statistics.row_spread import spread
from semisweep.statistics.verdicts import Evidence, Judgement, Numbers, judge

Kind = Literal["normal", "t3", "skewed", "exponential"]
Wide = Literal["none", "row", "base"]

MARGIN = 0.5
WIDE = 5.0


class Setting(NamedTuple):
    """What random tables look like."""

    rows: int  # with the base row, the first
    kind: Kind = "normal"
    wide: Wide = "none"
    effect: float = 0.0  # of the second row, in standard deviations of an equal row's noise

    def draw(self, count: int, n: int, seed: int = 0) -> Numbers:
        """Return numbers [T, R, n]."""
        numbers = np.random.default_rng(seed)
        own = noise(numbers, (count, self.rows, n), self.kind)
        if self.wide != "none":
            own[:, 1 if self.wide == "row" else 0] *= WIDE
        own[:, 1] += self.effect
        return np.asarray(70 + numbers.normal(0, 2, (count, 1, n)) + own)


def noise(numbers: np.random.Generator, shape: tuple[int, ...], kind: Kind) -> Numbers:
    """Return noise of one standard deviation."""
    if kind == "normal":
        return numbers.normal(size=shape)
    if kind == "t3":
        return np.asarray(numbers.standard_t(3, size=shape) / np.sqrt(3))
    if kind == "skewed":
        return np.asarray((4 - numbers.gamma(4, size=shape)) / 2)
    return np.asarray(1 - numbers.exponential(size=shape))


def evidence(values: Numbers) -> Evidence:
    """Return what whole tables [T, R, n] know of all rows against the first."""
    found, n = spread(values), np.float64(values.shape[-1])
    differences = values[:, 1:] - values[:, :1]
    return Evidence(
        mean=differences.mean(axis=-1),
        n=n,
        own=differences.std(axis=-1, ddof=1) if n > 1 else np.full(differences.shape[:2], np.nan),
        pooled=found.std[:, None],
        freedom=np.float64(found.freedom),
        base=found.of_row[:, :1],
        base_n=n,
    )


def partial_evidence(values: Numbers, counts: Any) -> Evidence:
    """Return what one table [R, U] knows whose rows have their first `counts` units."""
    known = np.where(np.arange(values.shape[-1]) < counts[:, None], values, np.nan)
    found = spread(known)
    differences = known[1:] - known[:1]
    n = (~np.isnan(differences)).sum(axis=-1).astype(float)
    return Evidence(
        mean=np.nanmean(differences, axis=-1),
        n=n,
        own=np.nanstd(differences, axis=-1, ddof=1),
        pooled=np.float64(found.std),
        freedom=np.float64(found.freedom),
        base=found.of_row[0],
        base_n=np.float64(counts[0]),
    )


def judged(values: Numbers, alpha: float, comparisons: int | None = None) -> Judgement:
    """Return the verdicts on whole tables: on all rows, or on the first few comparisons."""
    found = evidence(values)
    if comparisons is not None:
        found = Evidence(*(part[..., :comparisons] if np.ndim(part) and part.shape[-1] > 1 else part
                           for part in found))  # fmt: skip
    return judge(found, margin=MARGIN, alpha=alpha)


def claims(found: Judgement) -> Any:
    """Return where a row is called better or worse."""
    return found.better | found.worse


def old_claims(values: Numbers, alpha: float) -> Any:
    """Return where rows were called better or worse before: their own t tests, after Holm."""
    from scipy.special import stdtr

    from semisweep.statistics.verdicts import holm

    differences = values[:, 1:] - values[:, :1]
    n = values.shape[-1]
    error = differences.std(axis=-1, ddof=1) / np.sqrt(n)
    return holm(2 * stdtr(n - 1, -np.abs(differences.mean(axis=-1)) / error)) <= alpha


def topped_up(
    values: Numbers, first: int, levels: Sequence[float], most_added: int
) -> tuple[Any, Any]:
    """Top one table [R, U] up as `run --top-up` does; return claims by look and the last counts.

    Rows with a verdict get no more; the base row has as many units as the longest.
    """
    rows = len(values)
    counts = np.full(rows, first)
    claimed = []
    for look, alpha in enumerate(levels):
        found = judge(partial_evidence(values, counts), margin=MARGIN, alpha=alpha)
        claimed.append(claims(found))
        still = ~(claims(found) | found.equivalent)
        if look + 1 == len(levels):
            break
        own = partial_evidence(values, counts)
        for row in np.nonzero(still)[0]:
            more: Further | None = further_replicates(
                float(own.mean[row]), float(own.pooled), float(own.freedom), int(own.n[row]),
                rows=rows, comparisons=int(still.sum()), margin=MARGIN, alpha=levels[look + 1],
            )  # fmt: skip
            extra = max(FEWEST - int(own.n[row]), 1, most_added if more is None else more.low)
            counts[row + 1] = min(counts[row + 1] + min(extra, most_added), values.shape[-1])
        counts[0] = counts[1:].max()
    return np.array(claimed), counts
