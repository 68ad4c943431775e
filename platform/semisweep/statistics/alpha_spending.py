"""What looking again costs: the significance level of each look at a growing table.

Whoever adds replicates until something is significant finds something. So the level is shared out
over all looks from the first: the levels sum to no more than the whole, and the chance of a false
verdict at any look stays below it whatever the looks have in common. Exact boundaries would hold
for the normal distribution and many replicates, and there are few. Intervals at these levels hold
at all looks at once.

Without a plan there may be any number of looks, and the first has four fifths of the level: with a
handful of replicates a verdict needs it more than it will with twice as many.
"""

from __future__ import annotations

import math
from typing import Literal

from semisweep.core.errors import ConfigError

Spending = Literal["pocock", "obrien-fleming"]

ALPHA = 0.05
OPEN = 0  # planned looks: none were, and there may be any number
FIRST_SHARE = 0.8  # of the level, for the first look of any number
RACE_SHARE = (
    0.15  # for the rows that a race stops: a third from the first look, the rest from later
)


def level_at_look(
    look: int,
    planned: int = OPEN,
    alpha: float = ALPHA,
    spending: Spending = "pocock",
    *,
    raced: bool = False,
) -> float:
    """Return the level of one look, counted from 1, of a planned number of looks or of any.

    Of any number, look k from the second has alpha / 5 / (k (k - 1)), which sums to alpha / 5; of a
    table that was raced half of that, and the first look three quarters of alpha. A first and only
    look has all of alpha. "pocock" shares it out almost evenly; "obrien-fleming" keeps nearly all
    for the last looks, which makes an early interval of three replicates useless (its first
    quantile of three looks is 69 standard errors, not 7). Raises `ConfigError` for a look that was
    not planned.
    """
    if look < 1 or (planned != OPEN and look > planned):
        raise ConfigError(
            f"a look must be one of those planned, got look={look}, planned={planned}; "
            "their number is fixed before the first"
        )
    if planned == OPEN:
        spent(1, alpha)  # raises for a level that is none
        taken = RACE_SHARE / 3 if raced else 0.0
        later = alpha * (1 - FIRST_SHARE - 2 * taken)
        return alpha * (FIRST_SHARE - taken) if look == 1 else later / (look * (look - 1))
    return spent(look / planned, alpha, spending) - spent((look - 1) / planned, alpha, spending)


def spent(fraction: float, alpha: float = ALPHA, spending: Spending = "pocock") -> float:
    """Return how much of alpha may be used up by a fraction of the replicates, from 0 to 1.

    Source: K. K. G. Lan and D. L. DeMets, Biometrika 70, 1983.
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"a significance level must lie between 0 and 1, got alpha={alpha}")
    if fraction <= 0:
        return 0.0
    if fraction >= 1:
        return alpha
    if spending == "pocock":
        return alpha * math.log(1 + (math.e - 1) * fraction)
    from scipy.special import ndtr, ndtri

    return 4 * float(ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))  # two-sided: alpha / 2 a side
