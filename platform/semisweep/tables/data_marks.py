"""Which results are of data that nobody recorded, and what a table says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from semisweep.store.resolved_study import ResolvedCell
from semisweep.store.trial_records import Result
from semisweep.tables.table_values import Cell

MARK = "‡"


def count_unknown(cell: ResolvedCell, results: Mapping[str, Result]) -> int:
    """Return how many results of a cell do not say what was in the files that they saw."""
    return sum(is_unknown(results[key]) for key in cell.trials.values() if key in results)


def is_unknown(row: Result) -> bool:
    """Return whether a result, of an earlier version, does not say what was in its files.

    The embedded data set is what generates it.
    """
    return row.text("data.name") not in (None, "shapes") and not row.seen_digest


def data_notes(cells: Iterable[Cell], study: str) -> Iterator[str]:
    """Yield what a reader must know of results of unknown data; `study` as commands name it."""
    count = sum(cell.unknown_data for cell in cells)
    if count:
        yield (
            f"{MARK} Data unknown: {count} trial{'s' if count > 1 else ''} of an earlier "
            "semisweep, which did not record what was in images and masks; whether they are those "
            f"that are here now cannot be told. `semisweep run {study} --retrain ROW` trains a row "
            "anew."
        )
