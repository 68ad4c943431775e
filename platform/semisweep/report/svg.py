"""Small plots as SVG: lines, bands, whiskers, marks and bars on two axes.

Colours are classes that the page's style gives a light and a dark meaning, so that one picture
serves both; text is text. A picture is wide as its place and never needs a script. matplotlib would
bring 30 MB and fixed colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from math import isfinite

from markupsafe import Markup, escape

from semisweep.report.axes import Axis

Point = tuple[float, float]
COLOURS = 8  # after which the same colours come again, dashed
SHAPES = ("circle", "square", "triangle", "diamond")
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 10, 42
TITLE_ROOM = 26  # left of the widest tick label: an axis title and a gap on either side
MARK = 3.6
WIDE, NARROW, WIDEST = (
    7.0,
    3.6,
    11.0,
)  # pixels of a digit or letter and of others, in the page's font
NARROW_SIGNS, WIDEST_SIGNS = ".,:;|'il ", "MWmw%@"
LINE = 11.5  # pixels between the lines of names beside points
NAME_SIGNS = 22  # of the name of a group of bars, at most
INTERVAL, INTERVAL_SIDE = 150, 14  # pixels: the width of a cell's picture, and free at each side


class Plot:
    """A picture under construction; `svg` returns it."""

    def __init__(
        self, x: Axis, y: Axis, title: str, *, width: int = 460, height: int = 270
    ) -> None:
        self.x, self.y, self.title = x, y, title
        self.width, self.height, self.left = width, height, _left_of(y)
        self.parts: list[str] = []

    def place(self, point: Point, shift: float = 0.0) -> Point:
        """Return the pixels of a point."""
        across = self.left + self.x.at(point[0]) * (self.width - self.left - RIGHT) + shift
        return across, TOP + (1 - self.y.at(point[1])) * (self.height - TOP - BOTTOM)

    def line(self, points: Iterable[Point], series: int, *, kind: str = "line") -> None:
        """Draw a line through points; those that are not finite interrupt it."""
        runs: list[list[Point]] = [[]]
        for point in points:
            if isfinite(point[0]) and isfinite(point[1]):
                runs[-1].append(point)
            elif runs[-1]:
                runs.append([])
        path = "".join(f"M{self._path(run)}" for run in runs if run)
        if path:
            self.parts.append(f'<path class="{kind} {style(series)}" d="{path}"/>')

    def band(
        self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], series: int
    ) -> None:
        """Fill what lies between two lines; where a bound is not finite there is nothing."""
        rows = zip(xs, lows, highs, strict=True)
        kept = [(x, low, high) for x, low, high in rows if isfinite(low) and isfinite(high)]
        if any(low != high for _, low, high in kept):
            around = [(x, low) for x, low, _ in kept] + [(x, high) for x, _, high in kept[::-1]]
            path = self._path(around)
            self.parts.append(f'<path class="band {style(series)}" d="M{path}Z"/>')

    def _path(self, points: Sequence[Point]) -> str:
        """Return finite points as a path has them."""
        across, down = self.x.at, self.y.at
        wide, high = self.width - self.left - RIGHT, self.height - TOP - BOTTOM
        left, bottom = self.left, TOP + high
        return "L".join(
            f"{left + across(x) * wide:.1f} {bottom - down(y) * high:.1f}" for x, y in points
        )

    def whisker(
        self, x: float, low: float, high: float, series: int, *, shift: float = 0.0
    ) -> None:
        """Draw an interval at `x`."""
        if math.isfinite(low) and math.isfinite(high):
            (across, bottom), (_, top) = self.place((x, low), shift), self.place((x, high), shift)
            self.parts.append(
                f'<path class="whisker {style(series)}" d="M{across:.1f} {bottom:.1f}V{top:.1f}'
                f'M{across - 3:.1f} {bottom:.1f}h6M{across - 3:.1f} {top:.1f}h6"/>'
            )

    def mark(
        self, point: Point, series: int, text: str = "", *, hollow: bool = False, shift: float = 0.0
    ) -> None:
        """Draw a mark whose text shows when it is pointed at."""
        if all(map(math.isfinite, point)):
            across, down = self.place(point, shift)
            self.parts.append(mark(across, down, series, text, hollow=hollow))

    def names(self, named: Iterable[tuple[Point, str]]) -> None:
        """Write names beside points; where they would lie over each other, a line leads to them."""
        taken: list[tuple[float, float, float]] = []  # left, right and baseline of what is written
        placed = sorted((self.place(point), clipped(name, NAME_SIGNS)) for point, name in named)
        for (across, down), name in sorted(placed, key=lambda own: own[0][1]):
            wide, anchor, side = text_width(name), "start", 8
            if across + side + wide > self.width - RIGHT:
                anchor, side = "end", -8
            left = across + side - (wide if anchor == "end" else 0)
            base = down + 3.5
            for own_left, own_right, other in sorted(taken, key=lambda own: own[2]):
                if left < own_right and own_left < left + wide and abs(base - other) < LINE:
                    base = other + LINE
            taken.append((left, left + wide, base))
            if base > down + 4:
                end = across + side + (-2 if side > 0 else 2)
                self.parts.append(
                    f'<path class="axis" d="M{across:.1f} {down:.1f}L{end:.1f} {base - 3.5:.1f}"/>'
                )
            self.parts.append(label(across + side, base, name, anchor))

    def dot(self, point: Point, colour: str, text: str = "") -> None:
        """Draw a small dot of a colour that the page does not choose, such as a class's."""
        across, down = self.place(point)
        shape = '<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="2.3" fill="{}">{}</circle>'
        self.parts.append(Markup(shape).format(across, down, colour, tooltip(text)))

    def svg(self, *, bare: bool = False) -> Markup:
        """Return the picture with its axes, or `bare` without."""
        axes = [] if bare else list(self._axes())
        return picture(self.width, self.height, self.title, [*axes, *self.parts])

    def _axes(self) -> Iterable[str]:
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        for value, text in self.y.ticks:
            _, down = self.place((self.x.low, value))
            yield f'<path class="rule" d="M{self.left} {down:.1f}H{right}"/>'
            yield label(self.left - 6, down + 3.5, text, "end")
        yield f'<path class="axis" d="M{self.left} {bottom}H{right}"/>'
        last = -math.inf
        for value, text in self.x.ticks:
            across, _ = self.place((value, self.y.low))
            yield f'<path class="axis" d="M{across:.1f} {bottom}v4"/>'
            half = text_width(text) / 2 + 3
            if across - half > last:
                yield label(across, bottom + 16, text, "middle")
                last = across + half
        yield label((self.left + right) / 2, self.height - 6, self.x.label, "middle", "title")
        middle, room = (TOP + bottom) / 2, int((bottom - TOP) / WIDE)
        yield Markup(
            '<text class="title" text-anchor="middle" transform="translate(11 {:.0f}) rotate(-90)">'
            "{}</text>"
        ).format(middle, clipped(self.y.label, room))


