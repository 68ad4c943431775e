"""Races: a table trained replicate by replicate, in which rows that fall behind are stopped.

After each replicate the rows of a column are compared with the best of them: Student's t test of
the paired differences, as for verdicts. Which row is the best is seen from the same numbers, so
p-values are corrected after Holm over all pairs of rows, of all columns; and as every replicate is
a look, each has only a share of the 5 %, of which the last goes to the finished table. A row that
is significantly worse gets no further replicates. The base row always gets all of its own.

Looks depend on finished trials alone, in the order of replicates, whenever each of them finished:
a race that is killed and run again stops the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from semisweep.cluster.connection import Connection
from semisweep.cluster.job import WAIT, Job, Outcome, Wait
from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.sweep import sweep
from semisweep.core.errors import ConfigError
from semisweep.running.job_sources import job_for, keep_failure, metrics_of, outcome_note
from semisweep.statistics.alpha_spending import Spending, level_at_look
from semisweep.statistics.intervals import by_unit, mean_std, paired_difference, several_draws
from semisweep.statistics.verdicts import difference_p, holm
from semisweep.store.look_log import TakenLook, newest_look, take_look
from semisweep.store.resolved_study import RaceRecord, ResolvedCell, ResolvedStudy, StoppedRow
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace, own_variant
from semisweep.study.declaration import Study
from semisweep.study.plan import trial_names
from semisweep.study.request import Request
from semisweep.study.resolve import Resolved, Splits, resolve
from semisweep.tables.interim_analysis import kept_look, shown_units

ALPHA = 0.05
SPENDING: Spending = "pocock"

Values = Mapping[str, Mapping[str, float]]  # row -> replicate -> value


class Behind(NamedTuple):
    """A row that is worse than the best one, and what says so."""

    row: str
    best: str
    delta: float
    p: float  # corrected
    n: int  # units of replication that the test rests on


def run_race(
    study: Study, request: Request, connection: Connection, store: Store, splits: Splits
) -> None:
    """Run the trials of a table on Ray, but those of rows that have been stopped."""
    resolved = resolve(study, request.scale, splits, request.changes, request.seeds)
    race = Race(resolved, store, splits, request)
    if race.total:
        with SweepProgress(race.total, race.names) as progress:
            race.progress = progress
            sweep(race, connection, progress, retries=request.retry_failed)


class Race:
    """A sweep's source that hands out replicate after replicate to the rows that are left."""

    def __init__(self, resolved: Resolved, store: Store, splits: Splits, request: Request) -> None:
        self.resolved, self.store, self.splits, self.request = resolved, store, splits, request
        self.names, self.metrics = trial_names(resolved.table), metrics_of(resolved.table)
        self.columns = list(_columns(resolved.table))
        self.looks = max(column.looks for column in self.columns)
        self._take_looks()
        self.ended = self._ended()
        self.handed: set[str] = set()
        self.progress: SweepProgress | None = None
        self._advance()
        self.total = len(self._wanted() - self.ended)

    def next(self) -> Job | Wait | None:
        """Return the next job; `WAIT` until a round is over, None when the race is."""
        for column in self.columns:
            for key in column.round():
                if key not in self.ended and key not in self.handed:
                    self.handed.add(key)
                    trial = self.resolved.trials[key]
                    return job_for(
                        key,
                        trial,
                        self.store,
                        self.splits,
                        self.request,
                        metrics=self.metrics[key],
                    )
        return None if all(column.over for column in self.columns) else WAIT

    def done(self, outcome: Outcome) -> None:
        """Take the outcome of a job, look where a round is over, and show it."""
        key = outcome.key
        if outcome.status == "failed":
            keep_failure(self.store, outcome, self.resolved.trials[key].encoded())
        self.ended.add(key)
        before = len(self._wanted())
        self._advance()
        if self.progress:
            self.progress.total -= before - len(self._wanted())
            note = outcome_note(self.store, outcome, self.resolved.table.metric)
            self.progress.finished(key, outcome.status, note)

    def table(self) -> ResolvedStudy:
        """Return the study's table: of rows that were stopped only what was wanted until then."""
        table = self.resolved.table
        stopped = tuple(row for column in self.columns for row in column.stopped.values())
        race = RaceRecord(
            alpha=ALPHA,
            spending=SPENDING,
            looks=self.looks,
            comparisons=self.comparisons,
            stopped=stopped,
        )
        told = (_rule(self.looks, self.comparisons), *_told(stopped, table))
        return replace(
            table,
            cells=tuple(map(self._kept, table.cells)),
            notes=(*table.notes, *told),
            look=self.looks,
            looks=self.looks,
            race=race,
        )

    def _kept(self, cell: ResolvedCell) -> ResolvedCell:
        """Return a cell with what is wanted of its trials: of a stopped row, those until then."""
        for column in self.columns:
            if column.name == cell.column and cell.row in column.stopped:
                names = column.rounds[: column.stopped[cell.row].replicates]
                return replace(cell, trials={name: cell.trials[name] for name in names})
        return cell

    @property
    def comparisons(self) -> int:
        """How many pairs of rows there are."""
        return sum(math.comb(len(column.trials), 2) for column in self.columns)

    def _advance(self) -> None:
        base, metric = self.resolved.table.base, self.resolved.table.metric
        for column in self.columns:
            while not column.over and all(key in self.ended for key in column.round()):
                column.completed += 1
                if 2 <= column.completed < len(column.rounds):
                    level = level_at_look(column.completed - 1, column.looks, ALPHA, SPENDING)
                    values = {
                        row: _values(self.store, column.seen(row), metric) for row in column.live
                    }
                    found = behind(values, base, column.rounds, level, self.comparisons)
                    column.stop(found, level)
        table = self.table()
        self.store.write_study(table.name, table.scale, table)

    def _wanted(self) -> set[str]:
        return {key for column in self.columns for key in column.wanted()}

    def _ended(self) -> set[str]:
        wanted = self._wanted()
        failed = () if self.request.retry_failed else self.store.failures(wanted)
        return {key for key in wanted if self.store.trial(key).finished or key in failed}

    def _take_looks(self) -> None:
        """Note the looks of the race; raise `ConfigError` where others were planned or taken."""
        table = self.resolved.table
        place = StudyPlace(table.name, table.scale, own_variant(table))
        stored = self.store.read_table(table.name, table.scale, table.changes)
        taken = newest_look(self.store.root, place)
        before = stored.race.looks if stored is not None and stored.race else None
        before = taken.looks if taken is not None and taken.race else before
        if before not in (None, self.looks):
            raise ConfigError(
                "a race keeps the number of replicates that it was planned with, as every look "
                f"has its share of the level, got replicates={self.looks + 1}, "
                f"planned={before + 1}; without --race all replicates are trained"
            )
        if before is None and kept_look(stored, None, taken).looks > 1:
            raise ConfigError(
                "a race must be planned before a table is looked at, got looks="
                f"{kept_look(stored, None, taken).looks}; add replicates by --top-up"
            )
        units = shown_units(table)
        look = TakenLook(look=self.looks, looks=self.looks, units=units, race=True)
        take_look(self.store.root, place, look)


