"""One trial in this very process, without Ray, where a debugger works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from semisweep.checks.validation import check_study
from semisweep.cluster.trial_execution import execute
from semisweep.core.device import begin_measuring, initialise
from semisweep.core.errors import ConfigError, unknown
from semisweep.running.job_sources import job_for, outcome_note
from semisweep.store.store import Store
from semisweep.store.trial_records import TrialProgress
from semisweep.study.catalogue import find_study
from semisweep.study.declaration import Column, Row, Search, Study
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, cell_trial, preset_of


def debug_trial(
    name: str,
    row: str,
    column: str | None,
    seed: int,
    request: Request,
    say: Callable[[str], None],
    *,
    draw: int | None = None,
    device: str = "cpu",
) -> None:
    """Train one trial of a study here; its errors are raised, not kept as a row."""
    study = find_study(name)
    if isinstance(study, Search):
        raise ConfigError(f"a search has no rows to debug, got study={name!r}")
    preset = preset_of(study, request.scale)
    arm, setting = place(study, request.scale, row, column)
    if arm.method is None:
        raise ConfigError(
            f"a row to debug must have a method, got row={row!r}, which is published only"
        )
    store = Store.open(request.store, create=True)
    splits = Splits(request.roots, store.keys())
    check_study(study, request, splits)
    trial = cell_trial(study, request.scale, arm, setting, request.changes)
    trial = replace(trial, seed=seed)
    if draw is not None:
        trial = replace(trial, data=replace(trial.data, draw=draw))
    key = splits.key(trial)
    say(f"trial {key}: {arm.name}, {setting.name}, seed {seed}")

    def report(told: TrialProgress) -> None:
        if told.evaluation is not None:
            terms = told.evaluation.values.items()
            shown = (f"{name}={_short(value)}" for name, value in terms if ".iou." not in name)
            say("  ".join(shown))

    resources = request.resources
    job = job_for(key, trial, store, splits, request, metrics=[preset.metric])
    workers, compiled = resources.data_workers or 0, resources.compiled
    job = replace(job, device=device, data_workers=workers, compiled=compiled)
    initialise(device)
    begin_measuring(device)
    outcome = execute(job, report, raise_errors=True)
    say(f"{outcome.status}: {outcome_note(store, outcome, preset.metric)}")


def place(study: Study, scale: str, row: str, column: str | None) -> tuple[Row, Column]:
    """Return a row and a column of a study by their names; without one, the first column."""
    rows = {item.name: item for item in study.rows}
    columns = {item.name: item for item in study.columns if item.exists(scale)}
    if row not in rows:
        raise unknown(f"row of {study.name}", row, rows)
    name = next(iter(columns), "") if column is None else column
    if name not in columns:
        raise unknown(f"column of {study.name}", name, columns)
    return rows[row], columns[name]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
