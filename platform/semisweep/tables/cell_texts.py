"""What the cells of a table and the notes beneath it say, in words; the same in every format.

Notes have `code` in backticks and are else plain text, which a format has to escape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from semisweep.statistics.intervals import several_draws
from semisweep.store.resolved_study import Label
from semisweep.tables import data_marks
from semisweep.tables.code_marks import MARK, code_notes
from semisweep.tables.footnotes import (
    NO_VERDICT,
    image_notes,
    mixture_notes,
    verdict,
    verdict_notes,
)
from semisweep.tables.table_values import Cell, Imported, Table

NOTHING = "–"
ERRORS_SHOWN = 5
OURS = 1  # the place of our number among the texts of a line


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
    """A row of a table's column: its cell, what that says, and whether ours is the best."""

    row: Label
    label: str  # of the row, with what is said of numbers that are not of its own trials
    text: CellText
    texts: tuple[str, ...]  # as many of the cell's as `heading` has
    cell: Cell | None = None  # none where the row has none, and for numbers trained elsewhere
    best: bool = False


def heading(table: Table, column: Label) -> tuple[str, ...]:
    """Return what stands above the texts of a column's lines."""
    if column.unit:
        return (f"published, {column.unit}", f"ours, {column.unit}")
    names = ("published", "ours", "95 % interval")
    return (*names, "Δ to base", "verdict") if table.base else names


def lines(table: Table, column: Label) -> Iterator[Line]:
    """Yield the rows of a column; numbers trained elsewhere have a line of their own."""
    best, width = _best(table, column), len(heading(table, column))
    for row in table.rows:
        cell = table.cells.get((row.name, column.name))
        label = row.label + (" (published only)" if row.published_only and not column.unit else "")
        text = EMPTY if cell is None else _text(table, column, cell)
        is_best = cell is not None and cell.complete and cell.mean == best
        yield Line(row, label, text, text.columns[:width], cell, is_best)
        if cell is not None and cell.imported is not None:
            text = _imported(cell.imported)
            yield Line(row, f"{row.label} (imported)", text, text.columns[:width])


def _text(table: Table, column: Label, cell: Cell) -> CellText:
    if column.unit:
        return CellText(_count(cell.published), _count(cell.value))
    return CellText(
        _published(cell),
        _ours(cell),
        _bounds(cell.low, cell.high),
        _delta(cell),
        _delta_bounds(cell),
        verdict(cell, table.margin),
    )


