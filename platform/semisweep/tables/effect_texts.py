"""What a design says of the parts of a method, in words; the same in every format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from semisweep.statistics.design_effects import Effect
from semisweep.statistics.intervals import FEWEST
from semisweep.store.resolved_design import Design
from semisweep.store.resolved_study import Label
from semisweep.tables.cell_texts import NOTHING, bounds, signed
from semisweep.tables.table_values import Table
from semisweep.tables.verdict_texts import (
    confidence,
    further_text,
    p_value,
    significance,
    unit_of,
)

MEANINGS: Mapping[str, str] = {
    "leave-one-out": "what the whole method has more than without the part, and all that need it",
    "one-in": "what the part adds to nothing, or to what it needs",
    "cumulative": "what the part adds to the rows above it",
    "path": "what each step adds; its order was chosen on the val part of these very trials",
    "factorial": "what the part adds, in the mean over the sets of others that it can join",
    "shapley": "what the part adds, in the mean over the orders in which parts can be added",
    "combinations": "what the part adds, in the mean over pairs of rows that differ in it alone",
}


class EffectLine(NamedTuple):
    """A part or an interaction: its label, and its texts under `effect_heading`."""

    label: str
    texts: tuple[str, ...]
    effect: Effect


def effect_heading(table: Table) -> tuple[str, ...]:
    """Return what stands above the texts of effects."""
    return ("points", f"{confidence(table.level)} interval", "verdict")


def effect_lines(table: Table, column: Label) -> Iterator[EffectLine]:
    """Yield what a table's design says of its parts in a column, then of two at a time."""
    if table.design is None:
        return
    for effect in table.effects.get(column.name, ()):
        points = NOTHING if math.isnan(effect.mean) else signed(effect.mean)
        texts = (points, bounds(effect.low, effect.high, "+"), effect_verdict(table, effect))
        yield EffectLine(effect_label(table.design, effect.name), texts, effect)


def effect_label(design: Design, name: str) -> str:
    """Return how an effect is called: "a × b" of an interaction, with all that it is an alias of.

    Its name is "a", "a:b", or "a:b = -c:d" of effects that cannot be told apart.
    """
    return " = ".join(_one_label(design, part) for part in name.split(" = "))


def _one_label(design: Design, name: str) -> str:
    sign = "−" if name.startswith("-") else ""
    parts = name.removeprefix("-").split(":")
    return sign + " × ".join(design.titles.get(part, part) for part in parts)


def effect_verdict(table: Table, effect: Effect) -> str:
    """Return the verdict on an effect with its corrected p-value, or what it would take."""
    told = p_value(effect.p)
    p = f" ({told})" if told else ""
    if effect.verdict in ("helps", "harms"):
        small = f", by < {table.margin:g}" if effect.within_margin else ""
        return f"{effect.verdict}{small}{p}"
    if effect.verdict == "negligible":
        return f"negligible: within ±{table.margin:g}"
    if effect.verdict == "inconclusive":
        return f"inconclusive{further_text(effect.further)}"
    if effect.verdict == "too few":
        return f"too few (n < {FEWEST})"
    if effect.verdict == "identical":
        return "never bit: equal in all runs"
    if effect.verdict == "apart":
        return f"no verdict: {', '.join(effect.apart)} lies apart"
    return "waits for trials"


def effects_notes(table: Table) -> Iterator[str]:
    """Yield what effects are and how they were judged, and what the design cannot tell."""
    design = table.design
    if design is None or not any(table.effects.values()):
        return
    yield " ".join([f"Parts: {MEANINGS[design.kind]}, in points.", *_how(table, design)])
    untold = list(dict.fromkeys(_untold(table, design)))
    if untold:
        yield f"Not told: {'; '.join(untold)}."


def _how(table: Table, design: Design) -> Iterator[str]:
    effects = [own for found in table.effects.values() for own in found]
    if any(own.kind == "interaction" for own in effects):
        yield "a × b: what b adds with a, less what it adds without."
    if design.kind == "shapley":
        yield _orders(design)
        yield from _sums(table, design)
    judged = [own for own in effects if own.verdict not in ("waits", "too few", "identical")]
    if judged:
        count = len(effects)
        holm = f", Holm over {count} effects" if count > 1 else ""
        yield (
            f"Intervals: {confidence(table.level)} of each effect alone; verdicts at "
            f"{significance(table.level)} for the whole design{holm}; negligible: shown to be "
            f"within ±{table.margin:g} points."
        )
    if any(own.further for own in effects):
        yield f"+a to b: {unit_of(table)} that a verdict may still take."


def _orders(design: Design) -> str:
    if not design.orders:
        return f"Exact over all {design.all_orders:,} orders."
    return (
        f"Sampled: {len(design.orders)} of {design.all_orders:,} orders, which is in the intervals."
    )


def _sums(table: Table, design: Design) -> Iterator[str]:
    """Yield what Shapley values add up to, where the whole and nothing are there."""
    for column in table.columns:
        parts = [own for own in table.effects.get(column.name, ()) if own.kind == "part"]
        total = math.fsum(own.mean for own in parts)
        if parts and not math.isnan(total):
            place = f"{column.label}: " if len(table.columns) > 1 else ""
            yield f"{place}They sum to {signed(total)}, full minus none."


def _untold(table: Table, design: Design) -> Iterator[str]:
    for column in table.columns:
        for line in effect_lines(table, column):
            if line.effect.verdict == "waits":
                rows = ", ".join(_row_label(table, row) for row in line.effect.missing)
                yield f"{line.label} waits for trials of {rows}"
            elif line.effect.verdict == "identical":
                yield f"{line.label} changed no run: does the switch act?"
    if design.aliases:
        groups = "; ".join(
            " = ".join(_one_label(design, own) for own in group) for group in design.aliases
        )
        numeral = {3: "III", 4: "IV", 5: "V"}.get(design.resolution, f"{design.resolution}")
        yield f"a fraction of resolution {numeral}, which cannot tell apart {groups}"


def _row_label(table: Table, name: str) -> str:
    return next((row.label for row in table.rows if row.name == name), name)
