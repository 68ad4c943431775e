"""The cells of a study's table: what its finished trials say, beside what was published.

Made of a resolved study and result rows, both plain values; neither torch nor Ray is imported. IoU
are fractions in the store and become percent here, and differences become percentage points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from semisweep.errors import ConfigError, StoreError
from semisweep.statistics import by_unit, interval, mean_std, paired_difference, several_draws

FORMAT = 1
SOURCE = "source.digest"


class Label(NamedTuple):
    """A row or a column: the name that identifies it and the label that is shown."""

    name: str
    label: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One place in a table. Numbers are in percent; NaN is what the trials cannot tell (yet)."""

    row: str
    column: str
    published: float | None
    published_std: float | None
    keys: tuple[str, ...]  # of the finished trials, which the numbers below are of
    wanted: int  # trials
    failed: int  # trials
    n: int  # units of replication: draws where the study has several, else seeds
    mean: float
    std: float
    low: float
    high: float
    same_as_base: bool = False  # the very trials of the base row
    delta: float = math.nan
    delta_low: float = math.nan
    delta_high: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Table:
    """A study's cells, in the order of its rows, and what a reader must know of them."""

    name: str
    title: str
    scale: str
    paper: str
    table: str
    base: str
    metric: str
    metric_note: str
    changes: Mapping[str, Any]
    notes: tuple[str, ...]
    rows: tuple[Label, ...]
    columns: tuple[Label, ...]
    cells: Mapping[tuple[str, str], Cell]
    replicates: tuple[str, ...]  # "draw/seed", all that any cell wants
    errors: tuple[str, ...]  # one line a failed trial
    sources: tuple[str, ...]  # digests of the source code that made the results


def build(
    study: Mapping[str, Any],
    results: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, Mapping[str, Any]],
) -> Table:
    """Return the table of a resolved study from results and failures by key.

    Trials in neither are missing. Raises `StoreError` for a study that this version cannot read and
    `ConfigError` for a metric that a result does not have.
    """
    _check(study)
    base = study.get("base") or ""
    values = {key: _metric(key, row, study["metric"]) for key, row in results.items()}
    given = {(cell["row"], cell["column"]): cell for cell in study["cells"]}
    cells = {place: _cell(cell, values, failures) for place, cell in given.items()}
    for (row, column), cell in given.items():
        origin = given.get((base, column))
        if origin is not None and row != base:
            place = (row, column)
            cells[place] = _compared(cells[place], cell["trials"], origin["trials"], values)
    trials = dict.fromkeys(key for cell in study["cells"] for key in cell["trials"].values())
    used = [results[key] for key in trials if key in results]
    return Table(
        **{name: study.get(name) or "" for name in ("name", "title", "scale", "paper", "table")},
        base=base,
        metric=study["metric"],
        metric_note=study.get("metric_note", ""),
        changes=dict(study.get("changes", {})),
        notes=tuple(study.get("notes", ())),
        rows=tuple(_label(row) for row in study["rows"]),
        columns=tuple(_label(column) for column in study["columns"]),
        cells=cells,
        replicates=tuple(dict.fromkeys(name for cell in study["cells"] for name in cell["trials"])),
        errors=tuple(_errors(given, results, failures)),
        sources=tuple(sorted({str(row[SOURCE]) for row in used if SOURCE in row})),
    )


def _check(study: Mapping[str, Any]) -> None:
    if study.get("format") != FORMAT:
        raise StoreError(
            f"a stored study must have format {FORMAT}, got format={study.get('format')!r}, "
            f"study={study.get('name')!r}; run the study again with this version"
        )
    if study.get("kind", "table") != "table":
        raise ConfigError(
            f"a table needs a study with rows and columns, got study={study['name']!r}, "
            f"which is a {study['kind']}"
        )


def _label(item: Mapping[str, str]) -> Label:
    return Label(item["name"], item.get("label") or item["name"])


def _metric(key: str, row: Mapping[str, Any], metric: str) -> float:
    value = row.get(metric)
    if value is None:
        near = get_close_matches(metric, sorted(row), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"a result must have the study's metric, got metric={metric!r}, key={key}{hint}"
        )
    return 100 * float(value)


def _cell(
    cell: Mapping[str, Any], values: Mapping[str, float], failures: Mapping[str, Mapping[str, Any]]
) -> Cell:
    trials: Mapping[str, str] = cell["trials"]
    ours = _finished(trials, values)
    units = list(by_unit(ours, draws=several_draws(trials)).values())
    mean, std = mean_std(units)
    low, high = interval(units)
    return Cell(
        row=cell["row"],
        column=cell["column"],
        published=cell.get("published"),
        published_std=cell.get("published_std"),
        keys=tuple(trials[replicate] for replicate in ours),
        wanted=len(trials),
        failed=sum(key in failures and key not in values for key in trials.values()),
        n=len(units),
        mean=mean,
        std=std,
        low=low,
        high=high,
    )


def _finished(trials: Mapping[str, str], values: Mapping[str, float]) -> dict[str, float]:
    return {replicate: values[key] for replicate, key in trials.items() if key in values}


def _compared(
    cell: Cell, own: Mapping[str, str], origin: Mapping[str, str], values: Mapping[str, float]
) -> Cell:
    """Return the cell with its paired difference to the base row's cell."""
    ours, theirs = _finished(own, values), _finished(origin, values)
    difference = paired_difference(ours, theirs, planned=[*own, *origin])
    return replace(
        cell,
        same_as_base=bool(own) and own == origin,
        delta=difference.mean,
        delta_low=difference.low,
        delta_high=difference.high,
    )


def _errors(
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    results: Mapping[str, Any],
    failures: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    """Yield place and last line of the error of each failed trial."""
    for (row, column), cell in cells.items():
        for replicate, key in cell["trials"].items():
            if key in failures and key not in results:
                lines: Sequence[str] = str(failures[key].get("error", "")).strip().splitlines()
                yield f"{row}, {column}, {replicate} ({key}): {lines[-1] if lines else 'no error'}"
