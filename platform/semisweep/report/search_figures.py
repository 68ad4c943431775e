"""What a search found: its trials, the way to the best, what mattered, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from semisweep.report.axes import Axis, log_axis, number, setting_axis, value_axis
from semisweep.report.figure import Entry, Figure
from semisweep.report.parallel_coordinates import Line, parallel_coordinates
from semisweep.report.svg import Plot, bars, swatch
from semisweep.search import importance, sampling
from semisweep.search.importance import Importances
from semisweep.search.trial_outcome import Observation
from semisweep.store.resolved_search import ResolvedSearch, Value
from semisweep.store.snapshot import Snapshot

FRONT = 1  # the series of what is on the front, or the best so far
STOPPED = 2  # that of stopped trials
MOST_CURVES = 200


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


class StoppedTrial(NamedTuple):
    """A trial that was stopped at a rung: how far it came, and its score there, a fraction."""

    number: int
    params: Mapping[str, Value]
    step: int
    value: float
    key: str


def stopped_trials(search: ResolvedSearch, known: Mapping[str, Observation]) -> list[StoppedTrial]:
    """Return the trials of a search that were stopped, of how all have ended, by key."""
    return [
        StoppedTrial(
            entry.number, entry.params, *max(known[entry.key].on_the_way.items()), entry.key
        )
        for entry in search.trials
        if entry.key in known and known[entry.key].state == "stopped"
    ]


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
    search: ResolvedSearch,
    trials: Sequence[SearchTrial],
    mattered: Importances,
    stopped: Sequence[StoppedTrial] = (),
) -> Iterator[Figure]:
    """Yield the plots of a search: its course, the front, importances, all parameters, and each.

    The course and each parameter also have the trials that were `stopped`, at their last rung.
    """
    if not trials:
        return
    yield _course(search, trials, stopped)
    if search.also:
        yield _front(search, trials)
    if mattered.standing_out:
        yield _importance_figure(mattered)
    together = _parallel(search, trials)
    if together:
        yield together
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        figure = _slice(search, name, trials, stopped)
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


def _course(
    search: ResolvedSearch, trials: Sequence[SearchTrial], stopped: Sequence[StoppedTrial]
) -> Figure:
    metric = search.metric
    better = max if search.direction == "maximize" else min
    every: list[SearchTrial | StoppedTrial] = [*trials, *stopped]
    numbers = value_axis("trial", [float(own.number) for own in every], zero=True, whole=True)
    plot = Plot(numbers, _score_axis(search, trials, stopped), "the course of the search")
    best: list[tuple[float, float]] = []
    for trial in trials:
        value, before = shown(metric, trial.values[0]), best[-1:]
        best += [(float(trial.number), y) for _, y in before]  # a step, as nothing is between
        best.append((float(trial.number), better([value, *(y for _, y in before)])))
    plot.line(best, FRONT)
    _marks(plot, search, stopped, lambda own: own.number)
    for trial in trials:
        value = shown(metric, trial.values[0])
        plot.mark((trial.number, value), 0, _told(trial, value))
    entries = ((swatch(0, kind="none"), "a trial"), (swatch(FRONT), "the best so far"))
    return Figure(
        caption="The course of the search, scores as found.",
        svg=plot.svg(),
        legend=(*entries, *_stopped_entry(stopped)),
    )


def _marks(
    plot: Plot,
    search: ResolvedSearch,
    stopped: Sequence[StoppedTrial],
    at: Callable[[StoppedTrial], Value],
) -> None:
    """Draw stopped trials, each at what `at` returns of it and the score of its last rung."""
    for own in stopped:
        value = shown(_rungs(search), own.value)
        told = f"#{own.number}: {value:.2f} at step {own.step}, stopped"
        plot.mark((float(at(own) or 0), value), STOPPED, told, hollow=True)


def _stopped_entry(stopped: Sequence[StoppedTrial]) -> Iterator[Entry]:
    if stopped:
        yield swatch(STOPPED, hollow=True, kind="none"), "a stopped trial, at its last rung"


def _rungs(search: ResolvedSearch) -> str:
    """Return the column of the history that rungs look at."""
    return search.halving.metric if search.halving else "val.miou"


def _score_axis(
    search: ResolvedSearch, trials: Sequence[SearchTrial], stopped: Sequence[StoppedTrial]
) -> Axis:
    values = [shown(search.metric, own.values[0]) for own in trials]
    values += [shown(_rungs(search), own.value) for own in stopped]
    return value_axis(axis_title(search.metric), values)


def learning(
    search: ResolvedSearch,
    stored: Snapshot,
    trials: Sequence[SearchTrial],
    stopped: Sequence[StoppedTrial],
) -> Iterator[Figure]:
    """Yield the score of every trial over training; those that were stopped end there."""
    name = _rungs(search)
    every: list[SearchTrial | StoppedTrial] = [*trials, *stopped]
    curves = {
        own.key: (stored.histories.of(own.key, "step"), stored.histories.of(own.key, name))
        for own in every[:MOST_CURVES]
    }
    points = [
        (float(step), shown(name, float(value)))
        for steps, values in curves.values()
        for step, value in zip(steps, values, strict=True)
        if math.isfinite(value)
    ]
    if not points:
        return
    best = {own.number for own in _best(search, trials)}
    plot = Plot(
        value_axis("training step", [step for step, _ in points], zero=True),
        value_axis(axis_title(name), [value for _, value in points]),
        f"{name} of every trial over training",
    )
    for own in sorted(every, key=lambda trial: trial.number in best):
        if own.key not in curves:
            continue
        steps, values = curves[own.key]
        line = [(float(x), shown(name, float(y))) for x, y in zip(steps, values, strict=True)]
        marked = own.number in best
        plot.line(line, int(marked), kind="line" if marked else "line faint")
    _marks(plot, search, stopped, lambda own: own.step)
    entries = [(swatch(0, kind="line faint"), "a trial"), (swatch(FRONT), _marked(search))]
    more = len(every) - len(curves)
    caption = f"{axis_title(name)} of every trial over training"
    yield Figure(
        caption=caption + (f"; of the first {MOST_CURVES}." if more > 0 else "."),
        svg=plot.svg(),
        legend=(*entries, *_stopped_entry(stopped)),
    )


def _best(search: ResolvedSearch, trials: Sequence[SearchTrial]) -> Sequence[SearchTrial]:
    """Return the trial of the best score, or those of the front."""
    if search.also:
        return front(search, trials)
    better = max if search.direction == "maximize" else min
    return [better(trials, key=lambda trial: trial.values[0])] if trials else []


def _marked(search: ResolvedSearch) -> str:
    return "no other is better in every objective" if search.also else "the best"


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
    best = {trial.key for trial in _best(search, trials)}
    lines = [
        Line(trial.params, value, trial.key in best, _told(trial, value))
        for trial in trials
        for value in [shown(search.metric, trial.values[0])]
    ]
    return parallel_coordinates(lines, axis_title(search.metric), _marked(search))


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


def _slice(
    search: ResolvedSearch,
    name: str,
    finished: Sequence[SearchTrial],
    every_stopped: Sequence[StoppedTrial],
) -> Figure | None:
    """Return the score over one parameter; None for one that is no number."""
    trials = [own for own in finished if name in own.params]
    stopped = [own for own in every_stopped if name in own.params]
    every: list[SearchTrial | StoppedTrial] = [*trials, *stopped]
    given = [own.params[name] for own in every]
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
    scores = _score_axis(search, trials, stopped)
    plot = Plot(axis, scores, f"{axis_title(metric)} over {short}")
    _marks(plot, search, stopped, lambda own: own.params[name])
    for trial, setting in zip(trials, values, strict=False):  # stopped ones come after
        value = shown(metric, trial.values[0])
        plot.mark((float(setting), value), 0, _told(trial, value))
    return Figure(
        caption=f"Score over {short}, other parameters as they were.",
        svg=plot.svg(),
        legend=(((swatch(0, kind="none"), "a trial"), *_stopped_entry(stopped)) if stopped else ()),
    )


def _told(trial: SearchTrial, value: float) -> str:
    own = ", ".join(
        f"{name.rpartition('.')[2]}={number(v) if isinstance(v, float) else v}"
        for name, v in trial.params.items()
    )
    return f"#{trial.number}: {value:.2f} ({own})"
