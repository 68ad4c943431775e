"""What of a store's large files nobody needs any more, and freeing it.

Descriptions, histories, attempts, results and failures are never touched: what is freed are states
to resume from, kept weights, confusion matrices, and what killed processes left half written.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from semisweep import checked, files
from semisweep.folder import TrialFolder
from semisweep.store import Store

ALL = ("last", "best")

_CONFUSION = re.compile(r"confusion-([^-]+)-?.*\.npz")


@dataclass(frozen=True)
class Item:
    """A file that could be freed: whether it is kept, and why or why not."""

    path: Path
    size: int
    kept: bool
    why: str


def examine(store: Store, keep: Collection[str] = ALL) -> list[Item]:
    """Return every file that could be freed and what is to become of it; writes nothing.

    Of the trials that a study of the store wants, weights and confusion matrices under the names in
    `keep` stay, and what an unfinished one goes on from. So does all of a trial that is being
    trained. Of all other trials nothing stays but what is never freed.
    """
    wanted = _wanted_by(store)
    folders = map(store.trial, store.keys())
    return [
        item
        for folder in folders
        for item in _examine_trial(folder, wanted.get(folder.key, ()), keep)
    ]


def free(store: Store, items: Sequence[Item]) -> list[Item]:
    """Remove what `examine` found nobody needs; return what was not because training has begun.

    Raises `StoreError` when the store cannot be written.
    """
    by_trial: dict[Path, list[Item]] = {}
    for item in items:
        if not item.kept:
            by_trial.setdefault(item.path.parent, []).append(item)
    left = []
    for folder, unwanted in by_trial.items():
        with _held(folder, create=True) as held:
            if held:
                names = {item.path.name for item in unwanted}
                files.remove(folder, names.__contains__)
            else:
                left += unwanted
    return left


def summary(items: Sequence[Item]) -> list[str]:
    """Return lines that say how many files, of what size, are kept or not, and why."""
    groups: dict[tuple[bool, str], list[Item]] = {}
    for item in items:
        groups.setdefault((item.kept, item.why), []).append(item)
    lines = []
    for kept, why in sorted(groups, key=lambda group: (not group[0], group[1])):
        own = groups[kept, why]
        verb = "keep" if kept else "free"
        lines.append(f"{verb:5}{len(own):7} files {size_text(own):>10}  {why}")
    return lines


def size_text(items: Sequence[Item]) -> str:
    """Return the size of some items in MiB."""
    return f"{sum(item.size for item in items) / 2**20:.1f} MiB"


def _wanted_by(store: Store) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for name, scale in store.studies():
        for key in store.study_keys(name, scale):
            wanted.setdefault(key, []).append(f"{name}@{scale}")
    return wanted


def _examine_trial(
    folder: TrialFolder, studies: Sequence[str], keep: Collection[str]
) -> Iterator[Item]:
    entries = [entry for entry in files.scan(folder.path) if _is_large(entry.name)]
    if not entries:
        return
    finished = folder.finished
    with _held(folder.path, create=False) as held:
        busy = not held
    newest = _newest(folder.path)
    for entry in entries:
        kept, why = True, "its trial is being trained"
        if not busy:
            kept, why = _judge(entry.name, finished, studies, keep, entry.name in newest)
        try:
            size = entry.stat().st_size
        except FileNotFoundError:
            continue
        yield Item(Path(entry.path), size, kept, why)


def _judge(
    name: str, finished: bool, studies: Sequence[str], keep: Collection[str], newest: bool
) -> tuple[bool, str]:
    """Return whether a file of a trial that nobody trains is kept, and why or why not."""
    if files.is_temporary(name):
        return False, "left half written by a killed process"
    if finished and name.startswith("checkpoint-"):
        return False, "checkpoints of finished trials"
    if not studies:
        return False, f"of {'finished' if finished else 'unfinished'} trials that no study wants"
    among = f"study {studies[0]}" + (f" and {len(studies) - 1} more" if len(studies) > 1 else "")
    if not finished:
        return True, f"unfinished trials go on from them: {among}"
    if not newest:
        return False, "older than the newest weights of a finished trial"
    if _kept_name(name) in keep:
        return True, f"further evaluations may read them: {among}"
    return False, f"not among the names to keep ({', '.join(sorted(keep)) or 'none'})"


def _is_large(name: str) -> bool:
    return name.startswith(("checkpoint-", "weights-", "confusion-")) or files.is_temporary(name)


def _newest(folder: Path) -> set[str]:
    """Return the names of confusion matrices, and of the newest weights under each name."""
    seen: dict[str, str] = {}
    for file in checked.find(folder):
        seen.setdefault(file.stem, file.path.name)
    others = (entry.name for entry in files.scan(folder))
    return {*seen.values(), *(name for name in others if name.startswith("confusion-"))}


def _kept_name(name: str) -> str:
    """Return what a file of weights or confusion matrices is of, such as "last"."""
    found = _CONFUSION.fullmatch(name) or re.match(r"weights-(.+)-\d+-[0-9a-f]{16}\.pt", name)
    return found[1] if found else ""


@contextmanager
def _held(folder: Path, *, create: bool) -> Iterator[bool]:
    """Hold the sole right to train a trial, and yield True; yield False where another has it."""
    path = folder / "lock"
    if not create and not path.exists():
        yield True
        return
    with files.writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
