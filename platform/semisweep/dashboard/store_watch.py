"""What a store holds now, and what has changed since: other processes and machines write it.

A look costs one status a trial on a disk, and three while it has no result; in object storage one
listing. Nothing is written, no lock is taken.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.compacted_parts import JOURNAL, RESULT
from semisweep.store.object_storage import ObjectPath
from semisweep.store.store import Ends, Store
from semisweep.store.study_files import StoredStudy
from semisweep.store.trial_folder import TrialFolder
from semisweep.store.trial_records import Failure
from semisweep.tables.status import Standing

SECONDS = 0.4  # between two looks
SHARE = 0.1  # of the time that looks may take, where they are slow
STUDY_FOLDERS = ("studies", "searches", "looks", "imported", "faults")

Stamp = tuple[object, ...]


class _Seen(NamedTuple):
    """What a look sees of a trial: what changes when it does, and whether it has a result."""

    stamp: Stamp
    finished: bool


class StoreWatch:
    """The studies and the states of the trials of a store, as they were at the last look.

    `version` grows with every change; those of an earlier process are smaller.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.version = time.time_ns() // 1_000_000
        self.studies: list[StoredStudy] = []
        self.finished: set[str] = set()
        self.failures: dict[str, Failure] = {}
        self.active: set[str] = set()
        self._stamps: dict[str, Stamp] = {}
        self._study_stamps: Mapping[str, Stamp] = {}
        self._changed: dict[str, int] = {}  # trial -> version
        self._ended: dict[str, int] = {}  # trial -> version at which it came to an end
        self._studies_changed = self.version
        self._next = 0.0
        self._guard = threading.Lock()

    def look(self) -> int:
        """Look at the store, unless the last look was just now; return the version."""
        with self._guard:
            started = time.monotonic()
            if started >= self._next:
                self._look()
                took = time.monotonic() - started
                self._next = started + took + max(SECONDS, took / SHARE)
        return self.version

    def look_next_time(self) -> None:
        """Have the next `look` happen though the last one was just now."""
        self._next = 0.0

    def version_of(self, keys: Iterable[str]) -> int:
        """Return the version at which any of some trials, or any study, changed last."""
        return max(self._studies_changed, *(self._changed.get(key, 0) for key in keys), 0)

    def ended_version_of(self, keys: Iterable[str]) -> int:
        """Return the version at which any of some trials ended last, or any study changed."""
        return max(self._studies_changed, *(self._ended.get(key, 0) for key in keys), 0)

    def standing(self) -> Standing:
        """Return what is known of the trials."""
        return Standing(self.store, Ends(frozenset(self.finished), self.failures), self.active)

    def study(self, place: str) -> StoredStudy | None:
        """Return the study at a place, such as "rankmatch_agents@mini"; None if it is not there."""
        return next((own for own in self.studies if str(own.place) == place), None)

    def _look(self) -> None:
        new = dict(self._study_files())
        studies_changed = new != self._study_stamps
        if studies_changed:
            self.studies = self.store.study_files.all()
            self._study_stamps = new
        trials = dict(self._trials())
        changed = [key for key, own in trials.items() if self._stamps.get(key) != own.stamp]
        gone = self._stamps.keys() - trials.keys()
        for key in gone:
            self._forget(key)
        other: list[str] = []  # that have a result or a failure, or have lost it
        for key in changed:
            before = key in self.finished, self.failures.get(key)
            self._stamps[key] = trials[key].stamp
            self._ask(key, trials[key])
            if trials[key].finished or before != (False, self.failures.get(key)):
                other.append(key)
        ended = [key for key in self.active if not self.store.trial(key).in_training]
        self.active.difference_update(ended)
        if studies_changed or gone or changed or ended:
            self.version += 1
            self._changed.update(dict.fromkeys([*changed, *ended], self.version))
            self._ended.update(dict.fromkeys([*other, *ended], self.version))
            if studies_changed or gone:
                self._studies_changed = self.version

    def _ask(self, key: str, seen: _Seen) -> None:
        """Learn in which state a trial is that has changed."""
        failure = None
        if seen.finished:
            self.finished.add(key)
            self.active.discard(key)
        else:
            folder = self.store.trial(key)
            self.finished.discard(key)
            failure = self._failure(folder)
            if folder.in_training:
                self.active.add(key)
        if failure is None:
            self.failures.pop(key, None)
        else:
            self.failures[key] = failure

    def _failure(self, folder: TrialFolder) -> Failure | None:
        try:
            return folder.failure()
        except StoreError as error:  # of this trial alone
            return Failure(str(error), folder.attempts, {})

    def _forget(self, key: str) -> None:
        del self._stamps[key]
        self._ended.pop(key, None)
        self.finished.discard(key)
        self.active.discard(key)
        self.failures.pop(key, None)

    def _study_files(self) -> Iterator[tuple[str, Stamp]]:
        for name in STUDY_FOLDERS:
            for file, stamp in files.below(self.store.root / name).items():
                yield f"{name}/{file}", stamp

    def _trials(self) -> Iterator[tuple[str, _Seen]]:
        """Yield the trials that were ever begun."""
        root = self.store.root / "trials"
        if isinstance(root, ObjectPath):
            yield from _listed(root)
            return
        start = f"{root}/"  # ten thousand paths would take longer than the disk
        for key in (entry.name for entry in files.scan(root)):
            result = _status(f"{start}{key}/{RESULT}")
            if result is not None:
                yield key, _Seen((result.st_size, result.st_mtime_ns), True)
            elif (own := _status(f"{start}{key}")) is not None:
                history = self.store.trial(key).stamp(JOURNAL)
                yield key, _Seen((own.st_mtime_ns, history), False)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _listed(root: ObjectPath) -> Iterator[tuple[str, _Seen]]:
    """Yield trials of object storage from one listing; that a lease was renewed is no change."""
    names = sorted(files.below(root).items())
    for key, own in itertools.groupby(names, lambda item: item[0].partition("/")[0]):
        found = [(name.partition("/")[2], stamp) for name, stamp in own]
        kept = tuple(item for item in found if not item[0].startswith("lease-"))
        yield key, _Seen(kept, RESULT in dict(found))
