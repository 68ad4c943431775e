"""One result row as one Parquet file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.files import Location, plain

VOLATILE = "run."  # prefix of columns that differ between repetitions of the same trial


def scalar(value: Any) -> Any:
    """Return `value` as a row holds it: lists and dictionaries as JSON text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return json.dumps(plain(value)) if isinstance(value, (list, tuple, Mapping)) else value


def encode_row(row: Mapping[str, object], marks: Mapping[str, str] | None = None) -> bytes:
    """Return a Parquet file of one row, with `marks` in its metadata, where they are no column."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    table = pa.table({name: [scalar(value)] for name, value in row.items()})
    if marks:
        table = table.replace_schema_metadata(dict(marks))
    sink = pa.BufferOutputStream()
    # Of one row, statistics and dictionaries are most of the file.
    write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_row(path: Location, columns: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Return the row of `path`, or those of its columns that are asked for; None without a file.

    Raises `StoreError` when the file is damaged.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(io.BytesIO(files.read(path))) as file:
            names = file.schema_arrow.names
            wanted = names if columns is None else [name for name in names if name in set(columns)]
            count = file.metadata.num_rows  # known before they are read, which may be too many
            rows: list[dict[str, Any]] = [{}]
            if wanted and count == 1:
                rows = file.read(columns=wanted).to_pylist()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if count != 1:
        raise StoreError(
            f"a result must be one row, got {count} rows, path={path}; "
            f"remove that file to train the trial again"
        )
    for name, value in rows[0].items():
        if not isinstance(value, bool | int | float | str | None):
            raise StoreError(
                f"a result must hold numbers and text, got {name}={type(value).__name__}, "
                f"path={path}; remove that file to train the trial again"
            )
    return rows[0]


def read_marks(path: Location) -> dict[str, str]:
    """Return the marks of `path` as `encode_row` was given them; raise `StoreError` if damaged."""
    import pyarrow as pa
    from pyarrow.parquet import read_schema

    try:
        found = read_schema(io.BytesIO(files.read(path))).metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    return {name.decode(): value.decode() for name, value in found.items()}


def _damaged(path: Location, error: Exception) -> StoreError:
    reason = str(error).splitlines()[0]
    return StoreError(
        f"a result must be a whole Parquet file, got path={path}: {reason}; "
        f"remove that file to train the trial again"
    )
