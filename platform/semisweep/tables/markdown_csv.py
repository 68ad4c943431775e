"""The table of a study as text: Markdown for people, CSV for programs.

The Markdown reads well rendered and, as its columns are aligned, in a terminal too.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from semisweep.core.safe_text import one_line
from semisweep.store.resolved_study import Label
from semisweep.tables.cell_texts import OURS, heading, lines
from semisweep.tables.effect_texts import effect_heading, effect_lines, effects_notes
from semisweep.tables.footnotes import all_notes
from semisweep.tables.table_values import Cell, Imported, Table

CSV_COLUMNS = (
    *("study", "paper", "table", "row", "column", "metric", "published", "published_std"),
    *("mean", "std", "n", "low", "high", "delta", "verdict", "keys", "other_code"),
    *("unknown_data", "delta_low", "delta_high", "p", "level", "look", "looks", "margin"),
    *("comparisons", "kind", "differences", "further_low", "further_high"),
)
EFFECT_COLUMNS = (
    *("study", "design", "column", "effect", "kind", "mean", "low", "high", "std", "n", "p"),
    *("level", "verdict", "margin", "within_margin", "further_low", "further_high", "order_std"),
    *("waits_for", "apart", "effects"),
)


def to_markdown(table: Table, *, further: bool = False, effects_alone: bool = False) -> str:
    """Return heading, table and notes, the `further` ones too if wanted; ends with a newline.

    Of a design what it says of the parts stands beneath its rows; `effects_alone` leaves these out.
    """
    scale = f" ({table.scale} scale)" if table.scale else ""
    text = [f"## {_plain(table.title or table.name)}{scale}", ""]
    for column in table.columns:
        # Side by side, the numbers of several columns would be wider than any terminal.
        text += [f"### {_plain(column.label)}", ""] if len(table.columns) > 1 else []
        text += [] if effects_alone else [*_grid(table, column), ""]
        text += [*_effects(table, column), ""] if table.effects.get(column.name) else []
    text += [f"- {_plain(note)}" for note in effects_notes(table)]
    text += [f"- {_plain(note)}" for note in all_notes(table, further=further)]
    return "\n".join(text) + "\n"


def to_csv(tables: Iterable[Table]) -> str:
    """Return a line for every cell: numbers in percent, nothing where there is none.

    Columns with a unit hold counts in that unit. What was trained elsewhere has a line of its own,
    with the verdict "imported"; published cells of other scales have the published number alone.
    "other_code" counts the trials that other formats mark with †, "unknown_data" those with ‡.
    "looks" is 0 where any number of them is allowed for; "comparisons" are those of the cell's kind
    that "p" is corrected over; "differences" are "unit=points", where a unit is a draw, or
    "draw/seed" of a table of one draw; "further" is how many more a verdict may take.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            for column in table.columns:
                cell = table.cells.get((row.name, column.name))
                if cell is not None:
                    writer.writerow(_line(table, cell))
                    if cell.imported is not None:
                        writer.writerow(_imported_line(table, cell, cell.imported))
        writer.writerows(_line(table, cell) for cell in table.elsewhere)
    return text.getvalue()


def _grid(table: Table, column: Label) -> list[str]:
    """Return header, rule and rows of a column."""
    rows = [["", *heading(table, column)]]
    for line in lines(table, column):
        texts = list(line.texts)
        if line.best:
            texts[OURS] = f"**{texts[OURS]}**"
        rows.append([line.label, *texts])
    return aligned(rows)


def _effects(table: Table, column: Label) -> list[str]:
    """Return header, rule and rows of what a design says of its parts."""
    found = [(line.label, *line.texts) for line in effect_lines(table, column)]
    return aligned([("part", *effect_heading(table)), *found])


def effects_csv(tables: Iterable[Table]) -> str:
    """Return a line for every part and interaction of designs, in points; else as `to_csv`.

    "waits_for" are rows that lack trials, "order_std" what the sampling of orders adds to the
    standard error, "effects" those that "p" is corrected over.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EFFECT_COLUMNS)
    for table in tables:
        assert table.design is not None
        count = sum(map(len, table.effects.values()))
        for column in table.columns:
            for own in table.effects.get(column.name, ()):
                more = ("", "") if own.further is None else own.further
                writer.writerow([
                    *(table.name, table.design.kind, column.name, own.name, own.kind),
                    *map(_exact, (own.mean, own.low, own.high, own.std)), own.n,
                    *(_exact(own.p), _exact(table.level), own.verdict, _exact(table.margin)),
                    *(own.within_margin, *more, _exact(own.order_std)),
                    *(" ".join(own.missing), " ".join(own.apart), count),
                ])  # fmt: skip
    return text.getvalue()


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return header, rule and rows of a Markdown table, padded; all but the first to the right."""
    plain = [list(map(_plain, texts)) for texts in rows]
    widths = [max(3, *map(len, texts)) for texts in zip(*plain, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [texts[0].ljust(widths[0]), *map(str.rjust, texts[1:], widths[1:])] for texts in plain
    ]
    return ["| " + " | ".join(texts) + " |" for texts in (padded[0], rule, *padded[1:])]


def _plain(text: str) -> str:
    """Return text that cannot break a Markdown table or list."""
    return one_line(str(text)).replace("|", "\\|")


def _line(table: Table, cell: Cell) -> list[object]:
    mean = cell.mean if cell.value is None else cell.value
    bounds = (cell.low, cell.high, cell.delta)
    return [
        *_place(table, cell),
        *map(_exact, (cell.published, cell.published_std, mean, cell.std)),
        cell.n,
        *map(_exact, bounds),
        cell.decision.verdict if cell.decision else "",
        " ".join(cell.keys),
        cell.other_code,
        cell.unknown_data,
        *_judged(table, cell),
    ]


def _judged(table: Table, cell: Cell) -> list[object]:
    """Return what a cell's verdict rests on: the last columns."""
    if not cell.wanted:
        return [""] * 12
    decision = cell.decision
    more = None if decision is None else decision.further
    families = {"confirmatory": table.comparisons, "exploratory": table.exploratory}
    return [
        *map(_exact, (cell.delta_low, cell.delta_high, decision.p if decision else None)),
        *(_exact(table.level), table.look, table.looks, _exact(table.margin)),
        *(families.get(cell.kind, ""), cell.kind),
        " ".join(f"{unit}={_exact(value)}" for unit, value in cell.differences.items()),
        *(("", "") if more is None else more),
    ]


def _imported_line(table: Table, cell: Cell, found: Imported) -> list[object]:
    numbers = map(_exact, (cell.published, cell.published_std, found.mean, found.std))
    bounds = map(_exact, (found.low, found.high))
    return [*_place(table, cell), *numbers, found.n, *bounds, "", "imported", *[""] * 15]


def _place(table: Table, cell: Cell) -> tuple[str, ...]:
    metric = cell.metric or table.metric
    return (table.name, table.paper, table.table, cell.row, cell.column, metric)


def _exact(number: float | None) -> str:
    return "" if number is None or math.isnan(number) else repr(round(number, 6))
