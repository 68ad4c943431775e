"""States of a training at some step, in files that know their own checksum.

A file is called <stem>-<step>-<start of its SHA-256>.pt. It is in place before any it replaces
goes, and one whose content is not what was written is seen as damaged when it is read. It is
written as it comes, without a copy in memory (object storage takes it as a whole).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.files import Location

_NAME = re.compile(r"(.+)-(\d+)-([0-9a-f]{16})\.pt")

Content = bytes | Callable[[BinaryIO], object]  # what is in a file, or writes it from its start


class _HashedFile:
    """A file that knows the checksum of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes, /) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def digest(self) -> str:
        return self._hash.hexdigest()[:16]


@dataclass(frozen=True)
class CheckpointFile:
    """A file with a checksum in its name."""

    path: Location
    stem: str
    step: int
    digest: str

    def read(self) -> bytes | None:
        """Return the content, or None where it is missing or is not what was written."""
        try:
            data = files.read(self.path)
        except OSError:
            return None
        return data if _digest(data) == self.digest else None


def write(
    folder: Location, stem: str, step: int, content: Content, *, sync_name: bool = True
) -> None:
    """Write a state of a step; others of this step and later ones under the stem then go.

    Those are of an attempt that was given up. For `sync_name` see `files.replacing`.
    """
    start = f"{stem}-{step:08d}"

    def write_hashed(file: BinaryIO) -> str:
        hashed = _HashedFile(file)
        if callable(content):
            content(cast(BinaryIO, hashed))
        else:
            hashed.write(content)
        return f"{start}-{hashed.digest()}.pt"

    name = files.write_and_name(folder, start, write_hashed, sync_name=sync_name)
    others = [other for other in find(folder, stem) if other.path.name != name]
    remove(folder, [other for other in others if other.step >= step])


def add(folder: Location, stem: str, step: int, content: bytes) -> None:
    """Write a state of a step beside all others under the stem, unless it is there."""
    path = folder / name_of(stem, step, content)
    if not path.is_file():
        with files.replacing(path) as file:
            file.write(content)


def name_of(stem: str, step: int, content: bytes) -> str:
    """Return the name of the file that holds a state."""
    return f"{stem}-{step:08d}-{_digest(content)}.pt"


def link(folder: Location, stem: str, other: str, step: int) -> None:
    """Give the file of a step under the stem `other` a name under `stem` too; raise `StoreError`.

    On a disk its content is there once; object storage copies it by itself.
    """
    found = [file for file in find(folder, other) if file.step == step]
    if not found:
        raise StoreError(f"a state must be there to get a name, got stem={other}, step={step}")
    path = folder / f"{stem}-{step:08d}-{found[0].digest}.pt"
    files.link(found[0].path, path)
    same = [file for file in find(folder, stem) if file.step >= step and file.path != path]
    remove(folder, same)


def find(folder: Location, stem: str | None = None) -> list[CheckpointFile]:
    """Return the files under a stem, or under any: latest step first, damaged or not."""
    found: list[tuple[int, int, CheckpointFile]] = []
    for entry in files.scan(folder):
        file = parse(folder, entry.name)
        if file is not None and stem in (None, file.stem):
            with suppress(FileNotFoundError):  # another process may be removing it
                found.append((file.step, entry.stat().st_mtime_ns, file))
    return [file for _, _, file in sorted(found, key=lambda item: item[:2], reverse=True)]


def parse(folder: Location, name: str) -> CheckpointFile | None:
    """Return the file of a folder that has a name, or None if it is no such file."""
    match = _NAME.fullmatch(name)
    return CheckpointFile(folder / name, match[1], int(match[2]), match[3]) if match else None


def content_of(name: str) -> str:
    """Return a name that files of one folder share whose content is on the disk once.

    Those are weights of one step under several names; any other file is only itself.
    """
    folder, slash, last = name.rpartition("/")
    found = _NAME.fullmatch(last)
    if found is None or not found[1].startswith("weights-"):
        return name
    return f"{folder}{slash}weights-{found[2]}-{found[3]}.pt"


def remove_beyond(folder: Location, step: int) -> None:
    """Remove the files of later steps than `step`."""
    remove(folder, [file for file in find(folder) if file.step > step])


def remove_old(folder: Location) -> None:
    """Remove all but the newest file of each stem."""
    seen: set[str] = set()
    old = []
    for file in find(folder):
        if file.stem in seen:
            old.append(file)
        seen.add(file.stem)
    remove(folder, old)


def remove(folder: Location, unwanted: Collection[CheckpointFile]) -> None:
    """Remove files of a folder, if they are there."""
    files.remove_all(folder, [file.path.name for file in unwanted])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
