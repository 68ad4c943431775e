"""Studies, searches, origins and imported numbers of two stores: the newest form, and no loss."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

import pytest
from resolved import cell, search, table

from semisweep import Store
from semisweep.store import suggestion_log
from semisweep.store.resolved_search import ResolvedSearch, Suggestion
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store_archive import pack
from semisweep.store.study_merge import Step, merge_studies
from semisweep.store.study_origin import note_origin, study_origins
from semisweep.tables.imported_numbers import ImportedNumber, keep, read_imported


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMISWEEP_LEASE_SECONDS", "1")


@pytest.fixture
def here(any_place: str) -> Store:
    return Store.open(any_place, create=True)


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "there", create=True)


def merge(source: Store, target: Store) -> list[Step]:
    return list(merge_studies(source, target, dry_run=False))


def form(*keys: str) -> ResolvedStudy:
    return table(cell(keys))


def write(store: Store, *forms: ResolvedStudy) -> None:
    for own in forms:
        store.write_study("example", "mini", own)


def newest(store: Store) -> object:
    return store.read_study("example", "mini")


A, B, C = form("a"), form("a", "b"), form("a", "c")


def test_a_table_that_has_gone_on_there_is_the_newest(here: Store, there: Store) -> None:
    write(here, A)
    write(there, A, B)

    assert [step.kind for step in merge(there, here)] == ["studies"]
    assert newest(here) == B
    assert merge(there, here) == merge(here, there) == []


def test_a_table_that_has_gone_on_here_stays(here: Store, there: Store) -> None:
    write(here, A, B)
    write(there, A)

    assert merge(there, here) == []
    assert newest(here) == B


def test_of_a_table_that_was_changed_at_both_this_form_stays_and_the_other_is_kept(
    here: Store, there: Store
) -> None:
    write(here, A, B)
    write(there, A, C)

    (step,) = merge(there, here)

    assert step.kind == "kept"
    assert "example@mini" in step.text
    assert newest(here) == B
    assert {key for _, key in here.study_files.recorded_keys()} == {"a", "b", "c"}
    assert merge(there, here) == []


def test_a_table_with_changes_is_a_study_of_its_own(here: Store, there: Store) -> None:
    write(here, A)
    write(there, dataclasses.replace(B, changes={"training.steps": 4}))

    merge(there, here)

    assert newest(here) == A
    changed = here.read_table("example", "mini", {"training.steps": 4})
    assert changed is not None
    assert changed.keys == ["a", "b"]


def begin(store: Store, *keys: str, name: str = "searched", metric: str = "m") -> ResolvedSearch:
    """Write a search as a sweep does: its beginning, each suggestion, its study."""
    found = search((), name=name, metric=metric, identity=f"{len(metric):020x}")
    suggestion_log.begin(store.root, found)
    for number, key in enumerate(keys):
        entry = Suggestion(number=number, params={"x": key}, key=key, saw=())
        suggestion_log.append(store.root, found, entry)
    store.write_study(name, "mini", found)
    return found


def suggested(store: Store, name: str = "searched") -> list[str]:
    found = store.read_search(name, "mini")
    return [] if found is None else [entry.key for entry in found.trials]


def test_a_search_that_has_gone_on_there_goes_on_here(here: Store, there: Store) -> None:
    own = begin(here, "a", "b")
    begin(there, "a", "b", "c", "d")

    assert [step.kind for step in merge(there, here)] == ["studies"]
    assert suggested(here) == ["a", "b", "c", "d"]
    assert merge(there, here) == merge(here, there) == []
    following = Suggestion(number=4, params={"x": "e"}, key="e", saw=())
    suggestion_log.append(here.root, own, following)
    assert suggested(here)[-1] == "e"


def test_a_search_that_goes_on_here_is_left_alone(here: Store, there: Store) -> None:
    own = begin(here, "a", "b")
    begin(there, "a", "b", "c", "d")

    with here.lock(suggestion_log.turn_folder(own.name, own.scale), wait=False) as held:
        assert held
        steps = merge(there, here)
        following = Suggestion(number=2, params={"x": "own"}, key="own", saw=())
        suggestion_log.append(here.root, own, following)

    assert {step.kind for step in steps} == {"busy"}
    assert suggested(here) == ["a", "b", "own"]


def test_a_dry_run_tells_of_a_search_once(here: Store, there: Store) -> None:
    begin(here, "a", "b")
    begin(there, "a", "b", "c", "d")

    dry = list(merge_studies(there, here, dry_run=True))

    assert suggested(here) == ["a", "b"]
    assert dry == merge(there, here)


def test_a_new_search_can_go_on(here: Store, there: Store) -> None:
    own = begin(there, "a", "b")

    merge(there, here)

    assert suggested(here) == ["a", "b"]
    suggestion_log.append(here.root, own, Suggestion(number=2, params={"x": "c"}, key="c", saw=()))
    assert suggested(here) == ["a", "b", "c"]
    assert suggestion_log.read(here.root, own.identity) is not None


def test_a_search_that_went_on_at_both_stays_as_it_is_here(here: Store, there: Store) -> None:
    begin(here, "a", "b", "c")
    begin(there, "a", "x", "y", "z")

    steps = merge(there, here)

    assert {step.kind for step in steps} == {"kept"}
    assert "gone on with at both" in steps[0].text
    assert suggested(here) == ["a", "b", "c"]


def test_another_search_of_the_name_is_kept_beside(here: Store, there: Store) -> None:
    begin(here, "a")
    begin(there, "b", metric="other")

    merge(there, here)

    assert suggested(here) == ["a"]
    assert len(here.study_files.named("searched", "mini")) == 2
    assert merge(there, here) == []


def test_suggestions_with_a_gap_are_damaged(here: Store, there: Store) -> None:
    begin(there, "a", "b", "c")
    assert isinstance(there.root, Path)
    next(there.root.rglob("trial-000001.json")).unlink()

    steps = merge(there, here)

    assert {step.kind for step in steps} == {"left out"}
    assert suggested(here) == []


def test_origins_and_numbers_are_added_and_those_here_stay(here: Store, there: Store) -> None:
    note_origin(here.root, "both", "here.py:study")
    note_origin(there.root, "both", "there.py:study")
    note_origin(there.root, "there:one", "module:study")
    about = {"study": "s", "scale": "paper", "row": "r", "column": "c", "source": "file"}
    keep(here, [ImportedNumber(**about, replicate="0/0", value=70.0)])
    keep(
        there,
        [
            ImportedNumber(**about, replicate="0/0", value=71.0),
            ImportedNumber(**about, replicate="0/1", value=72.0),
        ],
    )

    steps = merge(there, here)

    assert study_origins(here.root) == {"both": "here.py:study", "there:one": "module:study"}
    assert [number.value for number in read_imported(here, "s", "paper")] == [70.0, 72.0]
    assert "1 numbers differ" in steps[-1].text


def test_one_damaged_file_is_named_and_the_rest_is_added(here: Store, there: Store) -> None:
    write(there, A)
    begin(there, "a")
    assert isinstance(there.root, Path)
    for name in ("imported/s@mini.json", "origins/o.json", "looks/example@mini/look-001.json"):
        (there.root / name).parent.mkdir(parents=True, exist_ok=True)
        (there.root / name).write_text('{"format": "\\u001b[2J"}')

    steps = merge(there, here)

    assert sum(step.kind == "left out" for step in steps) == 3
    assert newest(here) == A
    assert suggested(here) == ["a"]


def test_the_lock_of_a_search_is_not_packed(here: Store, tmp_path: Path) -> None:
    own = begin(here, "a")
    identity = suggestion_log.identity_of(own)
    with here.lock(f"searches/{identity}", wait=True):
        pass
    archive = tmp_path / "store.tar"

    pack(here, archive)

    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert f"searches/{identity}/search.json" in names
    assert not [name for name in names if "lock" in name]
