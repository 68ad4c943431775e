"""States of a training at some step, in files that know their own checksum.

A file is called <stem>-<step>-<start of its SHA-256>.pt. It is in place before any it replaces
goes, and one whose content is not what was written is seen as damaged when it is read.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass

from semisweep.store import files
from semisweep.store.files import Location

_NAME = re.compile(r"(.+)-(\d+)-([0-9a-f]{16})\.pt")


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
            data = self.path.read_bytes()
        except OSError:
            return None
        return data if _digest(data) == self.digest else None


def write(
    folder: Location, stem: str, step: int, data: bytes, *, earlier: int, sync_name: bool = True
) -> None:
    """Write `data`, and then keep that many of earlier steps under the same stem.

    Others of this step and later ones are of an attempt that was given up: they go. For
    `sync_name` see `files.replacing`.
    """
    path = folder / f"{stem}-{step:08d}-{_digest(data)}.pt"
    with files.replacing(path, sync_name=sync_name) as file:
        file.write(data)
    others = [other for other in find(folder, stem) if other.path != path]
    before = [other for other in others if other.step < step]
    _remove(folder, [other for other in others if other not in before[:earlier]])


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


def remove_beyond(folder: Location, step: int) -> None:
    """Remove the files of later steps than `step`."""
    _remove(folder, [file for file in find(folder) if file.step > step])


def remove_old(folder: Location) -> None:
    """Remove all but the newest file of each stem."""
    seen: set[str] = set()
    old = []
    for file in find(folder):
        if file.stem in seen:
            old.append(file)
        seen.add(file.stem)
    _remove(folder, old)


def _remove(folder: Location, unwanted: list[CheckpointFile]) -> None:
    files.remove_all(folder, [file.path.name for file in unwanted])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
