"""Looks at a table that were taken at two places, as one log in which none is lost.

An entry's identity is a digest of it and of all before it; one that has come from another store
names the identity that it had there. So what both have is known, in whatever order stores are
merged and however often. What one side alone has noted is added to the end of the other's log. Its
looks count as further ones, since whoever decides by the union of two stores has looked so often:
the level of a look never rises. Where more looks would come of it than were planned, nothing is
added.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.look_log import (
    FOLDER,
    Entry,
    Looks,
    after,
    copy_entry,
    encoded,
    note_look,
    read_entries,
    read_looks,
)
from semisweep.store.study_files import StudyPlace

JUST_LOOKED = "another process has just looked at it; merge again"
STAND = "stand"  # begins the origin of an entry that only says where the other store stood


def merge_looks(source: Location, target: Location, place: StudyPlace, *, dry_run: bool) -> str:
    """Add to a table's log at `target` what that at `source` has beyond it.

    Return "" where there is nothing, "added", or in a line why nothing was added. Raises
    `StoreError` for a log of another shape.
    """
    theirs, ours = read_entries(source, place), read_entries(target, place)
    their_names, our_names = list(_identities(theirs)), list(_identities(ours))
    if their_names[: len(our_names)] == our_names:  # the very log, which has gone on there
        for number, _ in () if dry_run else theirs[len(ours) :]:
            if not copy_entry(source, target, place, number):
                return JUST_LOOKED
        return "added" if len(theirs) > len(ours) else ""
    named = zip(their_names, theirs, strict=True)
    missing = [
        (name, entry)
        for name, (_, entry) in named
        if name not in our_names and not name.startswith(STAND)
    ]
    if any(entry.counts for _, entry in missing):
        return "its log is of an early version and has gone on at both; this store's stays"
    stand = read_looks(target, place)
    looks_of = {name: entry.look for name, (_, entry) in zip(our_names, ours, strict=True)}
    named = zip(their_names, theirs, strict=True)
    before = {entry.look: looks_of[name] for name, (_, entry) in named if name in looks_of}
    added = _continued(stand, missing, before, read_looks(source, place))
    if not added:
        return ""
    planned = max(stand.looks, *(entry.looks for entry in added))
    if 0 < planned < added[-1].look:
        return (
            f"it was looked at at both, which makes look={added[-1].look}, looks={planned} "
            "planned; this store's looks stay, and so do those of the other store"
        )
    for number, entry in enumerate(() if dry_run else added, start=stand.number + 1):
        if not note_look(target, place, entry, number):
            return JUST_LOOKED
    return "added"


def _continued(
    stand: Looks, missing: Sequence[tuple[str, Entry]], looks: dict[int, int], other: Looks
) -> list[Entry]:
    """Return entries of another log as they go on from where a table stands.

    `looks`: what looks of the other log are here, as far as they are. At the end the table stands
    no earlier than the `other` one, which may have counted the same entries as later looks.
    """
    found = []
    for name, entry in missing:
        own = looks.get(entry.look)
        is_open = not stand.judged or not (entry.trials or entry.units)
        if own != stand.look or not is_open:
            own = stand.look + stand.judged
        looks[entry.look] = own
        further = replace(entry, look=own, origin=entry.origin or name)
        stand = after(stand, further, stand.number + 1)
        found.append(further)
    if (other.look, other.judged) > (stand.look, stand.judged):
        name = f"{STAND} {other.look} {other.judged}"
        found.append(Entry(look=other.look, judged=other.judged, origin=name))
    return found


def _identities(log: Sequence[tuple[int, Entry]]) -> Iterator[str]:
    before = ""
    for _, entry in log:
        counts = sorted(map(repr, entry.counts.items()))
        text = json.dumps([before, encoded(entry), counts], sort_keys=True)
        before = hashlib.sha256(text.encode()).hexdigest()[:20]
        yield entry.origin or before


def places_with_looks(root: Location) -> list[StudyPlace]:
    """Return the tables that were ever looked at, in order."""
    names = (entry.name for entry in files.scan(root / FOLDER) if entry.is_dir())
    return sorted(place for place in map(StudyPlace.of_stem, names) if place is not None)
