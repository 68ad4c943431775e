"""What the cells of a table say, in words; the same in every format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from semisweep.store.resolved_study import Label
from semisweep.tables import data_marks
from semisweep.tables.code_marks import MARK
from semisweep.tables.table_values import Cell, Imported, Table
from semisweep.tables.verdict_texts import NO_VERDICT, confidence, verdict

NOTHING = "–"
OURS, DELTA = 1, 3  # the places of our number and of Δ among the texts of a line


class CellText(NamedTuple):
    """What a cell says in each of its places, the same in every format and on the page."""

    published: str
    ours: str
    bounds: str = NOTHING
    delta: str = NOTHING
    delta_bounds: str = ""
    verdict: str = NO_VERDICT

    @property
    def columns(self) -> tuple[str, ...]:
        """The texts under the columns of a table."""
        delta = f"{self.delta} {self.delta_bounds}" if self.delta_bounds else self.delta
        return self.published, self.ours, self.bounds, delta, self.verdict


EMPTY = CellText(NOTHING, NOTHING)


class Line(NamedTuple):
    """A row of a table's column: its cell, what that says, and whether it is bold."""

    row: Label
    label: str  # of the row, with what is said of numbers that are not of its own trials
    text: CellText
    texts: tuple[str, ...]  # as many of the cell's as `heading` has
    cell: Cell | None = None  # none where the row has none, and for numbers trained elsewhere
    best: bool = False  # or not separated from the best


def heading(table: Table, column: Label) -> tuple[str, ...]:
    """Return what stands above the texts of a column's lines."""
    if column.unit:
        return (f"published, {column.unit}", f"ours, {column.unit}")
    names = ("published", "ours", f"{confidence(table.level)} interval")
    return (*names, "Δ to base", "verdict") if table.base else names


def lines(table: Table, column: Label) -> Iterator[Line]:
    """Yield the rows of a column; numbers trained elsewhere have a line of their own."""
    best, width = table.best.get(column.name, frozenset()), len(heading(table, column))
    for row in table.rows:
        cell = table.cells.get((row.name, column.name))
        label = row.label + (" (published only)" if row.published_only and not column.unit else "")
        text = EMPTY if cell is None else _text(table, column, cell)
        is_best = cell is not None and cell.complete and row.name in best
        yield Line(row, label, text, text.columns[:width], cell, is_best)
        if cell is not None and cell.imported is not None:
            text = _imported(cell.imported)
            yield Line(row, f"{row.label} (imported)", text, text.columns[:width])


def _text(table: Table, column: Label, cell: Cell) -> CellText:
    if column.unit:
        return CellText(short_count(cell.published), short_count(cell.value))
    return CellText(
        published(cell),
        _ours(cell),
        bounds(cell.low, cell.high),
        _delta(cell),
        _delta_bounds(cell),
        verdict(cell, table.margin),
    )


def short_count(value: float | None) -> str:
    """Return a count with its thousands apart, or one decimal of a smaller number."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def _imported(found: Imported) -> CellText:
    spread = "" if math.isnan(found.std) else f" ± {found.std:.1f}"
    ours = f"{found.mean:.1f}{spread} ({found.n} imported)"
    return CellText(NOTHING, ours, bounds(found.low, found.high))


def published(cell: Cell) -> str:
    """Return the published number of a cell as it was printed."""
    if cell.published is None:
        return NOTHING
    spread = "" if cell.published_std is None else f" ± {_as_printed(cell.published_std)}"
    return _as_printed(cell.published) + spread


def _as_printed(number: float) -> str:
    """Return a published number with its one or two decimals."""
    return f"{number:.2f}".removesuffix("0")


def _ours(cell: Cell) -> str:
    """Return mean, spread and count, or why there is no number."""
    if not cell.wanted:
        return NOTHING
    if not cell.keys:
        return _without_number(cell)
    count = f"{cell.n}" if cell.n == len(cell.keys) else f"{cell.n} draws, {len(cell.keys)} trials"
    if not cell.complete:
        count = _partial(cell)
    return f"{_mean(cell)} ({count}){_marks(cell)}"


def marked(cell: Cell) -> str:
    """Return mean, spread and marks of a cell; the count only where trials are missing."""
    if not cell.keys:
        return _without_number(cell)
    count = "" if cell.complete else f" ({_partial(cell)})"
    return f"{_mean(cell)}{count}{_marks(cell)}"


def _without_number(cell: Cell) -> str:
    if not cell.failed:
        return "missing"
    return "failed" if cell.failed == cell.wanted else f"{cell.failed} of {cell.wanted} failed"


def _partial(cell: Cell) -> str:
    failed = f", {cell.failed} failed" if cell.failed else ""
    return f"{len(cell.keys)} of {cell.wanted}{failed}"


def _mean(cell: Cell) -> str:
    return f"{cell.mean:.1f}" + ("" if math.isnan(cell.std) else f" ± {cell.std:.1f}")


def _marks(cell: Cell) -> str:
    return (MARK if cell.other_code else "") + (data_marks.MARK if cell.unknown_data else "")


def bounds(low: float, high: float, sign: str = "") -> str:
    """Return an interval in points or percent."""
    return NOTHING if math.isnan(low) else f"[{_number(low, sign)}, {_number(high, sign)}]"


def _delta(cell: Cell) -> str:
    if cell.same_as_base:
        return "same trials"
    return NOTHING if math.isnan(cell.delta) else _number(cell.delta, "+")


def _delta_bounds(cell: Cell) -> str:
    known = not cell.same_as_base and not math.isnan(cell.delta_low)
    return bounds(cell.delta_low, cell.delta_high, "+") if known else ""


def signed(value: float) -> str:
    """Return a difference in points with its sign."""
    return _number(value, "+")


def _number(value: float, sign: str = "") -> str:
    return f"{round(value, 1) + 0.0:{sign}.1f}"  # adding zero turns -0.0 into 0.0
