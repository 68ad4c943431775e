"""A file of one row that somebody else has made, or that was damaged: told, in little memory."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.parquet import write_table

from semisweep.core.errors import StoreError
from semisweep.store import one_row
from semisweep.store.one_row import ShapeError, decode
from semisweep.store.result_file import encode_row, read_marks, read_row

ROW = {"a": 1, "a.b": 0.5, "text": "x" * 300, "none": None, "flag": True, "list": [1, 2]}


def parquet(array: pa.Array, **options: object) -> bytes:
    sink = io.BytesIO()
    write_table(
        pa.table({"x": array}), sink, **{"compression": "none", "use_dictionary": False} | options
    )
    return sink.getvalue()


def by_differences(count: int) -> bytes:
    """Return a file of some hundred bytes whose one text says that it is so many."""

    def number(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)

    data = parquet(pa.array(["Q" * 400]), column_encoding={"x": "DELTA_LENGTH_BYTE_ARRAY"})
    start = data.index(b"\x80\x01\x04\x01")
    lengths = number(count) + number(1) + number(count) + bytes(3)
    return data[:start] + lengths + data[start + len(lengths) :]


def field_twice() -> bytes:
    """Return a file whose page is plain, and then coded by differences."""
    data = parquet(pa.array(["Q" * 400]), write_statistics=False)
    start = data.index(b"\x15\x02\x15\x00\x15\x06\x15\x06") + 8
    end = data.index(b"\x02\x00\x00\x00", start)  # of levels that follow the header
    return data[:start] + b"\x05\x04\x0c\x00\x00" + data[end:]


def test_a_row_comes_back_and_so_do_some_of_its_columns() -> None:
    data = encode_row(ROW)

    assert decode(data, None) == ROW | {"list": "[1, 2]"}
    assert decode(data, ["text", "a", "other"]) == {"a": 1, "text": "x" * 300}
    assert decode(data, ["other"]) == {}
    assert decode(encode_row({"é\n": "ü", "n": 2**62}), None) == {"é\n": "ü", "n": 2**62}


@pytest.mark.parametrize("columns", [None, ["x"], []])
@pytest.mark.parametrize(
    ("data", "told"),
    [
        (parquet(pa.array(["a" * 2**20]), compression="zstd"), "neither compressed nor coded"),
        (parquet(pa.array(["a"]), use_dictionary=True), "neither compressed nor coded"),
        (parquet(pa.array([[None] * 2**20])), "must hold numbers and text, got x=list"),
        (parquet(pa.array([{"y": 1}])), "must hold numbers and text, got x=struct"),
        (parquet(pa.array([None], pa.binary(2**20))), "got x=fixed_size_binary"),
        (parquet(pa.array(["a"]).dictionary_encode()), "got x=dictionary"),
        (parquet(pa.array(["a", "b"])), "must be one row, got 2 rows"),
        (parquet(pa.array([], pa.string())), "must be one row, got 0 rows"),
        (parquet(pa.array(["a"]), data_page_version="2.0"), "one plain value a column"),
        (by_differences(2**31 - 1), "one plain value a column"),
        (field_twice(), "each field of its footer once"),
    ],
)
def test_what_may_grow_is_told_before_it_is_decoded(
    data: bytes, told: str, columns: list[str] | None
) -> None:
    before = pa.total_allocated_bytes()
    with pytest.raises(ShapeError, match=told):
        decode(data, columns)
    assert pa.total_allocated_bytes() == before


FLIPPED = """
from semisweep.store.result_file import encode_row, read_row
from semisweep.core.errors import StoreError
from pathlib import Path
import sys

path = Path(sys.argv[1])
data = encode_row({"key": "aaaa", "last.test.miou": 0.5, "seed": 1, "none": None})
told = 0
for place in range(len(data) * 8):
    flipped = bytearray(data)
    flipped[place // 8] ^= 1 << place % 8
    path.write_bytes(flipped)
    for columns in (None, ["seed"]):
        try:
            read_row(path, columns)
        except StoreError as error:
            assert error.__cause__ is None, error
            told += 1
print(told > 8 * len(data))
"""


def test_no_flipped_bit_ends_the_process(tmp_path: Path) -> None:
    """Each bit of a file: pyarrow ends the process where it is asked for what some of them say."""
    command = [sys.executable, "-c", FLIPPED, str(tmp_path / "result.parquet")]
    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    """Whoever merges ends there: the next trial's file cannot be read either."""
    (tmp_path / "result.parquet").mkdir()

    for read in (read_row, read_marks):
        with pytest.raises(StoreError, match="a store must be readable") as error:
            read(tmp_path / "result.parquet")
        assert isinstance(error.value.__cause__, OSError)
        assert "remove" not in str(error.value)


def test_a_row_that_is_too_large_is_neither_written_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "result.parquet").write_bytes(encode_row(ROW))
    monkeypatch.setattr(one_row, "MOST_BYTES", 1000)

    with pytest.raises(StoreError, match="at most 1000 bytes"):
        encode_row(ROW)
    with pytest.raises(StoreError, match="at most 1000 bytes"):
        read_row(tmp_path / "result.parquet")
