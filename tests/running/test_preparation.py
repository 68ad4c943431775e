"""What a run is prepared from: looks count whatever runs between, and nothing is forgotten."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

from semisweep import Column, Row, Store, Study
from semisweep.core.errors import ConfigError
from semisweep.running.preparation import Prepared, place_of, prepare
from semisweep.running.race_run import Race
from semisweep.store import files
from semisweep.store.look_log import TakenLook, newest_look, take_look
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.study.request import Request, Roots
from semisweep.study.resolve import Splits, resolve
from semisweep.tables.rendering import resolved_study
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI

STUDY = Study(
    name="looked",
    title="Looked at",
    presets={"mini": MINI},
    base="base",
    seeds=3,
    rows=[
        Row(name="base", method=Supervised),
        Row(name="slow", method=Supervised, set={"training.optimizer.learning_rate": 0.001}),
    ],
    columns=[Column(name="few", set={"mini": {"data.labelled": 16}})],
)


class Place:
    """A table in a store whose trials are not trained: rows are never told apart."""

    def __init__(self, shapes: Path, folder: Path) -> None:
        roots = Roots(folder, {"shapes": shapes})
        self.request = Request(roots=roots, store=str(folder / "store"), check=False)
        self.store = Store.open(self.request.store, create=True)

    def prepare(self, **more: Any) -> Prepared:
        request = dataclasses.replace(self.request, **more)
        return prepare(STUDY, request, Splits(request.roots), self.store, print)

    def run(self, **more: Any) -> Prepared:
        found = self.prepare(**more)
        for key in found.missing:
            self.store.trial(key).complete({"last.test.miou": random.Random(key).gauss(0.5, 0.1)})
        return found

    def race(self, seeds: int) -> Race:
        request = dataclasses.replace(self.request, race=True, seeds=seeds)
        splits = Splits(request.roots)
        resolved = resolve(STUDY, "mini", splits, {}, seeds)
        return Race(resolved, self.store, splits, request)

    @property
    def wanted(self) -> set[str]:
        return {key for _, key in self.store.study_files.recorded_keys()}


@pytest.fixture
def place(tiny_shapes: Path, tmp_path: Path) -> Place:
    return Place(tiny_shapes, tmp_path)


def counts(table: ResolvedStudy) -> list[int]:
    return [len(cell.trials) for cell in table.cells]


def test_looks_go_on_after_a_run_with_changes_and_back(place: Place) -> None:
    place.run(looks=3)
    second = place.run(top_up=True)
    place.run(changes={"training.steps": 2}, seeds=1)
    back = place.run()
    third = place.run(top_up=True)

    assert (second.table.look, back.table.look, third.table.look) == (2, 2, 3)
    assert counts(back.table) == counts(second.table)
    assert {*second.table.keys, *third.table.keys} <= place.wanted
    with pytest.raises(ConfigError, match="got look=4, looks=3"):
        place.prepare(top_up=True)


def test_a_changed_study_has_looks_of_its_own(place: Place) -> None:
    steps = {"training.steps": 2}
    place.run(looks=3)
    place.run(top_up=True)
    first = place.run(changes=steps)
    changed = place.run(changes=steps, top_up=True, looks=2)

    assert (first.table.looks, changed.table.look, changed.table.looks) == (1, 2, 2)
    assert place.run().table.look == 2


@pytest.mark.parametrize("form", ["gone", "of the first look", "of fewer seeds"])
def test_a_look_counts_whatever_became_of_the_table_s_file(place: Place, form: str) -> None:
    """As a process that is killed, or late, leaves it."""
    first = place.run(looks=3)
    second = place.run(top_up=True)
    path = place.store.root / "studies" / "looked@mini.json"
    if form == "gone":
        assert isinstance(path, Path)
        path.unlink()
    else:
        fewer = resolve(STUDY, "mini", Splits(place.request.roots), {}, 1).table
        files.write_json(path, (first.table if form == "of the first look" else fewer).encoded())

    again = place.prepare()
    assert (again.table.look, again.table.looks) == (2, 3)
    assert counts(again.table) == counts(second.table)
    with pytest.raises(ConfigError, match="must get its replicates by --top-up"):
        place.prepare(seeds=1)


def test_a_look_that_was_noted_and_not_begun_is_the_one_that_goes_on(place: Place) -> None:
    first = place.run()
    units = {cell.place: 5 for cell in first.table.cells}
    where = place_of("looked", place.request)
    take_look(place.store.root, where, TakenLook(look=2, looks=3, units=units))
    topped = place.run(top_up=True)

    assert topped.table.look == 2
    assert counts(topped.table) == [5, 5]
    assert len(topped.missing) == 4


def test_a_look_of_an_earlier_version_s_store_goes_on(place: Place) -> None:
    """It has no log: the table itself says which look it is."""
    place.run(looks=3)
    second = place.run(top_up=True)
    for number in (1, 2):
        path = place.store.root / "looks" / "looked@mini" / f"look-{number:03d}.json"
        path.unlink()
    third = place.run(top_up=True)

    assert third.table.look == 3
    assert min(counts(third.table)) > min(counts(second.table))
    taken = newest_look(place.store.root, place_of("looked", place.request))
    assert taken is not None
    assert taken.look == 3


def test_a_race_and_a_top_up_do_not_share_a_table_s_level(place: Place) -> None:
    place.run(looks=3)
    with pytest.raises(ConfigError, match="planned before a table is looked at, got looks=3"):
        place.race(seeds=4)


def test_a_race_keeps_its_looks_when_the_table_was_run_without_it(place: Place) -> None:
    place.race(seeds=4)
    place.run()
    assert place.run().table.race is None
    with pytest.raises(ConfigError, match="got replicates=6, planned=4"):
        place.race(seeds=6)
    place.race(seeds=4)


def test_fewer_seeds_lose_no_trial(place: Place) -> None:
    many = place.run(seeds=5)
    few = place.run(seeds=1)

    assert counts(few.table) == [1, 1]
    assert set(many.table.keys) <= place.wanted


def test_a_table_shows_what_it_was_run_as(place: Place) -> None:
    plain = place.run()
    changed = place.run(changes={"training.steps": 2})
    asked = dataclasses.replace(place.request, changes={"training.steps": 2.0})

    assert resolved_study("looked", place.request, place.store) == plain.table
    assert resolved_study("looked", asked, place.store) == changed.table
