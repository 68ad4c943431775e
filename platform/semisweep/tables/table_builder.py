"""The cells of a study's table: what its finished trials say, beside what was published.

Made of a resolved study and result rows, both plain values; neither torch nor Ray is imported. IoU
are fractions in the store and become percent here, and differences become percentage points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np

from semisweep.core.errors import ConfigError
from semisweep.evaluation.pseudo_label_results import MEASURED
from semisweep.statistics.image_bootstrap import ImageTest
from semisweep.statistics.intervals import by_unit, interval, mean_std, several_draws
from semisweep.statistics.order_agreement import agreement
from semisweep.statistics.verdicts import Numbers
from semisweep.store.resolved_study import Place, ResolvedCell, ResolvedStudy
from semisweep.store.trial_records import Result
from semisweep.tables.code_marks import compare
from semisweep.tables.command_words import scale_words
from semisweep.tables.data_marks import count_unknown
from semisweep.tables.design_answers import design_answers
from semisweep.tables.labelled_images import differing_cells, mixed
from semisweep.tables.row_comparisons import Values, compare_rows, levels_of
from semisweep.tables.table_values import Cell, Imported, Table

MARGIN = 1.0  # percentage points; a study may state its own


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a table shows beside the results of its own trials."""

    imported: Mapping[Place, Imported] = field(default_factory=dict)
    images: Mapping[Place, ImageTest] = field(default_factory=dict)
    current: Callable[[str], str | None] | None = None  # the digest of a method's code, if here
    changed_data: tuple[str, ...] = ()  # data sets that are others than at the study's last run
    asked: str = ""  # what commands that hints name ask for, as `study_words` has it


def build(
    study: ResolvedStudy,
    results: Mapping[str, Result],
    errors: Mapping[str, str],
    outside: Outside | None = None,
) -> Table:
    """Return the table of a resolved study from results and errors of failures by key.

    Trials in neither are missing. Raises `ConfigError` for a metric that a result does not have.
    """
    outside = outside or Outside()
    base, given = study.base, study.at
    alpha = levels_of(study).now
    margin = MARGIN if study.margin is None else float(study.margin)
    values = {place: _values(cell, results, study.metric) for place, cell in given.items()}
    used = [results[key] for key in study.keys if key in results]
    code = compare(used, outside.current)
    cells = {
        place: replace(
            _cell(cell, values[place], results, errors, alpha),
            metric=cell.metric or study.metric,
            other_code=sum(key in code.changed for key in cell.trials.values()),
            unknown_data=count_unknown(cell, results),
            imported=outside.imported.get(place),
            kind="base" if cell.row == base and cell.trials else "",
        )
        for place, cell in given.items()
    }
    mixes, others = mixed(given, results), differing_cells(given, base, results)
    alike = {place: cell for place, cell in given.items() if place not in others}
    compared = compare_rows(study, cells, alike, values, margin=margin)
    return Table(
        name=study.name,
        title=study.title,
        scale=study.scale,
        asked=outside.asked or " ".join([study.name, *scale_words(study.scale)]),
        paper=study.paper,
        table=study.table,
        base=base,
        metric=study.metric,
        metric_note=study.metric_note,
        changes=study.changes,
        notes=study.notes,
        rows=study.rows,
        columns=study.columns,
        cells=cells | compared.cells,
        replicates=tuple(dict.fromkeys(name for cell in study.cells for name in cell.trials)),
        errors=tuple(_errors(given, results, errors)),
        code=code,
        changed_data=outside.changed_data,
        margin=margin,
        level=alpha,
        look=study.look,
        looks=study.looks,
        comparisons=compared.confirmatory,
        exploratory=compared.exploratory,
        noise=compared.noise,
        detectable=compared.detectable,
        best={column: rows for column, rows in compared.best.items() if column not in mixes},
        order=agreement(_orders(_unmixed(cells, mixes), given, values), alpha),
        mixed=mixes,
        elsewhere=tuple(_cell(cell, {}, {}, {}, alpha) for cell in study.elsewhere),
        tuned={place: cell.tuning for place, cell in given.items() if cell.tuning},
        images={place: test for place, test in outside.images.items() if place in compared.cells},
        design=study.design,
        effects=design_answers(study, cells, alike, values, margin=margin),
    )


def _values(cell: ResolvedCell, results: Mapping[str, Result], metric: str) -> dict[str, float]:
    """Return the numbers of a cell's finished trials in percent, by replicate."""
    metric = cell.metric or metric
    found = {
        replicate: _metric(key, results[key], metric)
        for replicate, key in cell.trials.items()
        if key in results
    }
    return {replicate: value for replicate, value in found.items() if value is not None}


def _metric(key: str, row: Result, metric: str) -> float | None:
    value = row.number(metric)
    if metric.startswith(MEASURED) and (value is None or math.isnan(value)):
        return None
    if value is None:
        near = get_close_matches(metric, sorted(row), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"a result must have the study's metric, got metric={metric!r}, key={key}{hint}"
        )
    return 100 * value


def _cell(
    cell: ResolvedCell,
    ours: Mapping[str, float],
    results: Mapping[str, Result],
    errors: Mapping[str, str],
    alpha: float,
) -> Cell:
    trials = cell.trials
    units = list(by_unit(ours, draws=several_draws(trials)).values())
    mean, std = mean_std(units)
    low, high = interval(units, 1 - alpha)
    return Cell(
        row=cell.row,
        column=cell.column,
        published=cell.published,
        published_std=cell.published_std,
        value=cell.value,
        keys=tuple(trials[replicate] for replicate in ours),
        values=ours,
        wanted=len(trials),
        failed=sum(key in errors and key not in results for key in trials.values()),
        n=len(units),
        mean=mean,
        std=std,
        low=low,
        high=high,
    )


def _unmixed(cells: Mapping[Place, Cell], mixes: Container[str]) -> dict[Place, Cell]:
    return {place: cell for place, cell in cells.items() if place[1] not in mixes}


def _orders(
    cells: Mapping[Place, Cell],
    given: Mapping[Place, ResolvedCell],
    values: Values,
) -> Iterator[tuple[list[float], Numbers]]:
    """Yield for each column the published numbers of complete rows and ours [units, rows]."""
    for column in dict.fromkeys(place[1] for place in given):
        published, ours = [], []
        for place, cell in cells.items():
            if place[1] == column and cell.complete and cell.published is not None:
                trials = given[place].trials
                published.append(cell.published)
                ours.append(by_unit(values[place], draws=several_draws(trials)))
        common = [unit for unit in ours[0] if all(unit in row for row in ours)] if ours else []
        if common:
            yield published, np.array([[row[unit] for row in ours] for unit in common])


def _errors(
    cells: Mapping[Place, ResolvedCell],
    results: Mapping[str, Result],
    errors: Mapping[str, str],
) -> Iterator[str]:
    """Yield place and last line of the error of each failed trial."""
    for (row, column), cell in cells.items():
        for replicate, key in cell.trials.items():
            if key in errors and key not in results:
                lines: Sequence[str] = errors[key].strip().splitlines()
                yield f"{row}, {column}, {replicate} ({key}): {lines[-1] if lines else 'no error'}"
