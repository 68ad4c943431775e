"""What a store notes of studies, added to another store in which nothing is lost by it.

Of a table that differs the form that has gone on from the other one is the newest; where both have
gone on, this store's stays and the other one is recorded. A search goes on where its log is the
beginning of the other one's; where both have suggested, this store's stays. For looks at tables see
`semisweep.store.look_merge`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from semisweep.core.errors import StoreError
from semisweep.core.safe_text import one_line
from semisweep.store import files, suggestion_log
from semisweep.store.json_fields import Fields
from semisweep.store.look_merge import merge_looks, places_with_looks
from semisweep.store.resolved_search import ResolvedSearch, StudyOrSearch, Suggestion
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace, own_variant
from semisweep.store.study_origin import ORIGINS, note_origin, study_origin
from semisweep.store.suggestion_log import identity_of

IMPORTED = "imported"
BUSY = "busy"


class Step(NamedTuple):
    """What became of one thing that was merged: a kind, of which steps are counted, and a line.

    "left out" is what is damaged, "kept" where this store's stays though the other one differs,
    "busy" what another process goes on with here.
    """

    kind: str
    text: str = ""


def merge_studies(source: Store, target: Store, *, dry_run: bool) -> Iterator[Step]:
    """Add studies, looks, searches, origins and imported numbers; yield what became of each."""
    merge = _Merge(source, target, dry_run)
    for place in source.study_files.places():
        yield from _each(f"study {place}", lambda place=place: merge.study(place))  # type: ignore[misc]
    for place in source.study_files.recorded():
        yield from _each(f"form {place}", lambda place=place: merge.form(place))  # type: ignore[misc]
    for name in _names(source, suggestion_log.FOLDER):
        yield from _each(f"search {name}", lambda name=name: merge.log(name))  # type: ignore[misc]
    for place in places_with_looks(source.root):
        yield from _each(f"looks at {place}", lambda place=place: merge.looks(place))  # type: ignore[misc]
    for name in _names(source, ORIGINS):
        yield from _each(f"origin {name}", lambda name=name: merge.origin(name))  # type: ignore[misc]
    for name in _names(source, IMPORTED):
        yield from _each(f"numbers {name}", lambda name=name: merge.imported(name))  # type: ignore[misc]


def _names(store: Store, folder: str) -> list[str]:
    names = (entry.name for entry in files.scan(store.root / folder))
    return sorted(name.removesuffix(".json") for name in names)


def _each(what: str, merge: Callable[[], Step | None]) -> Iterator[Step]:
    """Yield a step; one that says which file is damaged is a step too.

    A store that cannot be written ends the whole.
    """
    try:
        step = merge()
    except StoreError as error:
        if isinstance(error.__cause__, OSError):
            raise
        step = Step("left out", str(error))
    if step is not None:
        yield step._replace(text=f"{one_line(what)}: {step.text}" if step.text else "")


@dataclasses.dataclass(frozen=True)
class _Merge:
    source: Store
    target: Store
    dry_run: bool
    searches: set[str] = dataclasses.field(default_factory=set)  # what a dry run has told of

    def study(self, place: StudyPlace) -> Step | None:
        """Merge the file of one study."""
        study = self.source.study_files.read_as_is(place)
        if study is None:
            return None
        own = place if place.variant else place._replace(variant=own_variant(study))
        if isinstance(study, ResolvedSearch):
            return self._search(own, suggestion_log.completed(self.source.root, study))
        ours = self.target.study_files.read(own)
        if ours is None:
            return self._put(own, study)
        if not isinstance(ours, ResolvedStudy):
            self._do(lambda: self.target.study_files.keep_beside(own, study, ours))
            return None
        if ours.encoded() == study.encoded() or self.target.study_files.has_form(own, study):
            return None
        if self.source.study_files.has_form(own, ours):
            return self._put(own, study)
        self._do(lambda: self.target.study_files.keep_form(own, study))
        return Step("kept", "its table was changed at both; this store's form stays, see list")

    def form(self, place: StudyPlace) -> Step | None:
        """Record one form that a table had."""
        form = self.source.study_files.read_form(place)
        if form is not None:
            self._do(lambda: self.target.study_files.keep_form(place, form))
        return None

    def log(self, identity: str) -> Step | None:
        """Merge the log of one search, whose study need not be there any more."""
        search = suggestion_log.read(self.source.root, identity)
        if search is None:
            return None
        if identity_of(search) != identity:
            raise StoreError(f"a search must have identity={identity}, got {identity_of(search)}")
        if identity in self.searches:
            return None
        return self._suggestions(search, suggestion_log.read(self.target.root, identity))[1]

    def looks(self, place: StudyPlace) -> Step | None:
        """Merge the looks at one table."""
        told = merge_looks(self.source.root, self.target.root, place, dry_run=self.dry_run)
        return Step("looks") if told == "added" else Step("kept", told) if told else None

    def origin(self, name: str) -> Step | None:
        """Take over where a study came from, if nobody has noted it here."""
        place = StudyPlace.of_stem(f"{name}@")
        if place is None:
            raise StoreError(f"an origin must be of a study, got name={name}")
        origin = study_origin(self.source.root, place.name)
        if origin and not study_origin(self.target.root, place.name):
            self._do(lambda: note_origin(self.target.root, place.name, origin))
        return None

    def imported(self, name: str) -> Step | None:
        """Add numbers that were imported there; of two of one place this store's stays."""
        theirs, ours = (_numbers(store, name) for store in (self.source, self.target))
        further = [entry for place, entry in theirs.items() if place not in ours]
        if further:
            entries = [*ours.values(), *further]
            path = self.target.root / IMPORTED / f"{name}.json"
            self._do(lambda: files.write_json(path, {"format": 1, "entries": entries}))
        other = [place for place, entry in theirs.items() if ours.get(place, entry) != entry]
        if other:
            return Step("kept", f"{len(other)} numbers differ from those imported here, which stay")
        return Step("numbers") if further else None

    def _search(self, own: StudyPlace, search: ResolvedSearch) -> Step | None:
        identity = identity_of(search)
        named = self.target.study_files.named(own.name, own.scale)
        same = [
            stored
            for stored in named
            if isinstance(stored.study, ResolvedSearch) and identity_of(stored.study) == identity
        ]
        ours = same[0].study if same else None
        assert ours is None or isinstance(ours, ResolvedSearch)
        merged, step = self._suggestions(search, ours)
        if step is not None and step.kind == BUSY:
            return step
        if same:
            if merged is not ours:
                self._do(lambda: self.target.study_files.put(same[0].place, merged))
            return step
        there = self.target.study_files.read(own)
        if there is None:
            return self._put(own, merged)
        self._do(lambda: self.target.study_files.keep_beside(own, merged, there))
        return Step("kept", "another search of that name goes on here; it is kept beside it")

    def _suggestions(
        self, theirs: ResolvedSearch, ours: ResolvedSearch | None
    ) -> tuple[ResolvedSearch, Step | None]:
        """Return a search with what the other one has beyond it, which is noted in its log."""
        if [entry.number for entry in theirs.trials] != list(range(len(theirs.trials))):
            raise StoreError("a search must have all of its suggestions, got some of them")
        merged, step = _joined(theirs, ours)
        if step is None or step.kind == "kept":
            return merged, step
        root, identity = self.target.root, identity_of(theirs)
        if self.dry_run:
            self.searches.add(identity)
            return merged, step
        with _turn(self.target, theirs) as is_ours:
            if not is_ours:
                return ours or theirs, Step(BUSY, "it goes on here; merge again")
            now = suggestion_log.completed(root, ours) if ours else None
            now = now or suggestion_log.read(root, identity)
            merged, step = _joined(theirs, now)
            if step is None or step.kind == "kept":
                return merged, step
            before = now or theirs
            suggestion_log.begin(root, before)
            for entry in merged.trials[len(before.trials) :]:
                suggestion_log.append(root, before, entry)
            for own in merged.confirmations[len(before.confirmations) :]:
                suggestion_log.append_confirmation(root, before, own)
        return merged, step

    def _put(self, place: StudyPlace, study: StudyOrSearch) -> Step:
        self._do(lambda: self.target.study_files.put(place, study))
        return Step("studies")

    def _do(self, write: Callable[[], object]) -> None:
        if not self.dry_run:
            write()


