"""The one row of a Parquet file that may be a stranger's: decoding takes memory as its size allows.

Compression, values that are coded by differences, and nested ones make much of few bytes; a result
has none of them. Whether a file does is read from its footer and its pages here: pyarrow ends the
process where it is asked that of a damaged file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_BYTES = 64 * 2**20  # of a file: results of some thousand images have a few MiB
MOST_COLUMNS = 50_000

# Thrift's compact form, in which Parquet has its footer and the headers of its pages.
_TRUE, _FALSE, _BYTE, _DOUBLE, _TEXT, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12
_INTEGERS = (4, 5, 6)
_DEPTH = 10
_MOST_NUMBER = 1000  # of a field; the decoder takes 65537 for 1

Struct = Mapping[int, Any]  # numbers, lists and structures by the numbers of fields; texts are None


class ShapeError(ValueError):
    """A Parquet file is not of one row of plain numbers and texts."""


def opened(data: bytes) -> Any:
    """Return a `ParquetFile` of a file's content; raises what pyarrow does for one that is none."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    return ParquetFile(
        pa.BufferReader(data),
        thrift_string_size_limit=max(len(data), 1),
        thrift_container_size_limit=MOST_COLUMNS,
    )


def decode(data: bytes, columns: Sequence[str] | None) -> dict[str, Any]:
    """Return the row, or those of its columns that are asked for.

    Raises `ShapeError` for a file of another shape, before it is decoded, and what pyarrow does for
    one that is damaged: `OSError`, `pyarrow.ArrowException` or `ValueError`.
    """
    with opened(data) as file:
        count = file.metadata.num_rows
        if count != 1:
            raise ShapeError(f"a result must be one row, got {count} rows")
        schema = file.schema_arrow
        asked = set(schema.names if columns is None else columns)
        wanted = [name for name in schema.names if name in asked]
        _check_types(schema)
        _check_pages(data, len(schema))
        row = file.read(columns=wanted).to_pylist()[0] if wanted else {}
        return {name: row[name] for name in wanted}  # with "a" comes "a.b"


def _check_types(schema: Any) -> None:
    """Raise `ShapeError` for columns of lists, dates or values of a fixed length, and for twins."""
    from pyarrow import types

    checks = (
        *(types.is_floating, types.is_string, types.is_integer),
        *(types.is_boolean, types.is_null, types.is_large_string),
    )
    if len(set(schema.names)) < len(schema.names):
        raise ShapeError("a result must have each of its columns once")
    known: set[int] = set()  # ids of types
    for field in schema:
        if field.type.id not in known and not any(check(field.type) for check in checks):
            raise ShapeError(
                f"a result must hold numbers and text, got {field.name:.80}={field.type!s:.80}"
            )
        known.add(field.type.id)


def _check_pages(data: bytes, count: int) -> None:
    """Raise `ShapeError` unless a file has one plain value in each of so many columns."""
    try:
        end = len(data) - 8
        footer = _struct(data, end - int.from_bytes(data[end : end + 4], "little"), _DEPTH)[0]
        (group,) = footer[4]
        if len(group[1]) != count or group[3] != 1:
            raise ShapeError(
                f"a result must have one value a column, got {len(group[1])} of {count}"
            )
        for column in group[1]:
            _check_column(column, data)
    except ShapeError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError):  # a field is of another kind
        raise ShapeError("a result must be a Parquet file as semisweep writes it") from None


def _check_column(column: Struct, data: bytes) -> None:
    """Raise `ShapeError` unless the first page of a column has its one value, as it is."""
    told = column[3]  # its codec, its number of values, where its pages begin
    codec, values, place = told[4], told[5], told[9]
    if codec != 0 or 11 in told or 1 in column:
        raise ShapeError(
            f"a result must be neither compressed nor coded, got codec={codec}, "
            f"dictionary={11 in told}"
        )
    header = _struct(data, place, _DEPTH)[0]
    page = header[5] if header[1] == 0 else {}  # a data page of the first version
    if not isinstance(page, dict) or (values, page.get(1), page.get(2)) != (1, 1, 0):
        raise ShapeError(
            f"a result must have one plain value a column, got values={values}, page={page!r:.80}"
        )


def _struct(data: bytes, place: int, depth: int) -> tuple[Struct, int]:
    """Return the fields of a structure, and where it ends.

    Raises `ShapeError` where a field is there twice, of which the decoder takes the last one, and
    `IndexError` at the end of the file.
    """
    if place < 0 or not depth:
        raise ShapeError("a result must have a plain footer")
    found: dict[int, Any] = {}
    number = 0
    while kind := data[place]:
        place += 1
        if kind > 15:
            number += kind >> 4
        else:
            number, place = _varint(data, place)
            number >>= 1
        if number in found or number > _MOST_NUMBER:
            raise ShapeError("a result must have each field of its footer once")
        found[number], place = _value(data, place, kind & 15, depth)
    return found, place + 1


def _value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTEGERS:
        value, place = _varint(data, place)
        return (value >> 1) ^ -(value & 1), place
    if kind == _STRUCT:
        return _struct(data, place, depth - 1)
    if kind == _TEXT:
        length, place = _varint(data, place)
        return None, place + length
    if kind == _LIST:
        return _list(data, place, depth - 1)
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, place
    if kind in (_BYTE, _DOUBLE):
        return None, place + (1 if kind == _BYTE else 8)
    raise ShapeError(f"a result must have a plain footer, got type={kind}")


def _list(data: bytes, place: int, depth: int) -> tuple[list[Any], int]:
    count, kind = data[place] >> 4, data[place] & 15
    place += 1
    if count == 15:
        count, place = _varint(data, place)
    if kind in (_TRUE, _FALSE) or not depth:  # which have a byte each here
        raise ShapeError(f"a result must have a plain footer, got a list of type={kind}")
    found = []
    for _ in range(count):
        value, place = _value(data, place, kind, depth)
        if place > len(data):
            raise IndexError
        found.append(value)
    return found, place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = data[place]
    place += 1
    if value < 128:
        return value, place
    value &= 127
    for shift in range(7, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ShapeError("a result must have numbers of 64 bits")
