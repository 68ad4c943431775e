"""What a design says of a table's columns: its effects, of the rows that are complete."""

from __future__ import annotations

from collections.abc import Container, Mapping

from semisweep.statistics.design_effects import Effect, effects
from semisweep.statistics.intervals import by_unit, several_draws
from semisweep.store.resolved_study import Place, ResolvedStudy
from semisweep.tables.row_comparisons import Values, levels_of
from semisweep.tables.table_values import Cell


def design_answers(
    study: ResolvedStudy,
    cells: Mapping[Place, Cell],
    alike: Container[Place],
    values: Values,
    *,
    margin: float,
) -> dict[str, tuple[Effect, ...]]:
    """Return the effects of each column of a study that takes a method apart; else none.

    `alike`: the cells that may be compared at all. Rows that lack trials are waited for.
    """
    if study.design is None:
        return {}
    levels, found = levels_of(study), {}
    trained = {cell.column for cell in study.cells if cell.trials}
    for column in study.columns:
        rows = [row for row in study.design.on if (row, column.name) in study.at]
        trials = [name for row in rows for name in study.at[row, column.name].trials]
        if not trials or column.unit:
            continue
        draws = several_draws(trials)
        complete = {
            row: by_unit(values[row, column.name], draws=draws)
            for row in rows
            if (row, column.name) in alike and cells[row, column.name].complete
        }
        found[column.name] = tuple(
            effects(
                study.design,
                complete,
                margin=margin,
                alpha=levels.now,
                next_alpha=levels.next,
                columns=len(trained),
            )
        )
    return found
