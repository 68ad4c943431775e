"""All that a store knows of one trial, read at one moment and checked: what is packed and merged.

Every file is decoded by the reader that a table or a resume would use, before anything is made of
it. The trial may be a stranger's, and may be trained meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from semisweep.core.errors import StoreError
from semisweep.store import checkpoint_file, files, history_segments, stopped_trial
from semisweep.store.checkpoint_file import CheckpointFile
from semisweep.store.files import Location
from semisweep.store.result_file import encode_row, read_row
from semisweep.store.trial_folder import CHECKPOINT, WEIGHTS, TrialFolder
from semisweep.store.trial_records import Evaluation, Result

DESCRIPTION, FAILURE, HISTORY = "trial.json", "failure.json", "history.jsonl"
RESULT = "result.parquet"
CONFUSION = re.compile(r"confusion-(\w[\w.-]*)\.npz", re.ASCII)
LOG = re.compile(r"log-\d{4,9}\.txt", re.ASCII)
DECISION = re.compile(r"rung-\d{1,12}-[0-9a-f]{12}\.json", re.ASCII)
STOPPED = re.compile(r"stopped-\d{1,12}\.parquet", re.ASCII)
MEASURED = re.compile(r"(evaluation|labels)-[0-9a-f]+(-[0-9a-f]+)?\.parquet", re.ASCII)
ATTEMPT = re.compile(r"attempt-(\d{4,9})", re.ASCII)
TRIES = 5


@dataclass(frozen=True, kw_only=True)
class TrialContent:
    """What one trial has. Small files by their names as they are, states read where asked for."""

    key: str
    result: Result | None = None
    attempts: int = 0
    step: int = 0  # of the checkpoint that a resume would take; 0: none
    history: Sequence[Evaluation] = ()
    small: Mapping[str, bytes] = field(default_factory=dict)
    arrays: Mapping[str, bytes] = field(default_factory=dict)  # confusion matrices
    checkpoint: bytes | None = None
    weights: Mapping[CheckpointFile, bytes] = field(default_factory=dict)
    weight_names: tuple[str, ...] = ()  # also of weights that were not read
    weight_bytes: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is no more than a lock that somebody took."""
        return not (self.small or self.result or self.attempts)

    @property
    def state(self) -> str:
        """Whether it is "finished", "failed", "stopped" by a search, or "unfinished"."""
        if self.result is not None:
            return "finished"
        if FAILURE in self.small:
            return "failed"
        return "stopped" if any(map(STOPPED.fullmatch, self.small)) else "unfinished"

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and content of each file, as a trial's folder on a disk has them."""
        for number in sorted({1, self.attempts} if self.attempts else ()):
            yield f"attempt-{number:04d}", b""
        yield from sorted({**self.small, **self.arrays}.items())
        if self.history:
            yield HISTORY, history_segments.encode(row.values for row in self.history)
        for file, data in self.weights.items():
            yield file.path.name, data
        if self.checkpoint is not None:
            yield checkpoint_file.name_of(CHECKPOINT, self.step, self.checkpoint), self.checkpoint
        if self.result is not None:
            yield RESULT, encode_row(self.result)


def read_trial(
    folder: TrialFolder, *, checkpoint: bool = True, weights: bool = True
) -> TrialContent:
    """Return a trial as it was at one moment; raise `StoreError` where a file is damaged.

    Of an unfinished one come `checkpoint` and the weights that it knows of, of a finished one the
    newest `weights` under each name.
    """
    for _ in range(TRIES):
        before = _moment(folder)
        try:
            found = _read(folder, checkpoint, weights)
        except FileNotFoundError:  # whoever trains it has just removed something
            continue
        except StoreError:
            if _moment(folder) == before:
                raise
            continue
        if _moment(folder) == before:
            return found
    raise StoreError(
        f"a trial must stand still for a moment to be read, got key={folder.key}; try again"
    )


def _moment(folder: TrialFolder) -> tuple[object, ...]:
    """Return what differs once a trial has been begun anew, stopped, or finished."""
    names = sorted(entry.name for entry in files.scan(folder.path))
    told = (RESULT, FAILURE)
    own = [name for name in names if name in told or STOPPED.fullmatch(name)]
    states = folder.states
    return folder.attempts, states, own


def _read(folder: TrialFolder, checkpoint: bool, weights: bool) -> TrialContent:
    key, states = folder.key, folder.states
    result = folder.result()
    if result is not None:
        _check_key(result, key, folder.path / RESULT)
    described = folder.find_description()
    if described is not None:
        _check_key(described.fields.values, key, folder.path / DESCRIPTION)
    failed = None if result is not None else folder.failure()
    stopped_trial.read_rungs(folder)
    small = {}
    for name in sorted(entry.name for entry in files.scan(folder.path) if not entry.is_dir()):
        path = folder.path / name
        if STOPPED.fullmatch(name) or MEASURED.fullmatch(name):
            _check_key(read_row(path) or {}, key, path)
        elif not (
            LOG.fullmatch(name)
            or DECISION.fullmatch(name)
            or (name == DESCRIPTION and described is not None)
            or (name == FAILURE and failed is not None)
        ):
            continue
        small[name] = files.read(path)
    kept = _kept(states, None) if result is not None else []
    step, data = 0, None
    if result is None and checkpoint:
        step, data = folder.read_checkpoint() or (0, None)
        kept = _kept(states, step) if step else []
    contents = {file: _content(file) for file in kept} if weights or result is None else {}
    if step and all(file.step != step for file in checkpoint_file.find(states, CHECKPOINT)):
        raise FileNotFoundError(key)  # and with it the weights that it alone knew of
    return TrialContent(
        key=key,
        result=result,
        attempts=folder.attempts,
        step=step,
        history=folder.evaluations(),
        small=small,
        arrays=_arrays(folder) if result is not None else {},
        checkpoint=data,
        weights=contents,
        weight_names=tuple(file.stem for file in kept),
        weight_bytes=sum((files.stamp(file.path) or (0, 0))[0] for file in kept),
    )


def newest_step(folder: TrialFolder) -> int:
    """Return the step of the newest checkpoint by its name, without reading it; 0: none."""
    return max((file.step for file in checkpoint_file.find(folder.states, CHECKPOINT)), default=0)


def _kept(states: Location, step: int | None) -> list[CheckpointFile]:
    """Return of each name the newest weights, or those that a checkpoint of a step knows of."""
    found: dict[str, CheckpointFile] = {}
    for file in checkpoint_file.find(states):
        if file.stem.startswith(WEIGHTS) and (step is None or file.step <= step):
            found.setdefault(file.stem, file)
    return list(found.values())


def _content(file: CheckpointFile) -> bytes:
    data = file.read()
    if data is None and files.stamp(file.path) is None:
        raise FileNotFoundError(file.path)
    if data is None:
        raise StoreError(f"weights must match their checksum, got path={file.path}")
    return data


def _arrays(folder: TrialFolder) -> dict[str, bytes]:
    found = {}
    for entry in files.scan(folder.states):
        match = CONFUSION.fullmatch(entry.name)
        if match is None:
            continue
        path = folder.states / entry.name
        data = files.read(path)
        folder.read_confusion(match[1])
        found[entry.name] = data
    return found


def _check_key(values: Mapping[str, object], key: str, path: Location) -> None:
    """Raise `StoreError` for a file that says it is another trial's."""
    own = values.get("key")
    if own not in (None, key):
        raise StoreError(f"a file must be of its trial, got key={own!r:.80}, path={path}")
