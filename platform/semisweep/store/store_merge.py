"""Merging: what an archive or another store has, added to a store in which nothing is lost by it.

A trial that is finished here keeps its result. An unfinished one is finished, or goes on from the
checkpoint that is further. One that is trained here meanwhile is left alone. Whatever ends a merge
early, the same merge again completes it; done twice, it changes nothing.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from semisweep.core.errors import StoreError
from semisweep.core.safe_text import one_line
from semisweep.store import checkpoint_file, files
from semisweep.store.archive_file import unpack
from semisweep.store.object_storage import ObjectPath
from semisweep.store.result_file import VOLATILE
from semisweep.store.store import Store, locate
from semisweep.store.study_merge import BUSY, Step, merge_studies
from semisweep.store.trial_content import (
    DESCRIPTION,
    MEASURED,
    TrialContent,
    newest_step,
    read_trial,
)
from semisweep.store.trial_folder import WEIGHTS, TrialFolder
from semisweep.store.trial_records import Result

LOCK = "merging"  # the folder of a store whose lock a merge holds


@dataclass
class Merged:
    """What a merge has done: how many things of each kind, and lines for whoever reads it."""

    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)  # damaged, or no part of a store
    notes: list[str] = field(default_factory=list)  # of what differs, or is trained here

    def add(self, step: Step) -> None:
        """Note what became of one thing."""
        self.counts[step.kind] += 1
        if step.text:
            (self.left_out if step.kind == "left out" else self.notes).append(one_line(step.text))

    @property
    def is_new(self) -> bool:
        """Whether anything was added to the store."""
        return any(self.counts[kind] for kind in ADDED)

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out, nor waits for a process that goes on with it here."""
        return not (self.left_out or self.counts[BUSY])


# What is added, by the kind of a step: how many of it are told.
ADDED = {
    "finished": "results",
    "further": "unfinished trials",
    "failed": "failed trials",
    "stopped": "stopped trials",
    "more": "trials with further files",
    "studies": "studies",
    "looks": "logs of looks",
    "numbers": "files of imported numbers",
}


def merge(source: str | Path, target: str | Path, *, dry_run: bool = False) -> Merged:
    """Add an archive, or another store, to a store, which is made where there is none.

    With `dry_run` only say what would be. What is damaged is named and left out. Raises
    `StoreError` where `source` is neither, and where the store cannot be written. An archive is
    unpacked to the folder of temporary files first, $TMPDIR.
    """
    merged = Merged()
    with opened(source, merged) as other:
        if _same(other, target):
            raise StoreError(f"a store must be merged into another one, got {source} twice")
        if dry_run and not Store.exists(target):
            place = locate(target)
            own = Store(place, leased=isinstance(place, ObjectPath))
            _merge(other, own, merged, dry_run=True)
            return merged
        own = Store.open(target, create=not dry_run)
        if dry_run:
            _merge(other, own, merged, dry_run=True)
            return merged
        with own.lock(LOCK, wait=True):
            _merge(other, own, merged, dry_run=False)
    return merged


@contextmanager
def opened(source: str | Path, merged: Merged) -> Iterator[Store]:
    """Yield the store that a path or URL is of, or what an archive has as one."""
    place = locate(source)
    if not isinstance(place, Path) or place.is_dir():
        yield Store.open(source)
        return
    if not place.is_file():
        raise StoreError(f"an archive or a store must be there to be merged, got none at {source}")
    with tempfile.TemporaryDirectory(prefix="semisweep-merge-") as folder:
        for text in unpack(place, Path(folder)):
            merged.add(Step("left out", text))
        yield Store(Path(folder))


def _same(other: Store, target: str | Path) -> bool:
    place = locate(target)
    if isinstance(other.root, Path) and isinstance(place, Path):
        return other.root.resolve() == place.resolve()
    return other.root == place


def _merge(source: Store, target: Store, merged: Merged, *, dry_run: bool) -> None:
    for step in merge_studies(source, target, dry_run=dry_run):
        merged.add(step)
    keys, until = source.keys(), time.monotonic() + target.patience
    while keys:
        busy = []
        for key in keys:
            step = _merge_trial(key, source, target, dry_run=dry_run)
            if step.kind == BUSY and time.monotonic() < until:
                busy.append(key)
            else:
                merged.add(step)
        if busy:  # a process that was killed may hold them, whose leases end
            time.sleep(target.patience / 9)
        keys = busy


def _merge_trial(key: str, source: Store, target: Store, *, dry_run: bool) -> Step:
    try:
        return merge_trial(source.trial(key), target.trial(key), dry_run=dry_run)
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise
        return Step("left out", f"trial {key}: {error}")


def merge_trial(source: TrialFolder, target: TrialFolder, *, dry_run: bool) -> Step:
    """Bring one trial to the state that the further of two folders has; return what was done."""
    found = read_trial(source, checkpoint=False, weights=False)
    if found.is_empty:
        return Step("empty")
    step = _due(found, newest_step(source) if found.result is None else 0, target)
    if step.kind not in ADDED:
        return step
    if dry_run:
        return _busy(target.key) if target.in_training else step
    found = read_trial(source)
    with target.try_lock() as held:
        if not held:
            return _busy(target.key)
        step = _due(found, found.step, target)  # it may have been trained meanwhile
        if step.kind == "more":
            _add_further(found, target)
        elif step.kind == "finished":
            _finish(found, target)
        elif step.kind in ADDED:
            _go_on(found, target)
    return step


