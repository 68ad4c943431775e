"""The resolved studies of a store: one for each name, scale and set of changes, and every version.

<root>/studies/<name>@<scale>.json             a study as it last ran without changes
<root>/studies/<name>@<scale>@<variant>.json   with changes (--set), whose digest the variant is
<root>/recorded/<name>@<scale>@<digest>.json   a table as it once was; made once, never replaced
<root>/searches/<identity>/                    see `semisweep.store.suggestion_log`

A search whose space has changed takes the place of the earlier one, which stays as the variant that
its identity begins with. Stores of earlier versions had one file a name and scale, with whatever
changes it was run last; it is read as the study with those changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from semisweep.store import files, suggestion_log
from semisweep.store.files import Location
from semisweep.store.json_fields import Fields
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch, decode_search
from semisweep.store.resolved_study import ResolvedStudy, check_format, decode_study

STUDIES = "studies"
RECORDED = "recorded"
VARIANT_DIGITS = 12


class StudyPlace(NamedTuple):
    """Which resolved study: name, scale, and a digest where it is not the one without changes."""

    name: str
    scale: str
    variant: str = ""

    def __str__(self) -> str:
        return "@".join(part for part in self if part)

    @classmethod
    def of_stem(cls, stem: str) -> StudyPlace | None:
        """Return the place whose files' names begin so, None where they are no study's."""
        parts = stem.split("@")
        if len(parts) not in (2, 3):
            return None
        return cls(unquote(parts[0]), unquote(parts[1]), *parts[2:])

    @property
    def names(self) -> list[str]:
        """What it may be called: its name, with the scale, and with a variant where it has one."""
        found = [self.name, f"{self.name}@{self.scale}"]
        return found + ([str(self), f"{self.name}@{self.variant}"] if self.variant else [])

    @property
    def stem(self) -> str:
        """What its files' names begin with; whatever a study is called."""
        parts = [quote(self.name, safe=":"), quote(self.scale, safe="")]
        return "@".join([*parts, self.variant] if self.variant else parts)


class StoredStudy(NamedTuple):
    """A resolved study and its place."""

    place: StudyPlace
    study: StudyOrSearch


