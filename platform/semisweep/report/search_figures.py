"""What a search found: its trials, the way to the best, what mattered, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from semisweep.report.axes import Axis, number, setting_axis, value_axis
from semisweep.report.figure import Figure
from semisweep.report.svg import Plot, bars, swatch
from semisweep.search import sampling
from semisweep.search.trial_outcome import Observation
from semisweep.store.snapshot import Snapshot

Study = Mapping[str, Any]
FRONT = 1  # the series of what is on the front, or the best so far


class Found(NamedTuple):
    """A finished trial of a search: its number, what was suggested, its objectives, its key."""

    number: int
    params: Mapping[str, Any]
    values: tuple[float, ...]  # as in the store; IoU are fractions
    key: str


def objectives(study: Study) -> list[tuple[str, str]]:
    """Return metric and direction of each objective, the one that leads first."""
    also = [(item["metric"], item["direction"]) for item in study.get("also", ())]
    return [(study["metric"], study["direction"]), *also]


def found(study: Study, stored: Snapshot) -> list[Found]:
    """Return the finished trials of a search that have all its metrics, in order."""
    metrics = [metric for metric, _ in objectives(study)]
    rows = ((entry, stored.results.get(entry["key"])) for entry in study["trials"])
    return [
        Found(entry["number"], entry["params"], tuple(float(row[m]) for m in metrics), entry["key"])
        for entry, row in rows
        if row is not None and all(row.get(metric) is not None for metric in metrics)
    ]


def front(study: Study, trials: Sequence[Found]) -> list[Found]:
    """Return the trials that no other one beats in every objective (the Pareto front)."""
    numbers = set(sampling.front(study, _outcomes(trials)))
    return [trial for trial in trials if trial.number in numbers]


def importances(study: Study, trials: Sequence[Found]) -> dict[str, float]:
    """Return the share of each parameter, the most important first; see `sampling.importances`."""
    return sampling.importances(study, _outcomes(trials))


def _outcomes(trials: Sequence[Found]) -> dict[str, Observation]:
    return {trial.key: Observation("finished", trial.values) for trial in trials}


def figures(study: Study, stored: Snapshot) -> Iterator[Figure]:
    """Yield the plots of a search: its course, the front, importances, and each parameter."""
    trials = found(study, stored)
    if not trials:
        return
    goals = objectives(study)
    yield _course(study, trials)
    if len(goals) > 1:
        yield _front(study, trials)
    shares = importances(study, trials)
    if shares:
        yield _importance_figure(shares)
    for name in dict.fromkeys(name for trial in trials for name in trial.params):
        figure = _slice(study, name, [trial for trial in trials if name in trial.params])
        if figure:
            yield figure


def shown(metric: str, value: float) -> float:
    """Return a value as it is shown: IoU and accuracies in percent."""
    return 100 * value if "iou" in metric or "accuracy" in metric else value


def axis_title(metric: str) -> str:
    """Return the title of a metric's axis."""
    return f"{metric} (%)" if "iou" in metric or "accuracy" in metric else metric


def _value_axis(study: Study, trials: Sequence[Found], place: int = 0) -> Axis:
    metric = objectives(study)[place][0]
    return value_axis(axis_title(metric), [shown(metric, t.values[place]) for t in trials])


def _course(study: Study, trials: Sequence[Found]) -> Figure:
    metric, direction = objectives(study)[0]
    better = max if direction == "maximize" else min
    numbers = value_axis("trial", [float(trial.number) for trial in trials], zero=True)
    plot = Plot(numbers, _value_axis(study, trials), "the course of the search")
    best: list[tuple[float, float]] = []
    for trial in trials:
        value = shown(metric, trial.values[0])
        best.append((float(trial.number), better([value, *(y for _, y in best[-1:])])))
    plot.line(best, FRONT)
    for trial in trials:
        value = shown(metric, trial.values[0])
        plot.mark((trial.number, value), 0, _told(trial, value))
    entries = ((swatch(0, kind="none"), "a trial"), (swatch(FRONT), "the best so far"))
    return Figure(caption="The course of the search.", svg=plot.svg(), legend=entries)


def _front(study: Study, trials: Sequence[Found]) -> Figure:
    (metric, _), (other, _) = objectives(study)[:2]
    best = front(study, trials)
    keys = {trial.key for trial in best}
    title = f"{axis_title(metric)} against {other}"
    plot = Plot(_value_axis(study, trials, 1), _value_axis(study, trials), title)

    def place(trial: Found) -> tuple[float, float]:
        return shown(other, trial.values[1]), shown(metric, trial.values[0])

    plot.line(sorted(place(trial) for trial in best), FRONT)
    for trial in trials:
        plot.mark(place(trial), FRONT if trial.key in keys else 0, _told(trial, place(trial)[1]))
    entries = (
        (swatch(0, kind="none"), "a trial"),
        (swatch(FRONT), "no other is better in every objective"),
    )
    return Figure(caption=f"The Pareto front: {title}.", svg=plot.svg(), legend=entries)


def _importance_figure(shares: Mapping[str, float]) -> Figure:
    axis = value_axis("share of the importance (%)", [0.0, *(100 * s for s in shares.values())], zero=True)  # fmt: skip  # noqa: E501
    groups = [
        (name.rpartition(".")[2], [(0, 100 * s, math.nan, math.nan, f"{name}: {100 * s:.0f} %")])
        for name, s in shares.items()
    ]
    caption = "Importance of the parameters (PED-ANOVA, over the finished trials)."
    return Figure(caption=caption, svg=bars(groups, axis, caption, thick=16))


def _slice(study: Study, name: str, trials: Sequence[Found]) -> Figure | None:
    """Return the score over one parameter; None for one that is no number."""
    values = [trial.params[name] for trial in trials]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return None
    metric, short = objectives(study)[0][0], name.rpartition(".")[2]
    axis = setting_axis(short, map(float, values))
    whole = len(axis.ticks) <= 6
    if not whole and not axis.log:
        axis = value_axis(short, map(float, values))
    elif not whole:
        kept = axis.ticks[:: max(1, len(axis.ticks) // 4)]
        axis = Axis(label=short, low=axis.low, high=axis.high, ticks=kept, log=True)
    plot = Plot(axis, _value_axis(study, trials), f"{axis_title(metric)} over {short}")
    for trial in trials:
        value = shown(metric, trial.values[0])
        plot.mark((float(trial.params[name]), value), 0, _told(trial, value))
    return Figure(caption=f"Score over {short}, other parameters as they were.", svg=plot.svg())


def _told(trial: Found, value: float) -> str:
    own = ", ".join(
        f"{name.rpartition('.')[2]}={number(v) if isinstance(v, float) else v}"
        for name, v in trial.params.items()
    )
    return f"#{trial.number}: {value:.2f} ({own})"
