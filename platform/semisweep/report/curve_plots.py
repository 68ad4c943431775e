"""Curves over a setting, curves over training, and the scores of single classes, of a table."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from semisweep.core.config import flatten
from semisweep.core.errors import StoreError
from semisweep.report.axes import setting_axis, value_axis
from semisweep.report.figure import Figure, legend
from semisweep.report.svg import Plot, bars, swatch
from semisweep.statistics.intervals import interval, mean_std
from semisweep.store.resolved_study import Label, Place
from semisweep.store.snapshot import Snapshot
from semisweep.store.trial_records import Result
from semisweep.tables.table_values import Cell, Table
from semisweep.tables.verdict_texts import confidence

if TYPE_CHECKING:
    from semisweep.store.snapshot import Numbers

SHAPE_POINTS = 48  # of a curve, at most: one in eight pixels
LOSS_TRIALS = 200  # beyond which loss curves would make a page heavy
PUBLISHED = 3  # the series whose mark is a diamond
_NUMBER = re.compile(r"(?:(?P<name>[\w .λ-]*?)\s*=\s*)?(?P<value>-?\d+(?:\.\d+)?(?:e-?\d+)?)")
_LABELLED = re.compile(r".*\((?P<value>\d+)\)")


Bar = tuple[int, float, float, float, str]  # series, mean, low, high, what it says


class Setting(NamedTuple):
    """A setting that rows or columns are values of."""

    label: str
    values: Mapping[str, float]  # by the name of the row or column


def setting_of(labels: Sequence[Label], title: str) -> Setting | None:
    """Return the setting of which rows or columns are values: "agents=64", "64", or "1/16 (92)".

    None for fewer than three values, or where one of them is no number. Rows that are published
    only do not count.
    """
    names = [label.name for label in labels if not label.published_only]
    for pattern, named in ((_NUMBER, title), (_LABELLED, "labelled images")):
        found = [pattern.fullmatch(name) for name in names]
        if not all(found) or len(set(names)) < 3:
            continue
        matches = [match for match in found if match]
        prefixes = {match.groupdict().get("name") or "" for match in matches}
        values = {name: float(own["value"]) for name, own in zip(names, matches, strict=True)}
        if len(prefixes) == 1 and len(set(values.values())) == len(names):
            return Setting(prefixes.pop().strip() or named, values)
    return None


def responses(table: Table) -> Iterator[Figure]:
    """Yield a curve over the setting that a table's rows are values of, and one over its columns'.

    The published curve stands beside ours where there is one.
    """
    of_rows = setting_of(table.rows, "setting")
    if of_rows:
        series = {column: _by_row(table, column.name) for column in table.columns}
        yield from _response(table, of_rows, series)
    of_columns = setting_of(table.columns, "setting")
    if of_columns:
        rows = [row for row in table.rows if any(_has(cell) for cell in _of_row(table, row.name))]
        yield from _response(table, of_columns, {row: _by_column(table, row.name) for row in rows})


def _response(
    table: Table, setting: Setting, series: Mapping[Label, Mapping[str, Cell]]
) -> Iterator[Figure]:
    cells = [cell for curve in series.values() for cell in curve.values()]
    ours = any(not math.isnan(cell.mean) for cell in cells)
    published = any(cell.published is not None for cell in cells)
    together = len(series) <= 3
    if ours:
        yield _response_figure(table, setting, series, ours=True, published=published and together)
    if published and not (ours and together):
        yield _response_figure(table, setting, series, ours=False, published=True)


def _response_figure(
    table: Table,
    setting: Setting,
    series: Mapping[Label, Mapping[str, Cell]],
    *,
    ours: bool,
    published: bool,
) -> Figure:
    cells = [cell for curve in series.values() for cell in curve.values()]
    shown = [
        value for cell in cells for value in ((cell.mean, cell.low, cell.high) if ours else ())
    ]
    shown += [cell.published for cell in cells if published and cell.published is not None]
    what = "ours and published" if ours and published else "ours" if ours else "published"
    plot = Plot(
        setting_axis(setting.label, setting.values.values()),
        value_axis("mIoU (%)" if "miou" in table.metric else table.metric, shown),
        f"{table.title}: {what} over {setting.label}",
    )
    for index, curve in enumerate(series.values()):
        found = {setting.values[name]: cell for name, cell in curve.items()}
        ordered = sorted(found.items())
        shift = 5.0 * (index - (len(series) - 1) / 2) if len(series) <= 8 else 0.0
        if ours:
            _our_curve(plot, ordered, index, shift)
        if published:
            _published_curve(plot, ordered, index if len(series) > 1 else PUBLISHED)
    entries = legend(label.label for label in series) if len(series) > 1 else ()
    if len(series) == 1:
        own = [(swatch(0), f"ours, {confidence(table.level)} interval")] if ours else []
        theirs = [(swatch(PUBLISHED, hollow=True, kind="line thin"), "published")]
        entries = tuple(own + (theirs if published else []))
    note = f"; bars: {confidence(table.level)} intervals" if ours else ""
    if len(series) > 1 and ours and published:
        note += "; thin lines, hollow marks: published"
    return Figure(caption=f"{what.capitalize()} over {setting.label}{note}.", svg=plot.svg(),
                  legend=entries)  # fmt: skip


def _our_curve(plot: Plot, ordered: Sequence[tuple[float, Cell]], index: int, shift: float) -> None:
    plot.line([(value, cell.mean) for value, cell in ordered], index)
    for value, cell in ordered:
        plot.whisker(value, cell.low, cell.high, index, shift=shift)
        text = f"{cell.row}, {cell.column}: {cell.mean:.1f}"
        plot.mark((value, cell.mean), index, text, shift=shift)


def _published_curve(plot: Plot, ordered: Sequence[tuple[float, Cell]], index: int) -> None:
    points = [(value, cell.published) for value, cell in ordered if cell.published is not None]
    plot.line(points, index, kind="line thin")
    for point in points:
        plot.mark(point, index, f"published {point[1]:g}", hollow=True)


def learning(table: Table, stored: Snapshot, trials: Mapping[Place, Mapping[str, str]]) -> Iterator[Figure]:  # fmt: skip  # noqa: E501
    """Yield the validation score over training, one figure a column, and the losses if few."""
    names = stored.histories.names
    wanted = ["val.miou"] if "val.miou" in names else []
    if len(stored.keys) <= LOSS_TRIALS:
        wanted += [name for name in names if name.endswith(".loss")]
    yield from over_training(table, stored, trials, wanted)


def over_training(
    table: Table,
    stored: Snapshot,
    trials: Mapping[Place, Mapping[str, str]],
    names: Iterable[str],
) -> Iterator[Figure]:
    """Yield columns of the history over training, one figure a column of the table.

    Columns of the same trials, which are scored in several ways, have one figure together.
    """
    places: dict[tuple[tuple[str, ...], ...], list[Label]] = {}
    for column in table.columns:
        own = (tuple(trials.get((row.name, column.name), {}).values()) for row in table.rows)
        places.setdefault(tuple(own), []).append(column)
    for name in names:
        for keys, (column, *others) in places.items():
            told = (_told(table, row, column) for row in table.rows)
            curves = dict(zip(told, keys, strict=True))
            more = f" and {len(others)} more" if others else ""
            figure = _learning_figure(name, f"{column.label}{more}", curves, stored)
            if figure:
                yield figure


def _told(table: Table, row: Label, column: Label) -> str:
    """Return what a row is called in a legend, with whether a race has stopped it."""
    cell = table.cells.get((row.name, column.name))
    stopped = cell is not None and cell.decision is not None and cell.decision.verdict == "stopped"
    return f"{row.label} (stopped)" if stopped else row.label


def _learning_figure(
    name: str, place: str, curves: Mapping[str, Sequence[str]], stored: Snapshot
) -> Figure | None:
    scale = 100.0 if name.endswith("miou") else 1.0
    first = {key: first_step(stored, key) for keys in curves.values() for key in keys}
    found = [
        (label, summarised([_history(stored, key, name, scale, first[key]) for key in keys]))
        for label, keys in curves.items()
    ]
    drawn = [(label, curve) for label, curve in found if curve is not None]
    if not drawn:
        return None
    steps = [step for _, curve in drawn for step in curve[0]]
    values = [value for _, curve in drawn for part in curve[1:] for value in part]
    title = "validation mIoU (%)" if name == "val.miou" else name
    shifted = any(first.values())
    across = "training step, from where evaluation begins" if shifted else "training step"
    plot = Plot(value_axis(across, steps, zero=True), value_axis(title, values), f"{title} over training, {place}")  # fmt: skip  # noqa: E501
    for series, (_, (steps, means, lows, highs)) in enumerate(drawn):
        plot.band(steps, lows, highs, series)
        plot.line(zip(steps, means, strict=True), series)
        plot.mark((steps[-1], means[-1]), series, drawn[series][0])
    several = any(len(keys) > 1 for keys in curves.values())
    band = "; bands: from the lowest to the highest trial of a cell" if several else ""
    before = ", ".join(f"{step:,}" for step in sorted({*first.values()} - {0}))
    apart = f"; without the {before} steps before a row is evaluated" if shifted else ""
    caption = f"{title[0].upper()}{title[1:]} over training, {place}{apart}{band}."
    return Figure(caption=caption, svg=plot.svg(), legend=legend(label for label, _ in drawn))


def _history(
    stored: Snapshot, key: str, name: str, scale: float, first: int
) -> tuple[Numbers, Numbers]:
    steps, values = stored.histories.of(key, "step") - first, scale * stored.histories.of(key, name)
    return (steps, values) if name.endswith("miou") else averaged(steps, values)


def first_step(stored: Snapshot, key: str) -> int:
    """Return the step from which on a trial is evaluated, as after a teacher's own time; 0 mostly.

    Also 0 for a trial without a result whose length is in epochs: its steps are not known yet.
    """
    row = stored.results.get(key)
    share: object
    steps: object
    if row is not None:
        share, stop = row.number("training.evaluate_from"), row.number("training.stop_share")
        steps = (row.number("total_steps") or 0) / (stop or 1)
    else:
        fields = _fields(stored, key)
        share, steps = fields.get("training.evaluate_from"), fields.get("training.steps")
    if not isinstance(share, int | float) or not isinstance(steps, int | float):
        return 0
    if not math.isfinite(share * steps):
        return 0
    return round(share * steps)


def _fields(stored: Snapshot, key: str) -> Mapping[str, object]:
    """Return the fields of a trial by its description; none where that is absent or damaged."""
    if stored.store is None:
        return {}
    try:
        described = stored.store.trial(key).find_description()
    except StoreError:  # the trial's own page says so
        return {}
    return flatten(described.trial) if described else {}


def averaged(steps: Numbers, values: Numbers, most: int = SHAPE_POINTS) -> tuple[Numbers, Numbers]:
    """Return a curve of loss terms in at most so many points, each a mean of its stretch.

    A term is the mean since the row before it, and stays one where rows are put together.
    """
    import numpy as np

    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(steps) <= most:
        return steps, values
    ends = np.linspace(0, len(steps), most + 1).round().astype(int)
    sums = np.add.reduceat(values, ends[:-1])
    return steps[ends[1:] - 1], sums / np.diff(ends)


def summarised(
    curves: Sequence[tuple[Numbers, Numbers]],
) -> tuple[list[float], list[float], list[float], list[float]] | None:
    """Return steps, means, lows and highs of some trials' curves; None where none has a number.

    Where trials have come differently far, a step's mean is of those that have reached it.
    """
    import numpy as np

    whole = [(steps[np.isfinite(values)], values[np.isfinite(values)]) for steps, values in curves]
    whole = [(steps, values) for steps, values in whole if len(steps)]
    if not whole:
        return None
    every = np.unique(np.concatenate([steps for steps, _ in whole]))
    if len(every) > SHAPE_POINTS:
        every = every[np.unique(np.linspace(0, len(every) - 1, SHAPE_POINTS).round().astype(int))]
    grid = np.full((len(whole), len(every)), np.nan)
    for row, (steps, values) in zip(grid, whole, strict=True):
        inside = every <= steps[-1]
        row[inside] = np.interp(every[inside], steps, values)
        row[: int(np.searchsorted(every, steps[0]))] = np.nan
    present = np.isfinite(grid).any(axis=0)
    grid, every = grid[:, present], every[present]
    parts = (every, np.nanmean(grid, axis=0), np.nanmin(grid, axis=0), np.nanmax(grid, axis=0))
    steps, means, lows, highs = (part.tolist() for part in parts)
    return steps, means, lows, highs


def class_bars(table: Table, stored: Snapshot) -> Iterator[Figure]:
    """Yield the IoU of each class, one figure a column: bars are arms, lines their intervals."""
    prefix = table.metric.rpartition(".")[0]
    start = f"{prefix}.iou." if prefix else "iou."
    for column in table.columns:
        groups: dict[str, list[Bar]] = {}
        arms = [row for row in table.rows if _keys(table, row, column)]
        for series, row in enumerate(arms):
            rows = [stored.results[key] for key in _keys(table, row, column)]
            names = [name for name in rows[0] if name.startswith(start)]
            for name, mean, low, high in class_means(rows, names):
                own = name.removeprefix(start)
                text = f"{row.label}, {own}: {mean:.1f}"
                groups.setdefault(own, []).append((series, mean, low, high, text))
        if groups:
            yield class_figure(groups, column.label, [row.label for row in arms])


def class_means(
    rows: Sequence[Result], names: Sequence[str]
) -> Iterator[tuple[str, float, float, float]]:
    """Yield name, mean and Student's 95 % interval of columns of fractions, in percent.

    A trial without a number, as of a class that its images do not show, is left out.
    """
    for name in names:
        values = [100 * value for row in rows if (value := row.number(name)) is not None]
        values = [value for value in values if math.isfinite(value)]
        yield name, mean_std(values)[0], *interval(values)


def class_figure(
    groups: Mapping[str, Sequence[Bar]],
    place: str,
    names: Sequence[str],
    note: str = "; lines: 95 % intervals",
) -> Figure:
    """Return bars of the IoU of each class, in percent, one a series of these names."""
    values = [bar[1] for group in groups.values() for bar in group]
    axis = value_axis("IoU (%)", [0.0, 100.0, *values], zero=True)
    thick = 14 if len(names) <= 2 else 10 if len(names) <= 5 else 7
    svg = bars(list(groups.items()), axis, f"IoU of each class, {place}", thick=thick)
    return Figure(caption=f"IoU of each class, {place}{note}.", svg=svg,
                  legend=legend(names))  # fmt: skip


def _keys(table: Table, row: Label, column: Label) -> Sequence[str]:
    cell = table.cells.get((row.name, column.name))
    return cell.keys if cell else ()


def _by_row(table: Table, column: str) -> dict[str, Cell]:
    return {cell.row: cell for cell in table.cells.values() if cell.column == column}


def _by_column(table: Table, row: str) -> dict[str, Cell]:
    return {cell.column: cell for cell in _of_row(table, row)}


def _of_row(table: Table, row: str) -> Iterable[Cell]:
    return (cell for cell in table.cells.values() if cell.row == row)


def _has(cell: Cell) -> bool:
    return cell.published is not None or not math.isnan(cell.mean)
