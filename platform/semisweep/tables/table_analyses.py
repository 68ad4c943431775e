"""What a table says beyond single cells: where variance comes from, and effects over all columns.

Both take longer than the rest of a table: they are for further notes and pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from semisweep.store.resolved_study import Label
from semisweep.tables.table_values import Cell, Table
from semisweep.tables.verdict_texts import base_label, confidence


def variance_notes(table: Table) -> Iterator[str]:
    """Yield the standard deviations of draws, rows in draws, seeds and images, column by column."""
    from semisweep.statistics.variance_split import variance_split

    for column in table.columns:
        found = variance_split({cell.row: cell.values for cell in _even(table, column)})
        if found is None:
            continue
        place = f"{column.label}: " if len(table.columns) > 1 else ""
        if math.isnan(found.seed):
            own, method = f"row by draw and seed {found.row_draw:.1f}", "mean squares, two-way"
        else:
            own = f"row by draw {found.row_draw:.1f}, seeds {found.seed:.1f}"
            method = "mixed model by REML, Patterson and Thompson 1971"
        yield (
            f"Variance: {place}standard deviations of draws {found.draw:.1f} (all rows alike: Δ "
            f"cancels it), {own}{_of_images(table, column)}; {found.draws} draws, {method}; rows "
            "with a run apart left out."
        )


def effect_notes(table: Table) -> Iterator[str]:
    """Yield of each row its mean difference over columns, and how often it is above the base."""
    shared = _share_trials(table)
    found = [(row.label, _effect(table, row, shared)) for row in table.rows]
    told = [f"Over columns: {label}: {effect}." for label, effect in found if effect]
    if not told:
        return
    if shared:
        unit = "columns share their trials, so replicates are the unit"
    else:
        unit = (
            "columns are blocks (Welch 1947); probability of improvement (Agarwal et al. 2021): "
            "share of pairs above the base row, exact interval (Clopper and Pearson 1934)"
        )
    yield (
        f"Over columns: mean Δ to “{base_label(table)}”, each row on its own with a "
        f"{confidence(table.level)} interval, exploratory; {unit}."
    )
    yield from told


def _effect(table: Table, row: Label, shared: bool) -> str:
    from semisweep.statistics.over_columns import over_columns

    cells = [table.cells.get((row.name, column.name)) for column in table.columns]
    differences = [
        cell.differences
        for cell in cells
        if cell is not None
        and cell.decision is not None  # so that it and the base row are complete
        and cell.decision.verdict not in ("identical", "stopped")
    ]
    found = over_columns(differences, 1 - table.level, shared=shared)
    if found is None:
        return ""
    text = f"{found.delta:+.1f}"
    if not math.isnan(found.low):
        text += f" [{found.low:+.1f}, {found.high:+.1f}]"
    text += f" over {found.columns} columns"
    if not math.isnan(found.improved):
        low, share, high = (
            100 * part for part in (found.improved_low, found.improved, found.improved_high)
        )
        text += f"; above in {share:.0f} % [{low:.0f}, {high:.0f}] of {found.pairs} pairs"
    return text


def _even(table: Table, column: Label) -> Iterator[Cell]:
    """Yield the complete cells of a column whose runs are their own, and none of which is apart."""
    for (_, name), cell in table.cells.items():
        verdict = "" if cell.decision is None else cell.decision.verdict
        odd = cell.same_as_base or verdict in ("apart", "identical")
        if name == column.name and name not in table.mixed and cell.complete and not odd:
            yield cell


def _of_images(table: Table, column: Label) -> str:
    """Return the standard deviations of mean differences over test images, smallest to largest."""
    stds = sorted(
        100 * test.image_std for (_, name), test in table.images.items() if name == column.name
    )
    span = " to ".join(dict.fromkeys(f"{std:.1f}" for std in (*stds[:1], *stds[-1:])))
    return f", test images {span} (of a mean Δ)" if span else ""


def _share_trials(table: Table) -> bool:
    """Return whether a row has the same trials in several columns."""
    seen: dict[str, str] = {}
    return any(
        seen.setdefault(key, column) != column
        for (_, column), cell in table.cells.items()
        for key in cell.keys
    )
