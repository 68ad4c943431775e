"""Questions to a store: pandas frames, the rows of a table, a canonical export.

Only the files of the trials asked for are opened, and only the columns asked for are read.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.errors import ConfigError
from semisweep.rows import VOLATILE, scalar
from semisweep.store import Store

if TYPE_CHECKING:
    import pandas as pd

# The order of a frame's columns; metrics, which have no place here, stand before the error.
LEADING = ("key", "status", "method", "config.", "data.", "training.", "seed")
TRAILING = ("error", VOLATILE)


def load(
    store: str | Path | Store,
    *,
    keys: Iterable[str] | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row a trial that finished or failed, in order of their keys.

    The columns are key, status ("finished" or "failed"), method, configuration, seed, metrics,
    error and run.*, which is what differs between repetitions. With `columns`, key and status and
    those, in that order. Those of `keys` that neither finished nor failed are left out.
    """
    import pandas as pd

    opened = _opened(store)
    wanted = opened.keys() if keys is None else sorted(set(keys))
    rows = list(_finished_rows(opened, wanted, columns)) + list(_failed_rows(opened, wanted))
    rows.sort(key=lambda row: str(row["key"]))
    names = _column_order(rows)
    if columns is not None:
        _check_columns(opened, rows, columns)
        names = ["key", "status", *(name for name in columns if name not in ("key", "status"))]
    return pd.DataFrame(rows, columns=names)


def history(store: str | Path | Store, keys: Iterable[str] | None = None) -> pd.DataFrame:
    """Return one row an evaluation, of running trials too: key, step and what was measured."""
    import pandas as pd

    opened = _opened(store)
    wanted = opened.keys() if keys is None else sorted(set(keys))
    rows = [{"key": key, **row} for key in wanted for row in opened.trial(key).read_history()]
    names = list(dict.fromkeys(("key", "step", *(name for row in rows for name in row))))
    return pd.DataFrame(rows, columns=names)


def results(store: str | Path | Store, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the result rows of those of `keys` that are finished, without importing pandas."""
    opened = _opened(store)
    found = {key: opened.trial(key).result() for key in sorted(set(keys))}
    return {key: row for key, row in found.items() if row is not None}


def export(store: str | Path | Store) -> bytes:
    """Return the finished trials as canonical CSV: the same bytes for the same trials.

    Rows are in order of their keys, columns in order of their names; times, attempts and machines
    (run.*) are left out. None and an absent column are both empty.
    """
    opened = _opened(store)
    rows = results(opened, opened.finished())
    names = sorted({name for row in rows.values() for name in row if not name.startswith(VOLATILE)})
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return text.getvalue().encode()


def _opened(store: str | Path | Store) -> Store:
    return store if isinstance(store, Store) else Store.open(store)


def _finished_rows(
    store: Store, keys: Iterable[str], columns: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    for key in keys:
        row = store.trial(key).result(columns)
        if row is not None:
            yield {**row, "key": key, "status": "finished"}


def _failed_rows(store: Store, keys: Iterable[str]) -> Iterator[dict[str, Any]]:
    from semisweep.config import flatten

    failures = store.failures()
    for key in keys:
        if key in failures:
            leaves = flatten(failures[key].get("trial", {}))
            row = {name: scalar(value) for name, value in leaves.items() if name}
            yield {**row, "key": key, "status": "failed", "error": failures[key].get("error")}


def _column_order(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the union of the rows' columns: in groups, and as first seen within a group."""
    names = dict.fromkeys(("key", "status", *(name for row in rows for name in row)))
    return sorted(names, key=_group)


def _group(name: str) -> int:
    def place(groups: Sequence[str]) -> int | None:
        for index, group in enumerate(groups):
            if name == group or (group.endswith(".") and name.startswith(group)):
                return index
        return None

    leading, trailing = place(LEADING), place(TRAILING)
    if leading is not None:
        return leading
    return len(LEADING) + (0 if trailing is None else 1 + trailing)


def _check_columns(store: Store, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    """Raise `ConfigError` for a column that no trial has, once any trial has finished."""
    finished = [row["key"] for row in rows if row["status"] == "finished"]
    absent = [name for name in columns if not any(name in row for row in rows)]
    if finished and absent:
        known = {name for row in results(store, finished).values() for name in row}
        near = get_close_matches(absent[0], sorted(known), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"a column must be of some trial, got column={absent[0]!r}{hint}")
