"""Verdicts on paired differences: better, worse, equivalent or inconclusive, over a whole table.

Two families of hypotheses, each corrected after Holm over all comparisons of a table, the missing
ones included: "there is no difference" (Student's t test of the paired differences) and "the
difference is as large as the margin" (two one-sided t tests). Rejecting the first says better or
worse, rejecting the second equivalent. Each family errs in at most `alpha` of tables, whatever the
comparisons share, such as their base row. Arrays end in the comparisons of a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from semisweep.core.errors import ConfigError
from semisweep.statistics.intervals import Difference

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Verdict = Literal["better", "worse", "equivalent", "inconclusive"]

POWER = 0.8
MOST_REPLICATES = 1000  # beyond which nobody would go, and the count is given as "more than"


class Judgement(NamedTuple):
    """Corrected p-values and what follows from them, an entry a comparison; NaN: no test yet."""

    p: Numbers  # of "there is no difference"
    p_equivalent: Numbers  # of "the difference is as large as the margin"
    better: Flags
    worse: Flags
    equivalent: Flags  # may hold beside better or worse: a difference that is there, but small


class Decision(NamedTuple):
    """What is said of one comparison."""

    verdict: Verdict  # a proven difference goes before equivalence
    p: float  # of "there is no difference", corrected over the table; NaN for a single pair
    within_margin: bool  # shown to be smaller than the margin, whatever the verdict
    further: int | None  # units of replication that a verdict would take, if inconclusive


def decide(
    differences: Sequence[Difference | None], *, margin: float, alpha: float
) -> list[Decision | None]:
    """Return the decision on each comparison of a table; None is one that has to wait, but counts.

    Raises `ConfigError` unless the margin is positive and alpha between 0 and 1.
    """
    known = [item or Difference(math.nan, math.nan, math.nan, 0, math.nan) for item in differences]
    means, stds = [item.mean for item in known], [item.std for item in known]
    found = judge(means, stds, [item.n for item in known], margin=margin, alpha=alpha)
    differs = found.better | found.worse
    # The correction divides by what is still open.
    level = alpha / max(1, int((~differs).sum()))
    level_equivalent = alpha / max(1, int((~found.equivalent).sum()))
    decisions: list[Decision | None] = []
    for index, item in enumerate(known):
        verdict: Verdict = "inconclusive"
        if differs[index]:
            verdict = "better" if found.better[index] else "worse"
        elif found.equivalent[index]:
            verdict = "equivalent"
        more = None
        if verdict == "inconclusive":
            more = further_replicates(
                item.mean,
                item.std,
                item.n,
                margin=margin,
                alpha=level,
                alpha_equivalent=level_equivalent,
            )
        decision = Decision(verdict, float(found.p[index]), bool(found.equivalent[index]), more)
        decisions.append(decision if item.n else None)
    return decisions


def judge(
    mean: npt.ArrayLike, std: npt.ArrayLike, n: npt.ArrayLike, *, margin: float, alpha: float
) -> Judgement:
    """Return the verdicts on paired differences by their mean, standard deviation and count.

    The arrays broadcast to [..., comparisons]; higher means are better. A comparison without a
    standard deviation (NaN) decides nothing but counts in the correction. Raises `ConfigError`
    unless the margin is positive and alpha between 0 and 1.
    """
    check(margin, alpha)
    mean, std, n = np.broadcast_arrays(
        np.asarray(mean, float), np.asarray(std, float), np.asarray(n, float)
    )
    p = holm(difference_p(mean, std, n))
    p_equivalent = holm(equivalence_p(mean, std, n, margin))
    differs = p <= alpha
    return Judgement(p, p_equivalent, differs & (mean > 0), differs & (mean < 0),
                     p_equivalent <= alpha)  # fmt: skip


def check(margin: float, alpha: float) -> None:
    """Raise `ConfigError` unless the margin is positive and alpha between 0 and 1."""
    if not 0 < margin < math.inf:
        raise ConfigError(
            f"an equivalence margin must be positive and finite, got margin={margin}; "
            "state the largest difference, in the unit of the metric, that would not matter"
        )
    if not 0 < alpha < 1:
        raise ConfigError(f"a significance level must lie between 0 and 1, got alpha={alpha}")


def difference_p(mean: Numbers, std: Numbers, n: Numbers) -> Numbers:
    """Return the two-sided p-value of Student's paired t test; NaN where there is no spread yet."""
    from scipy.special import stdtr  # scipy.stats takes four times as long to import

    return np.minimum(1.0, 2 * _known(stdtr(n - 1, -np.abs(_ratio(mean, std, n))), std, n))


def equivalence_p(mean: Numbers, std: Numbers, n: Numbers, margin: float) -> Numbers:
    """Return the p-value of two one-sided t tests that the difference is within the margin.

    It is the larger of the two. Source: D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics
    15, 1987.
    """
    from scipy.special import stdtr

    nearer = margin - np.abs(mean)  # the bound that is nearer has the larger p-value
    return _known(stdtr(n - 1, -_ratio(nearer, std, n)), std, n)


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


def further_replicates(
    mean: float,
    std: float,
    n: int,
    *,
    margin: float,
    alpha: float,
    alpha_equivalent: float,
    most: int = MOST_REPLICATES,
) -> int | None:
    """Return about how many more replicates a verdict takes; None where the spread tells nothing.

    It is the least count at which, should this mean and spread be the true ones, one of the two
    tests succeeds with a probability of 0.8. The levels are those left to this comparison by the
    correction. `most` stands for that many or more.
    """
    if n < 2 or not (math.isfinite(mean) and std > 0):
        return None

    def enough(count: int) -> bool:
        by_difference = power_of_difference(mean, std, count, alpha)
        return max(by_difference, power_of_equivalence(
            mean, std, count, margin, alpha_equivalent)) >= POWER  # fmt: skip

    few, many = n, n + most
    if not enough(many):
        return most
    while many - few > 1:  # power grows with the count
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many - n


def power_of_difference(mean: float, std: float, n: int, alpha: float) -> float:
    """Return how probable it is that a t test of n differences finds this true mean."""
    from scipy.special import stdtrit

    return _beyond(n, abs(mean) * math.sqrt(n) / std, float(stdtrit(n - 1, 1 - alpha / 2)))


def power_of_equivalence(mean: float, std: float, n: int, margin: float, alpha: float) -> float:
    """Return a lower bound of the probability that both one-sided tests reject; it is close."""
    from scipy.special import stdtrit

    scale, quantile = math.sqrt(n) / std, float(stdtrit(n - 1, 1 - alpha))
    if abs(mean) >= margin:
        return 0.0
    near = _beyond(n, (margin - abs(mean)) * scale, quantile)
    return max(0.0, near + _beyond(n, (margin + abs(mean)) * scale, quantile) - 1)


def _beyond(n: int, noncentrality: float, quantile: float) -> float:
    """Return the probability that a noncentral t of n - 1 degrees of freedom exceeds a quantile."""
    from scipy.special import nctdtr

    below = float(nctdtr(n - 1, noncentrality, quantile))
    return 1.0 if math.isnan(below) else 1 - below  # it is NaN where it is too small to represent


def _ratio(mean: Numbers, std: Numbers, n: Numbers) -> Numbers:
    """Return mean over standard error: infinite where nothing varies, and 0 for 0 over 0."""
    error = std / np.sqrt(np.maximum(n, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((mean == 0) & (error == 0), 0.0, mean / error)


def _known(p: npt.ArrayLike, std: Numbers, n: Numbers) -> Numbers:
    return np.where(np.isnan(std) | (n < 2), np.nan, np.asarray(p, dtype=np.float64))
