"""Preparing a run of a table: its trials, its interim analysis, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from semisweep.core.errors import ConfigError, unknown
from semisweep.data.splits import draws_there
from semisweep.statistics.intervals import FEWEST
from semisweep.store.look_log import note_look
from semisweep.store.resolved_study import Place, ResolvedStudy, Units
from semisweep.store.resolved_tuning import Tuning
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace, variant_of
from semisweep.store.trial_name import reasons
from semisweep.study.catalogue import stored_name
from semisweep.study.declaration import Study
from semisweep.study.plan import Plan, plan
from semisweep.study.request import Request
from semisweep.study.resolve import Resolved, Splits, cell_trial, planned_units, resolve
from semisweep.study.smoke import NOTE, adapted
from semisweep.study.tuned_rows import tuned_rows
from semisweep.tables.interim_analysis import shown_units, topped_up
from semisweep.tables.rendering import tabulate
from semisweep.tables.table_looks import TableLooks, goes_on
from semisweep.training.trial import Trial

if TYPE_CHECKING:
    from semisweep.study.catalogue import Named

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A table that is to be run, and which of its trials have a result and which have none."""

    table: ResolvedStudy
    trials: Mapping[str, Trial]
    splits: Splits
    missing: tuple[str, ...]
    finished: tuple[str, ...]


def prepare(study: Study, request: Request, splits: Splits, store: Store, say: Say) -> Prepared:
    """Resolve a study, keep its table in the store, and return what is to run.

    If anything is to be trained, its arms are checked. Raises `ConfigError` for an arm that is
    refused, and for a look that was not planned.
    """
    looks = TableLooks(store, place_of(study.name, request))
    units = chosen_units(study, request, splits, looks, say)
    tuning = stored_tunings(study, request, splits, store, looks.stored)
    resolved = resolved_at(study, request, splits, units, tuning)
    if request.retrain:
        retrain(resolved, request.retrain, splits, store)
        resolved = resolved_at(study, request, splits, units, tuning)
    state = plan([resolved.table], store)
    for why, count in reasons(splits.names, state.missing).items():
        say(f"note: {study.name}: {count} trials {why}")
    needed = bool(to_train(state, request))
    notes = checked_notes(study, request, splits, store, looks.stored, say, needed=needed)
    grows = looks.stored is not None and units != shown_units(looks.stored)
    added = units if request.top_up and grows else {}
    entry = looks.next_entry(resolved.table, request.looks, added)
    while entry and not note_look(store.root, looks.place, entry, looks.known.number + 1):
        looks.read_again()  # another process was first
        planned = planned_units(study, request.scale, request.seeds, request.draws)
        units |= looks.kept_units(planned, units)
        resolved = resolved_at(study, request, splits, units, tuning)
        state = plan([resolved.table], store)
        entry = looks.next_entry(resolved.table, request.looks, added)
    table = replace(
        looks.stated(resolved.table, entry),
        scale=request.stored_scale,
        notes=(*resolved.table.notes, *notes),
    )
    store.write_study(study.name, request.stored_scale, table)
    return Prepared(
        table=table,
        trials=resolved.trials,
        splits=splits,
        missing=to_train(state, request),
        finished=state.finished,
    )


def retrain(resolved: Resolved, rows: Sequence[str], splits: Splits, store: Store) -> None:
    """Let the finished trials of some rows be trained anew; raise `ConfigError` for other names."""
    known = {cell.row for cell in resolved.table.cells if cell.trials}
    for row in rows:
        if row not in known:
            raise unknown(f"trained row of {resolved.table.name}", row, known)
    cells = [cell for cell in resolved.table.cells if cell.row in rows]
    for key in dict.fromkeys(key for cell in cells for key in cell.trials.values()):
        if store.trial(key).finished:
            splits.retrain(resolved.trials[key])


def to_train(state: Plan, request: Request) -> tuple[str, ...]:
    """Return the keys of a plan that a request would train."""
    return state.missing + (state.failed if request.retry_failed else ())


