"""The table of a paper: rows by columns, mean ± std, the best of a column bold, one caption."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple

from semisweep.core.safe_text import one_line
from semisweep.statistics.intervals import several_draws
from semisweep.store.resolved_study import Label
from semisweep.tables.cell_texts import NOTHING, marked, published, short_count
from semisweep.tables.code_marks import MARK as OTHER_CODE
from semisweep.tables.data_marks import MARK as UNKNOWN_DATA
from semisweep.tables.footnotes import serious_notes
from semisweep.tables.latex_text import escaped, with_note
from semisweep.tables.markdown_csv import aligned
from semisweep.tables.table_values import Cell, Table

PUBLISHED = "*"
CSV_PARTS = ("mean", "std", "n", "published")


class Line(NamedTuple):
    """A row: its label, the text of each column, and which of them are bold."""

    label: str
    texts: tuple[str, ...]
    best: tuple[bool, ...]


def compact_text(tables: Sequence[Table], form: str) -> str:
    """Return the tables of papers as "markdown" or "terminal", "latex", "html" or "csv".

    A "fragment" is HTML without a page around it. CSV has a line for every row and, of each column,
    mean, standard deviation, number of replicates and published number, without a caption.
    """
    if form == "latex":
        return with_note("\n".join(map(_latex, tables)))
    if form in ("html", "fragment"):
        body = "".join(map(_html, tables))
        return body if form == "fragment" else _page(body)
    return "\n".join(map(_csv if form == "csv" else _markdown, tables))


def caption(table: Table) -> str:
    """Return the caption of a table: its title, what its numbers are, and what is marked."""
    scale = f" ({table.scale} scale)" if table.scale else ""
    parts = [(table.title or table.name) + scale]
    cells = [cell for cell in table.cells.values() if cell.wanted]
    done = [cell for cell in cells if cell.keys]
    if done:
        counts = sorted({cell.n for cell in done})
        count = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        unit = "draws of the labelled images" if several_draws(table.replicates) else "seeds"
        spread = f"mean ± standard deviation of {count} {unit}" if counts[-1] > 1 else "one seed"
        parts.append(f"{table.metric_note or table.metric}, in percent; {spread}")
    if any(_best(table, column) for column in table.columns):
        parts.append("Bold: the highest mean of a column, whether or not others differ from it")
    texts = [text for line in _lines(table) for text in line.texts]
    if any(text.endswith(PUBLISHED) for text in texts):
        parts.append(f"{PUBLISHED}: as published{_source(table)}")
    if any(OTHER_CODE in text for text in texts):
        parts.append(f"{OTHER_CODE}: trained by other code than is here now")
    if any(UNKNOWN_DATA in text for text in texts):
        parts.append(f"{UNKNOWN_DATA}: it was not recorded what was in its files")
    if any(not cell.complete for cell in done):
        parts.append("In brackets: how many trials there are of how many that are wanted")
    parts += [note.rstrip(".").replace("`", "") for note in serious_notes(table)]
    return ". ".join(parts) + "."


def _source(table: Table) -> str:
    where = " ".join(part for part in (table.paper, table.table and f"Table {table.table}") if part)
    return f" ({where})" if where else ""


def _lines(table: Table) -> Iterator[Line]:
    best = [_best(table, column) for column in table.columns]
    for row in table.rows:
        cells = [table.cells.get((row.name, column.name)) for column in table.columns]
        texts = tuple(map(_text, cells, table.columns))
        yield Line(row.label, texts, tuple(row.name in names for names in best))
        if any(cell is not None and cell.imported for cell in cells):
            texts = tuple(map(_imported, cells))
            yield Line(f"{row.label} (imported)", texts, (False,) * len(cells))


def _best(table: Table, column: Label) -> frozenset[str]:
    """Return the rows with the highest mean of a column, as it is printed; of one row none."""
    found = {
        row.name: f"{cell.mean:.1f}"
        for row in table.rows
        if (cell := table.cells.get((row.name, column.name))) is not None and cell.complete
    }
    if column.unit or column.name in table.mixed or len(found) < 2:
        return frozenset()
    highest = max(map(float, found.values()))
    return frozenset(name for name, text in found.items() if float(text) == highest)


def _text(cell: Cell | None, column: Label) -> str:
    if cell is None:
        return NOTHING
    if column.unit:
        return short_count(cell.value) if cell.value is not None else _as_published(cell)
    if cell.wanted:
        return marked(cell)
    return _as_published(cell)


def _as_published(cell: Cell) -> str:
    return NOTHING if cell.published is None else f"{published(cell)}{PUBLISHED}"


def _imported(cell: Cell | None) -> str:
    if cell is None or cell.imported is None:
        return NOTHING
    found = cell.imported
    return f"{found.mean:.1f}" + ("" if math.isnan(found.std) else f" ± {found.std:.1f}")


def _headings(table: Table) -> list[str]:
    return [column.label + (f" ({column.unit})" if column.unit else "") for column in table.columns]


def _markdown(table: Table) -> str:
    rows = [["", *_headings(table)]]
    for line in _lines(table):
        bold = zip(line.texts, line.best, strict=True)
        rows.append([line.label, *(f"**{text}**" if best else text for text, best in bold)])
    return "\n".join([*aligned(rows), "", one_line(caption(table))]) + "\n"


def _latex(table: Table) -> str:
    lines = [
        "\\begin{table}[htbp]",
        "\\centering",
        f"\\caption{{{escaped(caption(table))}}}",
        f"\\label{{tab:{re.sub('[^A-Za-z0-9:-]', '-', table.name)}}}",
        f"\\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        "\\toprule",
        " & ".join(["", *map(escaped, _headings(table))]) + r" \\",
        "\\midrule",
    ]
    for line in _lines(table):
        bold = zip(map(escaped, line.texts), line.best, strict=True)
        texts = [f"\\textbf{{{text}}}" if best else text for text, best in bold]
        # An empty group first: LaTeX would take a bracket after a line's end for an argument.
        lines.append("{}" + " & ".join([escaped(line.label), *texts]) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]) + "\n"


def _html(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in _headings(table))
    lines = [f'<section id="{escape(table.name)}">', "<table>"]
    lines += [f"<caption>{escape(caption(table))}</caption>"]
    lines += [f"<thead><tr><td></td>{heads}</tr></thead>", "<tbody>"]
    for line in _lines(table):
        bold = zip(map(escape, line.texts), line.best, strict=True)
        data = "".join(
            f"<td><strong>{text}</strong></td>" if best else f"<td>{text}</td>"
            for text, best in bold
        )
        lines.append(f'<tr><th scope="row">{escape(line.label)}</th>{data}</tr>')
    return "\n".join([*lines, "</tbody></table>", "</section>"]) + "\n"


def _page(body: str) -> str:
    from semisweep.tables.html_table import page

    return page(body)


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"{head}, {part}" for head in _headings(table) for part in CSV_PARTS]
    writer.writerow(["row", *names])
    for row in table.rows:
        cells = (table.cells.get((row.name, column.name)) for column in table.columns)
        writer.writerow([row.label, *(value for cell in cells for value in _numbers(cell))])
    return text.getvalue()


def _numbers(cell: Cell | None) -> Iterable[object]:
    if cell is None:
        return [""] * len(CSV_PARTS)
    mean = cell.mean if cell.value is None else cell.value
    given = ["" if math.isnan(value) else round(value, 6) for value in (mean, cell.std)]
    return [*given, cell.n or "", "" if cell.published is None else cell.published]
