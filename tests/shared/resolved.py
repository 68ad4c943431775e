"""Resolved studies and searches for tests, which write down only what they are about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from semisweep.store.json_fields import Fields
from semisweep.store.resolved_search import (
    ResolvedSearch,
    StudyOrSearch,
    Suggestion,
    decode_search,
)
from semisweep.store.resolved_study import Label, ResolvedCell, ResolvedStudy, decode_study
from semisweep.store.trial_records import Result

METRIC = "last.test.miou"


def cell(
    trials: Mapping[str, str] | Sequence[str] = (),
    row: str = "ours",
    column: str = "one",
    **more: Any,
) -> ResolvedCell:
    """Return a cell; keys without replicates are of seeds 0, 1 and on."""
    named = trials if isinstance(trials, Mapping) else dict(seeds(trials))
    return ResolvedCell(row=row, column=column, trials=dict(named), **more)


def seeds(keys: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return replicate and key of each key of one draw."""
    return [(f"0/{seed}", key) for seed, key in enumerate(keys)]


def table(*cells: ResolvedCell, **more: Any) -> ResolvedStudy:
    """Return a resolved table of some cells; its rows and columns are theirs."""
    rows = dict.fromkeys(own.row for own in cells)
    columns = dict.fromkeys(own.column for own in cells)
    return ResolvedStudy(
        cells=cells,
        **{
            "name": "example",
            "title": "T",
            "scale": "mini",
            "metric": METRIC,
            "rows": tuple(Label(name, name) for name in rows),
            "columns": tuple(Label(name, name) for name in columns),
            **more,
        },
    )


def search(keys: Sequence[str], **more: Any) -> ResolvedSearch:
    """Return a search that suggested trials of some keys."""
    trials = tuple(
        Suggestion(number=number, params={}, key=key, saw=()) for number, key in enumerate(keys)
    )
    return ResolvedSearch(
        trials=trials,
        **{
            "name": "searched",
            "title": "S",
            "scale": "mini",
            "metric": "last.val.miou",
            "direction": "maximize",
            **more,
        },
    )


def decoded(study: Mapping[str, Any]) -> ResolvedStudy:
    """Return the table that a file with these fields holds; title and scale may be left out."""
    return decode_study(Fields({"name": "example", "metric": METRIC, **study}, "a study", "here"))


def through_json(study: StudyOrSearch) -> StudyOrSearch:
    """Return a study as it is read again once it was written."""
    fields = Fields(json.loads(json.dumps(study.encoded())), "a study", "here")
    return decode_search(fields) if isinstance(study, ResolvedSearch) else decode_study(fields)


def results(rows: Mapping[str, Mapping[str, object]]) -> dict[str, Result]:
    """Return rows as the results of finished trials, by key."""
    return {key: Result(key, row) for key, row in rows.items()}
