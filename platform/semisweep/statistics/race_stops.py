"""Which rows a race stops, and at what level: a small share of the whole, of its own.

Between two fifths and three quarters of the planned rounds, the rows that are left are compared
with the best of them after each round. Each of these looks has an equal part of the stops' share of
the level, so that what is left is the finished table's, whose rows are judged once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from semisweep.statistics.alpha_spending import ALPHA, RACE_SHARE
from semisweep.statistics.best_rows import Behind, Rows, behind_best
from semisweep.statistics.intervals import FEWEST, by_unit, several_draws
from semisweep.statistics.row_spread import as_matrix, spread

STOPPING = ALPHA * RACE_SHARE  # of all stops together
SPENDING = "even"
FIRST, LAST = 0.4, 0.75  # of the rounds, between which rows are stopped
LEAST = FEWEST + 1  # units of replication: of three, a wide and skewed row is too often a few alike
EVEN = 1.5  # times the noise of all rows, that a row's own may seem to be
ANYHOW, NEVER = 1.0, 0.0  # levels of a row's own differences: no confirmation; alone enough


class StoppingRule(NamedTuple):
    """At what level a race stops rows: of each of its looks, and corrected over how many pairs."""

    looks: int
    pairs: int

    @property
    def level(self) -> float:
        """The level of one look."""
        return STOPPING / max(self.looks, 1)

    def behind(
        self, rows: Mapping[str, Mapping[str, float]], base: str, rounds: Sequence[str]
    ) -> list[Behind]:
        """Return which of the rows that are left are to be stopped, the base row never.

        `rounds` are all replicates that the race has planned, `rows` the numbers by replicate of
        those that are over; higher is better. The noise is that of all rows. Where a row or the
        best one seems to have more than that, its own differences alone have to say it.
        """
        draws = several_draws(rounds)
        units = {row: by_unit(own, draws=draws) for row, own in rows.items() if own}
        if len(units) < 2:
            return []
        even = _even(units)
        alone = behind_best(units, self.level, pairs=self.pairs, confirming=NEVER)
        certain = {item.row for item in alone}
        return [
            item
            for item in behind_best(units, self.level, pairs=self.pairs, confirming=ANYHOW)
            if item.row != base and (item.row in certain or {item.row, item.best} <= even)
        ]


def looks_of(rounds: Sequence[str]) -> list[int]:
    """Return after how many rounds rows may be stopped; none below four units of replication."""
    draws = several_draws(rounds)
    first, last = math.ceil(FIRST * len(rounds)), max(LEAST, int(LAST * len(rounds)))
    return [
        count
        for count in range(first, min(last, len(rounds) - 1) + 1)
        if len(by_unit(dict.fromkeys(rounds[:count], 0.0), draws=draws)) >= LEAST
    ]


def in_rounds(replicates: Iterable[str]) -> list[str]:
    """Return replicates in the order in which a race trains them: each draw's first seed first."""
    return sorted(replicates, key=_seeds_first)


def _even(units: Rows) -> set[str]:
    """Return the rows whose own noise, about the mean of the others, is like that of all rows."""
    found = spread(as_matrix(units)[0])
    about_others = math.sqrt(len(units) / max(len(units) - 1, 1))
    limit = EVEN * about_others * float(found.std)
    return {row for row, own in zip(units, found.of_row, strict=True) if own <= limit}


def _seeds_first(replicate: str) -> tuple[int, int]:
    draw, _, seed = replicate.partition("/")
    return int(seed), int(draw)