def _count(value: float | None) -> str:
    """Return a count with its thousands apart, or one decimal of a smaller number."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def _imported(found: Imported) -> CellText:
    spread = "" if math.isnan(found.std) else f" ± {found.std:.1f}"
    ours = f"{found.mean:.1f}{spread} ({found.n} imported)"
    return CellText(NOTHING, ours, _bounds(found.low, found.high))


def _best(table: Table, column: Label) -> float:
    """Return the highest mean of a column's complete cells; NaN if fewer than two are complete.

    NaN as well in a column that mixes lists of labelled images.
    """
    if column.name in table.mixed:
        return math.nan
    cells = (table.cells.get((row.name, column.name)) for row in table.rows)
    means = [cell.mean for cell in cells if cell is not None and cell.complete]
    means = [mean for mean in means if not math.isnan(mean)]
    return max(means) if len(means) > 1 else math.nan


def _published(cell: Cell) -> str:
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
        if not cell.failed:
            return "missing"
        return "failed" if cell.failed == cell.wanted else f"{cell.failed} of {cell.wanted} failed"
    count = f"{cell.n}" if cell.n == len(cell.keys) else f"{cell.n} draws, {len(cell.keys)} trials"
    if not cell.complete:
        count = f"{len(cell.keys)} of {cell.wanted}"
        count += f", {cell.failed} failed" if cell.failed else ""
    spread = "" if math.isnan(cell.std) else f" ± {cell.std:.1f}"
    marks = (MARK if cell.other_code else "") + (data_marks.MARK if cell.unknown_data else "")
    return f"{cell.mean:.1f}{spread} ({count}){marks}"


def _bounds(low: float, high: float, sign: str = "") -> str:
    return NOTHING if math.isnan(low) else f"[{_number(low, sign)}, {_number(high, sign)}]"


def _delta(cell: Cell) -> str:
    if cell.same_as_base:
        return "same trials"
    return NOTHING if math.isnan(cell.delta) else _number(cell.delta, "+")


def _delta_bounds(cell: Cell) -> str:
    known = not cell.same_as_base and not math.isnan(cell.delta_low)
    return _bounds(cell.delta_low, cell.delta_high, "+") if known else ""


def _number(value: float, sign: str = "") -> str:
    return f"{round(value, 1) + 0.0:{sign}.1f}"  # adding zero turns -0.0 into 0.0


def notes(table: Table) -> Iterator[str]:
    """Yield what a reader must know of a table's numbers, a sentence or two each."""
    metric = table.metric_note or table.metric
    if any(cell.wanted for cell in table.cells.values()):
        yield f"Metric: {metric} ({_metrics(table)}), in percent."
    yield f"ours: mean ± standard deviation (n), Student's t interval. {_replication(table)}"
    if table.base:
        label = next((row.label for row in table.rows if row.name == table.base), table.base)
        yield f"Δ: difference to “{label}” in percentage points, paired by draw and seed."
    yield from verdict_notes(table)
    if any(not math.isnan(_best(table, column)) for column in table.columns):
        yield "Bold: the highest mean of a column, among complete cells."
    if table.changes:
        changed = ", ".join(f"`{name}={value}`" for name, value in table.changes.items())
        yield f"Changed with --set, so not the study as it is declared: {changed}."
    yield from _incomplete(table)
    yield from code_notes(table.code, f"{table.name}{_scale(table)}")
    yield from data_marks.data_notes(table, f"{table.name}{_scale(table)}")
    yield from mixture_notes(table)
    yield from image_notes(table)
    yield from _elsewhere(table)
    told = any(note.startswith("Published:") for note in table.notes)
    if not told and any(cell.published is not None for cell in table.cells.values()):
        yield f"Published: {_origin(table)}."
    yield from table.notes
    if any(cell.wanted for cell in table.cells.values()):
        command = f"semisweep table {table.name}{_scale(table)} --keys"
        yield f"Trials: `{command}` lists those of every cell, and how to repeat each."


def _scale(table: Table) -> str:
    """Return the option that a command on a table needs besides its name."""
    return f" --scale {table.scale}" if table.scale not in ("", "mini") else ""


def _metrics(table: Table) -> str:
    """Return the metrics of a table's columns as code, a few at most."""
    found = dict.fromkeys(cell.metric for cell in table.cells.values() if cell.wanted)
    names = [f"`{name}`" for name in found]
    return ", ".join([*names[:3], *(["..."] if names[3:] else [])])


def _replication(table: Table) -> str:
    draws = len({replicate.partition("/")[0] for replicate in table.replicates})
    wanted = sorted({cell.wanted for cell in table.cells.values() if cell.wanted})
    each = " to ".join(map(str, dict.fromkeys((wanted[0], wanted[-1])))) if wanted else "No"
    trials = f"{each} trial{'' if wanted == [1] else 's'} a cell"
    if several_draws(table.replicates):
        unit = "n counts draws, each the mean of its seeds"
        return f"{trials}, of {draws} draws of the labelled images; {unit}."
    return f"{trials}, of one draw of the labelled images; n counts seeds."


def _incomplete(table: Table) -> Iterator[str]:
    cells = [cell for cell in table.cells.values() if cell.wanted]
    lacking = [cell for cell in cells if not cell.complete]
    if lacking:
        part = f"{len(lacking)} of {len(cells)} cells lack trials"
        yield f"Incomplete: {part}; `semisweep run` adds what is missing."
    if table.errors:
        part = f"{len(table.errors)} trial{'s' if len(table.errors) > 1 else ''}"
        yield f"Failed: {part}; `semisweep run --retry-failed` tries again."
    for error in table.errors[:ERRORS_SHOWN]:
        yield f"Failed: {error}"
    if len(table.errors) > ERRORS_SHOWN:
        yield f"Failed: {len(table.errors) - ERRORS_SHOWN} more"


def _elsewhere(table: Table) -> Iterator[str]:
    found = [cell.imported for cell in table.cells.values() if cell.imported is not None]
    if found:
        sources = "; ".join(dict.fromkeys(name for item in found for name in item.sources))
        yield f"Imported: trained elsewhere, counted with nothing else: {sources}."


def _origin(table: Table) -> str:
    return (
        ", ".join(
            part for part in (table.paper, f"Table {table.table}" if table.table else "") if part
        )
        or "as stated by the study"
    )
