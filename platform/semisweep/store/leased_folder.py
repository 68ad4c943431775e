"""A trial's folder where nobody can lock a file: in object storage, or shared between machines.

As in `semisweep.store.trial_folder`, but the process that trains holds a lease, and writes to a
folder of its own:

lease-000002.json                  who trains, see `semisweep.store.lease`
000002/history-000000.jsonl, ...   what it measured, see `semisweep.store.history_segments`
000002/checkpoint-..., weights-..., confusion-...
000002/start.json                  written when the folder has all that training goes on from

The complete folder with the greatest number counts. A process that was taken for dead but lives
writes to its own folder only, and changes nothing in that of the next one. When there is a result,
the folder of its writer counts, and the others are removed.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from semisweep.core.errors import LeaseError, StoreError
from semisweep.store import checkpoint_file, files, history_file, history_segments, lease
from semisweep.store.files import Location
from semisweep.store.object_storage import ObjectPath
from semisweep.store.result_file import encode_row, read_marks
from semisweep.store.trial_folder import TrialFolder, is_large
from semisweep.store.trial_records import Evaluation

_OWN = re.compile(r"(\d{6})/([^/]+)")
_NOBODY = "000000"  # the folder of what is written without the right to train
logger = logging.getLogger(__name__)


@dataclass
class HeldLease:
    """The lease under which this object trains, its folder's state, and its next segment."""

    lease: lease.Lease | None = None
    begun: bool = False
    segment: int | None = None


