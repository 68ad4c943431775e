"""The store: a folder in which every trial has its place, and is finished exactly once.

<root>/semisweep.json                the store's format version
<root>/trials/<key>/                 see `semisweep.store.trial_folder`
<root>/studies/, <root>/recorded/    resolved studies, see `semisweep.store.study_files`
<root>/searches/                     what searches suggested, see `semisweep.store.suggestion_log`
<root>/looks/                        looks at tables, see `semisweep.store.look_log`
<root>/merging/                      a lock: who merges, see `semisweep.store.store_merge`
<root>/loggers/                      locks: who logs a study, see `semisweep.tracking.follower`
<root>/results/, <root>/history/     compacted copies, see `semisweep.store.compacted_parts`

The files under trials/ are the only truth about trials; compacted copies can be made again. In
object storage, and on a disk without locks or where $SEMISWEEP_LEASES was set when the store was
made, trials are as in `semisweep.store.leased_folder`: format 2.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from semisweep.core.errors import StoreError
from semisweep.store import file_lock, files, lease, stopped_trial
from semisweep.store.files import Location
from semisweep.store.leased_folder import LeasedFolder
from semisweep.store.object_storage import SCHEME, ObjectPath
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.study_files import StudyFiles, StudyPlace, variant_of
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Failure, Result

FORMAT = 1  # the kernel's locks say who trains
LEASED = 2  # leases do
LEASES = "SEMISWEEP_LEASES"
MARKER = "semisweep.json"
FEW = 8  # so many trials are asked for one by one, more by a listing of all


@dataclass(frozen=True)
class Ends:
    """How some trials have ended: those with a result, and those that failed and have none."""

    finished: frozenset[str] = frozenset()
    failures: Mapping[str, Failure] = field(default_factory=dict)


@dataclass(frozen=True)
class Store:
    """An opened store; made by `Store.open`."""

    root: Location
    leased: bool = False

    @classmethod
    def open(cls, url: str | Path, *, create: bool = False) -> Store:
        """Return the store at `url`; with `create`, make it if absent and prove it writable.

        Raises `StoreError`, having touched nothing, if there is no store and none is to be made, if
        it has another format version, or if its place cannot be written.
        """
        root = locate(url)
        _refuse_links(root)
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
                f'if they are whole, write {{"format": {_format_of(root)}}} to {root / MARKER}'
            )
        if create:
            _prove_writable(root)
        if marker is None:
            marker = {"format": _format_of(root)}
            files.write_json(root / MARKER, marker)
        return cls(root, marker["format"] == LEASED)

    @staticmethod
    def exists(url: str | Path) -> bool:
        """Return whether there is something at `url`, a store or what `open` will refuse."""
        return locate(url).exists()

    def trial(self, key: str) -> TrialFolder:
        """Return the folder of a trial, whether it exists yet or not."""
        if not re.fullmatch(r"\w[\w-]*", key, re.ASCII):
            raise StoreError(f"a key must be letters, digits, _ and -, got key={key!r}")
        path = self.root / "trials" / key
        return LeasedFolder(path) if self.leased else TrialFolder(path)

    def survey(self, keys: Iterable[str]) -> dict[str, TrialFolder]:
        """Return the folders of many trials, to ask each of them for its state.

        In object storage they answer from one listing, made now.
        """
        folders = {key: self.trial(key) for key in keys}
        if not isinstance(self.root, ObjectPath) or len(folders) <= FEW:
            return folders
        seen: dict[str, dict[str, tuple[int, int]]] = {key: {} for key in folders}
        for name, stamp in files.below(self.root / "trials").items():
            key, _, rest = name.partition("/")
            if key in seen:
                seen[key][rest] = stamp
        return {key: LeasedFolder(folders[key].path, seen=seen[key]) for key in folders}

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

    def ends(self, keys: Iterable[str]) -> Ends:
        """Return how trials have ended, each of them asked once."""
        finished: set[str] = set()
        failures: dict[str, Failure] = {}
        for key, folder in self.survey(keys).items():
            if folder.finished:
                finished.add(key)
            elif (failure := folder.failure()) is not None:
                failures[key] = failure
        return Ends(frozenset(finished), failures)

    def finished(self) -> set[str]:
        """Return the keys of the trials that have a result."""
        return {key for key, folder in self.survey(self.keys()).items() if folder.finished}

    def failures(self, keys: Iterable[str] | None = None) -> dict[str, Failure]:
        """Return the failure of each trial, or each of `keys`, that failed and has no result."""
        return dict(self.ends(self.keys() if keys is None else keys).failures)

    def stopped(self, keys: Iterable[str] | None = None) -> dict[str, Result]:
        """Return the row of each trial, or each of `keys`, that a search stopped on its way."""
        folders = self.survey(self.keys() if keys is None else keys)
        found = {key: stopped_trial.stopped(folder) for key, folder in folders.items()}
        return {key: row for key, row in found.items() if row is not None}

    @contextmanager
    def lock(self, folder: str, *, wait: bool) -> Iterator[Callable[[], None] | None]:
        """Hold the lock of a folder of the store; yield None where another process has it.

        With `wait`, wait for it instead. Yields a function that raises `LeaseError` once the lock
        is lost, which happens to leases only.
        """
        path = self.root / folder
        if isinstance(path, Path) and not self.leased:
            with file_lock.held(path / "lock", wait=wait) as held:
                yield _nothing_lost if held else None
        else:
            with lease.held(path, wait=wait) as found:
                yield None if found is None else found.confirm

    @property
    def patience(self) -> float:
        """Seconds after which a lock is free whose process is gone; only leases take their time."""
        return 1.5 * lease.lease_seconds() if self.leased else 0.0

    def write_study(self, name: str, scale: str, study: StudyOrSearch) -> Location:
        """Keep a resolved study as the newest of this name, scale and changes; nothing is lost."""
        return self.study_files.write(name, scale, study)

    def read_study(
        self, name: str, scale: str, changes: Mapping[str, object] | None = None
    ) -> StudyOrSearch | None:
        """Return a resolved study or search, or None if it was never run so in this store.

        Raises `StoreError` for a file of another shape.
        """
        return self.study_files.read(StudyPlace(name, scale, variant_of(changes or {})))

    def read_search(
        self, name: str, scale: str, changes: Mapping[str, object] | None = None
    ) -> ResolvedSearch | None:
        """Return a search, or None where this name and scale are not a search that was run so."""
        found = self.read_study(name, scale, changes)
        return found if isinstance(found, ResolvedSearch) else None

    def read_table(
        self, name: str, scale: str, changes: Mapping[str, object] | None = None
    ) -> ResolvedStudy | None:
        """Return a resolved table, or None where name and scale are not one that was run so."""
        found = self.read_study(name, scale, changes)
        return found if isinstance(found, ResolvedStudy) else None

    def studies(self) -> list[tuple[str, str]]:
        """Return name and scale of each resolved study once, in order."""
        return list(dict.fromkeys(place[:2] for place in self.study_files.places()))

    def study_keys(
        self, name: str, scale: str, changes: Mapping[str, object] | None = None
    ) -> list[str]:
        """Return the distinct keys that a resolved study wants, in its order; none without one."""
        study = self.read_study(name, scale, changes)
        return [] if study is None else study.keys

    @property
    def study_files(self) -> StudyFiles:
        """The files of its resolved studies."""
        return StudyFiles(self.root)


def _nothing_lost() -> None:
    """Do nothing: a lock of the kernel cannot be lost."""


def locate(url: str | Path) -> Location:
    """Return the place that a store's URL names; raise `StoreError` where it names none."""
    text = os.fspath(url)
    if not text.strip():
        raise StoreError(
            f"a store must be named, got store={text!r}; leave --store out for the usual one"
        )
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}", text)  # a Path has made :// of it :/
    if scheme and scheme[1].lower() == SCHEME:
        return ObjectPath.parse(f"{SCHEME}://{text[scheme.end() :]}")
    if scheme and scheme[1].lower() != "file":
        raise StoreError(
            f"a store must be a folder or {SCHEME}://BUCKET/PREFIX, got scheme={scheme[1]}; other "
            f"object storage is not supported in this version"
        )
    if scheme:
        text = unquote(urlsplit(text).path)
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise StoreError(
            f"a store's home folder must be known, got store={text}: {error}"
        ) from None


