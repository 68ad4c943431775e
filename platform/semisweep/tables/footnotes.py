"""The lines beneath a table, the same in every format: at most three, and those that are asked for.

Notes have `code` in backticks and are else plain text, which a format has to escape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from semisweep.statistics.intervals import several_draws
from semisweep.tables import verdict_texts
from semisweep.tables.code_marks import code_notes, code_warnings
from semisweep.tables.data_marks import data_notes, data_warnings
from semisweep.tables.table_analyses import effect_notes, variance_notes
from semisweep.tables.table_values import Table
from semisweep.tables.tuning_notes import tuning_notes, tuning_warnings

ERRORS_SHOWN = 5
SERIOUS = ("Smoke:", "Not checked")  # notes of a study that always show: its numbers may be wrong


def notes(table: Table) -> Iterator[str]:
    """Yield at most three lines: what the numbers are, how they were judged, what is against them.

    What makes numbers wrong or partial is in the last one, always.
    """
    if any(cell.wanted for cell in table.cells.values()):
        yield _numbers(table)
    judged = "; ".join(verdict_texts.how(table))
    if judged:
        yield f"{judged[0].upper()}{judged[1:]}."
    yield " ".join([*_warnings(table), f"More: `semisweep table {table.asked} --notes`."])


def further_notes(table: Table) -> Iterator[str]:
    """Yield what else is to be known of a table, a sentence or two each."""
    if any(cell.wanted for cell in table.cells.values()):
        if table.metric_note:
            yield f"Metric: {table.metric_note} ({_metrics(table)}), in percent."
        yield f"Replication: {_replication(table)}"
    yield from verdict_texts.methods(table)
    yield from tuning_notes(table)
    yield from _differences(table)
    yield from verdict_texts.noise_note(table)
    yield from variance_notes(table)
    yield from effect_notes(table)
    yield from verdict_texts.order_note(table)
    yield from (f"Failed: {error}" for error in table.errors[:ERRORS_SHOWN])
    if len(table.errors) > ERRORS_SHOWN:
        yield f"Failed: {len(table.errors) - ERRORS_SHOWN} more"
    yield from code_notes(table.code, table.asked)
    yield from data_notes(table)
    yield from mixture_notes(table)
    yield from image_notes(table)
    yield from _elsewhere(table)
    told = any(note.startswith("Published:") for note in table.notes)
    if not told and any(cell.published is not None for cell in table.cells.values()):
        yield f"Published: {_origin(table)}."
    yield from (note for note in table.notes if not note.startswith(SERIOUS))
    if any(cell.wanted for cell in table.cells.values()):
        command = f"semisweep table {table.asked} --keys"
        yield f"Trials: `{command}` lists those of every cell, and how to repeat each."


def all_notes(table: Table, *, further: bool) -> Iterator[str]:
    """Yield the notes of a table, with the further ones if they are wanted."""
    yield from notes(table)
    if further:
        yield from further_notes(table)


def mixture_notes(table: Table) -> Iterator[str]:
    """Yield what a reader must know of columns with several lists of labelled images."""
    for column in table.columns:
        place = f"{column.label}, " if len(table.columns) > 1 else ""
        for line in table.mixed.get(column.name, ()):
            yield (
                f"Mixed splits: {place}{line}. Cells are compared only within one digest of the "
                "labelled and of the test images: no Δ, verdict, bold or order across them."
            )


def image_notes(table: Table) -> Iterator[str]:
    """Yield what other images would change in the mean Δ, beside what other replicates would."""
    if not table.images:
        return
    yield (
        "Images: mean Δ on images drawn anew, for these very networks [95 % interval, bootstrap]; "
        "its standard deviation over images, and over replicates (that of one / √n)."
    )
    for (row, column), test in table.images.items():
        bounds = ", ".join(f"{100 * end:+.1f}" for end in (test.low, test.high))
        of_mean = math.sqrt(max(0.0, test.total_std**2 - test.image_std**2))
        replicates = "" if math.isnan(of_mean) else f", replicates {100 * of_mean:.1f}"
        yield (
            f"Images: {_place(table, row, column)}: {100 * test.difference:+.1f} [{bounds}]; "
            f"images {100 * test.image_std:.1f}{replicates}."
        )


def _numbers(table: Table) -> str:
    """Return what the numbers of a table are."""
    text = f"ours: {_metrics(table)} in percent, mean ± standard deviation (n"
    if several_draws(table.replicates):
        text += " draws of the labelled images)"
    else:
        text += (
            " seeds of one draw of the labelled images, which says nothing of other labelled "
            "images; `--top-up` adds draws)"
        )
    if table.base:
        label = verdict_texts.base_label(table)
        text += f"; Δ: difference to “{label}” in points, paired by draw and seed"
    return f"{text}."


def _warnings(table: Table) -> Iterator[str]:
    """Yield, a short sentence each, what makes the numbers of a table wrong or partial."""
    yield from serious_notes(table)
    cells = [cell for cell in table.cells.values() if cell.wanted]
    lacking = [cell for cell in cells if not cell.complete]
    if lacking:
        part = f"{len(lacking)} of {len(cells)} cells lack trials"
        yield f"Incomplete: {part}; `semisweep run {table.asked}` adds them."
    if table.errors:
        part = f"{len(table.errors)} trial{'s' if len(table.errors) > 1 else ''}"
        yield f"Failed: {part}; `semisweep run {table.asked} --retry-failed` tries again."
    yield from code_warnings(table.code)
    yield from data_warnings(table)
    mixed = [column.label for column in table.columns if column.name in table.mixed]
    if mixed:
        place = f" in {', '.join(mixed)}" if len(table.columns) > 1 else ""
        yield f"Mixed splits{place}: no Δ, verdict or bold across other images."


def serious_notes(table: Table) -> Iterator[str]:
    """Yield what a table must not be shown without, in every form of it."""
    yield from (note for note in table.notes if note.startswith(SERIOUS))
    if table.changes:
        changed = ", ".join(f"`{name}={value}`" for name, value in table.changes.items())
        yield f"Changed with --set, so not the study as it is declared: {changed}."
    yield from tuning_warnings(table)


def _differences(table: Table) -> Iterator[str]:
    """Yield the difference of every replicate of every row, and its p-value."""
    cells = {place: cell for place, cell in table.cells.items() if cell.differences}
    cells = {place: cell for place, cell in cells.items() if not cell.same_as_base}
    if not cells:
        return
    unit = "draw" if several_draws(table.replicates) else "draw/seed"
    families = {"confirmatory": table.comparisons, "exploratory": table.exploratory}
    told = " and ".join(f"{count} {kind}" for kind, count in families.items() if count)
    yield f"Differences by {unit}, in points; p corrected after Holm over the {told} comparisons:"
    for (row, column), cell in cells.items():
        p = math.nan if cell.decision is None else cell.decision.p
        told = "" if math.isnan(p) else f"; p {p:.2g}"
        yield f"{_place(table, row, column)}: {verdict_texts.differences(cell)}{told}."


def _place(table: Table, row: str, column: str) -> str:
    """Return the labels of a row and, where there are several, of a column."""
    rows = {label.name: label.label for label in table.rows}
    columns = {label.name: label.label for label in table.columns}
    return rows[row] + (f", {columns[column]}" if len(columns) > 1 else "")


def _metrics(table: Table) -> str:
    """Return the metrics of a table's columns as code, a few at most."""
    found = dict.fromkeys(cell.metric for cell in table.cells.values() if cell.wanted)
    names = [f"`{name}`" for name in found]
    return ", ".join([*names[:3], *(["..."] if names[3:] else [])])


def _replication(table: Table) -> str:
    draws = len({replicate.partition("/")[0] for replicate in table.replicates})
    wanted = sorted({cell.wanted for cell in table.cells.values() if cell.wanted})
    each = " to ".join(map(str, dict.fromkeys((wanted[0], wanted[-1]))))
    trials = f"{each} trial{'' if wanted == [1] else 's'} a cell"
    if several_draws(table.replicates):
        unit = "n counts draws, each the mean of its seeds"
        return f"{trials}, of {draws} draws of the labelled images; {unit}."
    return f"{trials}, of one draw of the labelled images; n counts seeds."


def _elsewhere(table: Table) -> Iterator[str]:
    found = [cell.imported for cell in table.cells.values() if cell.imported is not None]
    if found:
        sources = "; ".join(dict.fromkeys(name for item in found for name in item.sources))
        yield f"Imported: trained elsewhere, counted with nothing else: {sources}."


def _origin(table: Table) -> str:
    parts: Iterable[str] = (table.paper, f"Table {table.table}" if table.table else "")
    return ", ".join(part for part in parts if part) or "as stated by the study"
