"""Figures of a table's columns against each other: bars of what each measures, and size by score.

STPG's Figure 6 is of the first kind, the IoU of single classes; SegKC's Figure 1 of the second, the
mIoU over the number of parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from semisweep.report.axes import value_axis
from semisweep.report.curve_plots import PUBLISHED, Bar
from semisweep.report.figure import Figure, legend
from semisweep.report.svg import Plot, bars, swatch
from semisweep.store.resolved_study import Label
from semisweep.tables.table_values import Cell, Table
from semisweep.tables.verdict_texts import confidence

Named = tuple[float, float, str]  # count, score, row


def column_bars(table: Table) -> Iterator[Figure]:
    """Yield one bar a row and column of a table whose columns are scores of different kinds."""
    shares = {column.name for column in table.columns if not column.unit}
    metrics = {cell.metric for cell in table.cells.values() if cell.column in shares}
    if len(metrics) < 2:
        return
    rows = [row for row in table.rows if any(_known(table, row, own) for own in table.columns)]
    groups: dict[str, list[Bar]] = {}
    for column in table.columns:
        for series, row in enumerate(rows):
            cell = _known(table, row, column)
            if cell is not None:
                text = f"{row.label}, {column.label}: {cell.mean:.1f}"
                bar = (series, cell.mean, cell.low, cell.high, text)
                groups.setdefault(column.label, []).append(bar)
    if not groups:
        return
    what = "IoU" if all(".iou." in own for own in metrics) else "score"
    axis = value_axis(f"{what} (%)", [0.0, 100.0], zero=True)
    caption = f"The {what} of each column; lines: {confidence(table.level)} intervals."
    yield Figure(
        caption=caption,
        svg=bars(list(groups.items()), axis, caption, thick=14 if len(rows) <= 2 else 10),
        legend=legend(row.label for row in rows),
    )


def scores_by_count(table: Table) -> Iterator[Figure]:
    """Yield the score of each row over a count, such as parameters; ours and published apart.

    Of a table of one column in percent and one of counts alone: more would not be one figure.
    """
    counts = [column for column in table.columns if column.unit]
    scores = [column for column in table.columns if not column.unit]
    if len(counts) != 1 or len(scores) != 1:
        return
    ours: list[Named] = []
    published: list[Named] = []
    for row in table.rows:
        count = table.cells.get((row.name, counts[0].name))
        score = table.cells.get((row.name, scores[0].name))
        if count is None or score is None:
            continue
        if count.value is not None and math.isfinite(score.mean):
            ours.append((count.value, score.mean, row.label))
        if count.published is not None and score.published is not None:
            published.append((count.published, score.published, row.label))
    for what, points, is_published in (("ours", ours, False), ("published", published, True)):
        if points:
            yield _count_figure(what, points, counts[0], scores[0], is_published)


def _count_figure(
    what: str, points: list[Named], count: Label, score: Label, is_published: bool
) -> Figure:
    series = PUBLISHED if is_published else 0
    title = f"mIoU over {count.label}, {what}"
    plot = Plot(
        value_axis(count.label, [own[0] for own in points], zero=True),
        value_axis("mIoU (%)", [own[1] for own in points]),
        title,
        height=340,
    )
    for across, value, name in points:
        text = f"{name}: {value:g} with {across:g} {count.unit}"
        plot.mark((across, value), series, text, hollow=is_published)
    plot.names([((across, value), name) for across, value, name in points])
    entry = (swatch(series, hollow=is_published, kind="none"), what)
    return Figure(caption=f"{title}; {score.label}.", svg=plot.svg(), legend=(entry,))


def _known(table: Table, row: Label, column: Label) -> Cell | None:
    cell = table.cells.get((row.name, column.name))
    return None if cell is None or column.unit or math.isnan(cell.mean) else cell
