"""Looks at a table: each is noted once, whoever is first, and their number never falls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.look_log import Entry, Looks, most, note_look, read_looks
from semisweep.store.study_files import StudyPlace

PLACE = StudyPlace("mine", "mini")
CELL = ("row", "column")


@pytest.fixture
def store(any_place: str) -> Store:
    return Store.open(any_place, create=True)


def test_a_table_stands_where_its_entries_say(store: Store) -> None:
    entries = [
        Entry(look=1, trials={CELL: ["a", "b"]}),
        Entry(look=1, judged=True),
        Entry(look=2, trials={CELL: ["c"]}, units={CELL: (2, 1)}),
        Entry(look=2, trials={("row", "other"): ["d"]}, units={CELL: (1, 1, 1)}),
    ]
    found = [read_looks(store.root, PLACE)]
    for number, entry in enumerate(entries, start=1):
        assert note_look(store.root, PLACE, entry, number)
        found.append(read_looks(store.root, PLACE))

    assert found[0] == Looks()
    assert [own.look for own in found] == [1, 1, 1, 2, 2]
    assert [own.judged for own in found] == [False, False, True, False, False]
    assert [own.number for own in found] == [0, 1, 2, 3, 4]
    assert found[-1].seen == {CELL: {"a", "b", "c"}, ("row", "other"): {"d"}}
    assert found[-1].units == {CELL: (2, 1, 1)}
    assert found[-1].unseen({CELL: ["c", "e", "e"], ("row", "other"): ["d"]}) == {CELL: ("e",)}
    assert read_looks(store.root, PLACE._replace(variant="other")) == Looks()
    assert read_looks(store.root, PLACE._replace(scale="paper")) == Looks()


def test_an_entry_is_made_once(store: Store) -> None:
    note_look(store.root, PLACE, Entry(look=2, looks=3, race=5), 1)

    assert not note_look(store.root, PLACE, Entry(look=9), 1)
    found = read_looks(store.root, PLACE)
    assert (found.look, found.looks, found.race) == (2, 3, 5)


def test_of_several_at_once_one_is_first(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda seed: note_look(store.root, PLACE, Entry(look=2, units={CELL: (seed,)}), 1),
                range(16),
            )
        )

    assert found.count(True) == 1
    assert read_looks(store.root, PLACE).units == {CELL: (found.index(True),)}


def test_looks_of_an_earlier_version_are_read(store: Store) -> None:
    folder = store.root / "looks" / "mine@mini"
    cells = [{"row": "row", "column": "column", "units": 3}]
    for look in (1, 2):
        value = {"format": 1, "look": look, "looks": 3, "cells": cells, "race": False}
        files.write_json(folder / f"look-{look:03d}.json", value)

    assert read_looks(store.root, PLACE) == Looks(look=2, looks=3, counts={CELL: 3}, number=2)


def test_the_more_seeds_of_each_draw_are_kept() -> None:
    assert most((3,), (1, 1, 1)) == (3, 1, 1)
    assert most((), (2,)) == (2,)


def test_a_damaged_look_is_refused_and_named(store: Store) -> None:
    path = store.root / "looks" / "mine@mini" / "look-002.json"
    for value in (
        {},
        {"format": 1, "look": "2"},
        {"format": 1, "look": 2, "looks": 3, "cells": [1]},
        {"format": 2, "look": 2, "looks": 3, "race": 0, "trials": [1], "units": []},
        {"format": 3, "look": 2},
    ):
        files.write_json(path, value)
        with pytest.raises(StoreError, match=r"a (cell of a )?look at a table must .*look-002"):
            read_looks(store.root, PLACE)