def _left_of(axis: Axis) -> int:
    """Return where a plot begins whose axis has its labels and its title to the left."""
    if not axis.ticks:
        return RIGHT
    return max(LEFT, TITLE_ROOM + round(max(text_width(text) for _, text in axis.ticks)))


def text_width(text: str) -> float:
    """Return about how many pixels a text is wide."""
    return sum(
        NARROW if sign in NARROW_SIGNS else WIDEST if sign in WIDEST_SIGNS else WIDE
        for sign in text
    )


def bars(
    groups: Sequence[tuple[str, Sequence[tuple[int, float, float, float, str]]]],
    axis: Axis,
    title: str,
    *,
    width: int = 460,
    thick: int = 8,
) -> Markup:
    """Return horizontal bars in named groups: of each its series, value, low, high and text."""
    names = [clipped(name, NAME_SIGNS) for name, _ in groups]
    left = 14 + round(max(map(text_width, names), default=0))
    span, gap = width - left - 2 * RIGHT, 9
    height = sum(len(group) * thick + gap for _, group in groups) + BOTTOM + 8
    parts: list[str] = []
    bottom = height - BOTTOM
    for value, text in axis.ticks:
        across = left + axis.at(value) * span
        parts.append(f'<path class="rule" d="M{across:.1f} 6V{bottom}"/>')
        parts.append(label(across, bottom + 16, text, "middle"))
    top = 8.0
    for name, (_, group) in zip(names, groups, strict=True):
        parts.append(label(left - 7, top + len(group) * thick / 2 + 3.5, name, "end"))
        for series, value, low, high, text in group:
            parts += _bar(left, top, axis.at(value) * span, thick - 1, series, text)
            if math.isfinite(low) and math.isfinite(high):
                ends = (left + axis.at(low) * span, left + axis.at(high) * span)
                middle = top + (thick - 1) / 2
                parts.append(f'<path class="over" d="M{ends[0]:.1f} {middle:.1f}H{ends[1]:.1f}"/>')
            top += thick
        top += gap
    parts.append(f'<path class="axis" d="M{left} 6V{bottom}"/>')
    parts.append(label(left + span / 2, height - 6, axis.label, "middle", "title"))
    return picture(width, height, title, parts)


