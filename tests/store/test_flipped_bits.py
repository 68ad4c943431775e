"""Files whose bits have flipped, and files that are made to grow: a line each, and no more."""

from __future__ import annotations

import io
import json
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_trials import train
from pyarrow.parquet import write_table

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.archive_file import FIRST, LAST, write_archive
from semisweep.store.result_file import read_row
from semisweep.store.store_archive import pack
from semisweep.store.store_merge import merge

BROKEN, WHOLE = "1" * 20, "2" * 20
FLIPS = 48  # of bits spread over a file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store.open(tmp_path / "store", create=True)
    train(found, BROKEN)
    train(found, WHOLE)
    return found


def flipped(data: bytes, number: int) -> bytes:
    """Return bytes of which one bit is another."""
    place = number * len(data) * 8 // FLIPS
    found = bytearray(data)
    found[place // 8] ^= 1 << place % 8
    return bytes(found)


@pytest.mark.parametrize("name", ["result.parquet", "confusion-last-test.npz"])
def test_a_flipped_bit_costs_its_trial_alone(store: Store, tmp_path: Path, name: str) -> None:
    """Told, or in a number: the other trial is merged, and packed, in any case."""
    (path,) = (store.root / "trials" / BROKEN).rglob(name)  # type: ignore[union-attr]
    data, told = path.read_bytes(), 0
    for number in range(FLIPS):
        path.write_bytes(flipped(data, number))
        target = tmp_path / f"target{number}"
        merged = merge(store.root, target)
        packed = pack(store, tmp_path / "some.tar")

        assert Store.open(target).trial(WHOLE).finished
        assert len(merged.left_out) == len(packed.left_out) <= 1
        assert not any("\n" in text for text in merged.left_out)
        told += len(merged.left_out)
    assert told > FLIPS / 4


def test_a_flipped_bit_here_costs_its_trial_alone(store: Store, tmp_path: Path) -> None:
    target = Store.open(tmp_path / "target", create=True)
    train(target, BROKEN)
    path = tmp_path / "target" / "trials" / BROKEN / "result.parquet"
    path.write_bytes(path.read_bytes()[:-9] + b"\xff" * 9)

    merged = merge(store.root, target.root)

    assert len(merged.left_out) == 1
    assert target.trial(WHOLE).finished


def parquet(values: dict[str, object], compression: str = "none") -> bytes:
    sink = io.BytesIO()
    table = pa.table({name: [value] for name, value in values.items()})
    write_table(table, sink, compression=compression, use_dictionary=True)
    return sink.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        parquet({"key": BROKEN, "x": "a" * 2**25}, "zstd"),
        parquet({"key": BROKEN, "x": [None] * 2**23}),
    ],
    ids=["text", "list"],
)
def test_a_row_that_grows_as_it_is_read_is_none(tmp_path: Path, data: bytes) -> None:
    """Megabytes of some kilobytes."""
    assert len(data) < 2**16
    write_archive(tmp_path / "bomb.tar", [(f"trials/{BROKEN}/result.parquet", data)])
    tracemalloc.start()
    allocated = pa.total_allocated_bytes()

    merged = merge(tmp_path / "bomb.tar", tmp_path / "target")

    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - allocated < 2**20
    assert len(merged.left_out) == 1
    assert not merged.is_new


def test_a_row_with_a_name_that_is_no_text_is_damaged(tmp_path: Path) -> None:
    data = parquet({"key": BROKEN, "zzzz": 1.0}).replace(b"zzzz", b"z\xff\xfez")
    (tmp_path / "result.parquet").write_bytes(data)

    with pytest.raises(StoreError, match="must be a whole Parquet file"):
        read_row(tmp_path / "result.parquet")


def test_an_array_that_says_it_is_huge_takes_no_memory(store: Store) -> None:
    (path,) = (store.root / "trials" / BROKEN).rglob("confusion-last-test.npz")  # type: ignore[union-attr]
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<i8", "fortran_order": False, "shape": (10**13,)}
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("confusion.npy", header.getvalue())

    with pytest.raises(StoreError, match=r"shape=\(10000000000000,\)"):
        store.trial(BROKEN).read_confusion("last-test")


def nested(depth: int) -> bytes:
    return b'{"format": 1, "x": ' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize("depth", [files.DEPTH, 500, 900, 5000])
