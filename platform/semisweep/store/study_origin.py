"""Where the studies of a store came from, so that people find them again.

<root>/origins/<name>.json   the file or module that had the study when it ran last

It is a hint for people: nothing is imported because it stands there, unless they say so.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields

ORIGINS = "origins"


def note_origin(root: Location, name: str, origin: str) -> None:
    """Remember where a study is, "file.py:attribute" or "module:attribute"; "" is not noted."""
    if origin and study_origin(root, name) != origin:
        files.write_json(_path(root, name), {"origin": origin})


def study_origin(root: Location, name: str) -> str:
    """Return where a study was when it ran last, "" where nobody noted it; raise `StoreError`."""
    path = _path(root, name)
    found = files.read_json(path)
    return "" if found is None else Fields(found, "the origin of a study", path).text("origin")


def study_origins(root: Location) -> dict[str, str]:
    """Return where each study was when it ran last, by name, of those that are noted."""
    names = (entry.name for entry in files.scan(root / ORIGINS))
    stems = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
    return {name: study_origin(root, name) for name in map(unquote, stems)}


def _path(root: Location, name: str) -> Location:
    return root / ORIGINS / f"{quote(name, safe='')}.json"
