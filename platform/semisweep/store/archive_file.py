"""Archives: a tar of a store's files under the names that a store has, and taking one apart.

semisweep-archive.json   the first entry: the format
studies/..., trials/...  regular files, named as below the root of a store on a disk
semisweep-archive-end    the last entry; an archive without it was cut off

An archive may be a stranger's. Its files are written to a folder that is made for them, whole files
under names that a store has and no others; nothing else in it is obeyed.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from semisweep.core.errors import ConfigError, StoreError
from semisweep.core.safe_text import one_line
from semisweep.store import files

FORMAT = 1
FIRST, LAST = "semisweep-archive.json", "semisweep-archive-end"
MARKER = "semisweep.json"
ENDINGS: dict[str, Literal["w", "w:gz", "w:xz"]] = {
    ".tar": "w",
    ".tar.gz": "w:gz",
    ".tgz": "w:gz",
    ".tar.xz": "w:xz",
    ".txz": "w:xz",
}
# An archive may be unpacked to so many bytes, or to so many times its own, whichever is more.
PLAIN_BYTES, PLAIN_RATIO = 2**30, 200
SMALL_BYTES = 64 * 2**20  # of any file but weights and checkpoints
NAME_BYTES = 255 - len(".0123456789ab.tmp")  # of a file that is written beside its place first
MOST_ENTRIES = 1_000_000
READ_BYTES = 8 * 2**20  # at once, so that what an entry says of its size takes no memory
HEADER_BYTES = 8 * 2**10  # of an entry, with headers that it has for its headers

Plain = gzip.GzipFile | lzma.LZMAFile | BinaryIO

_CHARS = r"[\w.~%:-]"
_KEY = r"\w[\w-]{0,199}"
_STATE = re.compile(rf"trials/{_KEY}/(checkpoint|weights-\w+)-\d+-[0-9a-f]{{16}}\.pt", re.ASCII)
_SMALL = re.compile(
    "|".join(
        (
            rf"(studies|recorded|imported)/{_CHARS}+@[\w.~%:@-]+\.json",
            rf"origins/{_CHARS}+\.json",
            rf"looks/{_CHARS}+@[\w.~%:@-]+/look-\d{{3,9}}\.json",
            r"searches/[0-9a-f]+/(search|trial-\d{6,12}|confirmation-\d{4,12})\.json",
            rf"trials/{_KEY}/(trial|failure)\.json",
            rf"trials/{_KEY}/(history\.jsonl|result\.parquet|attempt-\d{{4,9}}|log-\d{{4,9}}\.txt)",
            rf"trials/{_KEY}/rung-\d{{1,12}}-[0-9a-f]{{12}}\.json",
            rf"trials/{_KEY}/(stopped-\d{{1,12}}|(evaluation|labels)-[0-9a-f-]+)\.parquet",
            rf"trials/{_KEY}/confusion-\w[\w.-]*\.npz",
        )
    ),
    re.ASCII,
)
# RecursionError: of headers or JSON that go on and on.
_DAMAGED: tuple[type[Exception], ...] = (tarfile.TarError, EOFError, OSError, ValueError)
_DAMAGED += (zlib.error, lzma.LZMAError, RecursionError)


def is_packed(name: str) -> bool:
    """Return whether an archive may have a file of this name below a store: no lock, say."""
    is_short = all(len(part) <= NAME_BYTES for part in name.split("/"))
    return is_short and bool(_STATE.fullmatch(name) or _SMALL.fullmatch(name))


def write_archive(path: Path, entries: Iterable[tuple[str, bytes]]) -> int:
    """Write an archive, compressed as its ending says, and return its size in bytes.

    It is whole, or not there. Raises `ConfigError` for another ending, `StoreError` when it cannot
    be written.
    """
    mode = mode_of(path)
    with (
        files.replacing(path) as file,
        tarfile.open(fileobj=file, mode=mode, format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, FIRST, json.dumps({"format": FORMAT}).encode())
        for name, data in entries:
            _add(tar, name, data)
        _add(tar, LAST, b"")
    return path.stat().st_size


def mode_of(path: Path) -> Literal["w", "w:gz", "w:xz"]:
    """Return the mode in which `tarfile` writes a file of this name; raise `ConfigError`."""
    for ending, mode in ENDINGS.items():
        if path.name.endswith(ending):
            return mode
    raise ConfigError(f"an archive must end in {', '.join(ENDINGS)}, got output={path}")


def unpack(path: Path, folder: Path) -> list[str]:
    """Write an archive's files to an empty folder, a store; return what was left out, and why.

    Raises `StoreError` for a file that is no whole archive, is of a later format, or is larger
    within than the limits allow.
    """
    most = max(PLAIN_BYTES, PLAIN_RATIO * path.stat().st_size)
    files.write_json(folder / MARKER, {"format": 1})
    with _reading(path), _plain(path) as plain:
        bounded = _Bounded(plain, path, most)
        with tarfile.open(fileobj=bounded, mode="r:") as tar:  # type: ignore[call-overload]
            return list(_unpacked(tar, bounded, path, folder))


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a file that is no archive leads to into a `StoreError`."""
    try:
        yield
    except _DAMAGED as error:
        raise _none(path, str(error) or type(error).__name__) from error


