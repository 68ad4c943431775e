"""One result row as one Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semisweep.errors import StoreError
from semisweep.files import plain

VOLATILE = "run."  # prefix of columns that differ between repetitions of the same trial


def scalar(value: Any) -> Any:
    """Return `value` as a row holds it: lists and dictionaries as JSON text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return json.dumps(plain(value)) if isinstance(value, (list, tuple, Mapping)) else value


def encode_row(row: Mapping[str, object]) -> bytes:
    """Return a Parquet file of one row."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    table = pa.table({name: [scalar(value)] for name, value in row.items()})
    sink = pa.BufferOutputStream()
    # Of one row, statistics and dictionaries are most of the file.
    write_table(table, sink, compression="none", use_dictionary=False, write_statistics=False)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_row(path: Path, columns: Sequence[str] | None = None) -> dict[str, Any] | None:
    """Return the row of `path`, or those of its columns that are asked for; None without a file.

    Raises `StoreError` when the file is damaged.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    if not path.exists():
        return None
    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            wanted = names if columns is None else [name for name in names if name in set(columns)]
            rows: list[dict[str, Any]] = file.read(columns=wanted).to_pylist() if wanted else [{}]
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise StoreError(
            f"a result must be a whole Parquet file, got path={path}: {reason}; "
            f"remove that file to train the trial again"
        ) from error
    return rows[0]
