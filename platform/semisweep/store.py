"""The store: a folder in which every trial has its place, and is finished exactly once.

<root>/semisweep.json                the store's format version
<root>/trials/<key>/                 see `semisweep.folder`
<root>/studies/<name>@<scale>.json   resolved studies: what tables are made of
<root>/results/, <root>/history/     compacted copies, see `semisweep.parts`

The files under trials/ are the only truth; whatever else is kept can be made from them again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from semisweep import files
from semisweep.errors import StoreError
from semisweep.files import replacing
from semisweep.folder import TrialFolder

__all__ = ["FORMAT", "Store", "TrialFolder", "replacing"]

FORMAT = 1
MARKER = "semisweep.json"


@dataclass(frozen=True)
class Store:
    """An opened store; `Store.open` is how to get one."""

    root: Path

    @classmethod
    def open(cls, url: str | Path, *, create: bool = False) -> Store:
        """Return the store at `url`; with `create`, make it if absent and prove it writable.

        Raises `StoreError`, having touched nothing, if there is no store and none is to be made, if
        it has another format version, or if its place cannot be written.
        """
        root = _local_path(url)
        has_trials = (root / "trials").exists()  # asked first: another process may be making it all
        marker = files.read_json(root / MARKER)
        if marker is not None:
            _check_format(root, marker.get("format"))
        elif not create:
            raise StoreError(
                f"a store must exist to be read, no store at {root}; run a study first"
            )
        elif has_trials:
            raise StoreError(
                f"a store must have a {MARKER}, got store={root} with trials but without it; "
                f'if they are whole, write {{"format": {FORMAT}}} to {root / MARKER}'
            )
        if create:
            _prove_writable(root)
        if marker is None:
            files.write_json(root / MARKER, {"format": FORMAT})
        return cls(root)

    def trial(self, key: str) -> TrialFolder:
        """Return the folder of a trial, whether it exists yet or not."""
        if not re.fullmatch(r"\w[\w-]*", key, re.ASCII):
            raise StoreError(f"a key must be letters, digits, _ and -, got key={key!r}")
        return TrialFolder(self.root / "trials" / key)

    def keys(self) -> list[str]:
        """Return the keys of all trials that were ever begun, in order."""
        return sorted(entry.name for entry in files.scan(self.root / "trials") if entry.is_dir())

    def find(self, start: str) -> str:
        """Return the one key that begins with `start`; raise `StoreError` for none or several."""
        found = [key for key in self.keys() if key.startswith(start)]
        if start in found:
            return start
        if len(found) == 1 and start:
            return found[0]
        said = f"several: {', '.join(found[:5])}" if found else "none"
        hint = "; give more of it" if found else "; semisweep.load gives all keys"
        raise StoreError(
            f"the start of a key must be of one trial of {self.root}, got key={start!r} "
            f"of {said}{hint}"
        )

    def finished(self) -> set[str]:
        """Return the keys of the trials that have a result."""
        return {key for key in self.keys() if self.trial(key).finished}

    def failures(self, keys: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return what is known of each trial, or each of `keys`, that failed and has no result."""
        folders = (self.trial(key) for key in (self.keys() if keys is None else keys))
        found = {folder.key: folder.failure() for folder in folders if not folder.finished}
        return {key: failure for key, failure in found.items() if failure is not None}

    def stopped(self, keys: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
        """Return the row of each trial, or each of `keys`, that a search stopped on its way."""
        folders = (self.trial(key) for key in (self.keys() if keys is None else keys))
        found = {folder.key: folder.stopped() for folder in folders}
        return {key: row for key, row in found.items() if row is not None}

    def write_study(self, name: str, scale: str, study: Mapping[str, Any]) -> Path:
        """Keep a resolved study, in place of the earlier one of this name and scale."""
        path = self._study_path(name, scale)
        files.write_json(path, study)
        return path

    def read_study(self, name: str, scale: str) -> dict[str, Any] | None:
        """Return a resolved study, or None if it was never run in this store."""
        return files.read_json(self._study_path(name, scale))

    def studies(self) -> list[tuple[str, str]]:
        """Return name and scale of each resolved study, in order."""
        names = (entry.name for entry in files.scan(self.root / "studies"))
        stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        parts = [stem.rpartition("@") for stem in stems if "@" in stem]
        return sorted((unquote(name), unquote(scale)) for name, _, scale in parts)

    def study_keys(self, name: str, scale: str) -> list[str]:
        """Return the distinct keys that a resolved study wants, in its order; none without one."""
        study = self.read_study(name, scale) or {}
        cells = (key for cell in study.get("cells", ()) for key in cell["trials"].values())
        suggested = (entry["key"] for entry in study.get("trials", ()))
        return list(dict.fromkeys([*cells, *suggested]))

    def _study_path(self, name: str, scale: str) -> Path:
        return self.root / "studies" / f"{quote(name, safe=':')}@{quote(scale, safe='')}.json"


def _local_path(url: str | Path) -> Path:
    """Return the absolute local path that a store's URL stands for."""
    text = os.fspath(url)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", text)  # a Path has made :// of it :/
    if scheme and scheme[1].lower() != "file":
        raise StoreError(
            f"a store must be a local folder, got store={text}; "
            f"object storage is not supported in this version"
        )
    if scheme:
        text = unquote(urlsplit(text).path)
    return Path(text).expanduser().absolute()


def _check_format(root: Path, found: object) -> None:
    if found != FORMAT:
        raise StoreError(
            f"a store must have format {FORMAT}, which this version reads and writes, "
            f"got format={found!r}, store={root}; use the semisweep that made it, or another store"
        )


def _prove_writable(root: Path) -> None:
    """Write a file and a second name for it, as completing a trial does; leave neither.

    Permission bits say little: root may write where they forbid it, and nobody may on a file system
    that is mounted for reading, or can make a hard link on one that has none.
    """
    probe = root / "probe"
    with files.writing(root), files.temporary_beside(probe) as first:
        with open(first, "xb") as file:
            file.write(b"probe")
            files.sync_file(file)
        with files.temporary_beside(probe) as second:
            os.link(first, second)
