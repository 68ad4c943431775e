"""Rows of many trials as one Arrow table that gives back exactly the rows it was made of.

Trials have different columns, and a column may hold numbers in one trial and text in another. So a
sheet keeps the number of rows and the columns of each trial, and columns of mixed types as JSON
text. The same trials give the same answers, however they are divided into sheets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from semisweep.store.files import plain

INTEGERS = range(-(2**63), 2**63)


class Stamp(NamedTuple):
    """Which file some rows came from, and its size and time of change as they were then."""

    source: str
    size: int
    modified_nanoseconds: int


TrialRows = tuple[str, Stamp, list[dict[str, Any]]]  # a key, and what its file holds


@dataclass(frozen=True)
class Entry:
    """One trial of a sheet: its number of rows, and their columns in the order first seen."""

    key: str
    stamp: Stamp
    rows: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Sheet:
    """The rows of some trials, one trial after another; those of `json` columns are JSON text."""

    entries: tuple[Entry, ...]
    table: Any  # pyarrow.Table
    json: frozenset[str]

    def rows(self) -> Iterator[tuple[Entry, list[dict[str, Any]]]]:
        """Yield each trial with its rows as they were given to `make_sheet`.

        A row of several has the columns of all its trial's rows, None where it had none.
        """
        columns = {name: self.values(name) for name in self.table.column_names}
        start = 0
        for entry in self.entries:
            end = start + entry.rows
            yield (
                entry,
                [{name: columns[name][row] for name in entry.columns} for row in range(start, end)],
            )
            start = end

    def values(self, name: str) -> list[Any]:
        """Return a column's values, None for each row where the sheet has no such column."""
        if name not in self.table.column_names:
            return [None] * self.table.num_rows
        values: list[Any] = self.table[name].to_pylist()
        if name in self.json:
            return [None if value is None else json.loads(value) for value in values]
        return values

    def matching(self, where: Mapping[str, Sequence[Any]]) -> Any:
        """Return a Boolean array [rows]: True where every column has one of its values."""
        import numpy as np

        mask = np.ones(self.table.num_rows, dtype=bool)
        for name, accepted in where.items():
            mask &= np.array([value in accepted for value in self.values(name)], dtype=bool)
        return mask

    def only(self, mask: Any, columns: Sequence[str] | None = None) -> Sheet:
        """Return the rows where `mask` is True, and of their columns those that are asked for."""
        table = self.table
        if columns is not None:
            table = table.select([name for name in table.column_names if name in set(columns)])
        return Sheet(kept_entries(self.entries, mask, columns), filtered(table, mask), self.json)


def make_sheet(trials: Iterable[TrialRows]) -> Sheet:
    """Return the sheet of some trials; imports pandas, as Arrow does with any list of values."""
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    entries = []
    for key, stamp, own in trials:
        columns = tuple(dict.fromkeys(name for row in own for name in row))
        entries.append(Entry(key, stamp, len(own), columns))
        rows.extend(own)
    names = dict.fromkeys(name for entry in _distinct(entries) for name in entry)
    arrays, mixed = {}, set()
    for name in names:
        values = [row.get(name) for row in rows]
        kind = _kind(values)
        if kind is None:
            mixed.add(name)
            values, kind = [_text(value) for value in values], str
        arrays[name] = pa.array(values, type=_arrow(kind), from_pandas=False)
    return Sheet(tuple(entries), pa.table(arrays), frozenset(mixed))


def kept_entries(
    entries: Sequence[Entry], mask: Any, columns: Sequence[str] | None
) -> tuple[Entry, ...]:
    """Return the entries that keep some row, with the rows and columns that they keep."""
    import numpy as np

    wanted = None if columns is None else set(columns)
    layouts = {
        layout: layout if wanted is None else tuple(name for name in layout if name in wanted)
        for layout in _distinct(entries)
    }
    counts = np.concatenate([[0], np.cumsum(mask)])
    ends = np.cumsum([entry.rows for entry in entries], dtype=np.int64)
    kept = []
    for entry, end in zip(entries, ends.tolist(), strict=True):
        rows = int(counts[end] - counts[end - entry.rows])
        if rows:
            kept.append(replace(entry, rows=rows, columns=layouts[entry.columns]))
    return tuple(kept)


def filtered(table: Any, mask: Any) -> Any:
    """Return the rows of an Arrow table where `mask` is True, without importing pandas."""
    import numpy as np
    import pyarrow as pa

    if mask.all():
        return table
    bits = pa.py_buffer(np.packbits(mask, bitorder="little"))
    return table.filter(pa.Array.from_buffers(pa.bool_(), len(mask), [None, bits]))


def column_names(entries: Iterable[Entry]) -> list[str]:
    """Return the columns of all entries in the order first seen."""
    return list(dict.fromkeys(name for layout in _distinct(entries) for name in layout))


def merge(sheets: Sequence[Sheet]) -> Sheet:
    """Return one sheet with the trials of all, in their order: as if made of all their rows."""
    import pyarrow as pa

    entries = tuple(entry for sheet in sheets for entry in sheet.entries)
    arrays = {}
    mixed = set()
    for name in column_names(entries):
        found = _chunked(sheets, name)
        if found is None:
            mixed.add(name)
            texts = [_text(value) for sheet in sheets for value in sheet.values(name)]
            found = pa.chunked_array([pa.array(texts, type=pa.string())])
        arrays[name] = found
    return Sheet(entries, pa.table(arrays), frozenset(mixed))


def series(sheets: Sequence[Sheet], name: str) -> Any:
    """Return a column of all sheets as a pandas Series, one sheet after another.

    Its type depends on the values only, not on how they are split over sheets.
    """
    import pandas as pd

    found = _chunked(sheets, name)
    if found is None:
        return pd.Series([value for sheet in sheets for value in sheet.values(name)])
    return found.to_pandas()


def _chunked(sheets: Sequence[Sheet], name: str) -> Any:
    """Return a column of all sheets as one Arrow array, or None where no one type holds it."""
    import pyarrow as pa

    chunks = [
        sheet.table[name]
        if name in sheet.table.column_names
        else pa.chunked_array([pa.nulls(sheet.table.num_rows)])
        for sheet in sheets
    ]
    kinds = {chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)}
    if len(kinds) > 1 or any(name in sheet.json for sheet in sheets):
        return None
    kind = kinds.pop() if kinds else pa.null()
    return pa.chunked_array([a for chunk in chunks for a in chunk.cast(kind).chunks], type=kind)


def _distinct(entries: Iterable[Entry]) -> Iterator[tuple[str, ...]]:
    """Yield the entries' columns, those equal to the ones just before left out."""
    return (layout for layout, _ in groupby(entry.columns for entry in entries))


def _kind(values: Sequence[Any]) -> type | None:
    """Return the one Python type of the values but None, or None where Arrow cannot hold them."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
        return None
    kind = kinds.pop() if kinds else type(None)
    if kind is int and not all(value is None or value in INTEGERS for value in values):
        return None
    return kind


def _arrow(kind: type) -> Any:
    import pyarrow as pa

    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    return types.get(kind, pa.null())


def _text(value: Any) -> str | None:
    """Return JSON that gives the same value again: NaN and Inf stay what they are."""
    if value is None:
        return None
    return json.dumps(value if isinstance(value, float) else plain(value))
