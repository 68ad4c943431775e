"""What of a store goes into an archive: trials, and all that is noted of studies.

Left out is what can be made again: compacted parts, tables as they were printed, plans, what checks
and bootstraps remember. So are locks, and states that nothing needs. The store may be in use: each
trial is packed as it was at one moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semisweep.core.errors import StoreError, unknown
from semisweep.core.safe_text import one_line
from semisweep.store import files
from semisweep.store.archive_file import is_packed, mode_of, write_archive
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace
from semisweep.store.study_origin import ORIGINS
from semisweep.store.suggestion_log import FOLDER as SEARCHES
from semisweep.store.suggestion_log import read
from semisweep.store.trial_content import read_trial

STUDIES = ("studies", "recorded", "looks", "imported")  # of files that begin with NAME@SCALE


@dataclass
class Packed:
    """What an archive has: trials by their state, files of studies, and what was left out."""

    trials: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    checkpoint_bytes: int = 0
    weight_bytes: int = 0  # of kept weights, whether they were packed or not
    size: int = 0  # of the archive, in bytes
    left_out: list[str] = field(default_factory=list)  # a text for each damaged trial


def pack(
    store: Store,
    output: Path,
    names: Sequence[str] = (),
    *,
    checkpoints: bool = True,
    weights: bool = False,
) -> Packed:
    """Write a store, or some of its studies with their trials, as an archive; see `archive_file`.

    `checkpoints`: what unfinished trials go on from; `weights`: those that finished ones keep.
    Raises `ConfigError` for a study that the store does not have and for an ending of `output` that
    is none.
    """
    mode_of(output)
    places = _chosen(store, names)
    packed = Packed(studies=len(places))
    keys = store.keys() if not names else _wanted(store, places)

    def entries() -> Iterator[tuple[str, bytes]]:
        yield from _study_entries(store, None if not names else places)
        for key in keys:
            yield from _trial_entries(store, key, packed, checkpoints, weights)

    packed.size = write_archive(output, entries())
    return packed


def _chosen(store: Store, names: Sequence[str]) -> set[tuple[str, str]]:
    """Return name and scale of the studies that are meant, all of them without names."""
    places = store.study_files.places()
    for name in names:
        if not any(name in place.names for place in places):
            raise unknown("study of this store", name, {place.name for place in places})
    meant = [place for place in places if not names or set(names) & set(place.names)]
    return {place[:2] for place in meant} | _tuned_by(store, meant)


def _tuned_by(store: Store, places: Iterable[StudyPlace]) -> set[tuple[str, str]]:
    """Return name and scale of the searches that tuned rows of some studies are from."""
    found = set()
    for place in places:
        try:
            study = store.study_files.read_as_is(place)
        except StoreError:  # whoever merges it is told
            continue
        for cell in study.cells if isinstance(study, ResolvedStudy) else ():
            if cell.tuning is not None:
                found.add((cell.tuning.search, place.scale))
    return found


def _wanted(store: Store, places: set[tuple[str, str]]) -> list[str]:
    """Return the keys of the trials of some studies, in whatever form these ever were."""
    stems = {str(StudyPlace(*place)) for place in places}
    wanted = {
        key
        for study, key in store.study_files.recorded_keys()
        if study in stems or any(study.startswith(f"{stem}@") for stem in stems)
    }
    return sorted(wanted.intersection(store.keys()))


def _study_entries(
    store: Store, places: set[tuple[str, str]] | None
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of some studies, of all without `places`."""
    stems = None if places is None else {StudyPlace(*place).stem for place in places}
    for folder in STUDIES:
        for name in sorted(files.below(store.root / folder)):
            own = "@".join(name.partition("/")[0].removesuffix(".json").split("@")[:2])
            if stems is None or own in stems:
                yield from _file(store, [folder, *name.split("/")])
    origins = None if stems is None else {stem.partition("@")[0] for stem in stems}
    for name in sorted(files.below(store.root / ORIGINS)):
        if origins is None or name.removesuffix(".json").replace("%3A", ":") in origins:
            yield from _file(store, [ORIGINS, name])
    for identity in sorted(entry.name for entry in files.scan(store.root / SEARCHES)):
        search = None if places is None else read(store.root, identity)
        if places is None or (search and (search.name, search.scale) in places):
            for name in sorted(files.below(store.root / SEARCHES / identity)):
                yield from _file(store, [SEARCHES, identity, name])


def _file(store: Store, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    path = store.root
    for name in names:
        path = path / name
    try:
        name = "/".join(names)
        if is_packed(name):
            yield name, files.read(path)
    except FileNotFoundError:  # it was removed meanwhile
        return


def _trial_entries(
    store: Store, key: str, packed: Packed, checkpoints: bool, weights: bool
) -> Iterator[tuple[str, bytes]]:
    try:
        found = read_trial(store.trial(key), checkpoint=checkpoints, weights=weights)
    except StoreError as error:
        packed.left_out.append(one_line(f"trial {key}: {error}"))
        return
    if found.is_empty:
        return
    packed.trials[found.state] += 1
    packed.checkpoint_bytes += len(found.checkpoint or b"")
    packed.weight_bytes += found.weight_bytes if found.result is not None else 0
    for name, data in found.files():
        yield f"trials/{key}/{name}", data
