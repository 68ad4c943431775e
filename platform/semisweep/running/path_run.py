"""The path of a method from nothing to the whole of it: step by step, each the best on val.

A step is a table of its own, raced where there are replicates to save. Its trials are those that
the path's table and every other design want; it is chosen by the mean of the draws (or seeds) that
all its rows have. Which step is next follows from finished results alone, so a run that is killed
and started again goes the same way and trains nothing twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from semisweep.checks.validation import can_race
from semisweep.core.errors import SweepError
from semisweep.running.preparation import Say
from semisweep.statistics.intervals import by_unit, mean_std, several_draws
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.study.declaration import Study
from semisweep.study.request import Request
from semisweep.tables.rendering import tabulate

Run = Callable[[Study, Request], None]  # brings a study's trials to results


def walk(study: Study, request: Request, store: Store, run: Run, say: Say) -> Study:
    """Run the steps of a path, one after the other; return the table of the whole path.

    Raises `SweepError` where a step cannot be chosen, as its trials have failed.
    """
    assert study.steps is not None
    taken: list[str] = []
    while True:
        step = study.steps(taken)
        if step.design is not None:
            return replace(step, name=study.name, title=study.title)
        step = replace(step, name=f"{study.name}/step-{len(taken) + 1}")
        raced = not request.smoke and can_race(step, request)
        run(step, replace(request, race=raced, top_up=False, looks=None))
        resolved = store.read_study(step.name, request.stored_scale, request.changes)
        assert isinstance(resolved, ResolvedStudy)
        row = best_row(resolved, store)
        if row is None:
            raise SweepError(
                f"a step of a path must have a row whose trials have all finished, got none in "
                f"{step.name}; `semisweep logs KEY` says why, `semisweep run` with --retry-failed "
                "trains them again"
            )
        added = set(_parts(row, study)) - set(taken)
        taken += added
        say(f"note: {study.name}: step {len(taken)} adds {', '.join(added)}")


def best_row(step: ResolvedStudy, store: Store) -> str | None:
    """Return the row of a step with the best mean, but where it stands; the earliest of equals.

    Rows that the race has stopped are behind; None where no other is complete.
    """
    table = tabulate(step, Snapshot(store, step.keys, strict=True))
    stopped = set() if step.race is None else {own.row for own in step.race.stopped}
    found: list[tuple[float, str]] = []
    for row in step.rows:
        own = [table.cells[cell.place] for cell in step.cells if cell.row == row.name]
        if row.name in stopped or row.name == step.base or not all(c.complete for c in own):
            continue
        draws = several_draws(table.replicates)
        means = [mean_std(list(by_unit(c.values, draws=draws).values()))[0] for c in own]
        found.append((math.fsum(means) / len(means), row.name))
    return max(found, key=lambda item: item[0])[1] if found else None


def _parts(row: str, study: Study) -> Sequence[str]:
    """Return the switches of a row's name."""
    assert study.design is not None
    every = study.design.switches
    if row == "full":
        return every
    return [name for name in row.split("+") if name in every]
