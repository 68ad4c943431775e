"""What is refused of rows with searches of their own, before anything is trained."""

from __future__ import annotations

from semisweep.core.errors import ConfigError
from semisweep.search.tuning_choice import searches_of, trials_of
from semisweep.study.declaration import Row, Search, Study
from semisweep.study.factor import covered
from semisweep.study.preset_options import chosen, options_of
from semisweep.study.request import Request
from semisweep.study.tuned_rows import REPLICATED, tuned_fields, tuned_rows


def check_tuned(study: Study, request: Request) -> list[Search]:
    """Return the searches of tuned rows; raise `ConfigError` for a row that cannot be tuned.

    All of a study must have the same number of trials, or one would be nearer to its best.
    """
    rows = tuned_rows(study, request.scale)
    for row in rows:
        _check_search(row)
        _check_fields(study, row, request)
    if request.race and rows:
        raise ConfigError(
            "a race must not be of tuned rows, whose searches have a budget of their own, got "
            f"study={study.name!r}, row={rows[0].name!r}; run it without --race"
        )
    budgets = {row.name: trials_of(row, request) for row in rows}
    if len(set(budgets.values())) > 1:
        told = ", ".join(f"{name}: {trials}" for name, trials in budgets.items())
        raise ConfigError(
            f"tuned rows of a study must have the same number of trials, got {told}; change "
            "trials of their searches, or of grids the points"
        )
    return list(searches_of(study, request).values())


def _check_search(row: Row) -> None:
    search = row.tune
    assert search is not None
    if search.method not in (None, row.method) or search.presets:
        raise ConfigError(
            "the search of a row trains the row's method at the study's presets, got "
            f"row={row.name!r} with a method or presets in tune; leave them out"
        )
    if search.also:
        raise ConfigError(
            "the search of a row must have one objective, as it has one best, got "
            f"row={row.name!r}, also={[item.metric for item in search.also]}; leave it out"
        )
    if ".val." not in search.metric:
        raise ConfigError(
            f"a row must be tuned on the val part, got row={row.name!r}, "
            f"metric={search.metric!r}; such as 'last.val.miou'"
        )


def _check_fields(study: Study, row: Row, request: Request) -> None:
    """Refuse a space that sets what something else sets, or what replicates differ in."""
    scale = request.scale
    of_columns = [own.fields(scale) for own in study.columns if own.exists(scale)]
    options = [own for name, own in options_of(study, scale) if name in chosen(request.changes)]
    setters = {
        "the row": row.varied(scale),
        "a column": {path for fields in of_columns for path in fields},
        "an option": {path for own in options for path in own.set},
        "each replicate": set(REPLICATED),
    }
    for field in sorted(tuned_fields(row, scale)):
        for what, fields in setters.items():
            if covered(field, fields) or any(covered(path, [field]) for path in fields):
                raise ConfigError(
                    f"what a row is tuned in must be set by nothing else, got row={row.name!r}, "
                    f"field={field!r}, which {what} sets; take it out of one of them"
                )
