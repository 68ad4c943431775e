"""A picture of a row's differences to the base row: a dot a replicate, with 0 and the interval.

SVG in the colour of the text around it, so that it needs no style and is right in the dark too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

from semisweep.store.resolved_study import Label
from semisweep.tables.table_values import Cell, Table
from semisweep.tables.verdict_texts import base_label, differences

WIDTH, HEIGHT, SIDE = 120, 16, 5  # pixels; the sides stay free


class Span(NamedTuple):
    """What all pictures of a column show, in percentage points, so that they can be compared."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return the place of a value, in pixels from the left; what lies outside is at the end."""
        share = (value - self.low) / (self.high - self.low)
        return SIDE + min(1.0, max(0.0, share)) * (WIDTH - 2 * SIDE)


def span_of(table: Table, column: Label) -> Span | None:
    """Return the span of a column's differences, intervals and 0; None without a difference."""
    cells = [cell for cell in table.cells.values() if cell.column == column.name and _drawn(cell)]
    if not cells:
        return None
    ends = [end for cell in cells for end in (cell.delta_low, cell.delta_high)]
    values = [value for cell in cells for value in cell.differences.values()]
    known = [value for value in (0.0, *values, *ends) if math.isfinite(value)]
    low, high = min(known), max(known)
    return Span(low, high) if high > low else Span(low - 1, high + 1)


def difference_dots(table: Table, label: str, cell: Cell | None, span: Span | None) -> str:
    """Return the SVG of a cell; "" where it has no differences of its own."""
    if cell is None or span is None or not _drawn(cell):
        return ""
    middle = HEIGHT / 2
    parts = [f'<path d="M{span.at(0):.1f} 1V{HEIGHT - 1}" stroke-opacity=".45"/>']
    if math.isfinite(cell.delta_low) and math.isfinite(cell.delta_high):
        ends = (span.at(cell.delta_low), span.at(cell.delta_high))
        parts.append(f'<path d="M{ends[0]:.1f} {middle:g}H{ends[1]:.1f}" stroke-width="1.5"/>')
    parts += _dots(map(span.at, cell.differences.values()), middle)
    title = f"{label}, differences to {base_label(table)}: {differences(cell)}"
    return (
        f'<svg class="dots" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" stroke="currentColor" fill="none"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg>"
    )


def _dots(places: Iterable[float], middle: float) -> Iterable[str]:
    for place in places:
        yield (
            f'<circle cx="{place:.1f}" cy="{middle:g}" r="2.6" fill="currentColor" '
            'fill-opacity=".5" stroke="none"/>'
        )


def _drawn(cell: Cell) -> bool:
    return bool(cell.differences) and not cell.same_as_base