@contextmanager
def _turn(target: Store, search: ResolvedSearch) -> Iterator[bool]:
    """Hold the right to go on with a search; yield False where another process has it."""
    until = time.monotonic() + target.patience
    while True:
        folder = suggestion_log.turn_folder(search.name, search.scale)
        with target.lock(folder, wait=False) as held:
            if held is not None or time.monotonic() >= until:
                yield held is not None
                return
        time.sleep(target.patience / 9)


def _joined(
    theirs: ResolvedSearch, ours: ResolvedSearch | None
) -> tuple[ResolvedSearch, Step | None]:
    """Return a search with what the other one has beyond it, and what becomes of it by that."""
    if ours is None:
        return theirs, Step("studies")
    count = min(len(ours.trials), len(theirs.trials))
    again = min(len(ours.confirmations), len(theirs.confirmations))
    if (
        list(map(_told, ours.trials[:count])) != list(map(_told, theirs.trials[:count]))
        or ours.confirmations[:again] != theirs.confirmations[:again]
    ):
        return ours, Step(
            "kept",
            "it was gone on with at both, from one beginning to different suggestions; this "
            "store's stay, results of the other one's trials are there all the same",
        )
    trials, confirmations = theirs.trials[count:], theirs.confirmations[again:]
    if not trials and not confirmations:
        return ours, None
    merged = dataclasses.replace(
        theirs if trials else ours,
        trials=(*ours.trials, *trials),
        confirmations=(*ours.confirmations, *confirmations),
    )
    return merged, Step("studies")


def _told(entry: Suggestion) -> tuple[object, ...]:
    return entry.number, dict(entry.params), entry.key


def _numbers(store: Store, name: str) -> dict[tuple[str, ...], dict[str, object]]:
    """Return the imported numbers of a file as they are, by their places."""
    path = store.root / IMPORTED / f"{name}.json"
    found = files.read_json(path)
    if found is None:
        return {}
    fields = Fields(found, "a file of imported numbers", path)
    if fields.integer("format") != 1:
        raise fields.wrong("format", "1")
    entries = {}
    for entry in fields.items("entries", "an imported number"):
        entry.number("value")
        place = tuple(entry.text(part) for part in ("row", "column", "replicate", "source"))
        entries[place] = dict(entry.values)
    return entries
