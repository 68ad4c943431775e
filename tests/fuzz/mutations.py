"""Every field of a store's files with a value of another type, one at a time."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

STRANGE: dict[str, Any] = {
    "null": None,
    "true": True,
    "minus": -1,
    "large": 10**30,
    "float": 1.5,
    "nan": float("nan"),
    "infinite": float("inf"),
    "empty text": "",
    "text": "\x1b[31mstrange</script>",
    "empty list": [],
    "list": [["a"]],
    "empty object": {},
    "object": {"a": {"b": 1}},
}
COLUMNS: dict[str, Any] = {
    "null": pa.nulls,
    "text": lambda count: pa.array(["\x1b[31mstrange"] * count, pa.string()),
    "integers": lambda count: pa.array([-(2**62)] * count, pa.int64()),
    "floats": lambda count: pa.array([float("inf")] * count, pa.float64()),
    "truth": lambda count: pa.array([True] * count, pa.bool_()),
    "lists": lambda count: pa.array([[1]] * count, pa.list_(pa.int64())),
    "bytes": lambda count: pa.array([b"\xff"] * count, pa.binary()),
}


def of_json(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what was changed, and the file with it."""
    found = json.loads(data)
    for path in _places(found, ()):
        for name, value in STRANGE.items():
            yield (
                f"{'.'.join(map(str, path)) or 'all'}={name}",
                _encoded(_changed(found, path, value)),
            )
        if path:
            yield f"{'.'.join(map(str, path))} gone", _encoded(_changed(found, path, _GONE))


def of_parquet(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what was changed, and the file with it."""
    table = pq.read_table(io.BytesIO(data))
    yield "no rows", _written(table.slice(0, 0))
    yield "rows twice", _written(pa.concat_tables([table, table]))
    yield "no columns", _written(table.select([]))
    for index, name in enumerate(table.column_names):
        yield f"{name} gone", _written(table.remove_column(index))
        for kind, make in COLUMNS.items():
            yield f"{name}={kind}", _written(table.set_column(index, name, make(len(table))))


def of_bytes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what was changed, and the file with it: of any file."""
    yield "empty", b""
    yield "half", data[: len(data) // 2]
    yield "zeros", bytes(len(data))
    yield "text", b"strange"


def of_file(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all changes of a file by its kind."""
    data = path.read_bytes()
    yield from of_bytes(data)
    if path.suffix == ".json":
        yield from of_json(data)
    elif path.suffix == ".parquet":
        yield from of_parquet(data)


_GONE = object()


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for name, own in value.items():
            yield from _places(own, (*path, name))
    elif isinstance(value, list):
        for index, own in enumerate(value[:2]):
            yield from _places(own, (*path, index))


def _changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    found = copy.deepcopy(value)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    if new is _GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return found


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def _written(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="none", use_dictionary=False)  # as `encode_row` does
    return sink.getvalue()
