"""Which results are of data that nobody recorded, and what a table says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from semisweep.core.errors import ConfigError, DataError
from semisweep.store.resolved_study import ResolvedCell, ResolvedStudy
from semisweep.store.trial_records import Result
from semisweep.study.data_roots import Roots
from semisweep.tables.table_values import Table

MARK = "‡"
MOST_UNREAD = 500  # files that a table is worth reading for


def count_unknown(cell: ResolvedCell, results: Mapping[str, Result]) -> int:
    """Return how many results of a cell do not say what was in the files that they saw."""
    return sum(is_unknown(results[key]) for key in cell.trials.values() if key in results)


def is_unknown(row: Result) -> bool:
    """Return whether a result, of an earlier version, does not say what was in its files.

    The embedded data set is what generates it.
    """
    return row.text("data.name") not in (None, "shapes") and not row.seen_digest


def changed_data(study: ResolvedStudy, roots: Roots) -> tuple[str, ...]:
    """Return the data sets whose images or masks are others now than when a study was run last.

    Those that are not on this machine are left out, and those of which many files are unread.
    """
    return tuple(name for name, state in study.data.items() if _changed(name, state, roots))


def _changed(name: str, state: str, roots: Roots) -> bool:
    from semisweep.data.content import content_of, listed_images
    from semisweep.data.fingerprint import whole_state
    from semisweep.data.registry import open_dataset

    if not roots.of(name).exists():
        return False
    try:
        dataset = open_dataset(name, roots.of(name))
        if len(content_of(dataset).unread(listed_images(dataset))) > MOST_UNREAD:
            return False
        return whole_state(dataset) != state
    except (DataError, ConfigError):
        return True


def data_notes(table: Table) -> Iterator[str]:
    """Yield what a reader must know of the data of a table."""
    for name in table.changed_data:
        yield (
            f"Data changed: images or masks of `{name}` are others now than when this table was "
            f"run last; its numbers are of those. `semisweep plan {table.asked}` says what "
            "must run again, `run` does it and keeps both."
        )
    count = sum(cell.unknown_data for cell in table.cells.values())
    if count:
        yield (
            f"{MARK} Data unknown: {count} trial{'s' if count > 1 else ''} of an earlier "
            "semisweep, which did not record what was in images and masks; whether they are those "
            f"that are here now cannot be told. `semisweep run {table.asked} --retrain ROW` trains "
            "a row anew."
        )


def data_warnings(table: Table) -> Iterator[str]:
    """Yield in short what `data_notes` say in full."""
    if table.changed_data:
        names = ", ".join(f"`{name}`" for name in table.changed_data)
        yield f"Data changed since the last run: {names}; `semisweep plan {table.asked}` says more."
    count = sum(cell.unknown_data for cell in table.cells.values())
    if count:
        yield f"{MARK} Data unknown: {count} trial{'s' if count > 1 else ''}."
