"""Archives from strangers: nothing outside of the store is written, and what is wrong is named."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_trials import told, train
from two_tables import two_tables

from semisweep import Store
from semisweep.core.errors import ConfigError, StoreError
from semisweep.store import archive_file
from semisweep.store.archive_file import FIRST, LAST, SMALL_BYTES, write_archive
from semisweep.store.store_archive import pack
from semisweep.store.store_merge import merge

Entry = tuple[str, bytes] | tarfile.TarInfo
TRIAL = "trials/aaaa"
ZEROS = "\x00" * 4


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, to
    return found


def special(name: str, kind: bytes) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    return found


def sized(name: str, size: int) -> tarfile.TarInfo:
    """Return an entry that says it is large, in an archive that is not."""
    found = tarfile.TarInfo(name)
    found.size = size
    return found


def write(path: Path, entries: list[Entry], first: bytes = b'{"format": 1}') -> Path:
    """Write an archive of entries that no store would have."""
    with tarfile.open(path, "w") as tar:
        for own in [(FIRST, first), *entries, (LAST, b"")]:
            if isinstance(own, tarfile.TarInfo):
                tar.addfile(own, io.BytesIO(b"") if own.isreg() and not own.size else None)
            else:
                member = tarfile.TarInfo(own[0])
                member.size = len(own[1])
                tar.addfile(member, io.BytesIO(own[1]))
    return path


@pytest.fixture
def whole(tmp_path: Path) -> list[tuple[str, bytes]]:
    """Return the files of a store with two finished trials."""
    store = two_tables(Store.open(tmp_path / "whole", create=True))
    pack(store, tmp_path / "whole.tar")
    with tarfile.open(tmp_path / "whole.tar") as tar:
        names = [name for name in tar.getnames() if name not in (FIRST, LAST)]
        return [(name, file.read()) for name in names if (file := tar.extractfile(name))]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder in which nothing but the store may be written."""
    folder = tmp_path / "place"
    (folder / "store").mkdir(parents=True)
    (folder / "secret").write_text("precious")
    (folder / "store" / "mine.txt").write_text("my own")
    return folder