@pytest.mark.parametrize(
    "name", ["studies/a@mini.json", "imported/a@mini.json", f"trials/{BROKEN}/trial.json"]
)
def test_json_that_is_nested_without_end_is_left_out(tmp_path: Path, name: str, depth: int) -> None:
    write_archive(tmp_path / "deep.tar", [(name, nested(depth))])

    merged = merge(tmp_path / "deep.tar", tmp_path / "target")

    assert len(merged.left_out) == 1
    assert "nested" in merged.left_out[0] or "JSON" in merged.left_out[0]


def test_a_first_entry_that_is_nested_without_end_is_no_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "deep.tar", "w") as tar:
        member = tarfile.TarInfo(FIRST)
        member.size = 200_000
        tar.addfile(member, io.BytesIO(b"[" * member.size))

    with pytest.raises(StoreError, match="must be a whole one"):
        merge(tmp_path / "deep.tar", tmp_path / "target")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_of_headers_without_end_are_no_archive(tmp_path: Path, kind: bytes) -> None:
    def entry(name: str, content: bytes, kind: bytes = tarfile.REGTYPE) -> bytes:
        member = tarfile.TarInfo(name)
        member.type, member.size = kind, len(content)
        padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
        return member.tobuf(format=tarfile.GNU_FORMAT) + padded

    content = b"abcd\0" if kind == tarfile.GNUTYPE_LONGNAME else b"11 path=ab\n"
    first = entry(FIRST, b'{"format": 1}')
    chain = entry("././@LongLink", content, kind) * 3000
    (tmp_path / "chain.tar").write_bytes(first + chain + entry(LAST, b"") + b"\0" * 1024)

    with pytest.raises(StoreError, match="must be a whole one"):
        merge(tmp_path / "chain.tar", tmp_path / "target")


def test_a_name_that_no_disk_takes_is_left_out(tmp_path: Path) -> None:
    entries = [(f"studies/{'a' * 300}@mini.json", b"{}")]
    write_archive(tmp_path / "long.tar", entries)

    merged = merge(tmp_path / "long.tar", tmp_path / "target")

    assert "a store has no file of that name" in merged.left_out[0]


@pytest.mark.parametrize("size", [239, 255])
def test_a_name_that_leaves_no_room_for_a_temporary_is_left_out(tmp_path: Path, size: int) -> None:
    """It would end the merge where the file is written beside its place."""
    entries = [(f"imported/{'a' * (size - 10)}@mini.json", b'{"format": 1, "entries": []}')]
    assert len(entries[0][0]) == size + len("imported/")
    write_archive(tmp_path / "long.tar", entries)

    merged = merge(tmp_path / "long.tar", tmp_path / "target")

    assert "a store has no file of that name" in merged.left_out[0]


def test_the_longest_name_is_merged(tmp_path: Path) -> None:
    numbers = {"row": "a", "column": "b", "replicate": "c", "source": "d", "value": 1.0}
    name = f"imported/{'a' * 228}@mini.json"
    content = json.dumps({"format": 1, "entries": [numbers]}).encode()
    write_archive(tmp_path / "long.tar", [(name, content)])

    assert merge(tmp_path / "long.tar", tmp_path / "target").counts["numbers"] == 1
    assert (tmp_path / "target" / name).is_file()


def headed(kind: bytes, content: bytes) -> bytes:
    """Return a header of headers, of a kind, with its content."""
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, len(content)
    padded = content.ljust(-(-len(content) // 512) * 512, b"\0")
    return member.tobuf(format=tarfile.GNU_FORMAT) + padded


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (headed(tarfile.XHDTYPE, b"14 size=-1536\n"), "ends before it begins"),
        (headed(tarfile.XHDTYPE, b"12 size=-10\n"), "ends before it begins"),
        (headed(tarfile.XHDTYPE, b"1" * 2**20), "a header in it is too large"),
        (headed(tarfile.XGLTYPE, b"6015 comment=%s\n" % (b"a" * 6000)) * 2, "is too large"),
    ],
    ids=["goes back", "no size", "digits", "for all"],
)
@pytest.mark.timeout(60)
def test_headers_that_take_time_or_memory_are_no_archive(
    tmp_path: Path, headers: bytes, told: str
) -> None:
    """A size that leads back to its header is read forever, digits in a time that is quadratic."""
    write_archive(tmp_path / "made.tar", [("trials/aaaa/log-0001.txt", b"")])
    made = (tmp_path / "made.tar").read_bytes()
    (tmp_path / "made.tar").write_bytes(made[:1024] + headers + made[1024:])

    with pytest.raises(StoreError, match=told):
        merge(tmp_path / "made.tar", tmp_path / "target")
