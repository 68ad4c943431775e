"""One result row as one Parquet file."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import StoreError
from semisweep.core.safe_text import one_line
from semisweep.store import files
from semisweep.store.files import Location, plain

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

ROW_BYTES = 64 * 2**20  # of a file at most; results of some thousand images have a few MiB
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

    Raises `StoreError` when the file is damaged, which never has an `OSError` as its cause, or
    cannot be read, which has one.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    data = _content(path)
    if data is None:
        return None
    try:
        with ParquetFile(io.BytesIO(data)) as file:
            names = file.schema_arrow.names
            wanted = names if columns is None else [name for name in names if name in set(columns)]
            count = file.metadata.num_rows  # known before they are read, which may be too many
            rows: list[dict[str, Any]] = [{}]
            if count == 1:
                _check_plain(file)
            if wanted and count == 1:
                rows = file.read(columns=wanted).to_pylist()
    except (OSError, ValueError, MemoryError, pa.ArrowException) as error:  # as pyarrow has them
        raise _damaged(path, error) from None
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

    data = _content(path)
    if data is None:
        raise _damaged(path, FileNotFoundError("it is not there"))
    try:
        found = read_schema(io.BytesIO(data)).metadata or {}
        return {name.decode(): value.decode() for name, value in found.items()}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from None


def _content(path: Location) -> bytes | None:
    """Return a file, None where there is none; raise `StoreError`."""
    try:
        data = files.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"a store must be readable, got path={path}: {error}") from error
    if len(data) > ROW_BYTES:
        raise StoreError(
            f"a result must have at most {ROW_BYTES} bytes, got bytes={len(data)}, path={path}; "
            "remove that file to train the trial again"
        )
    return data


def _check_plain(file: ParquetFile) -> None:
    """Raise `ValueError` for what `encode_row` never writes, and which may grow as it is read."""
    metadata = file.metadata
    for index in range(len(file.schema)):
        if file.schema.column(index).max_repetition_level:
            raise ValueError(f"{file.schema.column(index).path:.80} is a list")
        for group in range(metadata.num_row_groups):
            compression = metadata.row_group(group).column(index).compression
            if compression != "UNCOMPRESSED":
                raise ValueError(f"it is compressed ({compression})")


def _damaged(path: Location, error: Exception) -> StoreError:
    reason = one_line((str(error) or type(error).__name__).splitlines()[0])
    return StoreError(
        f"a result must be a whole Parquet file, got path={path}: {reason}; "
        f"remove that file to train the trial again"
    )
