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
from semisweep.statistics.alpha_spending import level_at_look
from semisweep.store import files
from semisweep.store.look_log import Entry, Looks, note_look, read_looks
from semisweep.store.resolved_study import ResolvedStudy, units_of
from semisweep.study.data_roots import Roots
from semisweep.study.request import Request
from semisweep.study.resolve import Splits, resolve
from semisweep.tables.rendering import resolved_study
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI

ONE_DRAW = dataclasses.replace(MINI, draws=None, seeds=None)

STUDY = Study(
    name="looked",
    title="Looked at",
    presets={"mini": ONE_DRAW},
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
        self.study = STUDY
        self.said: list[str] = []

    def prepare(self, **more: Any) -> Prepared:
        request = dataclasses.replace(self.request, **more)
        splits = Splits(request.roots, self.store.keys())
        return prepare(self.study, request, splits, self.store, self.said.append)

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

    def looks(self) -> Looks:
        return read_looks(self.store.root, place_of("looked", self.request))

    @property
    def wanted(self) -> set[str]:
        return {key for _, key in self.store.study_files.recorded_keys()}


@pytest.fixture
def place(tiny_shapes: Path, tmp_path: Path) -> Place:
    return Place(tiny_shapes, tmp_path)


def counts(table: ResolvedStudy) -> list[int]:
    return [len(cell.trials) for cell in table.cells]


def units(table: ResolvedStudy) -> list[tuple[int, ...]]:
    return [units_of(cell.trials) for cell in table.cells]


def test_every_growth_of_a_judged_table_is_a_look(place: Place) -> None:
    found = [place.run(seeds=seeds).table for seeds in (3, 4, 6, 9)]

    assert [table.look for table in found] == [1, 2, 3, 4]
    assert {table.looks for table in found} == {0}
    assert sum(level_at_look(table.look) for table in found) <= 0.05
    assert [counts(table) for table in found] == [[3, 3], [4, 4], [6, 6], [9, 9]]


def test_growth_before_there_are_verdicts_is_no_look(place: Place) -> None:
    few = [place.run(seeds=seeds).table.look for seeds in (1, 2, 4)]
    place.prepare(seeds=5)  # killed before anything is trained

    assert few == [1, 1, 1]
    assert place.prepare(seeds=6).table.look == 2
    assert place.prepare(seeds=7).table.look == 2
    place.run(seeds=7)
    assert place.run(seeds=8).table.look == 3


def test_fewer_seeds_and_seen_trials_are_no_look_and_lower_none(place: Place) -> None:
    many = place.run(seeds=5)
    second = place.run(seeds=6)
    few = [place.run(seeds=seeds).table for seeds in (1, 3, 6, 2)]
    third = place.run(seeds=7)

    assert [table.look for table in few] == [2, 2, 2, 2]
    assert [counts(table) for table in few] == [[1, 1], [3, 3], [6, 6], [2, 2]]
    assert (many.table.look, second.table.look, third.table.look) == (1, 2, 3)
    assert set(many.table.keys) <= place.wanted


def test_a_verdict_counts_though_fewer_trials_were_shown_last(place: Place) -> None:
    place.run(seeds=3)
    place.run(seeds=1)

    assert place.run(seeds=4).table.look == 2


def test_rows_trained_anew_and_further_rows_are_looks(place: Place) -> None:
    place.run()
    again = place.run(retrain=("slow",))
    row = Row(name="third", method=Supervised, set={"training.optimizer.learning_rate": 0.01})
    place.study = dataclasses.replace(STUDY, rows=[*STUDY.rows, row])
    more = place.run()

    assert (again.table.look, more.table.look) == (2, 3)
    assert len(again.missing) == len(more.missing) == 3


def test_trials_that_another_study_has_trained_are_a_look_too(place: Place) -> None:
    place.run()
    wanted = resolve(STUDY, "mini", Splits(place.request.roots), {}, 5).trials
    for key in wanted:
        if not place.store.trial(key).finished:
            place.store.trial(key).complete({"last.test.miou": 0.5})
    found = place.prepare(seeds=5)

    assert found.missing == ()
    assert found.table.look == 2


def test_two_processes_at_once_go_on_with_the_same_look(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second reads the log before the first has written to it."""
    place.run()
    other = dataclasses.replace(place.request, top_up=True)
    started: list[Prepared] = []

    def late(root: Any, where: Any, entry: Entry, number: int) -> bool:
        if not started:
            monkeypatch.undo()
            splits = Splits(other.roots, place.store.keys())
            started.append(prepare(STUDY, other, splits, place.store, print))
        return note_look(root, where, entry, number)

    monkeypatch.setattr("semisweep.running.preparation.note_look", late)
    own = place.prepare(seeds=5)

    assert (started[0].table.look, own.table.look) == (2, 2)
    assert units(started[0].table) == [(3, 1, 1, 1, 1)] * 2
    assert units(own.table) == [(5, 1, 1, 1, 1)] * 2
    assert place.looks().look == 2


def test_a_top_up_adds_draws_and_looks_go_on_after_other_changes(place: Place) -> None:
    place.run()
    second = place.run(top_up=True)
    place.run(changes={"training.steps": 2}, seeds=1)
    back = place.run()
    third = place.run(top_up=True)
    more = place.run(seeds=5)

    assert (second.table.look, back.table.look, third.table.look) == (2, 2, 3)
    assert units(second.table) == units(back.table) == [(3, 1, 1, 1, 1)] * 2
    draws = len(units(third.table)[0])
    assert 5 < draws <= 9
    assert {*second.table.keys, *third.table.keys} <= place.wanted
    assert units(more.table) == [(5, *[1] * (draws - 1))] * 2
    assert more.table.look == 4
    assert not place.said


def test_where_there_are_no_draws_a_top_up_adds_seeds_and_says_so(place: Place) -> None:
    place.study = dataclasses.replace(
        STUDY, columns=[Column(name="all", set={"mini": {"data.labelled": None}})]
    )
    place.run()
    found = place.run(top_up=True)

    assert [len(own) for own in units(found.table)] == [1, 1]
    assert min(counts(found.table)) > 3
    assert len(place.said) == 1
    assert "seeds are added, as there are no further draws" in place.said[0]


def test_a_study_of_several_draws_gets_more_of_them(place: Place) -> None:
    place.study = dataclasses.replace(STUDY, presets={"mini": MINI})
    place.run()
    found = place.run(top_up=True)

    assert units(found.table) == [(1,) * 7, (1,) * 7]


def test_looks_are_as_many_as_were_planned(place: Place) -> None:
    place.run(looks=2)
    second = place.run(top_up=True)

    assert (second.table.look, second.table.looks) == (2, 2)
    for more in ({"top_up": True}, {"seeds": 4}, {"retrain": ("slow",)}):
        with pytest.raises(ConfigError, match="got look=3, looks=2"):
            place.prepare(**more)
    with pytest.raises(ConfigError, match="fixed before the first, got looks=5, planned=2"):
        place.prepare(looks=5)


def test_looks_are_planned_before_the_first(place: Place) -> None:
    place.run(seeds=1)
    assert place.prepare(looks=3, seeds=1).table.looks == 3
    place.run()
    place.run(changes={"training.steps": 2})
    with pytest.raises(ConfigError, match="got looks=3, planned=any number"):
        place.prepare(changes={"training.steps": 2}, looks=3)


def test_a_changed_study_has_looks_of_its_own(place: Place) -> None:
    steps = {"training.steps": 2}
    place.run()
    place.run(top_up=True)
    first = place.run(changes=steps)
    changed = place.run(changes=steps, top_up=True)

    assert (first.table.look, changed.table.look) == (1, 2)
    assert place.run().table.look == 2


@pytest.mark.parametrize("form", ["gone", "of the first look", "of fewer seeds"])
def test_a_look_counts_whatever_became_of_the_table_s_file(place: Place, form: str) -> None:
    """As a process that is killed, or late, leaves it."""
    first = place.run()
    second = place.run(top_up=True)
    path = place.store.root / "studies" / "looked@mini.json"
    if form == "gone":
        assert isinstance(path, Path)
        path.unlink()
    else:
        fewer = resolve(STUDY, "mini", Splits(place.request.roots), {}, 1).table
        files.write_json(path, (first.table if form == "of the first look" else fewer).encoded())

    again = place.prepare()
    assert again.table.look == 2
    assert counts(again.table) == counts(second.table)
    assert counts(place.prepare(seeds=1).table) == counts(second.table)


def test_a_look_that_was_noted_and_not_begun_is_the_one_that_goes_on(place: Place) -> None:
    first = place.run()
    topped = place.prepare(top_up=True)
    path = place.store.root / "studies" / "looked@mini.json"
    files.write_json(path, first.table.encoded())
    again = place.run(top_up=True)

    assert again.table == topped.table
    assert again.table.look == 2


def earlier(place: Place, look: int, looks: int, count: int, race: bool = False) -> None:
    """Put a look into the log as an earlier version has it, in place of what is there."""
    folder = place.store.root / "looks" / "looked@mini"
    assert isinstance(folder, Path)
    for path in folder.glob("*.json"):
        path.unlink()
    cells = [{"row": row, "column": "few", "units": count} for row in ("base", "slow")]
    value = {"format": 1, "look": look, "looks": looks, "cells": cells, "race": race}
    files.write_json(folder / f"look-{look:03d}.json", value)


def test_a_look_that_an_earlier_version_has_noted_goes_on(place: Place) -> None:
    first = place.run()
    earlier(place, look=2, looks=3, count=5)
    topped = place.run()

    assert (first.table.look, topped.table.look, topped.table.looks) == (1, 2, 3)
    assert counts(topped.table) == [5, 5]
    assert place.run(seeds=6).table.look == 3
    with pytest.raises(ConfigError, match="got look=4, looks=3"):
        place.prepare(seeds=7)


def test_what_a_table_of_an_earlier_version_holds_is_its_first_look(place: Place) -> None:
    place.run()
    log = place.store.root / "looks" / "looked@mini" / "look-001.json"
    assert isinstance(log, Path)
    log.unlink()

    assert place.prepare(seeds=3).table.look == 1
    assert place.run(seeds=4).table.look == 2
    assert place.run(seeds=3).table.look == 2


def test_a_race_is_planned_before_a_table_is_looked_at(place: Place) -> None:
    place.run()
    with pytest.raises(ConfigError, match="planned before a table is looked at, got look=1"):
        place.race(seeds=4)


def test_a_race_keeps_its_replicates_and_its_record(place: Place) -> None:
    place.race(seeds=6)
    raced = place.run(seeds=6).table
    topped = place.run(top_up=True).table

    assert raced.race is not None
    assert (raced.look, raced.looks, topped.look) == (1, 0, 2)
    assert topped.race == raced.race
    with pytest.raises(ConfigError, match="got replicates=8, planned=6"):
        place.race(seeds=8)


def test_a_race_of_an_earlier_version_is_finished_by_it(place: Place) -> None:
    earlier(place, look=3, looks=3, count=4, race=True)
    with pytest.raises(ConfigError, match="by the version that began it"):
        place.race(seeds=4)
    assert (place.run(seeds=4).table.look, place.looks().looks) == (3, 3)


def test_a_table_shows_what_it_was_run_as(place: Place) -> None:
    plain = place.run()
    changed = place.run(changes={"training.steps": 2})
    asked = dataclasses.replace(place.request, changes={"training.steps": 2.0})

    assert resolved_study("looked", place.request, place.store) == plain.table
    assert resolved_study("looked", asked, place.store) == changed.table