def resolved_at(
    study: Study,
    request: Request,
    splits: Splits,
    units: Mapping[Place, Units],
    tuning: Mapping[Place, Tuning],
) -> Resolved:
    """Return a study as a request wants it, with units of cells that have their own.

    `tuning` is what the searches of tuned rows have come to.
    """
    return resolve(
        study,
        request.scale,
        splits,
        request.changes,
        request.seeds,
        draws=request.draws,
        units=units,
        tuning=tuning,
        adapt=lambda trial: adapted(trial, request),
    )


def stored_tunings(
    study: Study,
    request: Request,
    splits: Splits,
    store: Store | None,
    stored: ResolvedStudy | None,
) -> dict[Place, Tuning]:
    """Return what the searches of tuned rows have come to; Optuna is imported only for these."""
    if not tuned_rows(study, request.scale):
        return {}
    from semisweep.search.tuning_choice import tunings_of

    return tunings_of(study, request, splits, store, stored)


def place_of(name: str, request: Request) -> StudyPlace:
    """Return where a store has the resolved study of a request."""
    return StudyPlace(name, request.stored_scale, variant_of(request.changes))


def chosen_units(
    study: Study, request: Request, splits: Splits, looks: TableLooks, say: Say
) -> dict[Place, Units]:
    """Return the units of cells that have their own: with `--top-up` those of the next look."""
    planned = planned_units(study, request.scale, request.seeds, request.draws)
    kept = looks.kept_units(planned)
    if not request.top_up:
        return kept
    stored, store = looks.stored, looks.store
    if stored is None:
        raise ConfigError(
            "a top-up must follow a run of the study with the same --set, got none in "
            f"store={request.store}; run it without --top-up first"
        )
    missing = bool(plan([stored], store).missing)
    if goes_on(looks, kept, missing):
        return looks.kept_units(planned, shown_units(stored))
    room = draws_of(study, request, splits)
    found = topped_up(stored, tabulate(stored, Snapshot(store, stored.keys, strict=True)), room)
    fixed = [name for name in room if room[name] < FEWEST and _has_grown(stored, found, name)]
    if fixed:
        say(
            f"note: {study.name}: seeds are added, as there are no further draws of the labelled "
            f"images in {', '.join(fixed)}; they say nothing of other labelled images"
        )
    return looks.kept_units(planned, found)


def draws_of(study: Study, request: Request, splits: Splits) -> dict[str, float]:
    """Return of each column how many draws of its labelled images there are.

    Infinite where all images are labelled and the draws of the study stand for seeds.
    """
    several = len(planned_units(study, request.scale)) > 1
    found: dict[str, float] = {}
    for column in study.columns:
        rows = [row for row in study.rows if row.method is not None]
        if not column.exists(request.scale) or column.unit or not rows:
            continue
        base = next((row for row in rows if row.name == study.base), rows[0])
        data = cell_trial(study, request.scale, base, column, request.changes).data
        seeds_alone = several and data.labelled is None
        found[column.name] = (
            math.inf if seeds_alone else draws_there(splits.dataset(data.name), data)
        )
    return found


def _has_grown(stored: ResolvedStudy, units: Mapping[Place, Units], column: str) -> bool:
    shown = shown_units(stored)
    return any(units[place] != own for place, own in shown.items() if place[1] == column)


def checked_notes(
    study: Study,
    request: Request,
    splits: Splits,
    store: Store,
    stored: ResolvedStudy | None,
    say: Say,
    *,
    needed: bool,
) -> list[str]:
    """Check the arms of a table where needed; return the notes that the table must have of it."""
    from semisweep.checks.remembered_checks import UNCHECKED, carried_note, check_before

    if request.smoke:
        return [NOTE]
    if not needed:
        return carried_note(stored)
    if not request.check:
        return [UNCHECKED]
    for finding in check_before(study, request.scale, request.changes, splits, store):
        say(f"warning: {study.name}: {finding}")
    return []


def has_all_results(name: Named, request: Request, store: Store) -> bool:
    """Return whether the store has all results of the study as it ran last; reads a few files."""
    asks_more = (
        request.retrain
        or request.verify_data
        or request.retry_failed
        or request.continue_stopped
        or request.trials
        or request.race
    )
    if request.changes or request.seeds or request.draws or request.top_up or asks_more:
        return False
    table = store.read_study(stored_name(name, store), request.stored_scale)
    return table is not None and not plan([table], store).missing
