"""The table of a study as text: Markdown for people, CSV for programs.

The Markdown reads well rendered and, as its columns are aligned, in a terminal too.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator

from semisweep.cells import Cell, Label, Table, build
from semisweep.footnotes import mixture_notes, verdict, verdict_notes
from semisweep.statistics import several_draws

__all__ = ["Cell", "Label", "Table", "build", "to_csv", "to_markdown"]

NOTHING = "–"
ERRORS_SHOWN = 5
CSV_COLUMNS = (
    *("study", "paper", "table", "row", "column", "metric", "published", "published_std"),
    *("mean", "std", "n", "low", "high", "delta", "verdict", "keys"),
)


def to_markdown(table: Table) -> str:
    """Return heading, table and what a reader must know of its numbers; ends with a newline."""
    scale = f" ({table.scale} scale)" if table.scale else ""
    lines = [f"## {table.title or table.name}{scale}", ""]
    for column in table.columns:
        # Side by side, the numbers of several columns would be wider than any terminal.
        lines += [f"### {_plain(column.label)}", ""] if len(table.columns) > 1 else []
        lines += [*_grid(table, column), ""]
    lines += [f"- {_plain(note)}" for note in _notes(table)]
    return "\n".join(lines) + "\n"


def to_csv(tables: Iterable[Table]) -> str:
    """Return a line for every cell: numbers in percent, nothing where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                cell = table.cells.get((row.name, column.name))
                if cell is not None:
                    writer.writerow(_line(table, cell))
    return text.getvalue()


def _grid(table: Table, column: Label) -> list[str]:
    """Return header, rule and rows of a column, padded; all but the labels to the right."""
    best = _best(table, column)
    rows = [["", "published", "ours", "95 % interval"]]
    rows[0] += ["Δ to base", "verdict"] if table.base else []
    for row in table.rows:
        cell = table.cells.get((row.name, column.name))
        rows.append([_row_label(row), *_cell_texts(table, cell, best)])
    widths = [max(3, *map(len, texts)) for texts in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [
        [texts[0].ljust(widths[0]), *map(str.rjust, texts[1:], widths[1:])] for texts in rows
    ]
    return ["| " + " | ".join(texts) + " |" for texts in (aligned[0], rule, *aligned[1:])]


def _row_label(row: Label) -> str:
    return _plain(row.label) + (" (published only)" if row.published_only else "")


def _cell_texts(table: Table, cell: Cell | None, best: float) -> list[str]:
    if cell is None:
        return [NOTHING] * (5 if table.base else 3)
    ours = _ours(cell)
    texts = [
        _published(cell),
        f"**{ours}**" if cell.complete and cell.mean == best else ours,
        _bounds(cell.low, cell.high),
    ]
    return [*texts, _delta(cell), verdict(cell, table.margin)] if table.base else texts


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
    return f"{cell.mean:.1f}{spread} ({count})"


def _bounds(low: float, high: float, sign: str = "") -> str:
    return NOTHING if math.isnan(low) else f"[{_number(low, sign)}, {_number(high, sign)}]"


def _delta(cell: Cell) -> str:
    if cell.same_as_base:
        return "same trials"
    if math.isnan(cell.delta):
        return NOTHING
    if math.isnan(cell.delta_low):
        return _number(cell.delta, "+")
    return f"{_number(cell.delta, '+')} {_bounds(cell.delta_low, cell.delta_high, '+')}"


def _number(value: float, sign: str = "") -> str:
    return f"{round(value, 1) + 0.0:{sign}.1f}"  # adding zero turns -0.0 into 0.0


def _notes(table: Table) -> Iterator[str]:
    metric = table.metric_note or table.metric
    yield f"Metric: {metric} (`{table.metric}`), in percent."
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
    yield from mixture_notes(table)
    if any(cell.published is not None for cell in table.cells.values()):
        yield f"published: {_origin(table)}."
    yield from table.notes


def _replication(table: Table) -> str:
    draws = len({replicate.partition("/")[0] for replicate in table.replicates})
    wanted = sorted({cell.wanted for cell in table.cells.values() if cell.wanted})
    each = " to ".join(map(str, dict.fromkeys((wanted[0], wanted[-1])))) if wanted else "no"
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
    if len(table.sources) > 1:
        yield f"Mixed: the results were made by {len(table.sources)} versions of the source code."


def _origin(table: Table) -> str:
    return (
        ", ".join(
            part for part in (table.paper, f"Table {table.table}" if table.table else "") if part
        )
        or "as stated by the study"
    )


def _plain(text: str) -> str:
    """Return text that cannot break a Markdown table or list."""
    return " ".join(str(text).split()).replace("|", "\\|")


def _line(table: Table, cell: Cell) -> list[object]:
    numbers = (cell.published, cell.published_std, cell.mean, cell.std)
    bounds = (cell.low, cell.high, cell.delta)
    return [
        *(table.name, table.paper, table.table, cell.row, cell.column, table.metric),
        *map(_exact, numbers),
        cell.n,
        *map(_exact, bounds),
        cell.decision.verdict if cell.decision else "",
        " ".join(cell.keys),
    ]


def _exact(number: float | None) -> str:
    return "" if number is None or math.isnan(number) else repr(round(number, 6))
