"""Races: a table trained replicate by replicate, in which rows that fall behind are stopped.

From two fifths of the replicates on, the rows of a column are compared with the best of them (see
`semisweep.statistics.race_stops`), by the metric of the val part where the table's is of the test
part: rows that go on because the test part flatters them would raise the table's means. A row that
is significantly worse gets no further replicates, and is not tested again. The base row always gets
all of its own. The finished table is judged once.

Stops depend on finished trials alone, in the order of replicates, whenever each of them finished:
a race that is killed and run again stops the same rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from semisweep.cluster.connection import Connection
from semisweep.cluster.job import WAIT, Job, Outcome, Wait
from semisweep.cluster.progress import SweepProgress
from semisweep.cluster.sweep import sweep
from semisweep.core.errors import ConfigError
from semisweep.running.job_sources import job_for, keep_failure, metrics_of, outcome_note
from semisweep.statistics.best_rows import Behind
from semisweep.statistics.race_stops import SPENDING, STOPPING, StoppingRule, in_rounds, looks_of
from semisweep.store.look_log import note_look
from semisweep.store.resolved_study import RaceRecord, ResolvedCell, ResolvedStudy, StoppedRow
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace, own_variant
from semisweep.study.declaration import Study
from semisweep.study.plan import trial_names
from semisweep.study.request import Request
from semisweep.study.resolve import Resolved, Splits, resolve
from semisweep.tables.interim_analysis import compared_trials
from semisweep.tables.table_looks import TableLooks


def run_race(
    study: Study, request: Request, connection: Connection, store: Store, splits: Splits
) -> None:
    """Run the trials of a table on Ray, but those of rows that have been stopped."""
    resolved = resolve(
        study, request.scale, splits, request.changes, request.seeds, draws=request.draws
    )
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
        pairs = sum(math.comb(len(column.trials), 2) for column in self.columns)
        self.rule = StoppingRule(max(len(column.looks) for column in self.columns), pairs)
        self._note_look()
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
            alpha=STOPPING,
            spending=SPENDING,
            looks=self.rule.looks,
            comparisons=self.rule.pairs,
            stopped=stopped,
        )
        return replace(
            table,
            cells=tuple(map(self._kept, table.cells)),
            notes=(*table.notes, self._told()),
            race=race,
        )

    def _told(self) -> str:
        """Return what the table says of its race."""
        column = max(self.columns, key=lambda own: len(own.looks))
        looks = column.looks
        if not looks:
            return "Race: there are too few replicates for any row to be stopped."
        span = f"{looks[0]} to {looks[-1]}" if len(looks) > 1 else f"{looks[0]}"
        rounds = f"{span} of {len(column.rounds)} replicates"
        chosen = next((f" by `{column.metric}`" for column in self.columns if column.by_val), "")
        return (
            f"Race: after {rounds}, rows behind the best of their column{chosen} were stopped, in "
            f"error in {100 * STOPPING:g} % of tables; the base row never."
        )

    def _kept(self, cell: ResolvedCell) -> ResolvedCell:
        """Return a cell with what is wanted of its trials: of a stopped row, those until then."""
        for column in self.columns:
            if column.name == cell.column and cell.row in column.stopped:
                names = column.rounds[: column.stopped[cell.row].replicates]
                return replace(cell, trials={name: cell.trials[name] for name in names})
        return cell

    def _advance(self) -> None:
        base, metric = self.resolved.table.base, self.resolved.table.metric
        for column in self.columns:
            while not column.over and all(key in self.ended for key in column.round()):
                column.completed += 1
                if column.completed in column.looks:
                    seen = {row: column.seen(row) for row in column.live}
                    column.metric, values = _compared(self.store, seen, metric)
                    column.by_val = column.metric != metric
                    column.stop(self.rule.behind(values, base, column.rounds), self.rule.level)
        table = self.table()
        self.store.write_study(table.name, table.scale, table)

    def _wanted(self) -> set[str]:
        return {key for column in self.columns for key in column.wanted()}

    def _ended(self) -> set[str]:
        wanted = self._wanted()
        failed = () if self.request.retry_failed else self.store.failures(wanted)
        return {key for key in wanted if self.store.trial(key).finished or key in failed}

    def _note_look(self) -> None:
        """Note the table's first look; raise `ConfigError` where another one was planned or taken.

        A race that goes on must be the one that was begun.
        """
        table = self.resolved.table
        looks = TableLooks(self.store, StudyPlace(table.name, table.scale, own_variant(table)))
        rounds = max(len(column.rounds) for column in self.columns)
        while True:
            known = looks.known
            if known.race and known.looks:
                raise ConfigError(
                    "a race must be finished by the version that began it, got a race of "
                    f"replicates={known.race}; without --race all replicates are trained"
                )
            if known.race and known.race != rounds:
                raise ConfigError(
                    "a race keeps the number of replicates that it was planned with, as every "
                    f"look has its share of the level, got replicates={rounds}, "
                    f"planned={known.race}; --top-up adds more"
                )
            further = known.unseen(compared_trials(table)) and looks.is_judged()
            if known.looks or known.look > 1 or (looks.is_judged() and not known.race) or further:
                raise ConfigError(
                    "a race must be planned before a table is looked at, got "
                    f"look={known.look}, looks={known.looks or 'any number'}; "
                    "add replicates by --top-up"
                )
            entry = looks.next_entry(table, race=rounds)
            if entry is None or note_look(self.store.root, looks.place, entry, known.number + 1):
                return
            looks.read_again()


class Column:
    """A column of the table: its rows that are trained, and how far their race has come."""

    def __init__(self, name: str, trials: Mapping[str, Mapping[str, str]]) -> None:
        self.name, self.trials = name, trials
        names = {replicate for own in trials.values() for replicate in own}
        self.rounds = in_rounds(names)
        self.looks = looks_of(self.rounds)
        self.metric, self.by_val = "", False  # what rows were compared by; whether instead of test
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


def _columns(table: ResolvedStudy) -> Iterator[Column]:
    for column in table.columns:
        cells = [cell for cell in table.cells if cell.column == column.name]
        trials = {cell.row: cell.trials for cell in cells if cell.trials}
        if trials:
            yield Column(column.name, trials)


def _compared(
    store: Store, seen: Mapping[str, Mapping[str, str]], metric: str
) -> tuple[str, dict[str, dict[str, float]]]:
    """Return what rows are compared by, and their numbers in percent by replicate.

    `seen` are their keys. In place of a metric of the test part it is that of the val part, where
    every result has it.
    """
    first, dot, rest = metric.partition(".test.")
    of_val = f"{first}.val.{rest}" if dot else metric
    values = {
        name: {row: _values(store, keys, name) for row, keys in seen.items()}
        for name in dict.fromkeys((metric, of_val))
    }
    counts = {name: sum(map(len, own.values())) for name, own in values.items()}
    chosen = of_val if counts[of_val] >= counts[metric] else metric
    return chosen, values[chosen]


def _values(store: Store, keys: Mapping[str, str], metric: str) -> dict[str, float]:
    """Return a row's numbers in percent by replicate, of those that have finished."""
    rows = {replicate: store.trial(key).result([metric]) for replicate, key in keys.items()}
    known = {replicate: row.number(metric) for replicate, row in rows.items() if row is not None}
    numbers = {name: 100 * value for name, value in known.items() if value is not None}
    return {name: value for name, value in numbers.items() if not math.isnan(value)}