def _unpacked(tar: tarfile.TarFile, bounded: _Bounded, path: Path, folder: Path) -> Iterator[str]:
    """Unpack, and yield a text for each entry that is left out."""
    seen: set[str] = set()
    last = ""
    number = place = -1
    while (member := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # which else are all kept
        tar.pax_headers = {}
        if tar.offset <= place or member.size < 0:
            raise _none(path, "an entry ends before it begins")
        last, number, place = member.name, number + 1, tar.offset
        bounded.allow(member.size)
        if number == 0:
            _check_format(tar, member, path)
        elif number >= MOST_ENTRIES:
            raise StoreError(f"an archive must have at most {MOST_ENTRIES} entries, path={path}")
        elif last != LAST:
            reason = _objection(member, seen)
            if reason:
                yield f"{one_line(member.name):.200}: {reason}"
            else:
                seen.add(member.name)
                _write(_content(tar, member, path), folder / member.name)
        bounded.allow(HEADER_BYTES)
    if last != LAST:
        raise _none(path, "it ends too early")


def _objection(member: tarfile.TarInfo, seen: set[str]) -> str:
    """Return why an entry is left out, "" for one that is written.

    Names that a store has lead nowhere else; of an entry its content alone is used.
    """
    is_state = _STATE.fullmatch(member.name)
    if not is_packed(member.name):
        return "a store has no file of that name"
    if not member.isreg() or member.issparse():
        return "an entry must be a regular file"
    if not is_state and member.size > SMALL_BYTES:
        return f"a file must have at most {SMALL_BYTES} bytes, got bytes={member.size}"
    if member.name in seen:
        return "an entry must be there once, the first one is taken"
    return ""


def _write(content: Iterable[bytes], path: Path) -> None:
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            file.writelines(content)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, archive: Path) -> Iterator[bytes]:
    """Yield the content of an entry, in pieces."""
    with _reading(archive):
        source = tar.extractfile(member)
        assert source is not None
        left = member.size
        while left:
            data = source.read(min(left, READ_BYTES))
            if not data:
                raise EOFError("it ends too early")
            yield data
            left -= len(data)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell a folder that cannot be written from an archive that cannot be read."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"an archive must have room to be unpacked, got path={path}: {error.strerror}; "
            "set TMPDIR to a folder with more"
        ) from error


def _check_format(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Raise `StoreError` unless the first entry is that of an archive of a format known here."""
    found = tar.extractfile(member) if member.isreg() and member.size <= READ_BYTES else None
    if member.name != FIRST or found is None:
        raise _none(path, "it is another tar")
    value = json.loads(found.read())
    number = value.get("format") if isinstance(value, dict) else None
    if number != FORMAT:
        raise StoreError(
            f"an archive must have format {FORMAT}, got format={number!r:.40}, path={path}; "
            "use the semisweep that packed it"
        )


def _none(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"an archive must be a whole one of semisweep store pack, got path={path}: "
        f"{one_line(reason):.200}; pack or copy it again"
    )


def _plain(path: Path) -> Plain:
    """Return the file of an archive, unpacked as it is read."""
    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
    return lzma.open(path, "rb") if start == b"\xfd7zXZ\x00" else open(path, "rb")


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


class _Bounded:
    """A file of which only so much is read, in all and at once, whatever is said within it."""

    def __init__(
        self, file: gzip.GzipFile | lzma.LZMAFile | BinaryIO, path: Path, most: int
    ) -> None:
        self._file, self._path, self._most = file, path, most
        self.allow(HEADER_BYTES)

    def allow(self, size: int) -> None:
        """Let so many bytes be read, until another number is allowed."""
        self._left = size

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= min(READ_BYTES, self._left):
            raise _none(self._path, "a header in it is too large")
        self._left -= size
        data = self._file.read(size)
        self._check(self._file.tell())
        return data

    def seek(self, place: int) -> int:
        self._check(place)
        return self._file.seek(place)

    def tell(self) -> int:
        return self._file.tell()

    def _check(self, place: int) -> None:
        if place > self._most:
            raise StoreError(
                f"an archive must not be larger within than {self._most} bytes (1 GiB, or "
                f"{PLAIN_RATIO} times its size), got path={self._path}; pack fewer studies at once"
            )
