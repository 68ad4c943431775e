"""Looking again: further replicates for what is inconclusive, and what that costs.

The number of looks is fixed with the first top-up, if not before. Each look judges every row anew
at its share of the level (see `semisweep.statistics.alpha_spending`). The shares fall from look to
look, so a table is right as often as it says even if its first look was shown at the whole level:
what counts is the table as it stands last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from semisweep.core.errors import ConfigError
from semisweep.statistics.intervals import several_draws
from semisweep.store.look_log import TakenLook
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.tables.table_values import Cell, Table

LOOKS = 3  # of a table that is topped up, unless somebody says otherwise
MOST_ADDED = 4  # units of replication a look may add to a row


@dataclass(frozen=True, kw_only=True)
class InterimAnalysis:
    """Which look at a table this is, and the units of replication of cells that have their own."""

    look: int = 1
    looks: int = 1
    units: Mapping[Place, int] = field(default_factory=dict)

    def stated(self, study: ResolvedStudy) -> ResolvedStudy:
        """Return a study that says which look at it this is."""
        return replace(study, look=self.look, looks=self.looks)


def look_again(
    stored: ResolvedStudy,
    table: Table,
    looks: int | None,
    *,
    missing: bool,
    taken: TakenLook | None = None,
) -> InterimAnalysis:
    """Return the next look at a stored table: as many more replicates as its verdicts say.

    A look whose trials are still `missing` goes on, as does one that was `taken` and is not in the
    table yet; one without anything inconclusive is the last. Raises `ConfigError` once all looks
    that were planned are used.
    """
    known = kept_look(stored, looks, taken)
    planned = known.looks if known.looks > 1 else (looks or LOOKS)
    more = added(table)
    shown = shown_units(stored)
    units = most(shown, known.units)
    behind = any(units[place] > count for place, count in shown.items())
    if missing or behind or not more:
        return replace(known, units=units)  # as the table stands, with the user's --seeds
    if known.look >= planned:
        raise ConfigError(
            f"a table must not be looked at more often than was planned, got look={known.look + 1},"
            f" looks={planned}; {len(more)} rows stay inconclusive"
        )
    return InterimAnalysis(look=known.look + 1, looks=planned, units=grown(units, more, table.base))


def kept_look(
    stored: ResolvedStudy | None, looks: int | None, taken: TakenLook | None = None
) -> InterimAnalysis:
    """Return the look at which a table stands, or the first of as many as are asked for.

    `taken`: the newest look of the store's log, which a stored table may not show: stores of
    earlier versions have none. Raises `ConfigError` where another number of looks was planned.
    """
    shown = stored if stored is not None and stored.looks > 1 else None
    look = max(shown.look if shown else 1, taken.look if taken else 1)
    planned = max(shown.looks if shown else 1, taken.looks if taken else 1)
    if planned == 1:
        return InterimAnalysis(looks=looks or 1)
    if looks is not None and looks != planned:
        raise ConfigError(
            f"the number of looks must be fixed before the first, got looks={looks}, "
            f"planned={planned}"
        )
    units = most(shown_units(shown) if shown else {}, taken.units if taken else {})
    return InterimAnalysis(look=look, looks=planned, units=units)


def shown_units(study: ResolvedStudy) -> dict[Place, int]:
    """Return the units of replication of each cell that has trials."""
    return {place: units_of(cell.trials) for place, cell in study.at.items() if cell.trials}


def most(units: Mapping[Place, int], others: Mapping[Place, int]) -> dict[Place, int]:
    """Return for each cell the more units of the two."""
    return {place: max(units.get(place, 0), others.get(place, 0)) for place in (*units, *others)}


def added(table: Table) -> dict[Place, int]:
    """Return how many further units each inconclusive cell gets: as told, but not too many.

    Where the spread tells nothing yet, as many as a look may add.
    """
    open_cells = {
        place: cell.decision.further
        for place, cell in table.cells.items()
        if cell.decision is not None and cell.decision.verdict == "inconclusive"
    }
    single = {
        place: None
        for place, cell in table.cells.items()
        if cell.decision is None and _has_one_unit(cell, table)
    }
    return {
        place: MOST_ADDED if further is None else min(further.low, MOST_ADDED)
        for place, further in (open_cells | single).items()
    }


def grown(units: Mapping[Place, int], more: Mapping[Place, int], base: str) -> dict[Place, int]:
    """Return the units of all cells; the base row has as many as the longest row of a column."""
    total = dict(units)
    for place, extra in more.items():
        total[place] += extra
        origin = (base, place[1])
        total[origin] = max(total[origin], total[place])
    return total


def units_of(trials: Mapping[str, str]) -> int:
    """Return how many draws, or of one draw how many seeds, the replicates of a cell are of."""
    if several_draws(trials):
        return len({replicate.partition("/")[0] for replicate in trials})
    return len(trials)


def _has_one_unit(cell: Cell, table: Table) -> bool:
    base = table.cells.get((table.base, cell.column))
    compared = base is not None and cell.row != table.base and not cell.same_as_base
    return bool(compared and base and cell.complete and base.complete and cell.n == 1)
