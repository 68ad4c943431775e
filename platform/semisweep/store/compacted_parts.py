"""Compacted copies of what lies in many small files, and reading them together with what is newer.

<root>/results/part-<digest>.parquet   rows of results and failures
<root>/history/part-<digest>.parquet   rows of evaluations, of trials that ended

A part is never changed. Its rows of a trial are used only while the trial's own file has the size
and the time of change that it had when they were copied, and only if the part matches the checksum
in its name. For all other trials the files under trials/ are read. So readers need no lock, and a
part that is lost or damaged costs time, never an answer.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.arrow_table import (
    Entry,
    Sheet,
    Stamp,
    TrialRows,
    filtered,
    kept_entries,
    make_sheet,
)
from semisweep.store.files import Location
from semisweep.store.result_file import scalar
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder

FORMAT = 1
RESULT, FAILURE, JOURNAL = "result.parquet", "failure.json", "history.jsonl"
GROUPS = 8  # row groups of a part: what a reader of few trials can leave out
GROUP_ROWS = 250  # at least

_NAME = re.compile(r"part-([0-9a-f]{16})\.parquet")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of parts; a trial's rows are in the first of the files `sources` that it has."""

    name: str
    sources: tuple[str, ...]

    def stamp(self, folder: TrialFolder) -> Stamp | None:
        """Return the stamp of a trial's file as it is now, or None where there is none."""
        for source in self.sources:
            found = folder.stamp(source)
            if found is not None:
                return Stamp(source, *found)
        return None

    def stamps(self, store: Store, keys: Iterable[str]) -> dict[str, Stamp]:
        """Return the stamps of those of `keys` that have a file."""
        return self.stamps_of(store.survey(keys))

    def stamps_of(self, folders: Mapping[str, TrialFolder]) -> dict[str, Stamp]:
        """Return the stamps of those trials that have a file."""
        found = ((key, self.stamp(folder)) for key, folder in folders.items())
        return {key: stamp for key, stamp in found if stamp is not None}

    def read(
        self, folder: TrialFolder, source: str, columns: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows of a trial's file, none if it has gone; raise `StoreError` if damaged."""
        if source == RESULT:
            row = folder.result(columns)
            return [] if row is None else [{**row, "key": folder.key}]
        if source == FAILURE:
            return _failure_rows(folder)
        return [{"key": folder.key, **row.values} for row in folder.evaluations()]


RESULTS = Kind("results", (RESULT, FAILURE))
HISTORY = Kind("history", (JOURNAL,))


@dataclass(frozen=True)
class Part:
    """A part's path and what its index says of it; its rows are read, and checked, by `read`."""

    path: Location
    entries: tuple[Entry, ...]
    json: frozenset[str]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(entry.rows for entry in self.entries)

    def read(
        self, keys: Iterable[str], columns: Sequence[str] | None, where: Mapping[str, Sequence[Any]]
    ) -> Sheet:
        """Return the rows of some trials, and of those the ones that `where` asks for.

        Only the columns and row groups that are needed are decoded. Raises `StoreError` when the
        file is not what was written.
        """
        import pyarrow as pa

        data = self.content()
        try:
            return self._decoded(data, keys, columns, where)
        except (OSError, pa.ArrowException, LookupError, TypeError, ValueError) as error:
            raise _damaged(self.path, error) from None

    def _decoded(
        self,
        data: bytes,
        keys: Iterable[str],
        columns: Sequence[str] | None,
        where: Mapping[str, Sequence[Any]],
    ) -> Sheet:
        import numpy as np
        from pyarrow.parquet import ParquetFile

        file = ParquetFile(io.BytesIO(data))
        asked = set(keys)
        wanted = [entry.key in asked for entry in self.entries]
        mask = np.repeat(wanted, [entry.rows for entry in self.entries])
        if where:
            mask &= Sheet((), _select(file, None, ["key", *where]), self.json).matching(where)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        group_of_row = np.repeat(np.arange(len(sizes)), sizes)
        groups = np.unique(group_of_row[mask])
        table = _select(file, groups.tolist(), columns)
        chosen = mask[np.isin(group_of_row, groups)]
        return Sheet(kept_entries(self.entries, mask, columns), filtered(table, chosen), self.json)

    def content(self) -> bytes:
        """Return the file's bytes; raise `StoreError` when they are not what was written."""
        try:
            data = files.read(self.path)
        except OSError as error:
            raise _damaged(self.path, error) from error
        if f"part-{_digest(data)}.parquet" != self.path.name:
            raise _damaged(self.path, "its content does not match the checksum in its name")
        return data


def collect(
    store: Store,
    kind: Kind,
    keys: Iterable[str],
    columns: Sequence[str] | None = None,
    where: Mapping[str, Sequence[Any]] | None = None,
) -> list[Sheet]:
    """Return the rows of the trials `keys` that satisfy `where`; damaged ones are left out.

    `columns` always has "key".
    """
    needed = None if columns is None else [*columns, *(where or ())]
    sheets, trials = collect_apart(store, kind, keys, columns, where, needed, strict=False)
    if trials:
        loose = make_sheet(trials)
        sheets.append(loose.only(loose.matching(where or {}), columns))
    return sheets


def collect_apart(
    store: Store,
    kind: Kind,
    keys: Iterable[str],
    columns: Sequence[str] | None = None,
    where: Mapping[str, Sequence[Any]] | None = None,
    needed: Sequence[str] | None = None,
    *,
    strict: bool = True,
) -> tuple[list[Sheet], list[TrialRows]]:
    """Return the rows of `keys` from parts, and apart from them those read from trials' own files.

    Of the latter only the columns `needed` are read, unfiltered. Damaged parts are named in a
    warning and not used; so are trials with damaged files of their own, unless `strict`, when that
    raises `StoreError`. Imports no pandas.
    """
    left = kind.stamps(store, keys)
    sheets = []
    for part in open_parts(store, kind)[0] if left else ():
        live = [entry.key for entry in part.entries if left.get(entry.key) == entry.stamp]
        if live:
            try:
                sheets.append(part.read(live, columns, where or {}))
            except StoreError as error:
                _warn(error)
                continue
            for key in live:
                del left[key]
    trials = []
    for key in left:
        try:
            trials.append(_read_loose(store, kind, key, needed))
        except StoreError as error:
            if strict:
                raise
            warn_left_out(key, error)
    return sheets, [trial for trial in trials if trial[2]]


def open_parts(
    store: Store, kind: Kind, *, thorough: bool = False
) -> tuple[list[Part], list[Location]]:
    """Return the parts of a kind in order of their names, and the paths of damaged ones.

    Those of a later format, which another version of semisweep wrote, are neither. Only `thorough`
    finds damage outside of the index.
    """
    whole, damaged = [], []
    folder = store.root / kind.name
    for name in sorted(entry.name for entry in files.scan(folder) if _NAME.fullmatch(entry.name)):
        try:
            part = _open(folder / name)
            if part is not None and thorough:
                part.content()
        except StoreError as error:
            if (folder / name).exists():  # else a compaction has just put others in its place
                _warn(error)
                damaged.append(folder / name)
            continue
        if part is not None:
            whole.append(part)
    return whole, damaged


def write_part(store: Store, kind: Kind, sheet: Sheet) -> Location:
    """Write a sheet as a part, atomically, and return its path."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    layouts = {layout: index for index, layout in enumerate({e.columns: 0 for e in sheet.entries})}
    index = {
        "format": FORMAT,
        "columns": list(layouts),
        "json": sorted(sheet.json),
        "trials": [[e.key, *e.stamp, e.rows, layouts[e.columns]] for e in sheet.entries],
    }
    texts = [field.name for field in sheet.table.schema if not pa.types.is_floating(field.type)]
    sink = pa.BufferOutputStream()
    schema = sheet.table.schema
    with ParquetWriter(sink, schema, compression="zstd", use_dictionary=texts) as writer:
        writer.write_table(sheet.table, max(GROUP_ROWS, -(-sheet.table.num_rows // GROUPS)))
        writer.add_key_value_metadata({"semisweep": json.dumps(index)})
    data = sink.getvalue().to_pybytes()
    path = store.root / kind.name / f"part-{_digest(data)}.parquet"
    with files.replacing(path) as file:
        file.write(data)
    return path


def _open(path: Location) -> Part | None:
    """Return a part, None if its format is a later one; raise `StoreError` when damaged."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path if isinstance(path, Path) else io.BytesIO(path.read_bytes())) as file:
            index = json.loads(file.metadata.metadata[b"semisweep"])
        if index["format"] > FORMAT:
            return None
        layouts = [tuple(names) for names in index["columns"]]
        entries = tuple(
            Entry(key, Stamp(source, size, modified), rows, layouts[layout])
            for key, source, size, modified, rows, layout in index["trials"]
        )
        return Part(path, entries, frozenset(index["json"]))
    except (
        OSError,
        pa.ArrowException,
        ArithmeticError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        is_unreadable = isinstance(error, OSError) and error.errno is not None
        raise _damaged(path, error) from (error if is_unreadable else None)


def _select(file: Any, groups: list[int] | None, columns: Sequence[str] | None) -> Any:
    names = file.schema_arrow.names
    wanted = names if columns is None else [name for name in names if name in set(columns)]
    chosen = list(range(file.num_row_groups)) if groups is None else groups
    return file.read_row_groups(chosen, columns=wanted)


def _read_loose(store: Store, kind: Kind, key: str, columns: Sequence[str] | None) -> TrialRows:
    """Return a trial's rows, with the stamp of the file that they are of."""
    folder = store.trial(key)
    while stamp := kind.stamp(folder):
        rows = kind.read(folder, stamp.source, columns)
        if rows or stamp == kind.stamp(folder):
            return key, stamp, rows
    return key, Stamp("", 0, 0), []


def _failure_rows(folder: TrialFolder) -> list[dict[str, Any]]:
    from semisweep.core.config import flatten

    failure = folder.failure()
    if failure is None:
        return []
    leaves = flatten(failure.trial)
    row = {name: scalar(value) for name, value in leaves.items() if name}
    return [{**row, "key": folder.key, "error": failure.error}]


def _damaged(path: Location, reason: object) -> StoreError:
    text = (str(reason).splitlines() or ["unreadable"])[0]
    return StoreError(f"a compacted part must be as it was written, got path={path}: {text}")


def _warn(error: StoreError) -> None:
    logger.warning(
        "%s; the trials' own files are read instead, semisweep compact makes it anew", error
    )


def warn_left_out(key: str, error: StoreError) -> None:
    """Say of a trial, once a process, that its damaged files are not used."""
    _warn_once(f"left out: {key}: {error}")


@cache
def _warn_once(text: str) -> None:
    logger.warning("%s", text)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
