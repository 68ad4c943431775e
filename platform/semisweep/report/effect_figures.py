"""Figures of a method taken apart: what each part adds, how two interact, and the way there.

Parts are marks with their intervals, Shapley values bars, as they share out one difference. Steps
of a cumulative design or a path are the means of its rows. Interactions are a heat map, of which
those that are not told from 0 are paler.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from semisweep.report.axes import Axis, value_axis
from semisweep.report.figure import Figure
from semisweep.report.svg import (
    Plot,
    clipped,
    label,
    mark,
    picture,
    text_width,
    tooltip,
)
from semisweep.statistics.design_effects import Effect
from semisweep.store.resolved_design import Design
from semisweep.store.resolved_study import Label
from semisweep.tables.cell_texts import bounds, signed
from semisweep.tables.effect_texts import MEANINGS, effect_label
from semisweep.tables.table_values import Table
from semisweep.tables.verdict_texts import confidence

POINTS = "points"
ROW, TOP, BOTTOM, RIGHT, WIDTH = 26, 10, 34, 16, 460  # pixels
SIGNS = 26  # of a label, at most
TILE = 56  # pixels of a heat map's square
SURE = ("helps", "harms")


def effect_figures(table: Table) -> Iterator[Figure]:
    """Yield the figures of a table's design, column by column; none of other tables."""
    design = table.design
    if design is None:
        return
    for column in table.columns:
        effects = [own for own in table.effects.get(column.name, ()) if math.isfinite(own.mean)]
        place = f", {column.label}" if len(table.columns) > 1 else ""
        parts = [own for own in effects if own.kind == "part"]
        if parts:
            yield _parts_figure(table, design, parts, place)
        if design.kind in ("cumulative", "path") and parts:
            yield from _steps_figure(table, design, column, place)
        pairs = [own for own in effects if own.kind == "interaction" and " = " not in own.name]
        if pairs:
            yield _interactions_figure(table, design, pairs, place)


def _parts_figure(table: Table, design: Design, parts: Sequence[Effect], place: str) -> Figure:
    shares = design.kind == "shapley"
    what = f"Shapley value of each part{place}" if shares else f"What each part adds{place}"
    caption = (
        f"{what}: {MEANINGS[design.kind]}; lines: {confidence(table.level)} intervals, hollow: not "
        "told from 0."
    )
    return Figure(caption=caption, svg=_forest(table, design, parts, caption, as_bars=shares))


def _forest(
    table: Table, design: Design, parts: Sequence[Effect], title: str, *, as_bars: bool
) -> Markup:
    """Return a line for each effect: its mark, or bar, and interval, and an upright line at 0."""
    axis = value_axis(POINTS, [0.0, *_ends(parts)])
    names = [clipped(effect_label(design, own.name), SIGNS) for own in parts]
    left = 14 + round(max(map(text_width, names)))
    span, height = WIDTH - left - RIGHT, TOP + ROW * len(parts) + BOTTOM
    bottom = height - BOTTOM

    def across(value: float) -> float:
        return left + axis.at(value) * span

    drawn: list[str] = []
    for value, text in axis.ticks:
        drawn.append(f'<path class="rule" d="M{across(value):.1f} 6V{bottom}"/>')
        drawn.append(label(across(value), bottom + 16, text, "middle"))
    drawn.append(f'<path class="axis" d="M{across(0):.1f} 6V{bottom}"/>')
    for index, (name, own) in enumerate(zip(names, parts, strict=True)):
        middle = TOP + ROW * (index + 0.5)
        drawn.append(label(left - 7, middle + 3.5, name, "end"))
        told = _tip(table, design, own)
        ends = sorted((across(0), across(own.mean)))
        if as_bars:
            drawn.append(
                f'<rect class="bar pale s0" x="{ends[0]:.1f}" y="{middle - 7:.1f}" '
                f'width="{ends[1] - ends[0]:.1f}" height="14">{tooltip(told)}</rect>'
            )
        if math.isfinite(own.low) and math.isfinite(own.high):
            low, high = across(own.low), across(own.high)
            drawn.append(
                f'<path class="whisker s0" d="M{low:.1f} {middle}H{high:.1f}'
                f'M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6"/>'
            )
        drawn.append(mark(across(own.mean), middle, 0, told, hollow=own.verdict not in SURE))
    drawn.append(label(left + span / 2, height - 6, axis.label, "middle", "title"))
    return picture(WIDTH, height, title, drawn)


