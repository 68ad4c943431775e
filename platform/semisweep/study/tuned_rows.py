"""Rows that have a search of their own, and cells whose trials are those of its best.

Such a search is one like any other in the store, of one row in one column: the cell's trial with
further fields, on a seed that no replicate of a table reaches, and where labelled images are drawn
on such a draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from semisweep.study.scales import Fields, Preset, at_scale
from semisweep.study.search_space import Space, fields_of, varied

if TYPE_CHECKING:
    from semisweep.store.resolved_search import Value
    from semisweep.store.resolved_study import Place
    from semisweep.study.declaration import Column, Row, Search, Study

OF_ITS_OWN = 10_000  # draw and seed of the searches of rows
REPLICATED = ("seed", "data.draw")  # in which the replicates of a cell differ
SMOKE_TRIALS = 2


def space_of(row: Row, scale: str) -> Space:
    """Return what the search of a row varies at a scale; nothing where it has none there."""
    return {} if row.tune is None else at_scale(row.tune.space, scale, {})


def tuned_rows(study: Study, scale: str) -> list[Row]:
    """Return the rows that have a search of their own at a scale."""
    return [row for row in study.rows if space_of(row, scale)]


def tuned_fields(row: Row, scale: str) -> set[str]:
    """Return every field that the search of a row can set at a scale."""
    return varied(space_of(row, scale))


def tuned_cells(study: Study, scale: str) -> Iterator[tuple[Row, Column]]:
    """Yield the cells that have a search of their own at a scale."""
    for row in tuned_rows(study, scale):
        for column in study.columns:
            if column.exists(scale) and not column.unit:
                yield row, column


def at_its_best(
    row: Row, scale: str, column: str, chosen: Mapping[str, Value] | None
) -> Row | None:
    """Return a row with what its search has chosen in a column; None while it has not."""
    space = space_of(row, scale)
    if not space:
        return row
    if chosen is None:
        return None
    of_scale = at_scale(row.in_column, scale, {})
    own = {**of_scale.get(column, {}), **fields_of(space, chosen)}
    return dataclasses.replace(row, in_column={**row.in_column, scale: {**of_scale, column: own}})


def search_name(study: str, place: Place) -> str:
    """Return the name under which a store has the search of a cell."""
    return "~".join((study, *place))


def cell_search(
    study: Study,
    scale: str,
    row: Row,
    column: Column,
    preset: Preset,
    trials: int | None,
    *,
    drawn: bool,
) -> Search:
    """Return the search of a tuned cell at a scale, whose preset is that of its column.

    `trials`: how many it is to have; None where nothing says it. `drawn`: whether there are further
    draws of its labelled images; of lists on disk it has the cell's own, on another seed.
    """
    assert row.tune is not None
    fixed: Fields = dict.fromkeys(REPLICATED if drawn else REPLICATED[:1], OF_ITS_OWN)
    own = at_scale(row.tune.set, scale, {})
    fields = {**column.fields(scale), **row.fields(scale, column.name), **own, **fixed}
    return dataclasses.replace(
        row.tune,
        name=search_name(study.name, (row.name, column.name)),
        title=f"{study.title}: the best of {row.label or row.name}, {column.name}",
        presets={scale: preset},
        method=row.method,
        space={scale: space_of(row, scale)},
        trials=trials,
        set={scale: fields},
        confirm=0,
    )
