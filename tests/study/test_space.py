"""Spaces: conditions, bundles of fields, and what no search can be run with."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from semisweep import Bundle, Halving, When
from semisweep.core.errors import ConfigError
from semisweep.study.search_space import check_space, fields_of, holds, unfold, varied, without

SOURCE = CategoricalDistribution(("mix", "cross"))
SPACE: dict[str, Any] = {
    "backbones": Bundle(
        {
            "S-S": {"config.senior.channels": 32, "config.junior.channels": 32},
            "B-S": {"config.senior.channels": 64},
        }
    ),
    "config.label_source": SOURCE,
    "config.warm_up_epochs": When("config.label_source", "cross", IntDistribution(0, 20)),
}


def test_an_item_is_drawn_only_where_all_its_conditions_hold() -> None:
    item = When("a", (1, 2), When("b", "x", SOURCE))
    conditions, leaf = unfold(item)

    assert leaf is SOURCE
    assert holds(conditions, {"a": 2, "b": "x"})
    for values in ({"a": 3, "b": "x"}, {"a": 1, "b": "y"}, {"a": 1}, {}):
        assert not holds(conditions, values)


def test_a_bundle_sets_the_fields_of_its_option_and_other_names_their_own() -> None:
    fields = fields_of(SPACE, {"backbones": "B-S", "config.label_source": "mix"})

    assert fields == {"config.senior.channels": 64, "config.label_source": "mix"}
    assert varied(SPACE) == {
        "config.senior.channels",
        "config.junior.channels",
        "config.label_source",
        "config.warm_up_epochs",
    }


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({}, "a search must vary something"),
        ({"a": 3}, "must be of Optuna's distributions, Bundle and When, got a=int"),
        ({"a": Bundle({})}, "must have options, got a=Bundle"),
        ({"b": When("a", 1, SOURCE), "a": SOURCE}, "unknown name before b in the space 'a'"),
        ({"a": SOURCE, "b": When("a", "mx", SOURCE)}, "a value that a can have, got 'mx' for b"),
        (
            {"a": IntDistribution(1, 3), "b": When("a", (3, 4), SOURCE)},
            "a value that a can have, got 4 for b",
        ),
        (
            {"a": FloatDistribution(0, 1), "b": When("a", "0.5", SOURCE)},
            "a value that a can have, got '0.5' for b",
        ),
    ],
)
def test_a_space_that_will_not_do_is_refused(space: dict[str, Any], told: str) -> None:
    check_space(SPACE)
    with pytest.raises(ConfigError) as caught:
        check_space(space)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rungs": (0.5, 0.25)}, "rungs=(0.5, 0.25)"),
        ({"rungs": (0.5, 1.0)}, "rungs=(0.5, 1.0)"),
        ({"rungs": ()}, "rungs=()"),
        ({"reduction": 1}, "reduction=1"),
        ({"peers": 0}, "peers=0"),
    ],
)
def test_halving_that_will_not_do_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Halving(**wrong)

    assert told in str(caught.value)


def test_a_space_without_a_field_lacks_what_depends_on_it() -> None:
    assert list(without(SPACE, ["config.label_source"])) == ["backbones"]
    assert list(without(SPACE, ["config.junior.channels"])) == list(SPACE)[1:]
    assert without(SPACE, []) == SPACE