def _busy(key: str) -> Step:
    return Step(BUSY, f"trial {key}: it is in training here, or was a moment ago; merge again")


def _due(found: TrialContent, step: int, target: TrialFolder) -> Step:
    """Return what is to become of a trial that the other store has, up to a checkpoint's step."""
    own = target.result()
    if found.result is not None:
        if own is None:
            return Step("finished")
        differing = _differing(found.result, own)
        if differing:
            return Step("kept", f"trial {found.key}: it is finished in both, {differing}")
        return Step("more" if _further_files(found, target) else "known")
    here = (target.read_checkpoint() or (0, None))[0]
    is_over = target.attempts > found.attempts  # it has been tried again here since
    if own is not None or step < here or (step == here and is_over):
        return Step("known")
    if step > here or _lacking(found, target):
        return Step("further" if found.state == "unfinished" else found.state)
    return Step("known")


def _differing(theirs: Result, ours: Result) -> str:
    """Return in which numbers two results of a trial differ, "" where in none."""
    names = [
        name
        for name in sorted(set(theirs) & set(ours), key=lambda name: ("miou" not in name, name))
        if not name.startswith(VOLATILE) and _differ(theirs[name], ours[name])
    ]
    if not names:
        return ""
    more = f" and {len(names) - 1} more numbers" if len(names) > 1 else ""
    first = f"{names[0]}={ours[names[0]]} here and {theirs[names[0]]} there{more}"
    return f"{first}; this store's result stays (other machines and versions round otherwise)"


def _differ(one: object, other: object) -> bool:
    numbers = [value for value in (one, other) if isinstance(value, int | float)]
    if len(numbers) < 2 or all(math.isnan(value) for value in numbers):
        return False
    return numbers[0] != numbers[1]


def _further_files(found: TrialContent, target: TrialFolder) -> list[str]:
    """Return what of a finished trial's further files is not here: measurements and states."""
    own = {entry.name for folder in {target.path, target.states} for entry in files.scan(folder)}
    stems = {file.stem for file in checkpoint_file.find(target.states)}
    names = [name for name in found.small if MEASURED.fullmatch(name) and name not in own]
    names += [name for name in found.arrays if name not in own]
    return names + [stem for stem in found.weight_names if stem not in stems]


def _add_further(found: TrialContent, target: TrialFolder) -> None:
    for name in _further_files(found, target):
        if name in found.small:
            files.create(target.path / name, found.small[name])
        elif name in found.arrays:
            with files.replacing(target.states / name) as file:
                file.write(found.arrays[name])
    stems = {file.stem for file in checkpoint_file.find(target.states)}
    for own, data in found.weights.items():
        if own.stem not in stems:
            checkpoint_file.add(target.states, own.stem, own.step, data)


def _lacking(found: TrialContent, target: TrialFolder) -> list[str]:
    """Return which small files an unfinished trial has there, and not here."""
    own = {entry.name for entry in files.scan(target.path)}
    return [name for name in found.small if name not in own]


def _finish(found: TrialContent, target: TrialFolder) -> None:
    """Finish a trial with its result: until that is there it is one that begins anew."""
    assert found.result is not None
    target.start_over()
    _add_small(found, target)
    if found.history:
        target.append_history([row.values for row in found.history])
    for own, data in found.weights.items():
        target.add_weights(own.stem.removeprefix(WEIGHTS), own.step, data)
    for name, data in found.arrays.items():
        target.add_confusion(name, data)
    target.complete({name: value for name, value in found.result.items() if name != "key"})
    target.forget_failure()


def _go_on(found: TrialContent, target: TrialFolder) -> None:
    """Let an unfinished trial go on from the other store's checkpoint, as soon as that is there."""
    own = target.read_checkpoint()
    step = own[0] if own else 0
    if found.step > step and found.checkpoint is not None:
        target.rewind(step)
        if target.evaluations() != [row for row in found.history if row.step <= step]:
            target.cut_history(-1)  # two trainings: the history is of the one that goes on
            step = -1
        target.append_history([row.values for row in found.history if row.step > step])
        for file, data in found.weights.items():
            target.add_weights(file.stem.removeprefix(WEIGHTS), file.step, data)
        target.write_checkpoint(found.step, found.checkpoint)
        target.forget_failure()  # of a step that is behind it
    elif found.history and not step and not target.evaluations():  # for who looks at it
        target.append_history([row.values for row in found.history])
    _add_small(found, target)


def _add_small(found: TrialContent, target: TrialFolder) -> None:
    """Add what is not there of a trial's small files, its description last."""
    for number in sorted({1, found.attempts} if found.attempts else ()):
        files.create(target.path / f"attempt-{number:04d}", b"")
    for name in sorted(_lacking(found, target), key=lambda name: (name == DESCRIPTION, name)):
        files.create(target.path / name, found.small[name])
