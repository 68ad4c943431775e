"""What a table says of its verdicts: the word in a cell, and the notes beneath."""

from __future__ import annotations

import math
from collections.abc import Iterator

from semisweep.statistics.alpha_spending import level_at_look
from semisweep.statistics.intervals import several_draws
from semisweep.statistics.power import MOST_REPLICATES, POWER, Further
from semisweep.tables.table_values import Cell, Table

NO_VERDICT = "–"


def verdict(cell: Cell, margin: float) -> str:
    """Return a cell's verdict with its corrected p-value, or with what it would take."""
    decision = cell.decision
    if decision is None:
        return NO_VERDICT
    if decision.verdict == "equivalent":
        return decision.verdict
    if decision.verdict == "inconclusive":
        return decision.verdict + _further(decision.further)
    p = "p < 0.001" if decision.p < 0.001 else f"p {decision.p:.3f}"
    small = f", by < {margin:g}" if decision.within_margin else ""
    return f"{decision.verdict}{small} ({p})"


def verdict_notes(table: Table) -> Iterator[str]:
    """Yield how verdicts were reached, the noise floor and whether the published order holds."""
    decisions = [cell.decision for cell in table.cells.values() if cell.decision is not None]
    if decisions:
        yield _method(table, any(decision.further for decision in decisions))
    elif table.comparisons:
        yield "Verdict: a row gets one once all its trials and the base row's have finished."
    if table.looks > 1:
        level = 100 * level_at_look(table.look, table.looks)
        yield (
            f"Look {table.look} of {table.looks}: intervals and verdicts are at {level:.2g} %, "
            "so that all looks together err in 5 % of tables."
        )
    if table.noise:
        yield _noise_floor(table)
    if table.order is not None:
        order = table.order
        yield (
            f"Published order: {order.kept} of {order.pairs} pairs of rows stand so in ours; "
            f"Kendall's τ {order.tau:.2f} [{order.low:.2f}, {order.high:.2f}]."
        )


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
    """Yield what other images would change, beside what other replicates do."""
    if not table.images:
        return
    yield (
        "Images: Δ on images drawn anew, for these very networks [95 % interval]; its standard "
        "deviation over images and over replicates."
    )
    labels = {row.name: row.label for row in table.rows}
    columns = {column.name: column.label for column in table.columns}
    for (row, column), test in table.images.items():
        place = labels[row] + (f", {columns[column]}" if len(columns) > 1 else "")
        bounds = ", ".join(f"{100 * end:+.1f}" for end in (test.low, test.high))
        replicates = (
            "" if math.isnan(test.replicate_std) else f", replicates {100 * test.replicate_std:.1f}"
        )
        yield (
            f"Images: {place}: {100 * test.difference:+.1f} [{bounds}]; "
            f"images {100 * test.image_std:.1f}{replicates}."
        )


def _further(more: Further | None) -> str:
    if more is None:
        return ""
    high = f"> {MOST_REPLICATES}" if more.high >= MOST_REPLICATES else f"{more.high}"
    return f", +{more.low} to {high}"


def _method(table: Table, counted: bool) -> str:
    """Return what the words mean, in one note."""
    several = table.comparisons > 1
    corrected = f", Holm-corrected over {table.comparisons} comparisons" if several else ""
    text = (
        f"Verdict: t test of Δ{corrected}; equivalent: shown to be within ±{table.margin:g} points"
        + (", corrected likewise" if several else "")
    )
    if counted:
        unit = "draws" if several_draws(table.replicates) else "seeds"
        text += (
            f"; +k: about k more {unit} for a verdict, if Δ and its spread stay "
            f"(power {100 * POWER:.0f} %)"
        )
    return text + "."


def _noise_floor(table: Table) -> str:
    unit = "draws" if several_draws(table.replicates) else "seeds"
    label = next((row.label for row in table.rows if row.name == table.base), table.base)
    parts = []
    for column in table.columns:
        noise = table.noise.get(column.name)
        if noise is not None:
            place = f"{column.label}: " if len(table.columns) > 1 else ""
            within = "" if math.isnan(noise.within) else f", seeds of a draw {noise.within:.1f}"
            parts.append(f"{place}{noise.std:.1f} [{noise.low:.1f}, {noise.high:.1f}]{within}")
    return (
        f"Noise floor: standard deviation of “{label}” over {unit}, with its 95 % interval: "
        f"{'; '.join(parts)}."
    )
