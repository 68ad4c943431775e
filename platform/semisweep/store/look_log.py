"""The looks that were taken at a table, in files that are made once and never replaced.

<root>/looks/<name>@<scale>/look-002.json   the second entry: which look, and what it sees anew

A table is looked at when its verdicts can be seen. Whatever it holds that no earlier look had makes
the next look of it, noted before anything is trained for it, so that their number never falls. As
long as a look had no verdict yet, what is added belongs to it: an entry of its own, with the number
of that look. With changes the variant follows the scale, as in `semisweep.store.study_files`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_study import Place, Units
from semisweep.store.study_files import StudyPlace

FOLDER = "looks"
FORMAT = 2
EARLIER = 1  # a file a look of a planned number, with a count of units in place of what is seen

_NAME = re.compile(r"look-(\d{3,})\.json")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is noted at once of a look at a table."""

    look: int
    looks: int = 0  # that were planned; 0: any number
    judged: bool = False  # whether the look had verdicts on what is in the entries before
    race: int = 0  # replicates that a race has planned; 0: none
    trials: Mapping[Place, Sequence[str]] = field(default_factory=dict)  # that none had before
    units: Mapping[Place, Units] = field(default_factory=dict)  # of cells that were topped up
    counts: Mapping[Place, int] = field(default_factory=dict)  # units, in the earlier format
    origin: str = ""  # of one that was noted in another store: its identity there


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Where a table stands: its look, how many were planned, and all that was seen."""

    look: int = 1
    looks: int = 0
    judged: bool = False  # whether this look had verdicts
    race: int = 0
    seen: Mapping[Place, frozenset[str]] = field(default_factory=dict)
    units: Mapping[Place, Units] = field(default_factory=dict)
    counts: Mapping[Place, int] = field(default_factory=dict)
    number: int = 0  # of the newest entry; 0: none

    def unseen(self, trials: Mapping[Place, Iterable[str]]) -> dict[Place, tuple[str, ...]]:
        """Return those of some cells' trials that no look has had."""
        nothing: frozenset[str] = frozenset()
        found = {
            place: tuple(
                dict.fromkeys(key for key in keys if key not in self.seen.get(place, nothing))
            )
            for place, keys in trials.items()
        }
        return {place: keys for place, keys in found.items() if keys}


def read_looks(root: Location, place: StudyPlace) -> Looks:
    """Return where a table stands by its log; look 1 without one."""
    found = Looks()
    for number, entry in read_entries(root, place):
        found = after(found, entry, number)
    return found


def read_entries(root: Location, place: StudyPlace) -> list[tuple[int, Entry]]:
    """Return number and content of each entry of a table's log, in their order."""
    folder = root / FOLDER / place.stem
    names = (_NAME.fullmatch(entry.name) for entry in files.scan(folder))
    numbers = {int(match[1]): match[0] for match in names if match}
    return [(number, _read(folder / numbers[number])) for number in sorted(numbers)]


def note_look(root: Location, place: StudyPlace, entry: Entry, number: int) -> bool:
    """Add an entry to a table's log; return whether no other process was first."""
    path = _path(root, place, number)
    return not path.exists() and files.create(path, json.dumps(encoded(entry)).encode())


def copy_entry(source: Location, target: Location, place: StudyPlace, number: int) -> bool:
    """Note an entry of another store's log as it stands there; return whether none was there."""
    return files.create(_path(target, place, number), files.read(_path(source, place, number)))


def encoded(entry: Entry) -> dict[str, object]:
    """Return an entry as JSON has it."""
    value: dict[str, object] = {
        "format": FORMAT,
        "look": entry.look,
        "looks": entry.looks,
        "judged": entry.judged,
        "race": entry.race,
        "trials": [
            {"row": row, "column": column, "keys": list(keys)}
            for (row, column), keys in entry.trials.items()
        ],
        "units": [
            {"row": row, "column": column, "seeds": list(seeds)}
            for (row, column), seeds in entry.units.items()
        ],
    }
    return value | ({"origin": entry.origin} if entry.origin else {})


def most(units: Units, others: Units) -> Units:
    """Return of each draw the more seeds of the two."""
    return tuple(max(pair) for pair in zip_longest(units, others, fillvalue=0))


def _path(root: Location, place: StudyPlace, number: int) -> Location:
    return root / FOLDER / place.stem / f"look-{number:03d}.json"


def after(found: Looks, entry: Entry, number: int) -> Looks:
    """Return where a table stands after a further entry."""
    seen = dict(found.seen)
    for place, keys in entry.trials.items():
        seen[place] = seen.get(place, frozenset()) | frozenset(keys)
    units = dict(found.units)
    for place, own in entry.units.items():
        units[place] = most(units.get(place, ()), own)
    counts = dict(found.counts)
    for place, count in entry.counts.items():
        counts[place] = max(counts.get(place, 0), count)
    further = entry.look > found.look
    return Looks(
        look=max(found.look, entry.look),
        looks=max(found.looks, entry.looks),
        judged=entry.judged or (found.judged and not further),
        race=max(found.race, entry.race),
        seen=seen,
        units=units,
        counts=counts,
        number=number,
    )


def _read(path: Location) -> Entry:
    fields = Fields(files.read_json(path) or {}, "a look at a table", path)
    written = fields.integer("format")
    if written == EARLIER:
        return _read_earlier(fields)
    if written != FORMAT:
        raise fields.wrong("format", f"{EARLIER} or {FORMAT}")
    trials = fields.items("trials", "a cell of a look at a table")
    units = fields.items("units", "a cell of a look at a table")
    return Entry(
        look=fields.integer("look"),
        looks=fields.integer("looks"),
        judged=fields.flag("judged", False),
        race=fields.integer("race"),
        trials={_place(own): own.texts("keys") for own in trials},
        units={_place(own): own.integers("seeds") for own in units},
        origin=fields.text("origin", ""),
    )


def _read_earlier(fields: Fields) -> Entry:
    looks, cells = fields.integer("looks"), fields.items("cells", "a cell of a look at a table")
    return Entry(
        look=fields.integer("look"),
        looks=looks,
        race=looks + 1 if fields.flag("race", False) else 0,
        counts={_place(own): own.integer("units") for own in cells},
    )


def _place(fields: Fields) -> Place:
    return fields.text("row"), fields.text("column")
