"""What looking again costs: the significance level of each look at a growing table.

Whoever adds replicates until something is significant finds something. So the level is shared out
over the looks that are planned before the first: a spending function says how much of it may be
used up by a fraction of the replicates, and a look gets what has come free since the one before.
The levels of all looks sum to the whole, so that the chance of a false verdict at any look stays
below it whatever the looks have in common; with few replicates the exact boundaries, which hold
for the normal distribution, would not. Intervals at these levels hold at all looks at once.
"""

from __future__ import annotations

import math
from typing import Literal

from semisweep.core.errors import ConfigError

Spending = Literal["pocock", "obrien-fleming"]


def level_at_look(
    look: int, planned: int, alpha: float = 0.05, spending: Spending = "pocock"
) -> float:
    """Return the level of one look, counted from 1, of a planned number of looks.

    The first and only look has all of alpha. "pocock" shares it out almost evenly;
    "obrien-fleming" keeps nearly all for the last looks, which makes an early interval of three
    replicates useless (its first quantile of three looks is 69 standard errors, not 7). Raises
    `ConfigError` for a look that was not planned.
    """
    if not 1 <= look <= planned:
        raise ConfigError(
            f"a look must be one of those planned, got look={look}, planned={planned}; "
            "their number is fixed before the first"
        )
    return spent(look / planned, alpha, spending) - spent((look - 1) / planned, alpha, spending)


def spent(fraction: float, alpha: float = 0.05, spending: Spending = "pocock") -> float:
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
