"""What of a store's large files nobody needs any more, and freeing it.

Descriptions, histories, attempts, results and failures are never touched: what is freed are states
to resume from, kept weights, confusion matrices, and what killed processes left half written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from semisweep.store import checkpoint_file, files
from semisweep.store.files import Location
from semisweep.store.store import Store
from semisweep.store.trial_folder import TrialFolder

ALL = ("last", "best")

_CONFUSION = re.compile(r"confusion-([^-]+)-?.*\.npz")


@dataclass(frozen=True)
class Item:
    """A file that could be freed: whether it is kept, and why or why not."""

    path: Location
    size: int
    kept: bool
    why: str
    key: str  # of the trial whose file it is


def examine(store: Store, keep: Collection[str] = ALL) -> list[Item]:
    """Return every file that could be freed and what is to become of it; writes nothing.

    Of the trials that a study of the store wants or ever wanted, in whatever form, weights and
    confusion matrices under the names in `keep` stay, and what an unfinished one goes on from. So
    does all of a trial that is being trained. Of all other trials nothing stays but what is never
    freed.
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
    by_trial: dict[str, list[Item]] = {}
    for item in items:
        if not item.kept:
            by_trial.setdefault(item.key, []).append(item)
    left = []
    for key, unwanted in by_trial.items():
        with store.trial(key).try_lock() as held:
            if held:
                for item in unwanted:
                    files.remove_all(item.path.parent, [item.path.name])
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
    """Return the size of some items in MiB; weights that have two names count once."""
    sizes = {checkpoint_file.content_of(str(item.path)): item.size for item in items}
    return f"{sum(sizes.values()) / 2**20:.1f} MiB"


def _wanted_by(store: Store) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for study, key in store.study_files.recorded_keys():
        known = wanted.setdefault(key, [])
        if study not in known:
            known.append(study)
    return wanted


def _examine_trial(
    folder: TrialFolder, studies: Sequence[str], keep: Collection[str]
) -> Iterator[Item]:
    paths = folder.large_files()
    if not paths:
        return
    finished = folder.finished
    busy = folder.in_training
    states = folder.states
    newest = _newest(states)
    for path in paths:
        name = path.name
        counts = path.parent == states or files.is_temporary(name)
        kept, why = True, "its trial is being trained"
        if not busy and not counts:
            kept, why = False, "of attempts that were given up"
        elif not busy:
            kept, why = _judge(name, finished, studies, keep, name in newest)
        found = files.stamp(path)
        if found is not None:
            yield Item(path, found[0], kept, why, folder.key)


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


def _newest(folder: Location) -> set[str]:
    """Return the names of confusion matrices, and of the newest weights under each name."""
    seen: dict[str, str] = {}
    for file in checkpoint_file.find(folder):
        seen.setdefault(file.stem, file.path.name)
    others = (entry.name for entry in files.scan(folder))
    return {*seen.values(), *(name for name in others if name.startswith("confusion-"))}


def _kept_name(name: str) -> str:
    """Return what a file of weights or confusion matrices is of, such as "last"."""
    found = _CONFUSION.fullmatch(name) or re.match(r"weights-(.+)-\d+-[0-9a-f]{16}\.pt", name)
    return found[1] if found else ""
