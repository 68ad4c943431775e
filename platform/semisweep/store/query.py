"""Questions to a store: pandas frames, the rows of a table, a canonical export.

Compacted parts are read together with what is newer (see `semisweep.store.compacted_parts`): of
them only the row groups of the trials asked for and the columns asked for, of all else only the
trials' own files.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import ConfigError, unknown
from semisweep.core.safe_text import as_bytes
from semisweep.store import stopped_trial
from semisweep.store.arrow_table import (
    Entry,
    Sheet,
    Stamp,
    TrialRows,
    column_names,
    make_sheet,
    series,
)
from semisweep.store.compacted_parts import (
    FAILURE,
    HISTORY,
    RESULT,
    RESULTS,
    Kind,
    collect,
    collect_apart,
)
from semisweep.store.result_file import VOLATILE
from semisweep.store.store import Store
from semisweep.store.study_choice import choose
from semisweep.store.trial_records import Result

if TYPE_CHECKING:
    import pandas as pd

# The order of a frame's columns; metrics, which have no place here, stand before the error.
LEADING = ("key", "status", "method", "config.", "data.", "training.", "seed")
TRAILING = ("error", VOLATILE)

Where = Mapping[str, Any]

logger = logging.getLogger(__name__)


def load(
    store: str | Path | Store | Sequence[str | Path | Store],
    *,
    keys: Iterable[str] | None = None,
    study: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
    stopped: bool = False,
) -> pd.DataFrame:
    """Return one row a trial that finished or failed, in order of their keys.

    With `stopped`, of those too that a search stopped on their way: their status is "stopped",
    their metrics are of the step `budget.steps` of `budget.total_steps`, and they belong into no
    mean with the others.

    The columns are key, status ("finished" or "failed"), method, configuration, seed, metrics,
    error and run.*, which is what differs between repetitions. With `columns`, key and status and
    those, in that order. Those of `keys` that neither finished nor failed are left out.

    `study` is the name of a study that was run, of one scale if "@mini" or "@paper" is added; as it
    was run with --set, or a search in an earlier space, if its variant follows. `where` gives
    values that columns must have: {"seed": 0, "method": ["a:A", "b:B"]}.

    Of several stores, the column "store" comes first and says which one has the trial.
    """
    if not isinstance(store, (list, tuple)):
        opened = _opened(store)  # type: ignore[arg-type]  # a text is no sequence of stores
        return _loaded(opened, wanted_keys(opened, keys, study), columns, where, stopped)
    import pandas as pd

    frames, refused = [], []
    for own in store:
        opened = _opened(own)
        try:
            wanted = wanted_keys(opened, keys, study)
        except ConfigError as error:
            refused.append(error)
            continue
        try:
            frame = _loaded(opened, wanted, columns, where, stopped)
        except ConfigError as error:  # a column that another store may have
            refused.append(error)
            frame = _loaded(opened, wanted, columns, where, stopped, strict=False)
        frame.insert(0, "store", str(opened.root))
        frames.append(frame)
    if refused and len(refused) == len(store):
        raise refused[0]
    if not frames:
        raise ConfigError("at least one store must be named, got store=[]")
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    if columns is None:
        names.sort(key=lambda name: -1 if name == "store" else _group(name))
    filled = [frame.dropna(axis="columns", how="all") for frame in frames if len(frame)]
    return pd.concat(filled or frames, ignore_index=True).reindex(columns=names)


def _loaded(
    store: Store,
    keys: Sequence[str],
    columns: Sequence[str] | None,
    where: Where | None,
    stopped: bool,
    *,
    strict: bool = True,
) -> pd.DataFrame:
    """Return the frame of one store; if `strict`, a column must be of some trial."""
    asked = _accepted(where)
    statuses = asked.pop("status", ("finished", "failed", "stopped"))
    sheets = collect(store, RESULTS, keys, _with_key(columns), asked)
    if stopped:
        sheets += _stopped(store, keys, _with_key(columns), asked)
    entries = [entry for _, _, entry in _in_order(sheets)]
    if strict:
        _check_columns(store, RESULTS, keys, entries, [*(columns or ()), *asked])
    names = sorted(dict.fromkeys(("key", "status", *column_names(entries))), key=_group)
    if columns is not None:
        names = ["key", "status", *(name for name in columns if name not in ("key", "status"))]
    frame = _frame(sheets, names, {"status": _status})
    return frame[frame["status"].isin(statuses)].reset_index(drop=True) if where else frame


def history(
    store: str | Path | Store,
    keys: Iterable[str] | None = None,
    *,
    study: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """Return one row an evaluation, of running trials too: key, step and what was measured.

    With `columns`, key and step and those. `study` and `where` are as in `load`.
    """
    opened = _opened(store)
    wanted = wanted_keys(opened, keys, study)
    asked = _accepted(where)
    sheets = collect(opened, HISTORY, wanted, _with_key(columns, "step"), asked)
    entries = [entry for _, _, entry in _in_order(sheets)]
    _check_columns(opened, HISTORY, wanted, entries, [*(columns or ()), *asked])
    names = column_names(entries) if columns is None else columns
    return _frame(sheets, list(dict.fromkeys(("key", "step", *names))), {})


def results(store: str | Path | Store, keys: Iterable[str]) -> dict[str, Result]:
    """Return the results of those of `keys` that are finished, without importing pandas."""
    sheets, trials = collect_apart(_opened(store), RESULTS, set(keys))
    trials += [(entry.key, entry.stamp, rows) for sheet in sheets for entry, rows in sheet.rows()]
    found = {key: rows[0] for key, stamp, rows in trials if stamp.source == RESULT}
    return {key: Result(key, found[key]) for key in sorted(found)}


def export(store: str | Path | Store) -> bytes:
    """Return the finished trials as canonical CSV: the same bytes for the same trials.

    Rows are in order of their keys, columns in order of their names; times, attempts and machines
    (run.*) are left out. None and an absent column are both empty.
    """
    opened = _opened(store)
    rows = results(opened, opened.keys())
    names = sorted({name for row in rows.values() for name in row if not name.startswith(VOLATILE)})
    text = io.StringIO()
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(dict, rows.values()))
    return as_bytes(text.getvalue())


def _opened(store: str | Path | Store) -> Store:
    return store if isinstance(store, Store) else Store.open(store)


def wanted_keys(store: Store, keys: Iterable[str] | None, study: str | None) -> list[str]:
    """Return the keys that are asked for, in order; raise `ConfigError` for an unknown study.

    A line in the log says which form of a study is meant where it was run in several.
    """
    if study is None:
        return store.keys() if keys is None else sorted(set(keys))
    known = store.study_files.places()
    named = dict.fromkeys(place[:2] for place in known if study in place.names[:2])
    chosen = [choose(store, *place) for place in named]
    for note in (choice.note for choice in chosen if choice.note):
        logger.warning("%s", note)
    found = [choice.study for choice in chosen]
    found = found or [store.study_files.read(own) for own in known if study in own.names]
    if not found:
        raise unknown("study of this store", study, map(str, known))
    of_study = {key for own in found if own is not None for key in own.keys}
    return sorted(of_study if keys is None else of_study & set(keys))


def _accepted(where: Where | None) -> dict[str, Sequence[Any]]:
    """Return for each column the values it may have; a single value is one of them."""
    several = (list, tuple, set, frozenset)
    return {
        name: tuple(value) if isinstance(value, several) else (value,)
        for name, value in (where or {}).items()
    }


def _with_key(columns: Sequence[str] | None, *more: str) -> list[str] | None:
    return None if columns is None else list(dict.fromkeys(("key", *more, *columns)))


def _status(entry: Entry) -> str:
    names = {RESULT: "finished", FAILURE: "failed"}
    return names.get(entry.stamp.source, "stopped")


def _stopped(
    store: Store,
    keys: Iterable[str],
    columns: Sequence[str] | None,
    where: dict[str, Sequence[Any]],
) -> list[Sheet]:
    """Return the rows of trials that a search stopped and that have neither finished nor failed."""
    trials: list[TrialRows] = []
    for key in keys:
        folder = store.trial(key)
        row = None if RESULTS.stamp(folder) else stopped_trial.stopped(folder)
        if row is not None:
            trials.append((key, Stamp("stopped", 0, 0), [dict(row)]))
    sheet = make_sheet(trials)
    return [sheet.only(sheet.matching(where), columns)] if trials else []


def _in_order(sheets: Sequence[Sheet]) -> list[tuple[str, int, Entry]]:
    """Return key, first row over all sheets and entry of each trial, in order of their keys."""
    found, start = [], 0
    for sheet in sheets:
        for entry in sheet.entries:
            found.append((entry.key, start, entry))
            start += entry.rows
    return sorted(found, key=lambda item: item[0])


def _frame(
    sheets: Sequence[Sheet], names: Sequence[str], derived: Mapping[str, Callable[[Entry], str]]
) -> pd.DataFrame:
    """Return the rows of all sheets in order of their trials' keys.

    `derived` gives columns of trials that have one row each.
    """
    import numpy as np
    import pandas as pd

    placed = _in_order(sheets)
    rows = np.array([entry.rows for _, _, entry in placed], dtype=np.int64)
    starts = np.array([start for _, start, _ in placed], dtype=np.int64)
    before = np.cumsum(rows) - rows
    order = np.repeat(starts - before, rows) + np.arange(rows.sum())
    in_order = bool((starts == before).all())
    columns = {}
    for name in names:
        if name in derived:
            columns[name] = pd.Series([derived[name](e) for _, _, e in placed], dtype=str)
        elif not sheets:
            columns[name] = pd.Series([], dtype=object)
        else:
            found = series(sheets, name)
            columns[name] = found if in_order else found.take(order).reset_index(drop=True)
    return pd.DataFrame(columns, columns=pd.Index(names))


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


def _check_columns(
    store: Store,
    kind: Kind,
    keys: Sequence[str],
    entries: Sequence[Entry],
    named: Sequence[str],
) -> None:
    """Raise `ConfigError` for a column that no trial has, once any trial has finished."""
    known = {"key", "status", "step", "error", *column_names(entries)}
    if all(name in known for name in named):
        return
    everything = [entry for sheet in collect(store, kind, keys) for entry in sheet.entries]
    known |= set(column_names(everything))
    absent = [name for name in named if name not in known]
    if absent and any(entry.stamp.source != FAILURE for entry in everything):
        near = get_close_matches(absent[0], sorted(known), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(f"a column must be of some trial, got column={absent[0]!r}{hint}")
