"""One result row as one Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from semisweep.core.errors import StoreError
from semisweep.core.safe_text import one_line
from semisweep.store import files, one_row
from semisweep.store.files import Location, plain

VOLATILE = "run."  # prefix of columns that differ between repetitions of the same trial


def scalar(value: Any) -> Any:
    """Return `value` as a row holds it: lists and dictionaries as JSON text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return json.dumps(plain(value)) if isinstance(value, (list, tuple, Mapping)) else value


def encode_row(row: Mapping[str, object], marks: Mapping[str, str] | None = None) -> bytes:
    """Return a Parquet file of one row, with `marks` in its metadata, where they are no column.

    Raises `StoreError` for a row that `read_row` would refuse for its size.
    """
    import pyarrow as pa
    from pyarrow.parquet import write_table

    table = pa.table({name: [scalar(value)] for name, value in row.items()})
    if marks:
        table = table.replace_schema_metadata(dict(marks))
    sink = pa.BufferOutputStream()
    # Of one row, statistics and dictionaries are most of the file. The form is `one_row`'s.
    write_table(
        table,
        sink,
        compression="none",
        use_dictionary=False,
        column_encoding="PLAIN",
        data_page_version="1.0",
        write_statistics=False,
    )
    content: bytes = sink.getvalue().to_pybytes()
    if len(content) > one_row.MOST_BYTES or len(row) >= one_row.MOST_COLUMNS:
        raise StoreError(
            f"a result must have at most {one_row.MOST_BYTES} bytes and fewer than "
            f"{one_row.MOST_COLUMNS} columns, got bytes={len(content)}, columns={len(row)}; "
            "let the method report fewer or shorter values"
        )
    return content


def read_row(path: Location, columns: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Return the row of `path`, or those of its columns that are asked for; None without a file.

    Raises `StoreError` when the file is damaged or of another shape, and, with the `OSError` as its
    cause, when it cannot be read.
    """
    import pyarrow as pa

    try:
        data = _content(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        row = one_row.decode(data, columns)
    except one_row.ShapeError as error:
        raise StoreError(
            f"{one_line(str(error))}, path={path}; remove that file to train the trial again"
        ) from None
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _damaged(path, error) from None
    for name, value in row.items():
        if not isinstance(value, bool | int | float | str | None):
            raise StoreError(
                f"a result must hold numbers and text, got {one_line(name)}="
                f"{type(value).__name__}, path={path}; remove that file to train the trial again"
            )
    return row


def read_marks(path: Location) -> dict[str, str]:
    """Return the marks of `path` as `encode_row` was given them.

    Raises `StoreError` as `read_row` does, and where there is no file.
    """
    import pyarrow as pa

    try:
        data = _content(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError(f"a result must be there, got none at path={path}") from error
    try:
        with one_row.opened(data) as file:
            found = file.schema_arrow.metadata or {}
        return {name.decode(): value.decode() for name, value in found.items()}
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _damaged(path, error) from None


def _content(path: Location) -> bytes:
    """Return a file's content; raise `StoreError` where it cannot be read or is too large.

    Raises `FileNotFoundError` or `NotADirectoryError` where there is none.
    """
    try:
        return files.read(path, most=one_row.MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise StoreError(f"a store must be readable, got path={path}: {error.strerror}") from error


def _damaged(path: Location, error: Exception) -> StoreError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(
        f"a result must be a whole Parquet file, got path={path}: {one_line(reason):.200}; "
        f"remove that file to train the trial again"
    )
