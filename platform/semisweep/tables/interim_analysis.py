"""Looking again: whether a table has been judged, and the replicates that its next look adds.

Each look judges every row anew at its share of the level (see
`semisweep.statistics.alpha_spending`). The shares fall from look to look, so a table is right as
often as it says even if its first look was shown at a larger one: what counts is how it stands.

What is added are draws of the labelled images wherever there are further ones: seeds of one draw
say ever more of one list of images, and nothing of other labelled images.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from semisweep.statistics.intervals import FEWEST, by_unit, several_draws
from semisweep.statistics.power import Further
from semisweep.store.look_log import most
from semisweep.store.resolved_study import Place, ResolvedCell, ResolvedStudy, Units, units_of
from semisweep.tables.table_values import Cell, Table

MOST_ADDED = 4  # units of replication that a look may add to a row


def compared_trials(study: ResolvedStudy) -> dict[Place, list[str]]:
    """Return the keys of all cells that are compared, and of those in the base row."""
    return {
        cell.place: list(cell.trials.values())
        for own, origin in _columns(study)
        for cell in (origin, *own)
    }


def is_judged(study: ResolvedStudy, finished: Container[str]) -> bool:
    """Return whether a table shows a decision, of three units of replication at least."""
    for own, origin in _columns(study):
        draws = several_draws(name for cell in (origin, *own) for name in cell.trials)
        if not _is_complete(origin, finished):
            continue
        for cell in own:
            common = dict.fromkeys(name for name in cell.trials if name in origin.trials)
            units = by_unit(dict.fromkeys(common, 0.0), draws=draws)
            same = cell.trials == origin.trials and cell.metric == origin.metric
            if len(units) >= FEWEST and not same and _is_complete(cell, finished):
                return True
    return False


def shown_units(study: ResolvedStudy) -> dict[Place, Units]:
    """Return the units of replication of each cell that has trials."""
    return {place: units_of(cell.trials) for place, cell in study.at.items() if cell.trials}


def topped_up(study: ResolvedStudy, table: Table, room: Mapping[str, float]) -> dict[Place, Units]:
    """Return the units of all cells after a further look at a stored table; as they are if decided.

    `room`: of each column, how many draws of its labelled images there are, infinite where draws
    stand for seeds alone. Where fewer than three are there, seeds are added.
    """
    units = shown_units(study)
    more = _added(study, table)
    for column in dict.fromkeys(column for _, column in more):
        own = {place: count for place, count in more.items() if place[1] == column}
        if room[column] >= FEWEST:
            own = _on_three_draws(study, table, units, column) | own
        longest: Units = ()
        for place, count in own.items():
            units[place] = _grown(units[place], count, room[column])
            longest = most(longest, units[place])
        origin = (study.base, column)
        units[origin] = most(units[origin], longest)
    return units


def _added(study: ResolvedStudy, table: Table) -> dict[Place, int]:
    """Return how many units each undecided comparison gets: as it says, but not too many."""
    found = {}
    for place, cell in table.cells.items():
        decision, named = cell.decision, study.confirmatory is None or place in study.confirmatory
        if decision is None or not named:
            continue
        if decision.verdict == "too few":
            found[place] = max(FEWEST - cell.n, 0)
        elif decision.verdict == "inconclusive":
            found[place] = _capped(decision.further)
    return _more_of_both(found, _added_by_design(study, table))


def _added_by_design(study: ResolvedStudy, table: Table) -> dict[Place, int]:
    """Return how many units the rows of a design get, each the same: effects are of all of them."""
    if study.design is None:
        return {}
    found: dict[Place, int] = {}
    for column, effects in table.effects.items():
        wanted = [FEWEST - own.n for own in effects if own.verdict == "too few"]
        wanted += [_capped(own.further) for own in effects if own.verdict == "inconclusive"]
        places = [(row, column) for row in study.design.on if (row, column) in study.at]
        found |= dict.fromkeys(places, max(wanted, default=0))
    return {place: count for place, count in found.items() if count > 0}


def _capped(further: Further | None) -> int:
    return MOST_ADDED if further is None else min(further.low, MOST_ADDED)


def _more_of_both(one: Mapping[Place, int], other: Mapping[Place, int]) -> dict[Place, int]:
    return {place: max(one.get(place, 0), other.get(place, 0)) for place in {**one, **other}}


def _on_three_draws(
    study: ResolvedStudy, table: Table, units: Mapping[Place, Units], column: str
) -> dict[Place, int]:
    """Return what rows of one draw lack to three: a column whose rows differ counts draws."""
    return {
        place: FEWEST - len(own)
        for place, own in units.items()
        if place[1] == column and len(own) < FEWEST and _is_shown(table.cells[place], study.base)
    }


def _is_shown(cell: Cell, base: str) -> bool:
    decided = cell.decision is not None and cell.decision.verdict != "stopped"
    return cell.row == base or decided


def _grown(units: Units, more: int, room: float) -> Units:
    """Return the units of a cell with some more of them: draws, or seeds of the only one.

    Where there are several draws and no more of them, each gets a seed more.
    """
    if room < FEWEST and len(units) == 1:
        return (units[0] + more,)
    seeds = units[-1] if len(units) > 1 else 1
    lacking = max(more, FEWEST - len(units))
    draws = int(min(lacking, max(room - len(units), 0)))
    return units + (seeds,) * draws if draws or not more else tuple(own + 1 for own in units)


def _columns(study: ResolvedStudy) -> list[tuple[list[ResolvedCell], ResolvedCell]]:
    """Return of each column whose base row is trained the other rows' cells, and the base row's."""
    found = []
    for column in study.columns:
        origin = study.at.get((study.base, column.name))
        if origin is not None and origin.trials:
            own = [cell for cell in study.cells if cell.column == column.name and cell.trials]
            found.append(([cell for cell in own if cell.row != study.base], origin))
    return found


def _is_complete(cell: ResolvedCell, finished: Container[str]) -> bool:
    return all(key in finished for key in cell.trials.values())
