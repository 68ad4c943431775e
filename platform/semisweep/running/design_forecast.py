"""What a table would find before it is run, and which look at it a run would be."""

from __future__ import annotations

import math
from collections.abc import Iterator

from semisweep.statistics.alpha_spending import OPEN
from semisweep.statistics.design_contrasts import contrasts
from semisweep.statistics.intervals import several_draws
from semisweep.statistics.power import POWER, detectable
from semisweep.store.resolved_design import Design
from semisweep.store.resolved_study import ResolvedStudy, units_of
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.tables.interim_analysis import compared_trials
from semisweep.tables.rendering import tabulate
from semisweep.tables.row_comparisons import levels_of
from semisweep.tables.table_looks import TableLooks
from semisweep.tables.table_values import Table


def design_lines(
    study: ResolvedStudy, looks: TableLooks | None, planned: int | None
) -> Iterator[str]:
    """Yield the smallest difference that a resolved table detects, and which look a run would be.

    None where it compares nothing. `looks` are those of a store, `planned` their number that is
    asked for. Raises `ConfigError` for a look that was not planned.
    """
    stated, taken = study, 0
    if looks is not None:
        stated = looks.stated(study, looks.next_entry(study, planned))
        taken = looks.known.look - (0 if looks.is_judged() else 1)
    places = [place for place in compared_trials(study) if place[0] != study.base]
    places = [p for p in places if study.at[p].trials != study.at[study.base, p[1]].trials]
    named = [p for p in places if study.confirmatory is None or p in study.confirmatory]
    level = levels_of(stated).now
    if study.design is not None and study.design.kind == "path" and not study.design.orders:
        yield f"path     {_steps(study.design)}"
    if named:
        yield f"finds    {_found(stated, named, level, looks)}"
    elif study.design is not None and contrasts(study.design):
        yield f"finds    {_found_parts(stated, study.design, level, looks)}"
    else:
        return
    of = "any number" if stated.looks == OPEN else f"{stated.looks}"
    taken_text = f"{taken} look{'' if taken == 1 else 's'} taken"
    yield f"looks    {taken_text}; this would be look {stated.look} of {of}, at {100 * level:.2g} %"


def _found(
    study: ResolvedStudy, named: list[tuple[str, str]], level: float, looks: TableLooks | None
) -> str:
    """Return the smallest difference of the column in which it is largest, and how it is found."""
    columns = dict.fromkeys(column for _, column in named)
    sizes, counts = {}, {}
    for column in columns:
        own = [cell for cell in study.cells if cell.column == column and cell.trials]
        draws = several_draws(name for cell in own for name in cell.trials)
        units = [units_of(cell.trials) for cell in own]
        counts[column] = min(len(unit) if draws else sum(unit) for unit in units)
        sizes[column] = detectable(len(own), counts[column], len(named), level)
    comparisons = f"{len(named)} confirmatory comparison{'' if len(named) == 1 else 's'}"
    return _told("differences", sizes, counts, comparisons, _unit(study), looks)


def _found_parts(
    study: ResolvedStudy, design: Design, level: float, looks: TableLooks | None
) -> str:
    """Return the smallest part that a design finds, of the one that it estimates worst."""
    asked = contrasts(design)
    spread = max(
        math.sqrt(sum(weight**2 for weight in own.weights.values()) / 2)
        for own in asked
        if own.kind == "part"
    )
    sizes, counts = {}, {}
    for column in dict.fromkeys(cell.column for cell in study.cells if cell.trials):
        own = [cell for cell in study.cells if cell.column == column and cell.row in design.on]
        units = [units_of(cell.trials) for cell in own if cell.trials]
        counts[column] = min(len(unit) if len(unit) > 1 else sum(unit) for unit in units)
        sizes[column] = spread * detectable(len(own), counts[column], len(asked), level)
    effects = f"{len(asked)} effect{'' if len(asked) == 1 else 's'}"
    return _told("parts", sizes, counts, effects, _unit(study), looks)


def _steps(design: Design) -> str:
    """Return how many rows the steps of a path may have that is not known yet, beside its ends."""
    count = len(design.switches)
    most = max(0, count * (count + 1) // 2 - 1)
    return f"its ends are counted; its steps, found one by one, have up to {most} further rows"


def _told(
    what: str,
    sizes: dict[str, float],
    counts: dict[str, int],
    comparisons: str,
    unit: str,
    looks: TableLooks | None,
) -> str:
    largest = max(sizes, key=lambda column: sizes[column])
    made = f"{comparisons}, {counts[largest]} {unit}"
    if not math.isfinite(sizes[largest]):
        return f"no difference: {made}, and a verdict takes three"
    points = _in_points(sizes, looks)
    return (
        f"{what} of {sizes[largest]:.1f} sd ({points}) with a probability of "
        f"{100 * POWER:.0f} %: {made}"
    )


def _unit(study: ResolvedStudy) -> str:
    names = (name for cell in study.cells for name in cell.trials)
    return "draws" if several_draws(names) else "seeds"


def _in_points(sizes: dict[str, float], looks: TableLooks | None) -> str:
    table = _stored_table(looks.store, looks.stored) if looks is not None else None
    known = {column: table.noise[column].std for column in sizes if table and column in table.noise}
    if table is None or not known:
        return "standard deviations of one run"
    points = [sizes[column] * std for column, std in known.items()]
    low, high = f"{min(points):.1f}", f"{max(points):.1f}"
    cells = [cell for cell in table.cells.values() if cell.column in known and cell.complete]
    shown = low if low == high else f"{low} to {high}"
    return f"about {shown} points, by the noise of {len(cells)} finished cells here"


def _stored_table(store: Store, stored: ResolvedStudy | None) -> Table | None:
    return None if stored is None else tabulate(stored, Snapshot(store, stored.keys))
