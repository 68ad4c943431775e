"""What a search found: its trials, the way to the best, what mattered, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from semisweep.report.axes import Axis, log_axis, number, setting_axis, value_axis
from semisweep.report.figure import Figure
from semisweep.report.parallel_coordinates import Line, parallel_coordinates
from semisweep.report.svg import Plot, bars, swatch
from semisweep.search import importance, sampling
from semisweep.search.importance import Importances
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import ResolvedSearch, Value
from semisweep.store.snapshot import Snapshot

FRONT = 1  # the series of what is on the front, or the best so far


class SearchTrial(NamedTuple):
    """A finished trial of a search: its number, what was suggested, its objectives, its key."""

    number: int
    params: Mapping[str, Value]
    values: tuple[float, ...]  # as in the store; IoU are fractions
    key: str


def search_trials(search: ResolvedSearch, stored: Snapshot) -> list[SearchTrial]:
    """Return the finished trials of a search that have all its metrics, in order."""
    finished = []
    for entry in search.trials:
        row = stored.results.get(entry.key)
        values = [row.number(metric) for metric in search.metrics] if row else [None]
        whole = tuple(float(value) for value in values if value is not None)
        if len(whole) == len(search.metrics):
            finished.append(SearchTrial(entry.number, entry.params, whole, entry.key))
    return finished


def front(search: ResolvedSearch, trials: Sequence[SearchTrial]) -> list[SearchTrial]:
    """Return the trials that no other one beats in every objective (the Pareto front)."""
    numbers = set(sampling.front(search, ends(trials)))
    return [trial for trial in trials if trial.number in numbers]


def importances(search: ResolvedSearch, trials: Sequence[SearchTrial]) -> Importances:
    """Return what each parameter explains; see `semisweep.search.importance`."""
    return importance.importances(search, ends(trials))


def ends(trials: Sequence[SearchTrial]) -> dict[str, Observation]:
    """Return how finished trials ended, by key."""
    return {trial.key: Observation("finished", trial.values) for trial in trials}


def figures(
    search: ResolvedSearch, trials: Sequence[SearchTrial], mattered: Importances
) -> Iterator[Figure]:
    """Yield the plots of a search: its course, the front, importances, all parameters, and each."""
    if not trials:
        return
    yield _course(search, trials)
    if search.also:
        yield _front(search, trials)
    if mattered.standing_out:
        yield _importance_figure(mattered)
    together = _parallel(search, trials)
    if together:
        yield together
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        figure = _slice(search, name, [trial for trial in trials if name in trial.params])
        if figure:
            yield figure


def shown(metric: str, value: float) -> float:
    """Return a value as it is shown: IoU and accuracies in percent."""
    return 100 * value if "iou" in metric or "accuracy" in metric else value


def axis_title(metric: str) -> str:
    """Return the title of a metric's axis."""
    return f"{metric} (%)" if "iou" in metric or "accuracy" in metric else metric


def _value_axis(search: ResolvedSearch, trials: Sequence[SearchTrial], place: int = 0) -> Axis:
    metric = search.metrics[place]
    return value_axis(axis_title(metric), [shown(metric, t.values[place]) for t in trials])


def _course(search: ResolvedSearch, trials: Sequence[SearchTrial]) -> Figure:
    metric = search.metric
    better = max if search.direction == "maximize" else min
    numbers = value_axis("trial", [float(trial.number) for trial in trials], zero=True)
    plot = Plot(numbers, _value_axis(search, trials), "the course of the search")
    best: list[tuple[float, float]] = []
    for trial in trials:
        value = shown(metric, trial.values[0])
        best.append((float(trial.number), better([value, *(y for _, y in best[-1:])])))
    plot.line(best, FRONT)
    for trial in trials:
        value = shown(metric, trial.values[0])
        plot.mark((trial.number, value), 0, _told(trial, value))
    entries = ((swatch(0, kind="none"), "a trial"), (swatch(FRONT), "the best so far"))
    return Figure(
        caption="The course of the search, scores as found.", svg=plot.svg(), legend=entries
    )


def _front(search: ResolvedSearch, trials: Sequence[SearchTrial]) -> Figure:
    metric, other = search.metrics[:2]
    best = front(search, trials)
    keys = {trial.key for trial in best}
    title = f"{axis_title(metric)} against {other}"
    plot = Plot(_value_axis(search, trials, 1), _value_axis(search, trials), title)

    def place(trial: SearchTrial) -> tuple[float, float]:
        return shown(other, trial.values[1]), shown(metric, trial.values[0])

    plot.line(sorted(place(trial) for trial in best), FRONT)
    for trial in trials:
        plot.mark(place(trial), FRONT if trial.key in keys else 0, _told(trial, place(trial)[1]))
    entries = (
        (swatch(0, kind="none"), "a trial"),
        (swatch(FRONT), "no other is better in every objective"),
    )
    return Figure(caption=f"The Pareto front: {title}.", svg=plot.svg(), legend=entries)


def _parallel(search: ResolvedSearch, trials: Sequence[SearchTrial]) -> Figure | None:
    """Return all parameters of each trial beside each other; the best are marked."""
    better = max if search.direction == "maximize" else min
    first = better(trials, key=lambda trial: trial.values[0])
    best = {trial.key for trial in (front(search, trials) if search.also else [first])}
    lines = [
        Line(trial.params, value, trial.key in best, _told(trial, value))
        for trial in trials
        for value in [shown(search.metric, trial.values[0])]
    ]
    marked = "no other is better in every objective" if search.also else "the best"
    return parallel_coordinates(lines, axis_title(search.metric), marked)


def _importance_figure(found: Importances) -> Figure:
    shares = {name: 100 * own.share for name, own in found.standing_out.items()}
    axis = value_axis("share of the variance (%)", [0.0, *shares.values()], zero=True)
    groups = [
        (name.rpartition(".")[2], [(0, share, math.nan, math.nan, f"{name}: {share:.0f} %")])
        for name, share in shares.items()
    ]
    caption = (
        f"Importance of the parameters that stand out, of {len(found.of)}; {found.trials} finished "
        f"trials; {importance.METHOD}."
    )
    return Figure(caption=caption, svg=bars(groups, axis, caption, thick=16))


def _slice(search: ResolvedSearch, name: str, trials: Sequence[SearchTrial]) -> Figure | None:
    """Return the score over one parameter; None for one that is no number."""
    given = [trial.params[name] for trial in trials]
    values = [v for v in given if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(values) < len(given):
        return None
    metric, short = search.metric, name.rpartition(".")[2]
    axis = setting_axis(short, map(float, values))
    whole = len(axis.ticks) <= 6
    if not whole and not axis.log:
        axis = value_axis(short, map(float, values))
    elif not whole:
        axis = log_axis(short, map(float, values))
    plot = Plot(axis, _value_axis(search, trials), f"{axis_title(metric)} over {short}")
    for trial, setting in zip(trials, values, strict=True):
        value = shown(metric, trial.values[0])
        plot.mark((float(setting), value), 0, _told(trial, value))
    return Figure(caption=f"Score over {short}, other parameters as they were.", svg=plot.svg())


def _told(trial: SearchTrial, value: float) -> str:
    own = ", ".join(
        f"{name.rpartition('.')[2]}={number(v) if isinstance(v, float) else v}"
        for name, v in trial.params.items()
    )
    return f"#{trial.number}: {value:.2f} ({own})"
