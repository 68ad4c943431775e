"""Removing trials, tables and searches from a store for good.

What the looks at a table were is kept: a table that is run again is looked at again. A search goes
with all that it has suggested: run again, it begins anew. Those of a table's tuned rows are removed
by their own names. A trial that some process trains is left alone.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from semisweep.core.errors import StoreError, unknown
from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.lease import is_lease
from semisweep.store.resolved_search import ResolvedSearch
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_files import RECORDED, STUDIES, StoredStudy, StudyPlace
from semisweep.store.suggestion_log import identity_of, remove_log
from semisweep.store.trial_folder import TrialFolder

TABLES = "tables"  # as they were printed last


@dataclass(frozen=True)
class Removal:
    """What would go: places of studies, keys of trials, and those that other studies still want."""

    tables: tuple[StudyPlace, ...]
    searches: Mapping[StudyPlace, str]  # and the identity of each
    keys: tuple[str, ...]
    wanted: tuple[str, ...]
    tuning: tuple[str, ...] = ()  # searches of the tables' tuned rows, which stay

    def __str__(self) -> str:
        parts = [f"{len(self.tables)} tables"] if self.tables else []
        parts += [f"{len(self.searches)} searches"] if self.searches else []
        parts.append(f"{len(self.keys)} trials with all that is kept of them")
        text = ", ".join([*parts[:-2], " and ".join(parts[-2:])])
        if self.wanted:
            text += f"; {len(self.wanted)} of them belong to studies that stay, whose next run "
            text += "trains them again"
        if self.tuning:
            text += "; the searches of its tuned rows stay, unless named too: "
            text += " ".join(map(shlex.quote, self.tuning))
        return text


def plan_removal(store: Store, names: Sequence[str], scale: str | None = None) -> Removal:
    """Return what removing studies by name, and trials by the start of their key, would remove.

    With a study go those of its trials that no other one wants. Raises `ConfigError` for a name
    that the store does not have.
    """
    studies = store.study_files.all()
    gone = [own for own in studies if own.place.name in names and scale in (None, own.place.scale)]
    rest = [own for own in studies if own not in gone]
    elsewhere = {key for own in rest for key in own.study.keys}
    named = [_find(store, name, studies) for name in names if not _has(gone, name)]
    found = [key for own in gone for key in own.study.keys if key not in elsewhere]
    there = set(store.keys())
    keys = tuple(key for key in dict.fromkeys([*named, *found]) if key in there)
    wanted = tuple(key for key in keys if key in elsewhere)
    searches = {
        own.place: identity_of(own.study) for own in gone if isinstance(own.study, ResolvedSearch)
    }
    tables = tuple(own.place for own in gone if own.place not in searches)
    cells = (
        cell for own in gone if isinstance(own.study, ResolvedStudy) for cell in own.study.cells
    )
    chose = dict.fromkeys(cell.tuning.search for cell in cells if cell.tuning)
    tuning = tuple(name for name in chose if _has(rest, name))
    return Removal(tables, searches, keys, wanted, tuning)


def remove(store: Store, removal: Removal) -> list[str]:
    """Remove studies and trials; return the keys of trials that are left, as they are in training.

    Whatever ends it early, the same removal can be done again.
    """
    left = [key for key in removal.keys if not _remove_trial(store.trial(key))]
    for identity in removal.searches.values():
        remove_log(store.root, identity)
    places = (*removal.tables, *removal.searches)
    for folder in (RECORDED, TABLES, STUDIES):
        names = [name for name in _names(store, folder) if _is_of(name, places, folder)]
        files.remove_all(store.root / folder, names)
    return left


def _has(tables: Iterable[StoredStudy], name: str) -> bool:
    return any(own.place.name == name for own in tables)


def _find(store: Store, name: str, studies: Iterable[StoredStudy]) -> str:
    """Return the key of a trial that a name begins; raise `ConfigError` where there is none."""
    try:
        return store.find(name)
    except StoreError:
        known = [own.place.name for own in studies]
        raise unknown("study or key of this store", name, known) from None


def _remove_trial(folder: TrialFolder) -> bool:
    """Remove a trial's files, its result first, so that what is left never counts as finished."""
    with folder.try_lock() as held:
        if not held:
            return False
        names = sorted(files.below(folder.path), key=lambda name: name != "result.parquet")
        _remove_files(folder.path, names)
    rest = list(files.below(folder.path))  # where a lease is held, its end was written since
    if all(map(is_lease, rest)):
        _remove_files(folder.path, rest)
    return True


def _remove_files(folder: Location, names: Sequence[str]) -> None:
    if isinstance(folder, Path):
        with suppress(FileNotFoundError):
            (folder / "result.parquet").unlink()
        shutil.rmtree(folder, ignore_errors=True)
    else:
        files.remove_all(folder, names)


def _names(store: Store, folder: str) -> Iterator[str]:
    yield from (entry.name for entry in files.scan(store.root / folder))


def _is_of(name: str, tables: Iterable[StudyPlace], folder: str) -> bool:
    """Return whether a file is of one of some studies; of recorded ones every form is."""
    if folder == TABLES:
        return any(name == f"{place.stem}.md" for place in tables)
    stem = name.removesuffix(".json")
    if folder == STUDIES:
        return any(stem == place.stem for place in tables)
    return any(stem.startswith(f"{place._replace(variant='').stem}@") for place in tables)
