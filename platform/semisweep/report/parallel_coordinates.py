"""The trials of a search as lines over one axis a parameter, and one of the score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from semisweep.report.axes import Axis, log_axis, setting_axis, value_axis
from semisweep.report.figure import Figure
from semisweep.report.svg import clipped, label, picture, style, swatch, tooltip
from semisweep.store.resolved_search import Value

HEIGHT, TOP, BOTTOM, SIDE = 300, 30, 22, 64
SPACE = 180  # between two axes
TICKS = 4  # shown of an axis of numbers, about
NUMBERS_APART = 6  # different numbers beyond which an axis has round ticks


class Line(NamedTuple):
    """A trial: what was suggested, its score as it is shown, whether it is marked, what it says."""

    params: Mapping[str, Value]
    score: float
    marked: bool
    text: str


class _Scale(NamedTuple):
    """The axis of a parameter: where each of its values stands, from 0 to 1, and its ticks."""

    label: str
    places: Mapping[object, float]
    ticks: Sequence[tuple[float, str]]


def parallel_coordinates(lines: Sequence[Line], score: str, marked: str) -> Figure | None:
    """Return trials as lines over their parameters; None for fewer than two parameters.

    `score` is the title of the last axis, `marked` says what marked trials are. A trial without a
    parameter, which only some have, has a gap there.
    """
    names = list(dict.fromkeys(name for line in lines for name in line.params))
    if len(names) < 2 or len(lines) < 2:
        return None
    scales = [_scale(name, [line.params[name] for line in lines if name in line.params])
              for name in names]  # fmt: skip
    scores = [line.score for line in lines]
    last = _numeric(score, scores, value_axis(score, scores))
    width = 2 * SIDE + SPACE * len(names)
    parts: list[str] = []
    for line in sorted(lines, key=lambda own: own.marked):  # what is marked lies above
        values = [scale.places.get(line.params.get(name)) if name in line.params else None
                  for name, scale in zip(names, scales, strict=True)]  # fmt: skip
        parts.append(_path([*values, last.places[line.score]], line))
    for index, scale in enumerate([*scales, last]):
        parts += _axis(SIDE + SPACE * index, scale)
    title = f"parameters and {score} of each trial"
    entries = ((swatch(0, kind="line faint"), "a trial"), (swatch(1), marked))
    return Figure(
        caption="Parameters and score of each trial, scores as found.",
        svg=Markup("<div class='scroll'>{}</div>").format(
            picture(width, HEIGHT, title, parts, "plot parallel")
        ),
        legend=entries,
        wide=True,
    )


def _scale(name: str, values: Sequence[Value]) -> _Scale:
    """Return the axis of a parameter: of numbers, or of choices in the order of their texts."""
    short = name.rpartition(".")[2]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        axis = setting_axis(short, map(float, numbers))
        if len(axis.ticks) > NUMBERS_APART:
            own = list(map(float, numbers))
            axis = log_axis(short, own) if axis.log else value_axis(short, own, count=TICKS)
        return _numeric(short, numbers, axis)
    texts = sorted({str(value) for value in values})
    at = {text: (index + 0.5) / len(texts) for index, text in enumerate(texts)}
    return _Scale(short, {value: at[str(value)] for value in values}, [(at[t], t) for t in texts])


def _numeric(name: str, values: Iterable[float], axis: Axis) -> _Scale:
    ticks = [(axis.at(value), text) for value, text in axis.ticks]
    return _Scale(name, {value: axis.at(value) for value in values}, ticks)


def _path(places: Sequence[float | None], line: Line) -> str:
    """Return a trial's line, interrupted where it has no value."""
    steps, drawn = [], False
    for index, place in enumerate(places):
        known = place is not None and math.isfinite(place)
        if known and place is not None:
            steps.append(f"{'L' if drawn else 'M'}{SIDE + SPACE * index} {_down(place):.1f}")
        drawn = known
    kind = "line" if line.marked else "line faint"
    own = f'<path class="{kind} {style(int(line.marked))}" d="{"".join(steps)}">'
    return Markup("{}{}</path>").format(Markup(own), tooltip(line.text))


def _axis(across: float, scale: _Scale) -> Iterable[str]:
    yield f'<path class="axis" d="M{across} {TOP}V{HEIGHT - BOTTOM}"/>'
    yield label(across, TOP - 14, clipped(scale.label, 20), "middle", "title")
    for place, text in scale.ticks:
        down = _down(place)
        yield f'<path class="axis" d="M{across} {down:.1f}h-4"/>'
        yield label(across - 7, down + 3.5, clipped(text, 10), "end")


def _down(place: float) -> float:
    return TOP + (1 - place) * (HEIGHT - TOP - BOTTOM)
