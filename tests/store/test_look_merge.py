"""Looks that two places took at a table: none is lost, none counts as an earlier one."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from semisweep.store import look_merge
from semisweep.store.look_log import Entry, copy_entry, note_look, read_entries, read_looks
from semisweep.store.look_merge import merge_looks
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace

PLACE = StudyPlace("mine", "mini")
CELL = ("row", "column")


def look(number: int, *keys: str, looks: int = 0) -> Entry:
    return Entry(look=number, looks=looks, trials={CELL: keys})


def judged(number: int, looks: int = 0) -> Entry:
    return Entry(look=number, looks=looks, judged=True)


@pytest.fixture
def here(any_place: str) -> Store:
    return Store.open(any_place, create=True)


@pytest.fixture
def there(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "there", create=True)


def note(store: Store, *entries: Entry) -> None:
    for entry in entries:
        number = read_looks(store.root, PLACE).number + 1
        assert note_look(store.root, PLACE, entry, number)


def merge(source: Store, target: Store, *, dry_run: bool = False) -> str:
    return merge_looks(source.root, target.root, PLACE, dry_run=dry_run)


def stands(store: Store) -> tuple[int, bool, set[str]]:
    found = read_looks(store.root, PLACE)
    return found.look, found.judged, set(found.seen.get(CELL, ()))


def test_a_look_that_is_taken_here_meanwhile_is_not_passed_by(
    here: Store, there: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(here, look(1, "a"), judged(1))
    note(there, look(1, "a"), judged(1), look(2, "b"), judged(2))

    def later(*arguments: Any) -> bool:
        note(here, look(2, "own"))
        monkeypatch.setattr(look_merge, "copy_entry", copy_entry)
        return copy_entry(*arguments)

    monkeypatch.setattr(look_merge, "copy_entry", later)

    assert "merge again" in merge(there, here)
    assert stands(here) == (2, False, {"a", "own"})


def test_a_log_that_has_gone_on_is_taken_as_it_is(here: Store, there: Store) -> None:
    note(here, look(1, "a"))
    note(there, look(1, "a"), judged(1), look(2, "b"), judged(2))

    assert merge(there, here, dry_run=True) == "added"
    assert stands(here) == (1, False, {"a"})
    assert merge(there, here) == "added"
    assert read_entries(here.root, PLACE) == read_entries(there.root, PLACE)
    assert merge(there, here) == merge(here, there) == ""


def test_looks_of_both_count_one_after_another(here: Store, there: Store) -> None:
    """Both judged what they had alone: whoever has both results has looked twice more."""
    note(here, look(1, "a"), judged(1), look(2, "b"), judged(2))
    note(there, look(1, "a"), judged(1), look(2, "c"), judged(2))

    assert merge(there, here) == "added"
    assert stands(here) == (3, True, {"a", "b", "c"})
    assert merge(there, here) == ""
    assert merge(here, there) == "added"
    assert stands(there) == stands(here)
    assert merge(there, here) == merge(here, there) == ""


def test_a_look_without_a_verdict_is_joined(here: Store, there: Store) -> None:
    note(here, look(1, "a"), judged(1), look(2, "b"))
    note(there, look(1, "a"), judged(1), look(2, "c"))

    merge(there, here)

    assert stands(here) == (2, False, {"a", "b", "c"})
    note(there, judged(2))
    assert merge(there, here) == "added"
    assert stands(here) == (2, True, {"a", "b", "c"})


def test_what_was_added_to_a_look_that_was_judged_here_is_the_next_one(
    here: Store, there: Store
) -> None:
    note(here, look(1, "a"), judged(1))
    note(there, look(1, "a", "b"))

    merge(there, here)

    assert stands(here) == (2, False, {"a", "b"})


def test_no_more_looks_than_were_planned_come_of_it(here: Store, there: Store) -> None:
    note(here, look(1, "a", looks=2), judged(1, 2), look(2, "b", looks=2), judged(2, 2))
    note(there, look(1, "a", looks=2), judged(1, 2), look(2, "c", looks=2), judged(2, 2))
    before = read_entries(here.root, PLACE)

    told = merge(there, here)

    assert "look=3, looks=2 planned" in told
    assert "\n" not in told
    assert read_entries(here.root, PLACE) == before


def test_a_log_of_an_early_version_is_copied_or_stays(here: Store, there: Store) -> None:
    early = (
        '{"format": 1, "look": 2, "looks": 3, "cells": [{"row": "r", "column": "c", "units": 3}]}'
    )
    assert isinstance(there.root, Path)
    path = there.root / "looks" / PLACE.stem / "look-001.json"
    path.parent.mkdir(parents=True)
    path.write_text(early)

    assert merge(there, here) == "added"
    assert read_looks(here.root, PLACE).counts == {("r", "c"): 3}
    assert merge(there, here) == ""
    note(here, look(3, "a"))
    path.with_name("look-002.json").write_text(early.replace("3}", "4}"))
    assert "early version" in merge(there, here)


@pytest.mark.parametrize("seed", range(40))
def test_no_look_is_lost_whoever_merges_when(tmp_path: Path, seed: int) -> None:
    """Three stores that look and merge at random: all come to the same, and none forgets."""
    numbers = random.Random(seed)
    stores = [Store.open(tmp_path / name, create=True) for name in "abc"]
    for count in range(12):
        store, other = numbers.sample(stores, 2)
        if numbers.random() < 0.5:
            stand = read_looks(store.root, PLACE)
            is_new = stand.judged or numbers.random() < 0.5
            keys = look(stand.look + stand.judged, f"{count}")
            note(store, keys if is_new else judged(stand.look))
        before, theirs = (read_looks(own.root, PLACE) for own in (store, other))
        merge(other, store)
        after = read_looks(store.root, PLACE)
        assert (after.look, after.judged) >= (before.look, before.judged)
        assert (after.look, after.judged) >= (theirs.look, theirs.judged)
        assert after.seen.get(CELL, frozenset()) >= before.seen.get(CELL, frozenset())
        assert after.seen.get(CELL, frozenset()) >= theirs.seen.get(CELL, frozenset())
    for _ in range(2):
        for one, other in itertools.permutations(stores, 2):
            merge(one, other)
    for one, other in itertools.pairwise(stores):
        assert stands(one) == stands(other)
    for one, other in itertools.permutations(stores, 2):
        assert merge(one, other) == ""
