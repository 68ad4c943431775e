"""One trial's folder: what is written while it trains, and the one act that completes it.

trial.json                         the trial's complete description, before the first step
attempt-0001, ...                  one empty file an attempt
history.jsonl                      one line an evaluation
checkpoint-<step>-<digest>.pt      full training state, two kept, gone once there is a result
weights-<name>-<step>-<digest>.pt  weights that further evaluations read, of what `predict` needs
confusion-<name>.npz               per-image confusion matrices
evaluation-<digest>.parquet        one row a further evaluation
log-0001.txt, ...                  what was said, one file an attempt, see `trial_log`
failure.json                       why the trial failed
rung-..., stopped-...              what searches decided on its way, see `stopped_trial`
result.parquet                     one row; its existence is completion

Whoever trains holds `lock()` or `try_lock()`. Nothing is pickled. The names of new files are
brought to the disk with the next checkpoint, or just before the result: nothing counts before.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisweep.core.errors import StoreError
from semisweep.store import checkpoint_file, confusion_file, file_lock, files, history_file
from semisweep.store.checkpoint_file import CheckpointFile, Content
from semisweep.store.files import Location
from semisweep.store.result_file import encode_row, read_row
from semisweep.store.trial_records import (
    Description,
    Evaluation,
    Failure,
    Result,
    decode_description,
    decode_failure,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHECKPOINTS_KEPT = 2
CHECKPOINT, WEIGHTS = "checkpoint", "weights-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialFolder:
    """Where one trial lives. Reading never writes; the folder is made by the first write."""

    path: Location

    @property
    def key(self) -> str:
        """The trial's key, which is the folder's name."""
        return self.path.name

    def describe(self, description: Mapping[str, object]) -> None:
        """Write trial.json, unless it is there: configurations with one key share the first."""
        if not self._description.is_file():
            files.write_json(self._description, description, sync_name=False)

    def description(self) -> Description:
        """Return what `describe` wrote; raise `StoreError` if nothing was, or something else."""
        found = self.find_description()
        if found is None:
            raise StoreError(f"a trial must have been described, got no file {self._description}")
        return found

    def find_description(self) -> Description | None:
        """Return what `describe` wrote, None where nothing was; raise `StoreError`."""
        found = files.read_json(self._description)
        return None if found is None else decode_description(found, self._description)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait for, and hold, the sole right to train this trial.

        The kernel frees it when this process and those it forked meanwhile are dead.
        """
        with self._locked(wait=True):
            yield

    @contextmanager
    def try_lock(self) -> Iterator[bool]:
        """Hold the sole right to train this trial, and yield True; yield False if another has it.

        Never waits. Within the body nothing differs from `lock()`, once True was yielded.
        """
        with self._locked(wait=False) as held:
            yield held

    @contextmanager
    def _locked(self, *, wait: bool) -> Iterator[bool]:
        assert isinstance(self.path, Path)
        with file_lock.held(self.path / "lock", wait=wait) as held:
            yield held

    @property
    def in_training(self) -> bool:
        """Whether some process has the right to train this trial; asking takes nothing."""
        assert isinstance(self.path, Path)
        return file_lock.is_held(self.path / "lock")

    def start_attempt(self) -> int:
        """Return the number of a new attempt: 1, 2, 3 and on, never the same twice.

        What killed attempts left half written goes, so the caller holds the lock.
        """
        assert isinstance(self.path, Path)
        with files.writing(self.path):
            files.make_folder(self.path)
            files.remove(self.path, files.is_temporary)
            number = self.attempts + 1
            while not _create(self.path / f"attempt-{number:04d}"):
                number += 1
            files.sync_folder(self.path)
        return number

    @property
    def attempts(self) -> int:
        """How many attempts were started."""
        found = (re.fullmatch(r"attempt-(\d+)", entry.name) for entry in files.scan(self.path))
        return max((int(match[1]) for match in found if match), default=0)

    @property
    def attempted_at(self) -> float | None:
        """When the newest attempt was started, in seconds since 1970; None without one."""
        number = self.attempts
        return _changed_at(self.path / f"attempt-{number:04d}") if number else None

    @property
    def started_at(self) -> float | None:
        """When the first attempt was started, in seconds since 1970; None without one."""
        return _changed_at(self.path / "attempt-0001")

    @property
    def failed_at(self) -> float | None:
        """When `fail` was called, in seconds since 1970; None where it was not."""
        return _changed_at(self._failure)

    def append_history(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows to the history, durably. NaN and Inf are kept as null, which reads as NaN."""
        history_file.append(self._history, rows)

    def evaluations(self) -> list[Evaluation]:
        """Return the history: what was measured while it trained, in the order of its steps.

        A last line that a killed writer tore is none.
        """
        return history_file.read(self._history)

    def cut_history(self, step: int) -> None:
        """Drop the rows whose "step" is beyond `step`, and a torn last line."""
        history_file.cut(self._history, step)

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps: history, weights, checkpoints beyond it go."""
        self.cut_history(step)
        checkpoint_file.remove_beyond(self._own, step)

    def write_checkpoint(self, step: int, content: Content) -> None:
        """Keep the full state after `step` steps, and the one before it.

        Others of this step or later ones are of an attempt that was given up: they go. So do
        weights that neither checkpoint knows of: it knows the last ones written until its step.
        """
        own = self._own
        checkpoint_file.write(own, CHECKPOINT, step, content)
        checkpoint_file.remove(own, _superseded(checkpoint_file.find(own), step))

    def read_checkpoint(self) -> tuple[int, bytes] | None:
        """Return step and state of the newest checkpoint that is not damaged, or None."""
        for file in checkpoint_file.find(self.states, CHECKPOINT):
            data = file.read()
            if data is not None:
                return file.step, data
            logger.warning("a checkpoint is damaged, the one before it is used: %s", file.path)
        return None

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a state to go on from, whole or not."""
        return bool(checkpoint_file.find(self.states, CHECKPOINT))

    def write_weights(self, name: str, step: int, content: Content) -> None:
        """Keep weights under a name such as "last".

        Earlier ones stay until there is a result, or checkpoints that do not know of them: that to
        resume from, which may still be written, may know only those.
        """
        checkpoint_file.write(self._own, f"{WEIGHTS}{name}", step, content, sync_name=False)

    def add_weights(self, name: str, step: int, content: bytes) -> None:
        """Keep weights that were made elsewhere beside all others of their name."""
        checkpoint_file.add(self._own, f"{WEIGHTS}{name}", step, content)

    def start_over(self) -> None:
        """Give up what an unfinished trial goes on from: states, then the history.

        The caller has the right to train the trial. Its next attempt begins at the first step.
        """
        states = checkpoint_file.find(self._own)  # checkpoints first, as they know the others
        checkpoint_file.remove(self._own, sorted(states, key=lambda file: file.stem != CHECKPOINT))
        self.cut_history(-1)

    def share_weights(self, name: str, other: str, step: int) -> None:
        """Keep the weights called `other` of a step as `name` too, without writing them again."""
        checkpoint_file.link(self._own, f"{WEIGHTS}{name}", f"{WEIGHTS}{other}", step)

    def keep_weights(self, names: Collection[str]) -> None:
        """Remove the weights of a finished trial that have other names than these."""
        if self.finished:
            states = self.states
            found = [file for file in checkpoint_file.find(states) if file.stem.startswith(WEIGHTS)]
            unwanted = [file for file in found if file.stem.removeprefix(WEIGHTS) not in names]
            checkpoint_file.remove(states, unwanted)

    def read_weights(self, name: str, step: int | None = None) -> bytes:
        """Return the newest weights of a name, or those of `step`; raise `StoreError`."""
        found = checkpoint_file.find(self.states, f"{WEIGHTS}{name}")
        chosen = found[0].step if found and step is None else step
        found = [file for file in found if file.step == chosen]
        if not found:
            wanted = f"name={name}, step={'newest' if step is None else step}, key={self.key}"
            raise StoreError(f"weights must have been kept to be read, got none of {wanted}")
        intact = (data for data in (file.read() for file in found) if data is not None)
        data = next(intact, None)
        if data is None:
            raise StoreError(f"weights must match their checksum, got path={found[0].path}")
        return data

    def write_confusion(self, name: str, array: NDArray[np.integer[Any]]) -> None:
        """Keep an array of integers under a name, such as matrices [N, C, C] of N images."""
        import numpy as np

        with files.replacing(self._own / f"confusion-{name}.npz", sync_name=False) as file:
            np.savez_compressed(file, confusion=array)

    def add_confusion(self, file: str, content: bytes) -> None:
        """Keep an array that `write_confusion` wrote elsewhere to a file of this name."""
        with files.replacing(self._own / file, sync_name=False) as own:
            own.write(content)

    def read_confusion(self, name: str) -> NDArray[np.integer[Any]]:
        """Return what `write_confusion` kept; raise `StoreError` if missing or damaged."""
        return confusion_file.read_array(self.states / f"confusion-{name}.npz")

    def complete(self, row: Mapping[str, object]) -> bool:
        """Make `row` the result and return True; return False if there is one already.

        The one atomic act of a trial: its result is whole or absent, and never replaced. What only
        training needed then goes (see `clean`). Lists in the row become JSON text.
        """
        files.sync_folder(self._own)
        is_first = files.create(self._result, encode_row({"key": self.key, **row}))
        self.clean()
        return is_first

    def clean(self) -> None:
        """Remove what a finished trial has no use for.

        That is checkpoints, all but the newest weights of a name, and files left half written.
        """
        if self.finished:
            checkpoint_file.remove_old(self.path)
            files.remove(
                self.path,
                lambda name: name.startswith("checkpoint-") or files.is_temporary(name),
            )

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self._result.is_file()

    def result(self, columns: Sequence[str] | None = None) -> Result | None:
        """Return the result, or those of its columns that are asked for; None without one."""
        row = read_row(self._result, columns)
        return None if row is None else Result(self.key, row)

    def fail(self, failure: Mapping[str, object]) -> None:
        """Write why the trial failed, such as {"error": ..., "attempts": ...}."""
        files.write_json(self._failure, failure)

    def failure(self) -> Failure | None:
        """Return what `fail` wrote, or None."""
        found = files.read_json(self._failure)
        return None if found is None else decode_failure(found, self._failure)

    def forget_failure(self) -> None:
        """Remove the failure, if there is one, so that the trial is run again."""
        files.remove(self.path, lambda name: name == self._failure.name)

    def stamp(self, name: str) -> tuple[int, int] | None:
        """Return size and version of one of the trial's files (see `files.stamp`), or None."""
        return files.stamp(self.path / name)

    def large_files(self) -> list[Location]:
        """Return what could be freed: checkpoints, weights, confusion matrices, torn files."""
        return [self.path / entry.name for entry in files.scan(self.path) if is_large(entry.name)]

    @property
    def states(self) -> Location:
        """The folder of the checkpoints, weights and confusion matrices that count."""
        return self.path

    @property
    def _own(self) -> Location:
        """The folder that whoever trains writes those to."""
        return self.path

    @property
    def _description(self) -> Location:
        return self.path / "trial.json"

    @property
    def _history(self) -> Path:
        assert isinstance(self.path, Path)
        return self.path / "history.jsonl"

    @property
    def _failure(self) -> Location:
        return self.path / "failure.json"

    @property
    def _result(self) -> Location:
        return self.path / "result.parquet"


def is_large(name: str) -> bool:
    """Return whether a file of this name is a state, or was left half written."""
    return name.startswith(("checkpoint-", "weights-", "confusion-")) or files.is_temporary(name)


def _superseded(states: Sequence[CheckpointFile], step: int) -> list[CheckpointFile]:
    """Return which states nothing needs once there is a checkpoint of a step.

    Needed are the newest checkpoints, the weights that were the last ones when these were made, and
    those that were written while this one was.
    """
    kept = [file for file in states if file.stem == CHECKPOINT][:CHECKPOINTS_KEPT]
    needed = {file.path.name for file in kept}
    for stem in {file.stem for file in states if file.stem.startswith(WEIGHTS)}:
        own = [file for file in states if file.stem == stem]
        needed |= {file.path.name for file in own if file.step > step}
        for checkpoint in kept:
            known = [file for file in own if file.step <= checkpoint.step]
            needed |= {file.path.name for file in known[:1]}
    return [file for file in states if file.path.name not in needed]


def _changed_at(path: Location) -> float | None:
    try:
        return path.stat().st_mtime_ns / 1e9
    except FileNotFoundError:
        return None


def _create(path: Path) -> bool:
    """Make an empty file and return True; return False if it exists."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
