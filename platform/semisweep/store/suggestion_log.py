"""What a search has suggested and confirmed, a file each: made once, never replaced.

<root>/searches/<identity>/search.json         the search as it began, if need be with suggestions
<root>/searches/<identity>/trial-000007.json   the suggestion of that number
<root>/searches/<identity>/confirmation-0000.json  which were the best, and their new trials

The identity is a digest of the search's name, scale, space, and whatever else it must agree in to
go on. A study's own file says the same with what was decided since, and may be made again.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_search import (
    Confirmation,
    ResolvedSearch,
    Suggestion,
    decode_confirmation,
    decode_search,
    decode_suggestion,
)

FOLDER = "searches"
BEGINNING = "search.json"

_NAME = re.compile(r"trial-(\d{6,})\.json")
_CONFIRMATION = re.compile(r"confirmation-(\d{4,})\.json")


def identity_of(search: ResolvedSearch) -> str:
    """Return the identity of a search, also of one that was written before there were any."""
    if search.identity:
        return search.identity
    from semisweep.core.config import digest

    return digest(search.identifying())


def turn_folder(name: str, scale: str) -> str:
    """Return the folder of a store whose lock whoever goes on with a search holds."""
    from semisweep.core.config import digest

    return f"{FOLDER}/{digest([name, scale])}"


def begin(root: Location, search: ResolvedSearch) -> None:
    """Note a search with the suggestions that it has so far, unless that was done before."""
    path = _folder(root, identity_of(search)) / BEGINNING
    if not path.exists():
        files.create(path, _encoded(search.encoded()))


def append(root: Location, search: ResolvedSearch, entry: Suggestion) -> None:
    """Note the next suggestion of a search that has begun.

    Raises `StoreError` where another process has made one of that number.
    """
    path = _folder(root, identity_of(search)) / f"trial-{entry.number:06d}.json"
    _append(path, entry.encoded(), f"suggestion number={entry.number}")


def append_confirmation(root: Location, search: ResolvedSearch, own: Confirmation) -> None:
    """Note which of a search were the best, before they are trained again; see `append`."""
    path = _folder(root, identity_of(search)) / f"confirmation-{own.number:04d}.json"
    _append(path, own.encoded(), f"confirmation number={own.number}")


def _append(path: Location, value: dict[str, object], what: str) -> None:
    data = _encoded(value)
    if not files.create(path, data) and files.read(path) != data:
        raise StoreError(
            f"a search must be suggested to by one process at a time, got another {what}, "
            f"path={path}; the other process goes on with it"
        )


def completed(root: Location, search: ResolvedSearch) -> ResolvedSearch:
    """Return a search with those suggestions and confirmations of its log that it does not have."""
    folder = _folder(root, identity_of(search))
    begun, known = _beginning(folder), len(search.trials)
    if begun is None:
        return search
    further = [*begun.trials[known:], *_suggestions(folder, max(known, len(begun.trials)))]
    again = _confirmations(folder, len(search.confirmations))
    if not further and not again:
        return search
    return dataclasses.replace(
        search,
        trials=(*search.trials, *further),
        confirmations=(*search.confirmations, *again),
    )


def read(root: Location, identity: str) -> ResolvedSearch | None:
    """Return the search of an identity as its log has it, None if it never began."""
    begun = _beginning(_folder(root, identity))
    return None if begun is None else completed(root, begun)


def read_all(root: Location) -> Iterator[ResolvedSearch]:
    """Yield every search that ever began."""
    for entry in files.scan(root / FOLDER):
        found = read(root, entry.name) if entry.is_dir() else None
        if found is not None:
            yield found


def remove_log(root: Location, identity: str) -> None:
    """Remove all that a search has suggested and confirmed."""
    folder = _folder(root, identity)
    files.remove_all(folder, sorted(files.below(folder), key=lambda name: name == BEGINNING))
    if isinstance(folder, Path):
        with suppress(OSError):  # not empty, as somebody has put something there
            folder.rmdir()


def _beginning(folder: Location) -> ResolvedSearch | None:
    path = folder / BEGINNING
    found = files.read_json(path)
    return None if found is None else decode_search(Fields(found, "a stored search", path))


def _suggestions(folder: Location, start: int) -> Iterator[Suggestion]:
    """Yield the suggestions from a number on, in order."""
    yield from map(decode_suggestion, _numbered(folder, _NAME, start, "a suggestion of a search"))


def _confirmations(folder: Location, start: int) -> list[Confirmation]:
    """Return the confirmations from a number on, in order."""
    found = _numbered(folder, _CONFIRMATION, start, "a confirmation of a search")
    return list(map(decode_confirmation, found))


def _numbered(
    folder: Location, pattern: re.Pattern[str], start: int, what: str
) -> Iterator[Fields]:
    numbers = (pattern.fullmatch(entry.name) for entry in files.scan(folder))
    for name in sorted(match[0] for match in numbers if match and int(match[1]) >= start):
        found = files.read_json(folder / name)
        if found is not None:
            yield Fields(found, what, folder / name)


def _folder(root: Location, identity: str) -> Location:
    return root / FOLDER / identity


def _encoded(value: dict[str, object]) -> bytes:
    return json.dumps(files.plain(value)).encode()
