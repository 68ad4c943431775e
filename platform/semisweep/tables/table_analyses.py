"""What a table says beyond single cells: where variance comes from, and effects over all columns.

Both take longer than the rest of a table: they are for further notes and pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from semisweep.store.resolved_study import Label
from semisweep.tables.table_values import Cell, Table
from semisweep.tables.verdict_texts import base_label, confidence, significance


def variance_notes(table: Table) -> Iterator[str]:
    """Yield the standard deviations of draws, rows in draws, seeds and images, column by column."""
    from semisweep.statistics.variance_split import variance_split

    for column in table.columns:
        cells = _complete(table, column)
        distinct = {tuple(cell.keys): cell.values for cell in cells.values()}
        found = variance_split({str(at): own for at, own in enumerate(distinct.values())})
        if found is None:
            continue
        place = f"{column.label}: " if len(table.columns) > 1 else ""
        own = f"row by draw {found.row_draw:.1f}"
        if math.isnan(found.seed):
            own, method = f"row by draw and seed {found.row_draw:.1f}", "mean squares, two-way"
        else:
            own, method = f"{own}, seeds {found.seed:.1f}", "mixed model, REML"
        images = sorted(
            100 * test.image_std for (_, name), test in table.images.items() if name == column.name
        )
        if images:
            span = " to ".join(dict.fromkeys((f"{images[0]:.1f}", f"{images[-1]:.1f}")))
            own += f", test images {span} (of a mean Δ)"
        yield (
            f"Variance: {place}standard deviations of draws {found.draw:.1f} (shared by rows, "
            f"which Δ cancels), {own}; {found.draws} draws, {method}."
        )


def effect_notes(table: Table) -> Iterator[str]:
    """Yield of each row its mean difference over columns, and how often it is above the base."""
    from semisweep.statistics.over_columns import over_columns

    columns = [column for column in table.columns if not column.unit]
    shared = _share_trials(table)
    told = []
    for row in table.rows:
        differences = []
        for column in columns:
            cell = table.cells.get((row.name, column.name))
            if cell is not None and cell.kind in ("confirmatory", "exploratory"):
                base = table.cells[table.base, column.name]
                if cell.complete and base.complete and cell.differences:
                    differences.append(cell.differences)
        found = over_columns(differences, 1 - table.level, shared=shared)
        if found is None:
            continue
        text = f"{row.label} {found.delta:+.1f}"
        if not math.isnan(found.low):
            text += f" [{found.low:+.1f}, {found.high:+.1f}]"
        if not math.isnan(found.improved):
            bounds = f"{100 * found.improved_low:.0f}, {100 * found.improved_high:.0f}"
            text += f", above in {100 * found.improved:.0f} % [{bounds}] of {found.pairs} pairs"
        told.append(f"{text} ({found.columns} columns)")
    if told:
        unit = (
            "columns share their trials, so replicates are the unit"
            if shared
            else "columns are blocks (Welch and Satterthwaite); share of pairs above: probability "
            "of improvement (Agarwal et al. 2021), exact interval (Clopper and Pearson 1934)"
        )
        yield (
            f"Over columns: mean Δ to “{base_label(table)}”, each row on its own at "
            f"{significance(table.level)} ({confidence(table.level)} intervals, exploratory); "
            f"{unit}: {'; '.join(told)}."
        )


def _complete(table: Table, column: Label) -> dict[str, Cell]:
    return {
        row: cell
        for (row, name), cell in table.cells.items()
        if name == column.name and cell.complete and column.name not in table.mixed
    }


def _share_trials(table: Table) -> bool:
    """Return whether a row has the same trials in several columns."""
    seen: dict[str, str] = {}
    for (_, column), cell in table.cells.items():
        for key in cell.keys:
            if seen.setdefault(key, column) != column:
                return True
    return False
