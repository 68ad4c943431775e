"""Which rows are tuned, what their searches are, and what a chosen value becomes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from tuned_study import RATE, STUDY, TUNE

from semisweep import Bundle, Column, Row, Search
from semisweep.core.errors import ConfigError
from semisweep.store.resolved_tuning import Tuning
from semisweep.study.recipe import cells_of
from semisweep.study.resolve import column_preset, resolve
from semisweep.study.tuned_rows import (
    OF_ITS_OWN,
    at_its_best,
    cell_search,
    tuned_cells,
    tuned_fields,
    tuned_rows,
)
from semisweep_methods.fixmatch import FixMatch

FULL, LOW, LABELS = STUDY.rows
(FEW,) = STUDY.columns


def test_rows_are_tuned_at_the_scales_that_their_space_names() -> None:
    assert [row.name for row in tuned_rows(STUDY, "mini")] == ["full", "low"]
    assert tuned_rows(STUDY, "paper") == []
    assert tuned_fields(FULL, "mini") == {RATE}
    assert tuned_fields(LABELS, "mini") == set()


def test_columns_that_are_counted_or_absent_are_not_tuned() -> None:
    columns = [
        FEW,
        Column(name="size", unit="parameters", set={"mini": {}}),
        Column(name="all", set={"paper": {}}),
    ]
    found = tuned_cells(dataclasses.replace(STUDY, columns=columns), "mini")

    assert [(row.name, column.name) for row, column in found] == [("full", "few"), ("low", "few")]


def test_what_is_chosen_holds_in_its_column_alone() -> None:
    row = dataclasses.replace(LOW, in_column={"mini": {"few": {"training.steps": 7}}})
    best = at_its_best(row, "mini", "few", {RATE: 0.02})
    assert best is not None

    assert best.fields("mini", "few") == {"config.threshold": 0.5, "training.steps": 7, RATE: 0.02}
    assert best.fields("mini", "many") == {"config.threshold": 0.5}
    assert best.fields("paper", "few") == {"config.threshold": 0.5}
    assert at_its_best(row, "mini", "few", None) is None
    assert at_its_best(LABELS, "mini", "few", None) is LABELS


def test_an_option_of_a_bundle_sets_all_of_its_fields() -> None:
    options = {"short": {"training.steps": 3, RATE: 0.1}, "long": {"training.steps": 9}}
    row = dataclasses.replace(
        FULL, tune=dataclasses.replace(TUNE, space={"mini": {"length": Bundle(options)}})
    )
    best = at_its_best(row, "mini", "few", {"length": "short"})

    assert best is not None
    assert best.fields("mini", "few") == options["short"]


@pytest.mark.parametrize(("drawn", "draw"), [(True, OF_ITS_OWN), (False, 0)])
def test_the_search_of_a_cell_is_its_trial_on_a_seed_of_its_own(drawn: bool, draw: int) -> None:
    tune = dataclasses.replace(TUNE, set={"mini": {"training.steps": 1}})
    row, preset = dataclasses.replace(LOW, tune=tune), column_preset(STUDY, "mini", FEW)
    found = cell_search(STUDY, "mini", row, FEW, preset, 5, drawn=drawn)

    assert (found.name, found.method, found.trials) == ("tuned~low~few", FixMatch, 5)
    assert found.confirm == 0
    assert found.presets == {"mini": preset}
    fields = {"config.threshold": 0.5, "training.steps": 1, "seed": OF_ITS_OWN}
    assert found.set["mini"] == fields | ({"data.draw": draw} if drawn else {})


def tuning(params: dict[str, Any] | None) -> Tuning:
    return Tuning(search="s", trials=4, metric="last.val.miou", params=params, number=0)


def test_a_resolved_cell_says_what_its_search_has_come_to() -> None:
    chosen, waits = tuning({RATE: 0.02}), tuning(None)
    found = resolve(STUDY, "mini", None, tuning={("full", "few"): chosen, ("low", "few"): waits})

    assert [cell.tuning for cell in found.table.cells] == [chosen, waits, None]


def test_a_study_shows_what_its_rows_are_tuned_in() -> None:
    cells = {cell.place[0]: cell for cell in cells_of(STUDY, "mini", {})}

    assert (cells["low"].values[RATE], cells["low"].sources[RATE]) == (
        "0.001 to 0.1 (log)",
        "space",
    )
    assert cells["labels"].sources[RATE] == "preset"


def test_a_row_without_a_method_has_nothing_to_search() -> None:
    with pytest.raises(ConfigError, match=r"a tuned row must have a method, got name='x'"):
        Row(name="x", method=None, tune=TUNE)


def test_a_search_that_is_no_rows_must_have_a_name_and_a_method() -> None:
    space = {"mini": {RATE: FloatDistribution(0.1, 0.2), "a": CategoricalDistribution((1, 2))}}
    with pytest.raises(ConfigError, match=r"got name='', method=None; set them, or write Row"):
        _ = Search(space=space).own_method
    with pytest.raises(ConfigError, match="got name='', method=FixMatch"):
        _ = Search(space=space, method=FixMatch).own_method
    assert Search(name="s", space=space, method=FixMatch).own_method is FixMatch