def _steps_figure(table: Table, design: Design, column: Label, place: str) -> Iterator[Figure]:
    """Yield the means of the rows of an order in which parts are added."""
    (order,) = design.orders
    cells = []
    for count in range(len(order) + 1):
        row = design.rows.get(frozenset(order[:count]))
        cell = None if row is None else table.cells.get((row, column.name))
        if cell is None or not math.isfinite(cell.mean):
            return
        cells.append(cell)
    names = ["none", *(f"+ {design.titles.get(name, name)}" for name in order)]
    numbers = [value for own in cells for value in (own.mean, own.low, own.high)]
    ticks = tuple((float(at), clipped(name, 14)) for at, name in enumerate(names))
    x = Axis(label="", low=-0.4, high=len(order) + 0.4, ticks=ticks)
    caption = f"Each row's mean as parts are added{place}; lines: {confidence(table.level)} "
    plot = Plot(x, value_axis("mIoU (%)", numbers), caption + "intervals.")
    stairs = [
        point
        for at, own in enumerate(cells)
        for point in ((at - 0.4, own.mean), (at + 0.4, own.mean))
    ]
    plot.line(stairs, 0)
    for at, (name, own) in enumerate(zip(names, cells, strict=True)):
        plot.whisker(at, own.low, own.high, 0)
        plot.mark((at, own.mean), 0, f"{name}: {own.mean:.1f}")
    yield Figure(caption=caption + "intervals.", svg=plot.svg())


def _interactions_figure(
    table: Table, design: Design, pairs: Sequence[Effect], place: str
) -> Figure:
    """Return squares of pairs of parts, blue where they help each other and red where not."""
    names = [name for name in design.switches if any(name in own.name.split(":") for own in pairs)]
    titles = [clipped(design.titles.get(name, name), 16) for name in names]
    left = 14 + round(max(map(text_width, titles)))
    largest = max(abs(own.mean) for own in pairs) or 1.0
    drawn: list[str] = []
    for own in pairs:
        one, other = sorted(names.index(name) for name in own.name.split(":"))
        x, y = left + one * TILE, 6 + (other - 1) * TILE
        sure = own.verdict in SURE
        strength = 0.15 + 0.75 * abs(own.mean) / largest
        kind = "more" if own.mean >= 0 else "less"
        drawn.append(
            f'<rect class="tile {kind}" x="{x}" y="{y}" width="{TILE - 2}" height="{TILE - 2}" '
            f'fill-opacity="{strength * (1 if sure else 0.45):.2f}">'
            f"{tooltip(_tip(table, design, own))}</rect>"
        )
        drawn.append(label(x + TILE / 2 - 1, y + TILE / 2 + 3, signed(own.mean), "middle"))
    bottom = 6 + (len(names) - 1) * TILE
    for index, title in enumerate(titles[1:]):
        drawn.append(label(left - 7, 6 + (index + 0.5) * TILE + 3, title, "end"))
    for index, title in enumerate(titles[:-1]):
        drawn.append(label(left + (index + 0.5) * TILE, bottom + 14 + 13 * (index % 2), title,
                           "middle"))  # fmt: skip
    caption = (
        f"Interactions{place}, in points: what a part adds with another, less what it adds "
        "without; pale: not told from 0."
    )
    last = left + (len(names) - 1.5) * TILE + text_width(titles[-2]) / 2
    width = max(WIDTH, left + (len(names) - 1) * TILE + RIGHT, last + RIGHT)
    return Figure(caption=caption, svg=picture(width, bottom + 34, caption, drawn))


def _ends(parts: Sequence[Effect]) -> list[float]:
    return [value for own in parts for value in (own.mean, own.low, own.high)]


def _tip(table: Table, design: Design, own: Effect) -> str:
    """Return what shows when an effect is pointed at."""
    return (
        f"{effect_label(design, own.name)}: {signed(own.mean)} {bounds(own.low, own.high, '+')}, "
        f"{own.verdict}, n {own.n}"
    )
