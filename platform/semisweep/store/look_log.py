"""The looks that were taken at a table, a file a look: made once, never replaced.

<root>/looks/<name>@<scale>/look-002.json   the second look: of how many, at how many replicates

With changes the variant follows the scale, as in `semisweep.store.study_files`. A look is noted
before anything is trained for it, so that the number of looks never falls, whatever runs between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_study import Place
from semisweep.store.study_files import StudyPlace

FOLDER = "looks"
FORMAT = 1

_NAME = re.compile(r"look-(\d{3,})\.json")


@dataclass(frozen=True, kw_only=True)
class TakenLook:
    """A look at a table: its number, how many were planned, the units of replication by cell.

    A race takes all its looks at once.
    """

    look: int
    looks: int
    units: Mapping[Place, int] = field(default_factory=dict)
    race: bool = False


def newest_look(root: Location, place: StudyPlace) -> TakenLook | None:
    """Return the last look that was taken at a table, None without any that was planned."""
    folder = _folder(root, place)
    names = (_NAME.fullmatch(entry.name) for entry in files.scan(folder))
    numbers = {int(match[1]): match[0] for match in names if match}
    return _read(folder / numbers[max(numbers)]) if numbers else None


def take_look(root: Location, place: StudyPlace, look: TakenLook) -> TakenLook:
    """Note a look and return the newest: another process may have taken it, or a later one."""
    value = {
        "format": FORMAT,
        "look": look.look,
        "looks": look.looks,
        "cells": [
            {"row": row, "column": column, "units": units}
            for (row, column), units in look.units.items()
        ],
        "race": look.race,
    }
    path = _folder(root, place) / f"look-{look.look:03d}.json"
    if not path.exists():
        files.create(path, json.dumps(value).encode())
    return newest_look(root, place) or look


def _read(path: Location) -> TakenLook:
    found = files.read_json(path)
    fields = Fields(found or {}, "a look at a table", path)
    if fields.integer("format") != FORMAT:
        raise fields.wrong("format", f"{FORMAT}")
    cells = fields.items("cells", "a cell of a look at a table")
    return TakenLook(
        look=fields.integer("look"),
        looks=fields.integer("looks"),
        units={(own.text("row"), own.text("column")): own.integer("units") for own in cells},
        race=fields.flag("race", False),
    )


def _folder(root: Location, place: StudyPlace) -> Location:
    return root / FOLDER / place.stem
