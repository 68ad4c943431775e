"""What `plan` says of a table: the smallest difference that it finds, and which look a run is."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import designed
import pytest
import resolved
from resolved import cell

from semisweep.running.design_forecast import design_lines
from semisweep.statistics.alpha_spending import level_at_look
from semisweep.statistics.power import detectable
from semisweep.store.look_log import Entry, note_look, read_looks
from semisweep.store.resolved_study import ResolvedStudy
from semisweep.store.store import Store
from semisweep.store.study_files import StudyPlace
from semisweep.tables.table_looks import TableLooks

PLACE = StudyPlace("example", "mini")


def table(draws: int, rows: int = 4, **more: object) -> ResolvedStudy:
    cells = [
        cell({f"{draw}/0": f"{row}-{draw}" for draw in range(draws)}, f"{row}")
        for row in range(rows)
    ]
    return resolved.table(*cells, base="0", **more)


def lines(store: Store | None, study: ResolvedStudy, planned: int | None = None) -> list[str]:
    return list(design_lines(study, TableLooks(store, PLACE) if store else None, planned))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def test_without_results_it_is_in_standard_deviations() -> None:
    size = detectable(4, 3, 3, level_at_look(1))
    found, look = lines(None, table(3))

    assert f"differences of {size:.1f} sd (standard deviations of one run)" in found
    assert found.endswith("with a probability of 80 %: 3 confirmatory comparisons, 3 draws")
    assert look == "looks    0 looks taken; this would be look 1 of any number, at 4 %"


def test_confirmatory_comparisons_are_counted_alone() -> None:
    found, _ = lines(None, table(5, confirmatory=(("2", "one"),)))

    assert f"{detectable(4, 5, 1, level_at_look(1)):.1f} sd" in found
    assert found.endswith("1 confirmatory comparison, 5 draws")


def test_two_units_find_nothing_and_a_table_without_a_base_says_nothing() -> None:
    assert "no difference: 3 confirmatory comparisons, 2 draws" in lines(None, table(2))[0]
    assert lines(None, dataclasses.replace(table(3), base="")) == []


def test_with_results_it_is_in_points_and_the_next_look_is_named(store: Store) -> None:
    study = table(3)
    for own in study.cells:
        for draw, key in enumerate(own.trials.values()):
            score = (50 + 3 * int(own.row) * (draw - 1) ** 2) / 100
            store.trial(key).complete({resolved.METRIC: score})
    store.write_study("example", "mini", study)
    note_look(store.root, PLACE, Entry(look=1, trials={("0", "one"): ["0-0"]}), 1)
    before = read_looks(store.root, PLACE)
    found, look = lines(store, table(5))

    assert "points, by the noise of 4 finished cells here) with" in found
    assert look == "looks    1 look taken; this would be look 2 of any number, at 0.5 %"
    assert read_looks(store.root, PLACE) == before  # a question notes nothing


def test_a_design_says_which_parts_it_finds() -> None:
    sets = designed.every_set(("a", "b"))
    study = designed.study_of(designed.design("factorial", sets, ("a", "b")), 5, confirmatory=())
    found, look = lines(None, study)
    # A part is half the sum of two differences of rows: its error is 1 / sqrt(2) of one's.
    size = detectable(4, 5, 3, level_at_look(1)) / math.sqrt(2)

    assert f"parts of {size:.1f} sd" in found
    assert found.endswith("with a probability of 80 %: 3 effects, 5 draws")
    assert "at 4 %" in look


def test_the_ends_of_a_path_find_nothing_yet_and_say_what_may_come() -> None:
    own = designed.design("path", [(), ("a", "b", "c")], ("a", "b", "c"), all_orders=6)

    # At most a, b, c; two of pairs with one of them; and the whole, which is counted.
    assert lines(None, designed.study_of(own, 5, confirmatory=())) == [
        "path     its ends are counted; its steps, found one by one, have up to 5 further rows"
    ]