def _bar(
    left: float, top: float, length: float, thick: float, series: int, text: str
) -> Iterable[str]:
    if isfinite(length):
        place = f'x="{left}" y="{top:.1f}" width="{length:.1f}" height="{thick}"'
        yield f'<rect class="bar {style(series)}" {place}>{tooltip(text)}</rect>'


def interval(
    axis: Axis, mean: float, low: float, high: float, published: float | None, text: str
) -> Markup:
    """Return the picture of a table's cell: ours with its interval, the published number beside."""
    width, height = INTERVAL, 18
    middle, across = height / 2, partial(_across, axis)
    parts: list[str] = [
        f'<path class="rule" d="M{across(value):.1f} 0V{height}"/>' for value, _ in axis.ticks
    ]
    parts.append(f'<path class="rule" d="M{INTERVAL_SIDE} {middle}H{width - INTERVAL_SIDE}"/>')
    if math.isfinite(low) and math.isfinite(high):
        parts.append(
            f'<path class="whisker s0" d="M{across(low):.1f} {middle}H{across(high):.1f}'
            f'M{across(low):.1f} {middle - 3}v6M{across(high):.1f} {middle - 3}v6"/>'
        )
    if published is not None:
        parts.append(mark(across(published), middle, 3, f"published {published:g}", hollow=True))
    if math.isfinite(mean):
        parts.append(mark(across(mean), middle, 0, text))
    return picture(width, height, text, parts, "interval")


def interval_axis(axis: Axis) -> Markup:
    """Return the axis that stands under the pictures of a table's cells."""
    return axis_below(((_across(axis, value), text) for value, text in axis.ticks), INTERVAL)


def axis_below(ticks: Iterable[tuple[float, str]], width: int) -> Markup:
    """Return an axis for small pictures of one width above it; ticks are at pixels."""
    parts = [f'<path class="axis" d="M2 1H{width - 2}"/>']
    for across, text in ticks:
        parts.append(f'<path class="axis" d="M{across:.1f} 1v4"/>')
        parts.append(label(across, 15, text, "middle"))
    return picture(width, 18, "", parts, "below")


def _across(axis: Axis, value: float) -> float:
    return INTERVAL_SIDE + axis.at(value) * (INTERVAL - 2 * INTERVAL_SIDE)


def swatch(series: int, *, hollow: bool = False, kind: str = "line") -> Markup:
    """Return the sign of a series for a legend."""
    line = f'<path class="{kind} {style(series)}" d="M1 7H25"/>'
    return picture(26, 14, "", [line, mark(13, 7, series, "", hollow=hollow)], "swatch")


def mark(
    across: float, down: float, series: int, text: str = "", *, hollow: bool = False
) -> Markup:
    """Return a mark whose shape and colour tell the series."""
    own, size = SHAPES[series % len(SHAPES)], MARK
    kind = f"mark {style(series)}{' hollow' if hollow else ''}"
    if own == "circle":
        shape = f'circle class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="{size}"'
        return Markup(f"<{shape}>{tooltip(text)}</circle>")
    outline = {
        "square": f"M{across - size + 0.4:.1f} {down - size + 0.4:.1f}h6.4v6.4h-6.4Z",
        "triangle": f"M{across:.1f} {down - size - 0.6:.1f}l4.2 7.2h-8.4Z",
        "diamond": f"M{across:.1f} {down - size - 1:.1f}l4.6 4.6l-4.6 4.6l-4.6 -4.6Z",
    }[own]
    return Markup(f'<path class="{kind}" d="{outline}">{tooltip(text)}</path>')


def picture(
    width: float, height: float, title: str, parts: Iterable[str], kind: str = "plot"
) -> Markup:
    """Return an SVG element; the title is what a screen reader says."""
    names = Markup('role="img" aria-label="{}"').format(title) if title else 'aria-hidden="true"'
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" {names}>{"".join(parts)}</svg>'
    )


def label(across: float, down: float, text: str, anchor: str, kind: str = "") -> Markup:
    """Return a text at a place."""
    opening = f'<text class="{kind}" x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}">'
    return Markup(f"{opening}{escape(text)}</text>")


def tooltip(text: str) -> Markup:
    """Return what shows when a shape is pointed at."""
    return Markup(f"<title>{escape(text)}</title>") if text else Markup("")


def style(series: int) -> str:
    """Return the classes of a series: its colour, and dashes from the ninth on."""
    return f"s{series % COLOURS}" + (" dashed" if series // COLOURS % 2 else "")


def clipped(text: str, most: int) -> str:
    """Return a text that is no longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
