"""Compaction: copies the rows of many small files into a few parts, which can be made again.

New parts are written atomically, and old ones are removed only when all new ones are in place. A
compaction that is killed leaves either too many parts, with equal rows, or too few; then readers
read the trials' own files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.arrow_table import Sheet, Stamp, TrialRows, make_sheet, merge
from semisweep.store.compacted_parts import HISTORY, RESULTS, Kind, Part, open_parts, write_part
from semisweep.store.files import Location
from semisweep.store.store import Store

PART_TRIALS = 2_000  # a part is full with so many trials, or
PART_ROWS = 200_000  # with so many rows
SMALL_PARTS = 8  # so many that are not half full are made into one

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Compacted:
    """What a compaction of one kind left and did; the first two are what there is at its end."""

    kind: str
    trials: int
    parts: int
    written: int
    removed: int
    unreadable: tuple[str, ...]  # one text for each trial that was left out


def compact(store: Store, *, wait: bool = True) -> list[Compacted]:
    """Make parts of all trials that ended; return what was done, for results and for history.

    Without `wait`, do nothing where another process is compacting this store. Raises `StoreError`
    when the store cannot be written; what was there before is then still there.
    """
    keys = store.keys()
    if not any(map(RESULTS.stamp, store.survey(keys).values())):
        return []
    with store.lock(RESULTS.name, wait=wait) as locked:
        folders = store.survey(keys) if locked else {}
        ended = RESULTS.stamps_of(folders)
        stamps = {RESULTS: ended, HISTORY: HISTORY.stamps_of({key: folders[key] for key in ended})}
        return [_compact(store, kind, stamps[kind]) for kind in stamps] if locked else []


def compact_after_sweep(store: Store) -> None:
    """Compact unless another process does; an error is only a warning, as no result needs it."""
    try:
        for done in compact(store, wait=False):
            for text in done.unreadable:
                logger.warning("left out of compaction: %s", text)
    except StoreError as error:
        logger.warning("not compacted, which makes queries slower and loses nothing: %s", error)


def _compact(store: Store, kind: Kind, stamps: Mapping[str, Stamp]) -> Compacted:
    files.remove(store.root / kind.name, files.is_temporary)
    parts, unwanted = open_parts(store, kind, thorough=True)
    kept = _worth_keeping(parts, stamps)
    sheets, covered = _still_true([part for part in parts if part not in kept], kept, stamps)
    unwanted += [part.path for part in parts if part not in kept]
    new = _in_order_of_studies(store, [key for key in stamps if key not in covered])
    unreadable: list[str] = []
    written: dict[Location, int] = {}
    for sheet in _packed(chain(sheets, _new_sheets(store, kind, new, unreadable))):
        written[write_part(store, kind, sheet)] = len(sheet.entries)
    gone = [path for path in unwanted if path not in written]
    files.remove(store.root / kind.name, {path.name for path in gone}.__contains__)
    trials = sum(len(part.entries) for part in kept) + sum(written.values())
    return Compacted(
        kind.name, trials, len(kept) + len(written), len(written), len(gone), tuple(unreadable)
    )


def _worth_keeping(parts: Iterable[Part], stamps: Mapping[str, Stamp]) -> list[Part]:
    """Return the parts that stay as they are.

    Parts go that have a trial which has changed, was removed, or is in another part, and small
    parts when there are many.
    """
    kept: list[Part] = []
    covered: set[str] = set()
    for part in sorted(parts, key=lambda part: (-len(part.entries), part.path.name)):
        keys = {entry.key for entry in part.entries}
        live = all(stamps.get(entry.key) == entry.stamp for entry in part.entries)
        if live and not keys & covered:
            kept.append(part)
            covered |= keys
    small = [part for part in kept if _is_small(part)]
    return [part for part in kept if part not in small] if len(small) >= SMALL_PARTS else kept


def _is_small(part: Part) -> bool:
    return len(part.entries) < PART_TRIALS // 2 and part.rows < PART_ROWS // 2


def _still_true(
    parts: Iterable[Part], kept: Iterable[Part], stamps: Mapping[str, Stamp]
) -> tuple[list[Sheet], set[str]]:
    """Return the rows still true of parts that go, the largest first, and all keys covered."""
    covered = {entry.key for part in kept for entry in part.entries}
    sheets = []
    for part in parts:
        live = [
            entry.key
            for entry in part.entries
            if stamps.get(entry.key) == entry.stamp and entry.key not in covered
        ]
        try:
            sheet = part.read(live, None, {})
        except StoreError as error:
            logger.warning("%s; it is made anew", error)
            continue
        sheets.append(sheet)
        covered |= {entry.key for entry in sheet.entries}
    return sorted(sheets, key=lambda sheet: -len(sheet.entries)), covered


def _in_order_of_studies(store: Store, keys: Iterable[str]) -> list[str]:
    """Return keys such that those of one study lie together, where few row groups hold them."""
    left = dict.fromkeys(sorted(keys))
    if not left:
        return []
    studies = (stored.study for stored in store.study_files.all())
    ordered = dict.fromkeys(key for study in studies for key in study.keys if key in left)
    return list(ordered | left)


def _new_sheets(
    store: Store, kind: Kind, keys: Iterable[str], unreadable: list[str]
) -> Iterator[Sheet]:
    """Yield sheets of what the trials hold, in their order; each is a full part or the rest."""
    batch: list[TrialRows] = []
    rows = 0
    for trial in _read(store, kind, keys, unreadable):
        batch.append(trial)
        rows += len(trial[2])
        if len(batch) >= PART_TRIALS or rows >= PART_ROWS:
            yield make_sheet(batch)
            batch, rows = [], 0
    if batch:
        yield make_sheet(batch)


def _read(
    store: Store, kind: Kind, keys: Iterable[str], unreadable: list[str]
) -> Iterator[TrialRows]:
    """Yield the rows of trials, without those that change while they are read or cannot be."""
    for key in keys:
        folder = store.trial(key)
        stamp = kind.stamp(folder)
        if stamp is None:
            continue
        try:
            rows = kind.read(folder, stamp.source)
        except StoreError as error:
            unreadable.append(f"{key}: {error}")
            continue
        if rows and stamp == kind.stamp(folder):
            yield key, stamp, rows


def _packed(sheets: Iterable[Sheet]) -> Iterator[Sheet]:
    """Yield the sheets, as many merged into one as a part may hold."""
    waiting: list[Sheet] = []
    trials = rows = 0
    for sheet in sheets:
        trials += len(sheet.entries)
        rows += sheet.table.num_rows
        if waiting and (trials > PART_TRIALS or rows > PART_ROWS):
            yield merge(waiting)
            waiting, trials, rows = [], len(sheet.entries), sheet.table.num_rows
        waiting.append(sheet)
    if trials:
        yield merge(waiting)
