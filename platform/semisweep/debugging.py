"""One trial in this very process, without Ray, where a debugger works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from semisweep.catalogue import find_study
from semisweep.errors import ConfigError, unknown
from semisweep.execute import execute
from semisweep.launch import job_for, outcome_note, prepare_data
from semisweep.request import Request
from semisweep.store import Store
from semisweep.study import Search, Splits, make_trial, preset_of


def debug_trial(
    name: str,
    row: str,
    column: str | None,
    seed: int,
    request: Request,
    say: Callable[[str], None],
) -> None:
    """Train one trial of a study here; its errors are raised, not kept as a row."""
    study = find_study(name)
    if isinstance(study, Search):
        raise ConfigError(f"a search has no rows to debug, got study={name!r}")
    rows = {item.name: item for item in study.rows}
    columns = {item.name: item for item in study.columns if request.scale in item.set}
    if row not in rows:
        raise unknown(f"row of {study.name}", row, rows)
    column = column or next(iter(columns))
    if column not in columns:
        raise unknown(f"column of {study.name}", column, columns)
    prepare_data(study, request)
    preset = preset_of(study, request.scale)
    fields = {**columns[column].set[request.scale], **rows[row].fields(request.scale)}
    trial = replace(make_trial(preset, rows[row].method, fields, request.changes), seed=seed)
    splits = Splits(request.roots)
    store = Store.open(request.store, create=True)
    key = splits.key(trial)
    say(f"trial {key}: {row}, {column}, seed {seed}")

    def report(said: Mapping[str, Any]) -> None:
        if "row" in said:
            terms = {name: value for name, value in said["row"].items() if ".iou." not in name}
            say("  ".join(f"{name}={_short(value)}" for name, value in terms.items()))

    outcome = execute(job_for(key, trial, store, splits, request), report, raise_errors=True)
    say(f"{outcome.status}: {outcome_note(store, key, preset.metric, outcome.error)}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