@dataclass(frozen=True)
class LeasedFolder(TrialFolder):
    """One trial's folder in object storage, or on a disk that several machines share.

    With `seen`, a listing of its files, which then answers what it can.
    """

    held: HeldLease = field(default_factory=HeldLease, compare=False, repr=False)
    seen: Mapping[str, tuple[int, int]] | None = field(default=None, compare=False, repr=False)

    @contextmanager
    def _locked(self, *, wait: bool) -> Iterator[bool]:
        above = max(map(int, self._folders()), default=0)
        with lease.held(self.path, wait=wait, above=above) as found:
            if found is None:
                yield False
                return
            self.held.lease, self.held.begun, self.held.segment = found, False, None
            try:
                yield True
            finally:
                self.held.lease = self.held.segment = None

    @property
    def in_training(self) -> bool:
        """Whether a process has the right to train this trial, or died less than a lease ago."""
        return lease.is_held(self.path)

    def start_attempt(self) -> int:
        """Return the number of a new attempt: 1, 2, 3 and on, never the same twice."""
        number = self.attempts + 1
        while not files.create(self.path / f"attempt-{number:04d}", secrets.token_bytes(8)):
            number += 1
        return number

    def append_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows to the history, durably. NaN and Inf are kept as null, which reads as NaN."""
        own = self._own
        following = history_segments.append(own, rows, self.held.segment)
        self.held.segment = following if self.held.lease is not None else None

    def evaluations(self) -> list[Evaluation]:
        """Return the history: what was measured while it trained, in the order of its steps."""
        whole = self.path / "history.jsonl"
        try:
            return history_file.parse(files.read(whole), whole)
        except FileNotFoundError:
            return history_segments.read(self.states)

    def cut_history(self, step: int) -> None:
        """Drop the rows whose "step" is beyond `step`."""
        history_segments.cut(self._own, step)

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps: history, weights, checkpoints beyond it go."""
        if self.held.lease is None or self.held.begun:
            super().rewind(step)
        else:
            self._begin(self.held.lease, step)

    def start_over(self) -> None:
        """Give up what an unfinished trial goes on from, by a folder of its own without it."""
        self.rewind(-1)

    def complete(self, row: Mapping[str, object]) -> bool:
        """Make `row` the result and return True; return False if there is one already.

        Raises `LeaseError` if there is none, and another process has the right to make it.
        """
        try:
            if self.held.lease is not None:
                self.held.lease.confirm()
            own = self._own
        except LeaseError:
            if not self.finished:
                raise
            self.clean()
            return False
        marks = {"folder": own.name, "writer": secrets.token_hex(8)}
        files.sync_folder(own)
        is_first = files.create(self._result, encode_row({"key": self.key, **row}, marks))
        self.clean()
        return is_first

    def clean(self) -> None:
        """Remove what a finished trial does not need, and join its history into one file."""
        names = self._names()
        if self._result.name not in names:
            return
        states = self._winner  # which need not be the folder that this object writes to
        whole = self.path / "history.jsonl"
        if whole.name not in names and any(_is_segment(name, states.name) for name in names):
            with files.replacing(whole) as file:
                rows = (row.values for row in history_segments.read(states))
                file.write(history_segments.encode(rows))
        if any(name.startswith(f"{states.name}/weights-") for name in names):
            checkpoint_file.remove_old(states)
        files.remove_all(self.path, [name for name in names if _is_over(name, states.name)])

    def fail(self, failure: Mapping[str, object]) -> None:
        """Write why the trial failed, unless another process has the right to train it."""
        try:
            if self.held.lease is not None:
                self.held.lease.confirm()
        except LeaseError as error:
            logger.warning("not kept as a failure, as it is none: %s", error)
            return
        super().fail(failure)

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return super().finished if self.seen is None else self._result.name in self.seen

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Return size and version of one of the trial's files; of all segments for the history."""
        if self.seen is None and name != "history.jsonl":
            return super().stamp(name)
        found = self._names()
        if name != "history.jsonl" or name in found:
            return found.get(name)
        states = self._counting(found)
        stamps = [found[own] for own in sorted(found) if _is_segment(own, states)]
        if not stamps:
            return None
        digest = hashlib.sha256(repr(stamps).encode()).hexdigest()
        return sum(size for size, _ in stamps), int(digest[:15], 16)

    def large_files(self) -> list[Location]:
        """Return what could be freed: checkpoints, weights, confusion matrices, torn files."""
        names = (name.split("/") for name in self._names())
        return [_join(self.path, parts) for parts in names if is_large(parts[-1])]

    @property
    def states(self) -> Location:
        """The folder of the checkpoints, weights and confusion matrices that count."""
        if self.held.lease is not None and self.held.begun:
            return self.path / _folder(self.held.lease)
        return self.path / self._counting(self._names())

    @property
    def _own(self) -> Location:
        if self.held.lease is None:
            return self.path / _NOBODY
        self.held.lease.check()
        if not self.held.begun:
            self._begin(self.held.lease, None)
        return self.path / _folder(self.held.lease)

    @property
    def _winner(self) -> Location:
        return self.path / read_marks(self._result).get("folder", _NOBODY)

    def _begin(self, own: lease.Lease, step: int | None) -> None:
        """Copy the state of the folder that counts, up to `step`, and make this one count."""
        target = self.path / _folder(own)
        own.check()
        source = self._adopt(target, step)
        rows = [row.values for row in self.evaluations() if step is None or row.step <= step]
        if rows:
            self.held.segment = history_segments.append(target, rows, 0)
        files.write_json(target / "start.json", {"step": step})
        self.held.begun = True
        own.confirm()  # else another one may be taking over what goes now
        # The last one's files stay: it may be about to finish, with all that it has.
        gone = [name for name in self._names() if _is_older(name, source.name)]
        files.remove_all(self.path, gone)

    def _adopt(self, target: Location, step: int | None) -> Location:
        """Copy the states that count, up to those of a step, to a folder; return where from."""
        for _ in range(5):
            source = self.states
            try:
                for entry in files.scan(source):
                    state = checkpoint_file.parse(source, entry.name)
                    beyond = state is not None and step is not None and state.step > step
                    if is_large(entry.name) and not beyond and not files.is_temporary(entry.name):
                        _copy(source / entry.name, target / entry.name)
                return source
            except FileNotFoundError:  # whoever lost the right has just removed it
                continue
        raise StoreError(f"a trial must be left alone by others to be taken over, got {self.path}")

    def _counting(self, names: Mapping[str, tuple[int, int]]) -> str:
        """Return the name of the folder that counts, of a trial that has files of these names."""
        if self._result.name in names:
            return self._winner.name
        begun = (name.partition("/") for name in names)
        return max((first for first, _, rest in begun if rest == "start.json"), default=_NOBODY)

    def _folders(self) -> set[str]:
        found = (_OWN.fullmatch(name) for name in self._names())
        return {match[1] for match in found if match}

    def _names(self) -> Mapping[str, tuple[int, int]]:
        return files.below(self.path) if self.seen is None else self.seen


def _is_over(name: str, winner: str) -> bool:
    """Return whether a finished trial no longer needs a file."""
    found = _OWN.fullmatch(name)
    stays = ("weights-", "confusion-", "start.json")
    is_given_up = found and (found[1] != winner or not found[2].startswith(stays))
    return bool(is_given_up) or files.is_temporary(name)


def _is_older(name: str, folder: str) -> bool:
    """Return whether a file is of an attempt before that of a folder, or of a removed result."""
    found = _OWN.fullmatch(name)
    return name == "history.jsonl" or bool(found and found[1] < folder)


def _is_segment(name: str, folder: str) -> bool:
    found = _OWN.fullmatch(name)
    return bool(found and found[1] == folder and history_segments.is_one(found[2]))


def _folder(own: lease.Lease) -> str:
    return f"{own.number:06d}"


def _join(path: Location, names: Sequence[str]) -> Location:
    for name in names:
        path = path / name
    return path


def _copy(source: Location, target: Location) -> None:
    if isinstance(source, ObjectPath) and isinstance(target, ObjectPath):
        source.copy(target)
        return
    with files.replacing(target) as file:
        file.write(source.read_bytes())
