"""Preparing a run of a table: its trials, its interim analysis, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from semisweep.core.errors import ConfigError, unknown
from semisweep.store.look_log import TakenLook, newest_look, take_look
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.snapshot import Snapshot
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace, variant_of
from semisweep.store.trial_name import reasons
from semisweep.study.catalogue import short
from semisweep.study.declaration import Study
from semisweep.study.plan import Plan, plan
from semisweep.study.request import Request
from semisweep.study.resolve import Resolved, Splits, resolve
from semisweep.tables.interim_analysis import (
    InterimAnalysis,
    kept_look,
    look_again,
    shown_units,
)
from semisweep.tables.rendering import tabulate
from semisweep.training.trial import Trial

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
    refused, and for an interim analysis that was not planned.
    """
    stored = store.read_table(study.name, request.stored_scale, request.changes)
    look = chosen_look(study.name, stored, request, store)
    resolved = resolved_at(study, request, splits, look)
    if request.retrain:
        retrain(resolved, request.retrain, splits, store)
        resolved = resolved_at(study, request, splits, look)
    state = plan([resolved.table], store)
    for why, count in reasons(splits.names, state.missing).items():
        say(f"note: {study.name}: {count} trials {why}")
    needed = bool(to_train(state, request))
    notes = checked_notes(study, request, splits, store, stored, say, needed=needed)
    if look.looks > 1:  # noted before anything is trained for it; another process may be ahead
        place = place_of(study.name, request)
        units = shown_units(resolved.table)
        own = TakenLook(look=look.look, looks=look.looks, units=units)
        taken = take_look(store.root, place, own)
        look = InterimAnalysis(look=taken.look, looks=taken.looks, units=taken.units)
        resolved = resolved_at(study, request, splits, look)
        state = plan([resolved.table], store)
    table = replace(
        look.stated(resolved.table),
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


def resolved_at(study: Study, request: Request, splits: Splits, look: InterimAnalysis) -> Resolved:
    """Return a study as a request wants it at a look."""
    return resolve(
        study,
        request.scale,
        splits,
        request.changes,
        request.seeds,
        units=look.units,
        adapt=adapted(request),
    )


def place_of(name: str, request: Request) -> StudyPlace:
    """Return where a store has the resolved study of a request."""
    return StudyPlace(name, request.stored_scale, variant_of(request.changes))


def adapted(request: Request) -> Callable[[Trial], Trial] | None:
    """Return a function that changes every trial of a request; None where there is none."""
    if not request.smoke:
        return None
    from semisweep.study.smoke import shortened

    return shortened


def chosen_look(
    name: str, stored: ResolvedStudy | None, request: Request, store: Store
) -> InterimAnalysis:
    """Return the interim analysis that a request is for: the next one for `--top-up`."""
    taken = newest_look(store.root, place_of(name, request))
    if request.top_up:
        table = tabulate(stored, Snapshot(store, stored.keys)) if stored is not None else None
        if table is None or stored is None:
            raise ConfigError(
                "a top-up must follow a run of the study with the same --set, got none in "
                f"store={request.store}; run it without --top-up first"
            )
        missing = plan([stored], store).missing
        return look_again(stored, table, request.looks, missing=bool(missing), taken=taken)
    look = kept_look(stored, request.looks, taken)
    if look.units and request.seeds:
        raise ConfigError(
            "a table that is looked at more than once must get its replicates by --top-up, "
            f"got seeds={request.seeds}, look={look.look}, looks={look.looks}"
        )
    return look


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
        from semisweep.study.smoke import NOTE

        return [NOTE]
    if not needed:
        return carried_note(stored)
    if not request.check:
        return [UNCHECKED]
    for finding in check_before(study, request.scale, request.changes, splits, store):
        say(f"warning: {study.name}: {finding}")
    return []


def has_all_results(name: str, request: Request, store: Store) -> bool:
    """Return whether the store has all results of the study as it ran last; reads a few files."""
    asks_more = (
        request.retrain
        or request.verify_data
        or request.retry_failed
        or request.continue_stopped
        or request.trials
        or request.race
    )
    if request.changes or request.seeds or request.top_up or asks_more:
        return False
    table = store.read_study(short(name), request.stored_scale)
    return table is not None and not plan([table], store).missing
