"""The searches of a study's tuned rows, and what they have chosen by what the store has of them.

A choice depends on a search's trials alone, as many as it is to have: the best by its metric, of
equal ones the first. So it is the same whenever and however often it is made.
"""

from __future__ import annotations

import dataclasses

from semisweep.data.splits import DRAWN_FAMILIES
from semisweep.search import sampling
from semisweep.search.earlier_trials import stored_search
from semisweep.search.trial_outcome import outcomes
from semisweep.store import stopped_trial
from semisweep.store.query import results
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.store.resolved_tuning import Tuning
from semisweep.store.store import Store
from semisweep.study.declaration import Row, Search, Study
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, cell_trial, column_preset
from semisweep.study.tuned_rows import SMOKE_TRIALS, cell_search, space_of, tuned_cells

SECONDS = ("run.seconds",)


def trials_of(row: Row, request: Request, stored: ResolvedStudy | None = None) -> int | None:
    """Return how many trials the search of a tuned row is to have; None where nothing says it.

    A table that had more of them, as they were asked for, keeps that number and so its choice.
    """
    assert row.tune is not None
    cells = stored.cells if stored is not None else ()
    before = [own.tuning.trials for own in cells if own.row == row.name and own.tuning]
    wanted = request.trials or row.tune.trials
    if not request.trials and wanted is not None:
        wanted = max(wanted, *before, 0)
    if row.tune.sampler == "grid":
        points = sampling.grid_size(sampling.describe(space_of(row, request.scale)))
        wanted = points if wanted is None else min(points, wanted)
    return min(wanted, SMOKE_TRIALS) if wanted is not None and request.smoke else wanted


def searches_of(
    study: Study, request: Request, stored: ResolvedStudy | None = None
) -> dict[Place, Search]:
    """Return the search of each tuned cell of a study; `stored` is what a store has of it."""
    found, scale = {}, request.scale
    for row, column in tuned_cells(study, scale):
        preset, trials = column_preset(study, scale, column), trials_of(row, request, stored)
        data = cell_trial(study, scale, row, column, request.changes).data
        drawn = data.labelled is not None and data.family in DRAWN_FAMILIES
        search = cell_search(study, scale, row, column, preset, trials, drawn=drawn)
        found[row.name, column.name] = search
    return found


def tunings_of(
    study: Study,
    request: Request,
    splits: Splits,
    store: Store | None,
    stored: ResolvedStudy | None = None,
) -> dict[Place, Tuning]:
    """Return how far the search of each tuned cell has come, and what it has chosen."""
    return {
        place: tuning(search, request, splits, store)
        for place, search in searches_of(study, request, stored).items()
    }


def tuning(search: Search, request: Request, splits: Splits, store: Store | None) -> Tuning:
    """Return how far the search of a tuned cell has come, and what it has chosen."""
    found = Tuning(search=search.name, trials=search.trials or 0, metric=search.metric)
    resolved = stored_search(search, request, splits, store)
    if store is None or resolved is None:
        return found
    own = resolved.own[: found.trials]
    rows = results(store, [entry.key for entry in own])
    ends = outcomes(store, dataclasses.replace(resolved, trials=own), rows)
    ended = [entry for entry in own if entry.key in ends]
    keys = dict.fromkeys(entry.key for entry in ended)
    took = [rows.get(key) or stopped_trial.stopped(store.trial(key), SECONDS) for key in keys]
    found = dataclasses.replace(
        found,
        ended=len(ended),
        failed=sum(ends[entry.key].state == "failed" for entry in ended),
        seconds=sum(row.seconds or 0.0 for row in took if row is not None),
    )
    sign = -1 if search.direction == "maximize" else 1
    order = [
        (sign * ends[entry.key].values[0], entry.number)
        for entry in ended
        if ends[entry.key].state == "finished"
    ]
    if len(ended) < found.trials or not order:
        return found
    score, number = min(order)
    (best,) = (entry for entry in own if entry.number == number)
    return dataclasses.replace(found, number=number, params=best.params, score=sign * score)