def _refuse_links(root: Location) -> None:
    """Raise `StoreError` where a part of a store is a link, as it may lead out of the store."""
    if not isinstance(root, Path) or not root.is_dir():
        return
    with os.scandir(root) as entries:
        links = sorted(entry.path for entry in entries if entry.is_symlink())
    if links:
        raise StoreError(
            f"a store must not have links in it, got path={links[0]}; move what it leads to there"
        )


def _check_format(root: Location, found: object) -> None:
    if found not in (FORMAT, LEASED):
        raise StoreError(
            f"a store must have format {FORMAT} or {LEASED}, which this version reads and writes, "
            f"got format={found!r}, store={root}; use the semisweep that made it, or another store"
        )
    if found == FORMAT and isinstance(root, ObjectPath):
        raise StoreError(
            f"object storage must hold a store of format {LEASED}, got format={found}, store="
            f"{root}; a local store cannot be moved there"
        )


def _format_of(root: Location) -> int:
    """Return the format of a store that is made here now."""
    if isinstance(root, ObjectPath) or os.environ.get(LEASES, "") not in ("", "0"):
        return LEASED
    return FORMAT if file_lock.are_possible(root) else LEASED


def _prove_writable(root: Location) -> None:
    """Write a file and a hard link to it, as completing a trial does, and remove both.

    Permission bits do not tell: root may write where they forbid it, nobody may on a file system
    that is mounted read-only, and some file systems have no hard links.
    """
    if isinstance(root, ObjectPath):
        _prove_conditions(root)
        return
    probe = root / "probe"
    with files.writing(root), files.temporary_beside(probe) as first:
        with open(first, "xb") as file:
            file.write(b"probe")
            files.sync_file(file)
        with files.temporary_beside(probe) as second:
            os.link(first, second)


def _prove_conditions(root: ObjectPath) -> None:
    """Make an object, try to make it again, and remove it: not every storage knows If-None-Match.

    Without it two processes could both complete a trial.
    """
    probe = root / f"probe-{secrets.token_hex(6)}"
    try:
        if not probe.create(b"first") or probe.create(b"second"):
            raise StoreError(
                f"object storage must refuse to make an object that exists (If-None-Match: *), "
                f"got one that does not, store={root}; use another storage"
            )
    finally:
        probe.unlink()