WRONG: dict[str, Entry] = {
    "absolute": ("/tmp/semisweep-was-here", b"x"),
    "absolute within": (f"/{TRIAL}/trial.json", b"{}"),
    "upwards": ("../secret", b"x"),
    "upwards within": (f"{TRIAL}/../../../secret", b"x"),
    "upwards in a study": ("studies/../../secret@mini.json", b"{}"),
    "a dot": (f"./{TRIAL}/trial.json", b"{}"),
    "link": link(f"{TRIAL}/log-0001.txt", "../../../secret"),
    "linked folder": link("trials/cccc", "../.."),
    "hard link": link(f"{TRIAL}/log-0001.txt", "../../../secret", tarfile.LNKTYPE),
    "device": special(f"{TRIAL}/log-0001.txt", tarfile.CHRTYPE),
    "pipe": special(f"{TRIAL}/log-0001.txt", tarfile.FIFOTYPE),
    "sparse": special(f"{TRIAL}/log-0001.txt", tarfile.GNUTYPE_SPARSE),
    "folder": special("trials/dddd", tarfile.DIRTYPE),
    "a store's own": ("semisweep.json", b'{"format": 7}'),
    "a lock": (f"{TRIAL}/lock", b""),
    "a part": ("results/part-0123456789abcdef.parquet", b"PAR1"),
    "a program": (f"{TRIAL}/__init__.py", b"raise SystemExit"),
    "a pickle": (f"{TRIAL}/weights-last-00000001-0123456789abcdef.pkl", b"\x80\x04."),
    "controls": (f"trials/\x1b[2Jk/trial{ZEROS}.json", b"{}"),
    "a long name": (f"trials/{'k' * 5000}/trial.json", b"{}"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_no_store_has_is_named_and_left_out(
    place: Path, whole: list[tuple[str, bytes]], tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path / "strange.tar", [*whole[:4], WRONG[kind], *whole[4:]])
    before = {own: own.read_bytes() for own in place.rglob("*") if own.is_file()}

    merged = merge(path, place / "store")

    (line,) = merged.left_out
    assert line.isprintable()
    assert len(line) < 400
    assert merged.counts["finished"] == 2
    assert {own: own.read_bytes() for own in before} == before
    assert sorted(own.name for own in place.iterdir()) == ["secret", "store"]
    assert not Path("/tmp/semisweep-was-here").exists()
    assert not [own for own in place.rglob("*") if own.is_symlink()]
    names = {own.name for own in (place / "store").iterdir()}
    assert names <= {
        *("mine.txt", "semisweep.json", "merging", "trials", "studies", "recorded"),
    }


def test_the_first_of_two_entries_of_a_name_is_taken(
    place: Path, whole: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    again = (f"{TRIAL}/trial.json", b'{"key": "aaaa", "trial": {"method": "other"}}')

    merged = merge(write(tmp_path / "twice.tar", [*whole, again]), place / "store")

    assert merged.left_out == [
        f"{TRIAL}/trial.json: an entry must be there once, the first one is taken"
    ]
    assert Store.open(place / "store").trial("aaaa").description().trial["method"] == "m:M"


DAMAGED: dict[str, tuple[str, bytes]] = {
    "a list": ("trial.json", b"[]"),
    "deep": ("trial.json", b'{"trial":' * 100_000),
    "another's": ("trial.json", b'{"key": "bbbb", "trial": {}}'),
    "no JSON": ("failure.json", b"\xff\x00"),
    "a text": ("history.jsonl", b'{"step": "one"}\n'),
    "no Parquet": ("result.parquet", b"PAR1"),
    "no array": ("confusion-last-test.npz", b"PK\x03\x04"),
    "other weights": ("weights-last-00000001-0123456789abcdef.pt", b"changed"),
    "a rung": ("rung-00000001-0123456789ab.json", b'{"step": []}'),
    "a measurement": ("evaluation-0123456789abcdef0123.parquet", b""),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_file_of_a_wrong_shape_costs_its_trial_alone(
    place: Path, whole: list[tuple[str, bytes]], tmp_path: Path, kind: str
) -> None:
    name, content = DAMAGED[kind]
    files = {**dict(whole), f"{TRIAL}/{name}": content}
    if name == "failure.json":
        del files[f"{TRIAL}/result.parquet"]

    merged = merge(write(tmp_path / "damaged.tar", list(files.items())), place / "store")

    (line,) = merged.left_out
    assert line.startswith("trial aaaa: ")
    store = Store.open(place / "store")
    assert store.keys() == ["bbbb"]
    assert store.trial("bbbb").finished


def test_a_result_of_another_trial_or_of_many_rows_is_none(
    place: Path, whole: list[tuple[str, bytes]], tmp_path: Path
) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    many = io.BytesIO()
    write_table(pa.table({"key": pa.array(["aaaa"] * 2_000_000)}), many)
    files = dict(whole)
    other = files["trials/bbbb/result.parquet"]
    for content, why in (
        (other, "a file must be of its trial"),
        (many.getvalue(), "must be one row"),
    ):
        files[f"{TRIAL}/result.parquet"] = content
        tracemalloc.start()
        merged = merge(write(tmp_path / "other.tar", list(files.items())), place / "store")
        assert tracemalloc.get_traced_memory()[1] < 50e6, "rows are counted before they are read"
        tracemalloc.stop()
        assert why in merged.left_out[0]
    assert Store.open(place / "store").keys() == ["bbbb"]


def bomb(path: Path, pack_up: Callable[[bytes], bytes]) -> Path:
    """Write an archive whose entries are much larger than it is."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, size in ((FIRST, 13), *((f"{TRIAL}/log-000{n}.txt", 2**24) for n in range(3))):
            member = tarfile.TarInfo(name)
            member.size = size
            content = b'{"format": 1}' if size == 13 else bytes(size)
            tar.addfile(member, io.BytesIO(content))
    path.write_bytes(pack_up(plain.getvalue()))
    return path


@pytest.mark.parametrize("pack_up", [gzip.compress, lzma.compress])
def test_a_bomb_is_not_unpacked(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack_up: Callable[[bytes], bytes]
) -> None:
    path = bomb(tmp_path / "bomb", pack_up)
    monkeypatch.setattr(archive_file, "PLAIN_BYTES", 2**25)

    with pytest.raises(StoreError, match="must not be larger within than"):
        merge(path, place / "store")
    assert not (place / "store" / "trials").exists()


@pytest.mark.parametrize("size", [SMALL_BYTES + 1, 2**62])
def test_what_says_it_is_huge_takes_nothing(place: Path, tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "huge.tar", [sized(f"{TRIAL}/log-0001.txt", size)])

    with pytest.raises(StoreError, match="an archive must"):
        merge(path, place / "store")


def test_a_header_that_says_it_is_huge_takes_no_memory(place: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "header.tar", [sized("name", 2**31)])
    content = path.read_bytes()
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 2**31
    path.write_bytes(content[:1024] + header.tobuf(tarfile.USTAR_FORMAT) + content[1536:])

    with pytest.raises(StoreError, match="a header in it is too large"):
        merge(path, place / "store")


@pytest.mark.parametrize("ending", archive_file.ENDINGS)
def test_an_archive_that_was_cut_off_is_refused(place: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"some{ending}"
    pack(two_tables(Store.open(tmp_path / "whole", create=True)), path)
    whole = path.read_bytes()

    for share in (0, 0.01, 0.3, 0.5):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(StoreError, match="an archive must be a whole one") as error:
            merge(path, place / "store")
        assert "\n" not in str(error.value)
    assert not (place / "store" / "trials").exists()
    path.write_bytes(whole)
    assert merge(path, place / "store").counts["finished"] == 2


NONE: dict[str, Any] = {
    "text": lambda path: path.write_text("no archive"),
    "another tar": lambda path: tarfile.open(path, "w").close(),
    "a zip": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "later": lambda path: write(path, [], b'{"format": 2}'),
    "a list": lambda path: write(path, [], b"[1]"),
    "no JSON": lambda path: write(path, [], b"{"),
    "damaged": lambda path: path.write_bytes(gzip.compress(bytes(5000))[:-20]),
}


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_archive_is_refused_in_a_line(
    call: Callable[..., Any], refused: Callable[..., None], place: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "none.tar"
    NONE[kind](path)

    said = call("store", "merge", path, "--store", place / "store")

    refused(said, "an archive must", f"path={path}")
    assert not (place / "store" / "semisweep.json").exists()


def test_too_many_entries_are_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_file, "MOST_ENTRIES", 50)
    path = write(tmp_path / "many.tar", [(f"{TRIAL}/{n}", b"") for n in range(60)])

    with pytest.raises(StoreError, match="at most 50 entries"):
        merge(path, place / "store")


def test_the_ending_decides_how_an_archive_is_compressed(tmp_path: Path) -> None:
    starts = {".tar": b"semi", ".tar.gz": b"\x1f\x8b", ".tar.xz": b"\xfd7zXZ"}
    for ending, start in starts.items():
        path = tmp_path / f"some{ending}"
        assert write_archive(path, [("a", b"b")]) == path.stat().st_size
        assert path.read_bytes().startswith(start)
    with pytest.raises(ConfigError, match=r"an archive must end in \.tar"):
        write_archive(tmp_path / "some.zip", [])
    assert not (tmp_path / "some.zip").exists()


def test_no_link_of_another_store_is_followed(place: Path, tmp_path: Path) -> None:
    other = Store.open(tmp_path / "other", create=True)
    assert isinstance(other.root, Path)
    train(other, "aaaa")
    before = told(other)
    (other.root / "trials" / "cccc").symlink_to(place)
    (other.root / "trials" / "aaaa" / "log-0009.txt").symlink_to(place / "secret")

    merge(other.root, place / "store")

    store = Store.open(place / "store")
    assert told(store) == before
    assert not (store.trial("aaaa").path / "log-0009.txt").exists()
    assert json.loads((place / "store" / "semisweep.json").read_text()) == {"format": 1}