class Column:
    """A column of the table: its rows that are trained, and how far their race has come."""

    def __init__(self, name: str, trials: Mapping[str, Mapping[str, str]]) -> None:
        self.name, self.trials = name, trials
        names = {replicate for own in trials.values() for replicate in own}
        self.rounds = sorted(names, key=_seeds_first)
        self.looks = len(self.rounds) - 1
        self.completed = 0
        self.stopped: dict[str, StoppedRow] = {}

    @property
    def over(self) -> bool:
        """Whether every replicate has been trained."""
        return self.completed == len(self.rounds)

    @property
    def live(self) -> list[str]:
        """The rows that have not been stopped."""
        return [row for row in self.trials if row not in self.stopped]

    def round(self) -> list[str]:
        """Return the keys of the replicate that is being trained."""
        if self.over:
            return []
        return [self.trials[row][self.rounds[self.completed]] for row in self.live]

    def seen(self, row: str) -> dict[str, str]:
        """Return the keys of a row's replicates in the rounds that are over."""
        return {name: self.trials[row][name] for name in self.rounds[: self.completed]}

    def wanted(self) -> Iterator[str]:
        """Yield the keys that are trained unless further rows are stopped."""
        for row, own in self.trials.items():
            count = self.stopped[row].replicates if row in self.stopped else len(self.rounds)
            yield from (own[name] for name in self.rounds[:count])

    def stop(self, found: Sequence[Behind], level: float) -> None:
        """Give some rows no further replicates."""
        for item in found:
            self.stopped[item.row] = StoppedRow(
                column=self.name,
                replicates=self.completed,
                planned=len(self.rounds),
                level=level,
                **item._asdict(),
            )


