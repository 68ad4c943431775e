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

import numpy as np

from semisweep.agreement import Agreement, agreement
from semisweep.errors import ConfigError, StoreError
from semisweep.mixtures import apart, mixed
from semisweep.spending import level_at_look
from semisweep.statistics import (
    Difference,
    Noise,
    by_unit,
    interval,
    mean_std,
    noise,
    paired_difference,
    several_draws,
)
from semisweep.verdicts import Decision, Numbers, decide

FORMAT = 1
MARGIN = 1.0  # percentage points; a study may state its own
SOURCE = "source.digest"
Place = tuple[str, str]  # row, column


class Label(NamedTuple):
    """A row or a column: the name that identifies it and the label that is shown."""

    name: str
    label: str
    published_only: bool = False


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
    decision: Decision | None = None  # none before this row and the base row are complete

    @property
    def complete(self) -> bool:
        """Whether all wanted trials have finished."""
        return self.wanted > 0 and len(self.keys) == self.wanted


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
    margin: float  # percentage points within which rows are equivalent
    look: int  # at the results, of those planned: each costs a share of the level
    looks: int
    comparisons: int  # over which verdicts are corrected
    noise: Mapping[str, Noise]  # column -> spread of the base row
    order: Agreement | None  # of our rows with the published ones
    mixed: Mapping[str, tuple[str, ...]]  # column -> its several lists of labelled images


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
    look, looks = study.get("look", 1), study.get("looks", 1)
    alpha, margin = level_at_look(look, looks), float(study.get("margin", MARGIN))
    values = {key: _metric(key, row, study["metric"]) for key, row in results.items()}
    given = {(cell["row"], cell["column"]): cell for cell in study["cells"]}
    cells = {place: _cell(cell, values, failures, alpha) for place, cell in given.items()}
    mixes, others = mixed(given, results), apart(given, base, results)
    alike = {place: cell for place, cell in given.items() if place not in others}
    compared = _compared(cells, alike, base, values, margin=margin, alpha=alpha)
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
        cells=cells | compared,
        replicates=tuple(dict.fromkeys(name for cell in study["cells"] for name in cell["trials"])),
        errors=tuple(_errors(given, results, failures)),
        sources=tuple(sorted({str(row[SOURCE]) for row in used if SOURCE in row})),
        margin=margin,
        look=look,
        looks=looks,
        comparisons=sum(not cell.same_as_base for cell in compared.values()),
        noise=_noise(given, base, values),
        order=agreement(_orders(_unmixed(cells, mixes), given, values), alpha),
        mixed=mixes,
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


def _label(item: Mapping[str, Any]) -> Label:
    published_only = bool(item.get("published_only"))
    return Label(item["name"], item.get("label") or item["name"], published_only)


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
    cell: Mapping[str, Any],
    values: Mapping[str, float],
    failures: Mapping[str, Mapping[str, Any]],
    alpha: float,
) -> Cell:
    trials: Mapping[str, str] = cell["trials"]
    ours = _finished(trials, values)
    units = list(by_unit(ours, draws=several_draws(trials)).values())
    mean, std = mean_std(units)
    low, high = interval(units, 1 - alpha)
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
    cells: Mapping[Place, Cell],
    given: Mapping[Place, Mapping[str, Any]],
    base: str,
    values: Mapping[str, float],
    *,
    margin: float,
    alpha: float,
) -> dict[Place, Cell]:
    """Return the trained cells that have one in the base row, with difference and decision.

    Only complete rows get a decision: to look while results come in is to look again, and what is
    left after failures is a selection. The others count in the correction nevertheless.
    """
    compared: dict[Place, Cell] = {}
    tested: dict[Place, Difference | None] = {}
    for (row, column), cell in given.items():
        own, origin = cell["trials"], given.get((base, column), {}).get("trials")
        if row == base or not own or not origin:
            continue
        ours, theirs = _finished(own, values), _finished(origin, values)
        found = paired_difference(ours, theirs, level=1 - alpha, planned=[*own, *origin])
        place, same = (row, column), own == origin
        compared[place] = replace(
            cells[place],
            same_as_base=same,
            delta=found.mean,
            delta_low=found.low,
            delta_high=found.high,
        )
        if not same:
            ready = compared[place].complete and cells[base, column].complete
            tested[place] = found if ready else None
    decisions = decide(list(tested.values()), margin=margin, alpha=alpha)
    for place, decision in zip(tested, decisions, strict=True):
        compared[place] = replace(compared[place], decision=decision)
    return compared


def _noise(
    given: Mapping[Place, Mapping[str, Any]], base: str, values: Mapping[str, float]
) -> dict[str, Noise]:
    """Return the spread of the base row in each column in which it has several units."""
    found = {}
    for (row, column), cell in given.items():
        if row == base:
            draws = several_draws(cell["trials"])
            found[column] = noise(_finished(cell["trials"], values), draws=draws)
    return {column: spread for column, spread in found.items() if not math.isnan(spread.std)}


def _unmixed(cells: Mapping[Place, Cell], mixes: Mapping[str, Any]) -> dict[Place, Cell]:
    return {place: cell for place, cell in cells.items() if place[1] not in mixes}


def _orders(
    cells: Mapping[Place, Cell],
    given: Mapping[Place, Mapping[str, Any]],
    values: Mapping[str, float],
) -> Iterator[tuple[list[float], Numbers]]:
    """Yield for each column the published numbers of complete rows and ours [units, rows]."""
    for column in dict.fromkeys(place[1] for place in given):
        published, ours = [], []
        for place, cell in cells.items():
            if place[1] == column and cell.complete and cell.published is not None:
                trials = given[place]["trials"]
                published.append(cell.published)
                finished = _finished(trials, values)
                ours.append(by_unit(finished, draws=several_draws(trials)))
        common = [unit for unit in ours[0] if all(unit in row for row in ours)] if ours else []
        if common:
            yield published, np.array([[row[unit] for row in ours] for unit in common])


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
