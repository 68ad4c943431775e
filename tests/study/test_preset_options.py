"""Options that presets declare: chosen by name, applied to the cells whose preset has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from semisweep import Column, Option, Row, Study
from semisweep.core.errors import ConfigError
from semisweep.store.study_files import variant_of
from semisweep.study.catalogue import find_study, study_names
from semisweep.study.preset_options import options_of, options_table
from semisweep.study.recipe import cells_of
from semisweep.study.resolve import resolve
from semisweep_methods.fixmatch import FixMatch
from semisweep_methods.supervised import Supervised
from semisweep_studies.presets import MINI

LONG = Option(set={"training.steps": 77, "config.threshold": 0.5}, source="elsewhere: 77 and 0.5")
OTHER = dataclasses.replace(MINI, options={"long": LONG})
study = Study(
    name="optional",
    title="One column has an option",
    presets={"mini": MINI},
    base="supervised",
    rows=[
        Row(name="supervised", method=Supervised),
        Row(name="fixmatch", method=FixMatch, set={"config.threshold": 0.9}),
    ],
    columns=[
        Column(name="with", set={"mini": {}}, presets={"mini": OTHER}),
        Column(name="without", set={"mini": {"data.labelled": 16}}),
    ],
)


def values(changes: dict[str, object]) -> dict[tuple[str, str], tuple[object, object]]:
    return {
        cell.place: (cell.values["training.steps"], cell.values.get("config.threshold"))
        for cell in cells_of(study, "mini", changes)
    }


def test_an_option_sets_its_fields_in_cells_whose_preset_has_it() -> None:
    plain, chosen = values({}), values({"option": "long"})

    assert plain["fixmatch", "with"] == (1500, 0.9)
    assert chosen["fixmatch", "with"] == (77, 0.5), "before what the row says"
    assert chosen["supervised", "with"] == (77, None), "of what the method has"
    for row in ("supervised", "fixmatch"):
        assert chosen[row, "without"] == plain[row, "without"]


def test_what_is_set_by_hand_goes_before_an_option() -> None:
    found = values({"option": "long", "training.steps": 9})
    assert found["fixmatch", "with"] == (9, 0.5)


def test_a_study_with_an_option_is_stored_apart_and_shares_equal_cells() -> None:
    plain = resolve(study, "mini", None)
    chosen = resolve(study, "mini", None, {"option": "long"})
    common = plain.trials.keys() & chosen.trials.keys()

    assert chosen.table.changes == {"option": "long"}
    assert variant_of(chosen.table.changes) != variant_of(plain.table.changes)
    assert len(common) == len(plain.trials) // 2


def test_the_source_of_an_option_is_told_with_its_values() -> None:
    (cell,) = [
        own
        for own in cells_of(study, "mini", {"option": "long"})
        if own.place == ("fixmatch", "with")
    ]
    assert cell.sources["training.steps"] == "option long: elsewhere: 77 and 0.5"
    table = options_table(study, "mini")
    assert "| long   | training.steps=77, config.threshold=0.5 | elsewhere: 77 and 0.5 |" in table


@pytest.mark.parametrize("name", ["short", "long,short"])
def test_an_option_that_no_preset_has_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="got option='short'; options: long"):
        cells_of(study, "mini", {"option": name})
    with pytest.raises(ConfigError, match="option must be a name"):
        cells_of(study, "mini", {"option": 3})


def test_every_option_of_a_shipped_study_changes_one_of_its_cells() -> None:
    seen = 0
    for own in map(find_study, study_names()):
        if "paper" not in own.presets:
            continue
        plain = {cell.place: cell.values for cell in cells_of(own, "paper", {})}
        for name, option in options_of(own, "paper"):
            found = {c.place: c.values for c in cells_of(own, "paper", {"option": name})}
            changed = {
                path
                for place, given in found.items()
                for path in given
                if given[path] != plain[place].get(path)
            }
            for path in option.set:
                assert any(c == path or c.startswith(f"{path}.") for c in changed), (own.name, name)
            seen += 1
    assert seen > 20


def test_the_command_line_takes_options(call: Callable[..., Any]) -> None:
    said = call(
        *("studies", "css_sources", "--scale", "paper"),
        *("--option", "released-cross", "--format", "csv"),
    )
    assert said.code == 0
    assert 'config.unlabelled_indicator,of_label,"option released-cross: CSS, released' in said.out
    refused = call("plan", "quickstart", "--option", "nothing")
    assert refused.code == 2
    assert (
        "an option must be one of quickstart at mini scale, got option='nothing'" in refused.error
    )
