"""What is to be known of tuned rows beneath a table: their budget, its cost, what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semisweep.core.safe_text import one_line
from semisweep.store.json_fields import Single
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.store.resolved_tuning import Tuning
from semisweep.tables.table_values import Table


def tuning_warnings(table: Table) -> Iterator[str]:
    """Yield a sentence on which rows are tuned, and one on cells that wait for their search."""
    chosen = {place: own for place, own in table.tuned.items() if own.params is not None}
    if chosen:
        rows = dict.fromkeys(row for row, _ in table.tuned)
        others = [name for name in _trained(table) if name not in rows]
        hours = sum(own.seconds for own in table.tuned.values()) / 3600
        counts = sorted({own.trials for own in chosen.values()})
        each = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        metrics = ", ".join(dict.fromkeys(f"`{own.metric}`" for own in chosen.values()))
        yield (
            f"Tuned: {_labels(table, rows)}, each at the best of {each} trials by {metrics} "
            f"({hours:.2g} h)" + (f"; not tuned: {_labels(table, others)}." if others else ".")
        )
    waiting = [_state(table, place) for place, own in table.tuned.items() if own.params is None]
    if waiting:
        yield f"Waiting for the search of {'; '.join(waiting)}."


def tuning_notes(table: Table) -> Iterator[str]:
    """Yield of each tuned cell what its search has chosen, and what that has cost."""
    for place, own in table.tuned.items():
        if own.params is not None:
            score = "" if own.score is None else f", {own.metric} {_percent(own)} as found"
            yield (
                f"Tuned: {_cell(table, place)}: {_values(own.params)} (#{own.number} of "
                f"{own.trials} trials, {own.failed} failed, {own.seconds / 3600:.2g} h{score}); "
                f"all of them: search `{one_line(own.search)}` of the store."
            )
    metrics = {own.metric.partition(".")[2] for own in table.tuned.values()}
    if any(cell.metric.partition(".")[2] in metrics for cell in table.cells.values()):
        yield (
            "Tuned: rows are compared on the very val images that their values were chosen on, "
            "which flatters all of them."
        )


def barren_searches(study: ResolvedStudy) -> Iterator[str]:
    """Yield a line for each search that has ended without a trial that finished."""
    for cell in study.cells:
        own = cell.tuning
        if own is not None and own.is_barren:
            place = ", ".join(cell.place)
            yield one_line(f"{place}: all {own.trials} trials of its search {own.search!r} failed")


def _state(table: Table, place: Place) -> str:
    """Return the cell that waits, and what will help."""
    own = table.tuned[place]
    if own.is_barren:
        told = f"all {own.trials} trials failed, --retry-failed tries again"
    else:
        told = f"{own.ended} of {own.trials} trials, `semisweep run {table.asked}` goes on"
    return f"{_cell(table, place)} ({told})"


def _trained(table: Table) -> list[str]:
    """Return the rows that have trials."""
    return list(dict.fromkeys(row for (row, _), cell in table.cells.items() if cell.wanted))


def _labels(table: Table, names: Mapping[str, None] | list[str]) -> str:
    labels = {label.name: label.label for label in table.rows}
    return ", ".join(one_line(labels[name]) for name in names)


def _cell(table: Table, place: Place) -> str:
    """Return the labels of a row and, where there are several, of a column."""
    columns = {label.name: label.label for label in table.columns}
    row = _labels(table, [place[0]])
    return row + (f", {one_line(columns[place[1]])}" if len(columns) > 1 else "")


def _values(params: Mapping[str, Single]) -> str:
    shown = (f"{value:.4g}" if isinstance(value, float) else value for value in params.values())
    return ", ".join(
        one_line(f"{name.rpartition('.')[2]}={value}")
        for name, value in zip(params, shown, strict=True)
    )


def _percent(own: Tuning) -> str:
    """Return the score of the best as a table shows it: an IoU in percent."""
    score = own.score or 0.0
    return f"{100 * score:.2f}" if "iou" in own.metric else f"{score:.4g}"
