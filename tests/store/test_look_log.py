"""Looks at a table: each is noted once, whoever is first, and their number never falls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from semisweep import Store
from semisweep.core.errors import StoreError
from semisweep.store import files
from semisweep.store.look_log import TakenLook, newest_look, take_look
from semisweep.store.study_files import StudyPlace

PLACE = StudyPlace("mine", "mini")


@pytest.fixture
def store(any_place: str) -> Store:
    return Store.open(any_place, create=True)


def look(number: int, units: int = 3) -> TakenLook:
    return TakenLook(look=number, looks=3, units={("row", "column"): units})


def test_looks_are_read_as_they_were_taken(store: Store) -> None:
    assert newest_look(store.root, PLACE) is None
    assert take_look(store.root, PLACE, look(1)) == look(1)
    assert take_look(store.root, PLACE, look(2, 5)) == look(2, 5)
    assert newest_look(store.root, PLACE) == look(2, 5)
    assert newest_look(store.root, PLACE._replace(variant="other")) is None
    assert newest_look(store.root, PLACE._replace(scale="paper")) is None


def test_an_earlier_look_or_another_of_the_number_changes_nothing(store: Store) -> None:
    take_look(store.root, PLACE, look(2, 5))

    assert take_look(store.root, PLACE, look(2, 9)) == look(2, 5)
    assert take_look(store.root, PLACE, look(1)) == look(2, 5)


def test_of_several_at_once_all_go_on_with_the_same(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda units: take_look(store.root, PLACE, look(2, units)), range(4, 20))
        )

    assert len({own.units["row", "column"] for own in found}) == 1


def test_a_damaged_look_is_refused_and_named(store: Store) -> None:
    path = store.root / "looks" / "mine@mini" / "look-002.json"
    for value in (
        {},
        {"format": 1, "look": "2"},
        {"format": 1, "look": 2, "looks": 3, "cells": [1]},
    ):
        files.write_json(path, value)
        with pytest.raises(StoreError, match=r"a (cell of a )?look at a table must .*look-002"):
            newest_look(store.root, PLACE)
