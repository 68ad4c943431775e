"""What a report reads of a store: every result and history once, and of them what is asked for.

Of ten thousand trials with a hundred columns a page shows a few columns; so columns become Python
values when they are first looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from semisweep.store.arrow_table import Sheet, TrialRows, column_names, series
from semisweep.store.compacted_parts import (
    HISTORY,
    RESULT,
    RESULTS,
    collect,
    collect_apart,
    warn_left_out,
)
from semisweep.store.store import Store
from semisweep.store.trial_records import Result, ResultError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]


T = TypeVar("T")


class LazyRow(Mapping[str, object]):
    """One trial's row of a sheet; a column that the trial has not is not in it."""

    __slots__ = ("_known", "_names", "_position", "_sheet")

    def __init__(self, sheet: LazySheet, position: int, names: tuple[str, ...]) -> None:
        self._sheet, self._position, self._names = sheet, position, names
        self._known = sheet.known(names)

    def __getitem__(self, name: str) -> object:
        if name not in self._known:
            raise KeyError(name)
        return self._sheet.column(name)[self._position]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def get(self, name: str, default: object = None) -> object:
        """Return a column's value, or `default` where the trial has not that column."""
        return self._sheet.column(name)[self._position] if name in self._known else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class LazySheet:
    """A sheet whose columns become lists when they are first asked for."""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self._columns: dict[str, list[Any]] = {}
        self._layouts: dict[tuple[str, ...], frozenset[str]] = {}

    def known(self, names: tuple[str, ...]) -> frozenset[str]:
        """Return names as a set, the same one for all trials that have these columns."""
        if names not in self._layouts:
            self._layouts[names] = frozenset(names)
        return self._layouts[names]

    def column(self, name: str) -> list[Any]:
        """Return a column's values."""
        if name not in self._columns:
            self._columns[name] = self.sheet.values(name)
        return self._columns[name]


class Snapshot:
    """The results, errors of failures and histories of some trials, by key.

    `loose` of them were read one by one, as no part of a compacted store has them. A trial whose
    files are damaged is named in a warning and left out, unless `strict`: then `StoreError`.
    """

    def __init__(self, store: Store | None, keys: Iterable[str], *, strict: bool = False) -> None:
        self.store, self.keys = store, sorted(set(keys))
        self.results: dict[str, Result] = {}
        self.errors: dict[str, str] = {}
        sheets: list[Sheet] = []
        trials: list[TrialRows] = []
        if store is not None:
            sheets, trials = collect_apart(store, RESULTS, self.keys, strict=strict)
        self.loose = len(trials)
        for key, stamp, rows in trials:
            self._keep(stamp.source, key, rows[0])
        for sheet in sheets:
            lazy, position = LazySheet(sheet), 0
            for entry in sheet.entries:
                row = LazyRow(lazy, position, entry.columns)
                self._keep(entry.stamp.source, entry.key, row)
                position += entry.rows

    def _keep(self, source: str, key: str, row: Mapping[str, object]) -> None:
        if source == RESULT:
            self.results[key] = Result(key, row)
        else:
            self.errors[key] = str(row.get("error") or "")

    @cached_property
    def histories(self) -> Histories:
        """The evaluations of the trials, running ones included."""
        return Histories(collect(self.store, HISTORY, self.keys) if self.store else [])


def leaving_out(stored: Snapshot, make: Callable[[], T]) -> T:
    """Return what is made of a snapshot, without trials whose results are of other types.

    Each of them is named in a warning.
    """
    while True:
        try:
            return make()
        except ResultError as error:
            if stored.results.pop(error.key, None) is None:
                raise
            warn_left_out(error.key, error)


class Histories:
    """Columns of numbers of many trials' evaluations."""

    def __init__(self, sheets: Sequence[Sheet]) -> None:
        self.sheets = sheets
        self.names = column_names(entry for sheet in sheets for entry in sheet.entries)
        self.places: dict[str, slice] = {}
        start = 0
        for sheet in sheets:
            for entry in sheet.entries:
                self.places[entry.key] = slice(start, start + entry.rows)
                start += entry.rows
        self._columns: dict[str, Numbers] = {}

    def of(self, key: str, name: str) -> Numbers:
        """Return a column of one trial's evaluations; NaN where there is no number."""
        place = self.places.get(key, slice(0))
        return self._column(name)[place]

    def _column(self, name: str) -> Numbers:
        import numpy as np
        import pandas as pd

        if name not in self._columns:
            if name not in self.names:
                total = sum(sheet.table.num_rows for sheet in self.sheets)
                self._columns[name] = np.full(total, np.nan)
            else:
                values = pd.to_numeric(series(self.sheets, name), errors="coerce")
                self._columns[name] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return self._columns[name]
