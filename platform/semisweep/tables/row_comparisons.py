"""A table's rows against its base row, column by column: noise, decisions, and the best rows.

Only complete rows are judged: to look while results come in is to look again, and what is left
after failures is a selection. The others count in the correction nevertheless.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import NamedTuple

from semisweep.statistics.alpha_spending import OPEN, level_at_look
from semisweep.statistics.best_rows import not_separated
from semisweep.statistics.decisions import (
    ColumnNoise,
    Comparison,
    Decision,
    Rows,
    column_noise,
    comparison,
    decide,
    smallest_detectable,
)
from semisweep.statistics.intervals import (
    Noise,
    by_unit,
    noise,
    paired_difference,
    several_draws,
)
from semisweep.store.resolved_study import Place, ResolvedCell, ResolvedStudy
from semisweep.tables.table_values import Cell, Kind

Values = Mapping[Place, Mapping[str, float]]  # of each cell its replicates' numbers, in percent


class Levels(NamedTuple):
    """The significance level of the look at which a table stands, and of the next one."""

    now: float
    next: float


class Compared(NamedTuple):
    """What the rows of a table say about each other."""

    cells: dict[Place, Cell]  # those that have one in the base row
    noise: dict[str, Noise]  # by column
    detectable: dict[str, float]  # by column: the smallest difference, in points
    best: dict[str, frozenset[str]]  # by column: rows not separated from the best; empty: unknown
    confirmatory: int  # comparisons
    exploratory: int


def levels_of(study: ResolvedStudy) -> Levels:
    """Return the levels at which a resolved study is judged, and would be once it has grown."""
    raced = study.race is not None
    now = level_at_look(study.look, study.looks, raced=raced)
    if study.looks != OPEN and study.look >= study.looks:
        return Levels(now, now)
    return Levels(now, level_at_look(study.look + 1, study.looks, raced=raced))


def compare_rows(
    study: ResolvedStudy,
    cells: Mapping[Place, Cell],
    alike: Container[Place],
    values: Values,
    *,
    margin: float,
) -> Compared:
    """Return how the rows of a table compare; `alike`: the cells that may be compared at all."""
    levels, stopped = levels_of(study), _stopped(study)
    compared: dict[Place, Cell] = {}
    tested: dict[Place, Comparison | None] = {}
    columns: dict[str, ColumnNoise] = {}
    spreads: dict[str, Noise] = {}
    best: dict[str, frozenset[str]] = {}
    for column in dict.fromkeys(place[1] for place in study.at):
        own = {
            row: study.at[row, column]
            for row, name in study.at
            if name == column and study.at[row, column].trials and (row, column) in alike
        }
        draws = several_draws(name for cell in own.values() for name in cell.trials)
        by_row = {row: by_unit(values[row, column], draws=draws) for row in own}
        complete = {row: by_row[row] for row in own if cells[row, column].complete}
        found = column_noise(complete, study.base)
        columns[column] = found
        even = {row: units for row, units in complete.items()
                if row not in found.apart and (row, column) not in stopped}  # fmt: skip
        best[column] = not_separated(_shared(even), levels.now)
        spread = noise(
            found.std,
            found.freedom,
            [values[row, column] for row in complete],
            draws=draws,
            level=1 - levels.now,
        )
        if not math.isnan(spread.std):
            spreads[column] = spread
        origin = own.get(study.base)
        if origin is None:
            continue
        for row, cell in own.items():
            if row == study.base:
                continue
            place = (row, column)
            compared[place] = _with_difference(cells[place], cell, origin, by_row, study.base)
            if compared[place].same_as_base:
                continue
            named = _is_named(study, place)
            kind: Kind = "confirmatory" if named else "exploratory"
            compared[place] = replace(compared[place], kind=kind)
            ready = row in complete and study.base in complete and place not in stopped
            tested[place] = (
                comparison(row, study.base, by_row, found, confirmatory=named) if ready else None
            )
    flags = [_is_named(study, place) for place in tested]
    decisions = decide(
        list(tested.values()),
        margin=margin,
        alpha=levels.now,
        next_alpha=levels.next,
        confirmatory=flags,
    )
    for place, decision in zip(tested, decisions, strict=True):
        known = stopped.get(place, decision)
        if known is not None:
            compared[place] = replace(
                compared[place], decision=known, delta_low=known.low, delta_high=known.high
            )
    return Compared(
        cells=compared,
        noise=spreads,
        detectable=_detectable(columns, cells, sum(flags), levels.now),
        best=best,
        confirmatory=sum(flags),
        exploratory=len(flags) - sum(flags),
    )


def _is_named(study: ResolvedStudy, place: Place) -> bool:
    return study.confirmatory is None or place in study.confirmatory


def _with_difference(
    cell: Cell, own: ResolvedCell, origin: ResolvedCell, by_row: Rows, base: str
) -> Cell:
    """Return a cell with its difference to the base row, unit by unit."""
    same = own.trials == origin.trials and own.metric == origin.metric
    found = paired_difference(by_row[own.row], by_row[base])
    return replace(cell, same_as_base=same, delta=found.mean, differences=dict(found.units))


def _stopped(study: ResolvedStudy) -> dict[Place, Decision]:
    """Return what a race decided of the rows that it stopped, which are not tested again."""
    if study.race is None:
        return {}
    labels = {row.name: row.label for row in study.rows}
    return {
        (item.row, item.column): Decision("stopped", item.p, behind=labels[item.best])
        for item in study.race.stopped
    }


def _shared(rows: Rows) -> Rows:
    """Return rows with the units that all of them have."""
    if not rows:
        return {}
    common = set.intersection(*(set(own) for own in rows.values()))
    return {
        row: {unit: value for unit, value in own.items() if unit in common}
        for row, own in rows.items()
    }


def _detectable(
    columns: Mapping[str, ColumnNoise],
    cells: Mapping[Place, Cell],
    comparisons: int,
    alpha: float,
) -> dict[str, float]:
    """Return the smallest difference that each column detects, in points."""
    found = {}
    for column, spread in columns.items():
        counts = [cell.n for (_, name), cell in cells.items() if name == column and cell.complete]
        if counts and spread.freedom > 0 and comparisons:
            size = smallest_detectable(spread, min(counts), comparisons, alpha)
            if math.isfinite(size):
                found[column] = size
    return found