@dataclass(frozen=True)
class StudyFiles:
    """The files of resolved studies below the root of a store."""

    root: Location

    def places(self) -> list[StudyPlace]:
        """Return the place of each file, in order."""
        return sorted(self._listed(STUDIES))

    def read(self, place: StudyPlace) -> StudyOrSearch | None:
        """Return the study at a place, None if there is none; raise `StoreError` for another file.

        What a search has suggested is completed from its log.
        """
        study = self._read_file(self._path(STUDIES, place.stem))
        if study is None and place.variant:  # a store of an earlier version may have it there
            study = self._read_file(self._path(STUDIES, place._replace(variant="").stem))
            study = study if study is not None and own_variant(study) == place.variant else None
        elif study is not None and not place.variant and study.changes:
            return None
        if isinstance(study, ResolvedSearch):
            return suggestion_log.completed(self.root, study)
        return study

    def all(self) -> list[StoredStudy]:
        """Return every study in its newest form, in order of their places; see `read`."""
        return self._newest(self.places())

    def named(self, name: str, scale: str) -> list[StoredStudy]:
        """Return a study in all that it was run as, the one without changes first; see `all`."""
        return self._newest([place for place in self.places() if place[:2] == (name, scale)])

    def _newest(self, places: Sequence[StudyPlace]) -> list[StoredStudy]:
        found: dict[tuple[str, ...], StoredStudy] = {}
        for place in places:
            study = self._read_file(self._path(STUDIES, place.stem))
            if study is None:
                continue
            own = place if place.variant else place._replace(variant=own_variant(study))
            same = suggestion_log.identity_of(study) if isinstance(study, ResolvedSearch) else ""
            # Of a table the file with its variant is newer, of a search that without an identity.
            mark = (*own[:2], same or own.variant)
            if mark not in found or not same:
                found[mark] = StoredStudy(own, study)
        return [
            stored._replace(study=suggestion_log.completed(self.root, stored.study))
            if isinstance(stored.study, ResolvedSearch)
            else stored
            for stored in found.values()
        ]

    def write(self, name: str, scale: str, study: StudyOrSearch) -> Location:
        """Keep a study in place of its earlier form, and every form of a table for ever.

        Another search, or another kind of study, that has been at its place is kept beside it.
        """
        place = StudyPlace(name, scale, own_variant(study))
        path = self._path(STUDIES, place.stem)
        found = files.read_json(path)
        if found is not None and not _goes_on(found, study):
            self._keep_earlier(place, _decoded(found, path), study)
        if isinstance(study, ResolvedStudy):
            self._record(place, study)
        files.write_json(path, study.encoded())
        return path

    def recorded(self) -> list[StudyPlace]:
        """Return the place of every form that any table had, in order."""
        return sorted(self._listed(RECORDED))

    def read_form(self, place: StudyPlace) -> ResolvedStudy | None:
        """Return a form of a table that `recorded` names, None where it is gone."""
        study = self._read_file(self._path(RECORDED, place.stem))
        return study if isinstance(study, ResolvedStudy) else None

    def has_form(self, place: StudyPlace, table: ResolvedStudy) -> bool:
        """Return whether a table ever was in this form here."""
        return self._form_path(place, table)[1].exists()

    def keep_form(self, place: StudyPlace, table: ResolvedStudy) -> None:
        """Keep a form of a table, which need not be the newest one."""
        self._record(place, table)

    def keep_beside(self, place: StudyPlace, study: StudyOrSearch, newer: StudyOrSearch) -> None:
        """Keep a study as one whose place `newer` has taken."""
        self._keep_earlier(place, study, newer)

    def read_as_is(self, place: StudyPlace) -> StudyOrSearch | None:
        """Return what the file of a place has, whatever its changes, as it is without its log."""
        return self._read_file(self._path(STUDIES, place.stem))

    def put(self, place: StudyPlace, study: StudyOrSearch) -> None:
        """Keep a study at a place, instead of what has been there.

        A table's form is recorded last: a store that has recorded one has had it at its place.
        """
        found = self.read_as_is(place)
        if found is not None:  # also of other changes, in a store of an earlier version
            self._keep_earlier(place, found, study)
        files.write_json(self._path(STUDIES, place.stem), study.encoded())
        if isinstance(study, ResolvedStudy):
            self._record(place, study)

    def recorded_keys(self) -> Iterator[tuple[str, str]]:
        """Yield study and key of everything that any study ever wanted, some of them repeatedly."""
        for stored in self.all():
            yield from ((str(stored.place), key) for key in stored.study.keys)
        for place in self._listed(RECORDED):
            study = self._read_file(self._path(RECORDED, place.stem))
            if study is not None:
                own = place._replace(variant=own_variant(study))
                yield from ((str(own), key) for key in study.keys)
        for search in suggestion_log.read_all(self.root):
            own = StudyPlace(search.name, search.scale, own_variant(search))
            yield from ((str(own), key) for key in search.keys)

    def _keep_earlier(
        self, place: StudyPlace, earlier: StudyOrSearch, later: StudyOrSearch
    ) -> None:
        """Keep what is about to lose its place: of a table its form, of a search all of it."""
        if isinstance(earlier, ResolvedStudy):
            self._record(place, earlier)
            variant = own_variant(earlier)
            if variant == place.variant:
                return
        else:
            identity = suggestion_log.identity_of(earlier)
            if isinstance(later, ResolvedSearch) and identity == suggestion_log.identity_of(later):
                return
            variant = own_variant(earlier)
            variant = identity[:VARIANT_DIGITS] if variant == place.variant else variant
        path = self._path(STUDIES, place._replace(variant=variant).stem)
        if isinstance(earlier, ResolvedSearch) or files.read_json(path) is None:
            files.write_json(path, earlier.encoded())

    def _record(self, place: StudyPlace, table: ResolvedStudy) -> None:
        plain, path = self._form_path(place, table)
        if not path.exists():
            files.create(path, json.dumps(plain).encode())

    def _form_path(self, place: StudyPlace, table: ResolvedStudy) -> tuple[Any, Location]:
        """Return a form of a table as JSON has it, and its file."""
        plain = files.plain(table.encoded())
        own = place._replace(variant=_digest(plain)[:20])
        return plain, self._path(RECORDED, own.stem)

    def _listed(self, folder: str) -> Iterator[StudyPlace]:
        names = (entry.name for entry in files.scan(self.root / folder))
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        yield from (place for place in map(StudyPlace.of_stem, stems) if place is not None)

    def _read_file(self, path: Location) -> StudyOrSearch | None:
        found = files.read_json(path)
        return None if found is None else _decoded(found, path)

    def _path(self, folder: str, stem: str) -> Location:
        return self.root / folder / f"{stem}.json"


def variant_of(changes: Mapping[str, object]) -> str:
    """Return the digest of some changes, "" of none; 2 and 2.0, lists and tuples are the same."""
    if not changes:
        return ""
    plain = json.loads(json.dumps(files.plain(changes), default=repr), parse_float=_number)
    return _digest(plain)[:VARIANT_DIGITS]


def own_variant(study: StudyOrSearch) -> str:
    """Return the variant that a study is by its changes."""
    return variant_of(study.changes)


def _digest(value: object) -> str:
    """Return the SHA-256 of a JSON value; as `core.config` does, which imports pydantic."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


def _decoded(found: Mapping[str, Any], path: Location) -> StudyOrSearch:
    fields = Fields(found, "a stored study", path)
    check_format(fields)
    kind = fields.text("kind", "table")
    if kind not in ("table", "search"):
        raise fields.wrong("kind", "table or search")
    return decode_study(fields) if kind == "table" else decode_search(fields)


def _goes_on(found: Mapping[str, Any], study: StudyOrSearch) -> bool:
    """Return whether a file holds the same search, or the very table, so that nothing is lost."""
    if isinstance(study, ResolvedSearch) and study.identity:
        return bool(found.get("identity") == study.identity)
    return bool(found == files.plain(study.encoded()))