def behind(
    values: Values, base: str, planned: Sequence[str], level: float, comparisons: int
) -> list[Behind]:
    """Return the rows that are significantly worse than the best one, the base row never.

    `values`: of all rows still in the race, higher is better. `planned`: all replicates there will
    be. `comparisons`: the pairs over which p-values are corrected.
    """
    draws = several_draws(planned)
    means = {row: mean_std(list(by_unit(own, draws=draws).values()))[0]
             for row, own in values.items() if own}  # fmt: skip
    if not means:
        return []
    best = max(means, key=lambda row: means[row])
    rows = [row for row in means if row not in (best, base)]
    found = [paired_difference(values[row], values[best], planned=planned) for row in rows]
    columns = zip(*((item.mean, item.std, item.n) for item in found), strict=True)
    mean, std, n = (
        (np.array(column, dtype=float) for column in columns) if rows else [np.empty(0)] * 3
    )
    unknown = np.full(max(0, comparisons - len(rows)), np.nan)  # pairs that are not looked at
    p = holm(np.concatenate([difference_p(mean, std, n), unknown]))[: len(rows)]
    return [
        Behind(row, best, item.mean, float(corrected), item.n)
        for row, item, corrected in zip(rows, found, p, strict=True)
        if item.mean < 0 and corrected <= level
    ]


def _columns(table: ResolvedStudy) -> Iterator[Column]:
    for column in table.columns:
        cells = [cell for cell in table.cells if cell.column == column.name]
        trials = {cell.row: cell.trials for cell in cells if cell.trials}
        if trials:
            yield Column(column.name, trials)


def _seeds_first(replicate: str) -> tuple[int, int]:
    """Return a sort key that puts every draw's first seed before any second one."""
    draw, _, seed = replicate.partition("/")
    return int(seed), int(draw)


def _values(store: Store, keys: Mapping[str, str], metric: str) -> dict[str, float]:
    """Return a row's numbers in percent by replicate, of those that have finished."""
    rows = {replicate: store.trial(key).result([metric]) for replicate, key in keys.items()}
    known = {replicate: row.number(metric) for replicate, row in rows.items() if row is not None}
    numbers = {name: 100 * value for name, value in known.items() if value is not None}
    return {name: value for name, value in numbers.items() if not math.isnan(value)}


def _rule(looks: int, comparisons: int) -> str:
    return (
        "Race: after each replicate, rows that are worse than the best of their column (paired t "
        f"test, Holm-corrected over all {comparisons} pairs of rows; {100 * ALPHA:g} % shared out "
        f"over {looks} looks after {SPENDING.capitalize()}, the last of them this table's) get no "
        "further ones; the base row gets all."
    )


def _told(stopped: Sequence[StoppedRow], table: ResolvedStudy) -> Iterator[str]:
    """Yield a line a stopped row: after how many replicates, and why."""
    rows = {row.name: row.label for row in table.rows}
    columns = {column.name: column.label for column in table.columns}
    for item in stopped:
        place = f", {columns[item.column]}" if len(columns) > 1 else ""
        yield (
            f"Stopped: {rows[item.row]}{place}, after {item.replicates} of "
            f"{item.planned} replicates: Δ to “{rows[item.best]}” {item.delta:+.1f}, "
            f"p {item.p:.2g} ≤ {item.level:.2g}."
        )
